"""Compose: put a study together from every axis, see what it will cost as one does, save it, submit it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.timer import Timer
from textual.widgets import Input

from app.report.toml import toml_text, toml_value
from app.tui.compose import draft
from app.tui.compose.about import toml_content
from app.tui.compose.draft import Document
from app.tui.compose.files import ask_beginning, ask_place
from app.tui.compose.measure import Measurer
from app.tui.compose.model import Composition, fed
from app.tui.compose.outlook import Outlook, Outlooks
from app.tui.compose.panes import Panes
from app.tui.compose.questions import ask_path, ask_value
from app.tui.compose.settings import Setting, toggled
from app.tui.compose.submit import Submitter, question
from app.tui.compose.words import label_at
from app.tui.shell.keys import Key
from app.tui.shell.page import Page
from app.tui.shell.session import Beginning
from app.tui.widgets.dialogs import Confirm, TextPage
from app.tui.widgets.rows import RowList
from core.study.resolve import LARGE_GRID, grid_size, parse_study

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_DELAY = 0.15
"""Seconds without a change after which the outlook is worked out anew."""


class ComposeScreen(Page):
    """Parts of the study on the left; on the right the choices or values of the part under the cursor."""

    MODE = "compose"
    AUTO_FOCUS: ClassVar[str | None] = "#parts"
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
        Key("m", "measure", "measure", "time a few batches, for a forecast; again stops", hint=False),
        Key("n", "new", "new", "begin with nothing chosen", hint=False),
        Key("right,l", "inner", "in", "to the choices, to the options", hint=False),
        Key("left,h", "outer", "out", "back to the choices, to the parts", hint=False),
    )
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
        kept = session.remembered.draft
        self.model = Composition(kept if kept and draft.shaped(kept) else draft.first(), Path.cwd())
        self._outlooks = Outlooks(session.context.home)
        self._timer: Timer | None = None
        self._submitter = Submitter(self)
        self._measurer = Measurer(self)

    def body(self) -> ComposeResult:
        yield Panes(self.model)

    def on_screen_resume(self) -> None:
        if (beginning := self.session.beginning) is not None:
            self.session.beginning = None
            self.call_after_refresh(self._begin_with, beginning)

    @property
    def panes(self) -> Panes:
        return self.query_one(Panes)

    def on_unmount(self) -> None:
        self._submitter.end()
        self._measurer.end()

    @property
    def works_aside(self) -> bool:
        """Whether batches are being timed."""
        return self._measurer.busy

    # --- what the draft would bring ---

    def question(self) -> Document | None:
        return None if self.model.own_mistakes else self.model.document

    def load(self, db: Database, question: Document | None) -> tuple[Document, Outlook] | None:
        return (
            None
            if question is None
            else (question, self._outlooks.of(db, question, self.model.base, self._measurer.timed))
        )

    def show(self, data: tuple[Document, Outlook] | None) -> None:
        self.model.foretold = data
        self.panes.draw()

    def _follow(self, changed: bool) -> None:
        """Show the model; if its document has changed, keep that and ask anew what it would bring."""
        if changed:
            self._keep()
            self.say("")  # what was said of the draft before may no longer be so
        self.panes.draw()

    def _keep(self) -> None:
        self.session.remembered.draft = self.model.document
        self.session.remember()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(_DELAY, self.reload)

    # --- moving ---

    def on_row_list_moved(self, event: RowList.Moved) -> None:
        if event.rows is self.panes.parts:
            self.model.go_to(str(event.key))
            self.panes.search.remove_class("open")
            self.panes.draw()
        else:
            self.model.point(event.key)
            self.panes.draw_cursor()

    def on_row_list_clicked(self, event: RowList.Clicked) -> None:
        if event.rows is self.panes.choices:
            if self.model.offer is not None and event.x < 4:
                self.action_tick()
            elif event.twice:
                self.action_edit()

    def action_inner(self) -> None:
        if not self.panes.choices.has_focus:
            self.panes.choices.focus()
        elif self.model.chosen is not None:
            self._open(self.model.chosen)

    def action_outer(self) -> None:
        if self.model.open is not None:
            self._show_options(None)
        else:
            self.panes.parts.focus()

    def key_escape(self) -> None:
        if self.model.words or self.panes.search.has_class("open"):
            self.model.end_search()
            self.panes.search.remove_class("open")
            self.panes.draw()
            self.panes.choices.focus()
        else:
            self.action_outer()

    def _open(self, index: int) -> None:
        """The options of what stands there, if it has any."""
        if self.model.has_options(index):
            self._show_options(index)
        elif self.model.part.name != "dataset":
            self.say(f"{label_at(self.model.document, self.model.part, index)} has no options")

    def _show_options(self, index: int | None) -> None:
        self.model.show_options(index)
        self.panes.draw()
        self.panes.choices.focus()

    # --- search ---

    def action_search(self) -> None:
        if self.model.part.registry is None or self.model.open is not None:
            self.say("/ searches within an axis: go to one on the left, such as optimizers")
            return
        field = self.panes.search
        field.value = ""  # another search, not more words to the last one
        field.add_class("open")
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.has_class("open"):
            self.model.search(event.value.strip())
            self.panes.draw()

    def on_input_submitted(self) -> None:
        self.panes.search.remove_class("open")
        self.panes.choices.focus()
        self.panes.draw()

    # --- changing it ---

    def action_tick(self) -> None:
        setting, offer = self.model.setting, self.model.offer
        if not self.panes.choices.has_focus:
            self.panes.choices.focus()
        elif setting is not None:
            self._edit(setting)
        elif self.model.chosen is not None:
            self.action_remove()
        elif offer is not None:
            self._choose(offer.name)

    def action_edit(self) -> None:
        setting, offer = self.model.setting, self.model.offer
        if self.panes.parts.has_focus:
            self.panes.choices.focus()
        elif setting is not None:
            self._edit(setting)
        elif offer is None:
            return
        elif self.model.part.name == "dataset" and not (
            offer.place is not None and self.model.has_options(offer.place)
        ):
            self._choose(offer.name)
        elif offer.place is not None:
            self._open(offer.place)
        else:
            self.say(f"{offer.name} is not taken: space takes it, ⏎ then edits its options")

    def action_another(self) -> None:
        offer = self.model.offer
        if offer is None or not self.model.part.several:
            self.say("+ chooses an optimizer, an attack … once more, with other options: go to one on the left")
        elif offer.place is None:
            self._choose(offer.name)
        elif not self.model.has_options(offer.place):
            self.say(f"{offer.name} has no options, so once more would be the same")
        else:
            self._follow(self.model.copy())
            self.panes.choices.focus()
            self.say("a copy: change an option, so that it is not the same; u takes it back")

    def action_remove(self) -> None:
        if self.model.part.name == "dataset" and self.model.chosen is not None:
            self.say("a study has one data set: space on another takes its place")
        else:
            self._follow(self.model.drop())

    def action_undo(self) -> None:
        options = self.model.open
        if not self.model.undo():
            self.say("nothing to take back")
            return
        self._keep()
        self.panes.draw()
        if options != self.model.open:
            self.panes.choices.focus()

    def _choose(self, name: str) -> None:
        if self.model.part.name == "dataset" and name in ("folder", "npz"):
            ask_path(self, self.model, name, self._follow)
        else:
            self._follow(self.model.choose(name))

    def _edit(self, setting: Setting) -> None:
        if setting.kind == "bool":
            self._follow(self.model.put(setting, toggled(self.model.document, setting)))
        elif setting.kind == "path":
            ask_path(self, self.model, "folder", self._follow)
        else:
            ask_value(self, self.model, setting, self._follow)

    # --- where it comes from, where it goes ---

    def _begin_with(self, beginning: Beginning) -> None:
        changed = self.model.begin_with(beginning.document, beginning.spec)
        self.panes.search.remove_class("open")
        self._follow(changed)
        self.say(beginning.told)

    def action_new(self) -> None:
        self._begin_with(Beginning(draft.empty(), None, "nothing chosen yet; u takes it back"))

    def action_start(self) -> None:
        ask_beginning(self, self._begin_with)

    def action_see(self) -> None:
        self.push(TextPage(self.model.file, toml_content(toml_text(self.model.document))), lambda _: None)

    def action_save(self) -> None:
        ask_place(self, self.model)

    def action_submit(self) -> None:
        if self.session.context.read_only:
            self.complain("--db opens a database to read only; start innate with --home DIR to submit a study")
            return
        if self._submitter.busy:
            self.say("it is being submitted already")
            return
        wrong = next(iter(self.model.mistakes.values()), None)
        if wrong is not None:
            self.complain(f"mend this first: {wrong.text}")
            self.panes.parts.move_to(self.panes.parts.keys.index(wrong.part))
            return
        self._measurer.end()
        study = parse_study(self.model.document, "draft", self.model.base)
        large = " --yes" if grid_size(study) > LARGE_GRID else ""
        command = self.model.command("run", f" --detach{large}")
        text = question(study, self.model.outlook, self.session.worker)
        self.push(Confirm(text), lambda yes: self._submitter.submit(study, command) if yes else None)

    def action_measure(self) -> None:
        if self._measurer.busy:
            self._measurer.end()
        elif self.model.outlook is None:
            self.say("what it would bring is not counted yet" if not self.model.mistakes else "mend the study first")
        else:
            self._measurer.measure(self.model.outlook)

    # --- the same from the command line ---

    def equivalents(self) -> Mapping[str, str]:
        model = self.model
        found = {
            "submit": model.command("run", " --detach"),
            "start": "innate init study.toml --from quick",
            "save": fed(f"cat > {shlex.quote(model.file)}", toml_text(model.document)),
            "see": model.command("plan"),
            "measure": model.command("plan", " --measure"),
        }
        if model.spec is None:
            found["edit"] = found["see"]
        else:
            given = "training.epochs=1"
            if model.setting is not None and model.setting.text(model.document):
                path = model.setting.path
                given = f"{draft.dotted(path)}={toml_value(draft.value_at(model.document, path))}"
            found["edit"] = f"innate plan {model.spec} --set {shlex.quote(given)}"
        if model.part.registry is not None:
            catalogue = "datasets" if model.part.name == "dataset" else model.part.name
            found["search"] = found["tick"] = f"innate {catalogue}"
        return found
