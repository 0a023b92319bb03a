"""Compose: put a study together from every axis, see what it will cost as one does, save it, submit it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import shlex
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.tui.compose import draft
from app.tui.compose.download import Download
from app.tui.compose.draft import Document
from app.tui.compose.files import ComposeFiles
from app.tui.compose.mistakes import Mistake
from app.tui.compose.outlook import counts, remarks
from app.tui.compose.settings import Setting
from app.tui.compose.toml import toml_text
from app.tui.shell.keys import Key, bindings
from app.tui.shell.page import Page
from app.tui.widgets.dialogs import Confirm, TextPage
from app.tui.widgets.lines import StatusLine
from core.study.resolve import LARGE_GRID, grid_size, parse_study

if TYPE_CHECKING:
    from app.tui.compose.submit import Submitted
    from app.tui.shell.session import Session
    from core.records import Study


class ComposeScreen(ComposeFiles):
    """Parts of the study on the left; on the right the choices or values of the part under the cursor."""

    KEYS = (
        Key("space", "tick", "tick", "choose what is under the cursor, or drop it"),
        Key("enter,o", "edit", "edit", "edit the value, or the options of the choice"),
        Key("S", "submit", "submit", "queue what is missing and see to a worker"),
        Key("p", "start", "start from", "start from a preset, an earlier study or a study file"),
        Key("w", "save", "save", "write it as a study file (TOML)"),
        Key("t", "see", "TOML", "see it as a study file"),
        Key("slash", "search", "search", "search within the axis"),
        Key("plus", "another", "one more", "choose it once more, with other options"),
        Key("minus", "remove", "drop", "drop the choice, or go back to the value's default", hint=False),
        Key("u", "undo", "undo", "take the last change back", hint=False),
        Key("n", "new", "new", "begin with nothing chosen", hint=False),
        Key("right,l", "inner", "in", "to the choices, to the options", hint=False),
        Key("left,h", "outer", "out", "back to the choices, to the parts", hint=False),
    )
    BINDINGS = bindings(KEYS)
    # Here and not where the panes are: the styles of a screen count for its own class alone.
    CSS = """
    ComposeScreen #panes { height: 1fr; }
    ComposeScreen #parts { width: 28; border-right: solid $panel; }
    ComposeScreen #right { width: 1fr; }
    ComposeScreen #heading { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    ComposeScreen #search { border: none; height: 1; padding: 0 1; background: $panel; display: none; }
    ComposeScreen #search.open { display: block; }
    ComposeScreen #about { height: 7; padding: 0 1; background: $surface; }
    ComposeScreen #file { width: 50; border-left: solid $panel; padding: 0 0 0 1; display: none;
        scrollbar-size-vertical: 1; }
    ComposeScreen #file Static { height: auto; }
    ComposeScreen #outlook { height: 2; padding: 0 1; background: $panel; text-wrap: nowrap; text-overflow: ellipsis; }
    ComposeScreen.-wide #parts { width: 36; }
    ComposeScreen.-wide #file { display: block; }
    ComposeScreen.-wide #about { height: 9; }
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._submitting = False
        self._download = Download()

    def on_unmount(self) -> None:
        self._download.end()

    # --- submitting ---

    def action_submit(self) -> None:
        if self.session.context.read_only:
            self.complain("--db opens a database to read only; start innate with --home DIR to submit a study")
            return
        if self._submitting:
            self.say("it is being submitted already")
            return
        wrong = next(iter(self._wrong.values()), None)
        if wrong is not None:
            self._go_to(wrong)
            return
        study = parse_study(self._document, "draft", Path.cwd())
        self.push(Confirm(self._summary(study)), lambda yes: self._submit(study) if yes else None)

    def _go_to(self, mistake: Mistake) -> None:
        """Put the cursor on what is at fault."""
        self.complain(f"mend this first: {mistake.text}")
        self.parts.move_to(self.parts.keys.index(mistake.part))

    def _summary(self, study: Study) -> str:
        """What one says yes to. The size does not wait for the outlook."""
        size, outlook = grid_size(study), self._current
        lines = [f"Submit {study.name}?", ""]
        if size > LARGE_GRID:
            lines.append(f"The grid has {size:,} trials. Are that many meant?")
        elif outlook is not None:
            lines += counts(outlook)
        if outlook is not None:
            lines += remarks(outlook)
        worker = self.session.worker
        if worker is None or not worker.alive:
            lines += ["", "No worker is running: one is started, and goes on when you leave."]
        elif worker.state == "paused":
            lines += ["", "The queue is paused; nothing starts before it is resumed."]
        return "\n".join(lines)

    def _submit(self, study: Study) -> None:
        home, writing = self.session.context.home, self.session.writing
        command = f"innate run {self._spec} --detach{' --yes' if grid_size(study) > LARGE_GRID else ''}"
        fetch = partial(self._download.run, report=self._reporter())
        self._submitting = True
        self.say(f"submitting {study.name} …")

        def work() -> Submitted:
            from app.tui.compose.submit import submit

            try:
                return submit(home, writing, study, fetch)
            finally:
                self._submitting = False

        def done(answer: Submitted) -> None:
            if self.app.screen is self:
                self.go_to("queue")
            self._tell(f"{answer.told}   ≡ {command}")
            if answer.warning is not None:
                self.app.push_screen(TextPage("When you log out", answer.warning))

        self.do(work, done)

    def _reporter(self) -> Callable[[str], None]:
        """Tells here what a download says, from the steering thread and without waiting for this one."""
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()

        def report(text: str) -> None:
            with contextlib.suppress(RuntimeError):  # the screens have been left meanwhile
                loop.call_soon_threadsafe(self.say, text, context=context)

        return report

    def _tell(self, text: str, patience: int = 40) -> None:
        """Say it on the screen in front, as soon as that is there."""
        page = next((screen for screen in reversed(self.app.screen_stack) if isinstance(screen, Page)), None)
        if page is not None and page.query(StatusLine):
            page.say(text)
        elif patience:
            self.app.set_timer(0.05, partial(self._tell, text, patience - 1))

    # --- the same from the command line ---

    def equivalents(self) -> Mapping[str, str]:
        catalogue = {"dataset": "innate datasets"}.get(self._part.name, f"innate {self._part.name}")
        given = "training.epochs=1"
        if self._settings and self._setting.text(self._document):
            given = f"{draft.dotted(self._setting.path)}={toml_value(self._document, self._setting)}"
        found = {
            "edit": f"innate plan {self._spec} --set {shlex.quote(given)}",
            "submit": f"innate run {self._spec} --detach",
            "start": "innate init study.toml --from quick",
            "save": f"innate init {shlex.quote(self._file)}",
            "see": f"innate plan {self._spec}",
        }
        if self._part.registry is not None:
            found["search"] = found["tick"] = catalogue
        return found


def toml_value(document: Document, setting: Setting) -> str:
    """A value as --set takes it."""
    return toml_text({"value": draft.value_at(document, setting.path)}).removeprefix("value = ").strip()
