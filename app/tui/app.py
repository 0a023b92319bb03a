"""The application: five screens on one session, how it begins, what every screen's keys share, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from app.tui.shell import themes
from app.tui.shell.keys import EVERYWHERE, bindings
from app.tui.shell.page import Changed, Page
from app.tui.shell.session import Session, log
from app.tui.shell.threads import sentence
from app.tui.shell.typeahead import TypeAhead
from app.tui.widgets.dialogs import TextPage

if TYPE_CHECKING:
    from app.context import Context

POLL_SECONDS = 1.0
_WARM_SECONDS = 0.3
"""After the first screen is painted: the others are imported aside, so that no key waits for that."""


def _lab(session: Session) -> Page:
    from app.tui.lab.screen import LabScreen

    return LabScreen(session)


def _compose(session: Session) -> Page:
    from app.tui.compose.screen import ComposeScreen

    return ComposeScreen(session)


def _queue(session: Session) -> Page:
    from app.tui.queue.screen import QueueScreen

    return QueueScreen(session)


def _compare(session: Session) -> Page:
    from app.tui.compare.screen import CompareScreen

    return CompareScreen(session)


def _worker(session: Session) -> Page:
    from app.tui.worker.screen import WorkerScreen

    return WorkerScreen(session)


def _import_screens() -> None:
    import core.study.resolve  # noqa: F401 - what Compose needs


class InnateApp(App[None]):
    """`context` is the command line's: home, database, whether to write, colours."""

    TITLE = "innate"
    PAGES: ClassVar[Mapping[str, Callable[[Session], Page]]] = {
        "lab": _lab,
        "compose": _compose,
        "queue": _queue,
        "compare": _compare,
        "worker": _worker,
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(EVERYWHERE),
        Binding("ctrl+c", "leave", "quit", show=False, priority=True),
    ]
    CSS = """
    Page { background: $background; }
    #body { height: 1fr; }
    """
    ENABLE_COMMAND_PALETTE = True

    def __init__(self, context: Context) -> None:
        if not context.colour:
            os.environ["NO_COLOR"] = "1"  # --no-color says the same; Textual looks for it here, and takes it out again
        super().__init__()
        self.session = Session(context)
        for mode, page in self.PAGES.items():
            self.add_mode(mode, partial(page, self.session))
        self.typeahead = TypeAhead(self, super().on_event)
        self.fault: Exception | None = None
        """What ended the screens, if they did not end by themselves."""
        self.animation_level = "none"
        for theme in themes.THEMES:
            self.register_theme(theme)

    # --- beginning and end ---

    def on_mount(self) -> None:
        remembered = self.session.remembered
        self.theme = (
            remembered.theme if remembered.theme in {theme.name for theme in themes.THEMES} else themes.DARK.name
        )
        for number in (signal.SIGTERM, signal.SIGHUP):
            # A signal must leave the terminal as it was; a hang-up only ends the screens, never the worker.
            with contextlib.suppress(RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(number, self.exit)
        self.switch_mode(remembered.screen if remembered.screen in self.PAGES else "lab")
        self.set_interval(POLL_SECONDS, self.look)
        self.look()
        self.set_timer(_WARM_SECONDS, lambda: self.run_worker(self.session.do(_import_screens), exit_on_error=False))

    def on_unmount(self) -> None:
        self._remember_theme()
        self.session.close()

    def _remember_theme(self) -> None:
        self.session.remembered.theme = self.theme
        self.session.remember()

    def _handle_exception(self, error: Exception) -> None:
        # A fault of ours ends the screens with a sentence; the traceback goes to the log.
        self.session.write_down(error)
        self.fault = error
        self.exit(return_code=1)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded:
            self.typeahead.take(event)
        else:
            await super().on_event(event)

    # --- what others do meanwhile ---

    @on(Changed)
    def look(self) -> None:
        """Once a second, and after each change: has the database moved on, does a worker live."""
        self.run_worker(self._look(), exit_on_error=False)

    async def _look(self) -> None:
        try:
            moved_on = await self.session.look()
        except Exception as error:
            self.session.note_fault(error)
            if isinstance(self.screen, Page):
                self.screen.complain(sentence(error))
            return
        for page in self.screen_stack:
            if isinstance(page, Page):
                page.show_worker()
                if moved_on:
                    page.data_changed()

    # --- actions ---

    def action_mode(self, mode: str) -> None:
        # The number of the mode in front leads back to its first screen, from a run's detail too.
        while isinstance(self.screen, TextPage) or (mode == self.current_mode and len(self.screen_stack) > 1):
            self.pop_screen()
        self.session.remembered.screen = mode
        self.switch_mode(mode)
        self.session.remember()

    def action_leave(self) -> None:
        self.exit()

    def action_next_theme(self) -> None:
        names = [theme.name for theme in themes.THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else names[0]
        self._remember_theme()
        if isinstance(self.screen, Page):
            self.screen.say(f"theme: {self.theme}")

    def action_help(self) -> None:
        from app.tui.shell.help import help_text

        if isinstance(self.screen, Page):
            self.push_screen(TextPage(f"Keys: {self.screen.MODE}", help_text(self.screen)))

    def action_equivalents(self) -> None:
        from app.tui.shell.help import equivalents_text

        if isinstance(self.screen, Page):
            self.push_screen(TextPage("The same from the command line", equivalents_text(self.screen)))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: every key of the screen in front, and those of every screen."""
        if isinstance(screen, Page):
            for key in screen.KEYS:
                yield SystemCommand(key.label, key.help, self._runner(screen, key.action))
        for key in EVERYWHERE:
            if key.action != "command_palette":
                yield SystemCommand(key.label, key.help, self._runner(self, key.action))
        for theme in themes.THEMES:
            yield SystemCommand(
                f"theme {theme.name}", "use this theme", lambda name=theme.name: setattr(self, "theme", name)
            )

    def _runner(self, where: Any, action: str) -> Callable[[], None]:
        def run() -> None:
            self.call_next(self.run_action, action, where)

        return run


def run(context: Context) -> int:
    """The TUI until it is left; returns the exit code. What the user should know after it is narrated."""
    _log_to(context)
    app = InnateApp(context)
    app.run()
    session = app.session
    if app.fault is not None:
        context.say(
            f"the screens failed ({type(app.fault).__name__}); nothing is lost, details are in {_log_path(context)}"
        )
        return 1
    waiting = session.waiting
    if session.worker is not None and session.worker.alive and waiting:
        context.say(
            f"the worker (pid {session.worker.pid}) goes on with {waiting} trials; innate status, or innate again"
        )
    elif waiting:
        context.say(f"{waiting} trials wait and no worker is running: innate worker start")
    return app.return_code or 0


def _log_path(context: Context) -> Path:
    return context.home.logs / "tui.log"


def _log_to(context: Context) -> None:
    """Tracebacks go to a file of the home, never to the screen."""
    log.propagate = False
    logging.raiseExceptions = False  # a log that cannot be written must not write over the screens
    try:
        handler = logging.handlers.RotatingFileHandler(
            _log_path(context), maxBytes=1 << 20, backupCount=1, encoding="utf-8", delay=True
        )
    except OSError:
        return
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
