"""The application: five screens, the threads that wait for them, what it remembers, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen

from app.tui.shell import state, themes
from app.tui.shell.keys import EVERYWHERE, bindings
from app.tui.shell.page import Page
from app.tui.shell.threads import Doer, Reader, sentence
from app.tui.shell.typeahead import TypeAhead
from app.tui.widgets.dialogs import TextPage
from app.tui.widgets.lines import Masthead
from core.errors import BadInput, InnateError

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.cli.context import Context
    from app.report.status import WorkerView

POLL_SECONDS = 1.0
_WARM_SECONDS = 0.3
"""After the first screen is painted: the others are imported aside, so that no key waits for that."""
log = logging.getLogger("innate.tui")


def _runs() -> Page:
    from app.tui.runs.screen import RunsScreen

    return RunsScreen()


def _compose() -> Page:
    from app.tui.compose.screen import ComposeScreen

    return ComposeScreen()


def _queue() -> Page:
    from app.tui.queue.screen import QueueScreen

    return QueueScreen()


def _compare() -> Page:
    from app.tui.compare.screen import CompareScreen

    return CompareScreen()


def _worker() -> Page:
    from app.tui.worker.screen import WorkerScreen

    return WorkerScreen()


def _import_screens() -> None:
    import core.study.resolve  # noqa: F401 - what Compose needs


class InnateApp(App[None]):
    """`context` is the command line's: home, database, whether to write, colours."""

    TITLE = "innate"
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "runs": _runs,
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
        self.context = context
        self.colour = context.colour
        home = context.home
        self._state_path = None if context.read_only else home.root / "tui.json"
        self.remembered = state.load(self._state_path)
        self.reader = Reader(context.database, read_only=context.read_only, name="reader")
        self.charts = Reader(context.database, read_only=context.read_only, name="charts")
        self.doer = Doer()
        self.version = 0
        """Grows whenever the database has changed."""
        self.worker: WorkerView | None = None
        self.unfinished: Mapping[str, int] = {}
        """Trials running and queued, in all studies."""
        self.typeahead = TypeAhead(self, super().on_event)
        self._last_look: object = None
        self._looking = False
        self.animation_level = "none"
        for theme in themes.THEMES:
            self.register_theme(theme)

    # --- beginning and end ---

    def on_mount(self) -> None:
        known = {theme.name for theme in themes.THEMES}
        self.theme = self.remembered.theme if self.remembered.theme in known else themes.DARK.name
        for number in (signal.SIGTERM, signal.SIGHUP):
            # A signal must leave the terminal as it was; a hang-up only ends the screens, never the worker.
            with contextlib.suppress(RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(number, self.exit)
        mode = self.remembered.screen if self.remembered.screen in self.MODES else "runs"
        self.switch_mode(mode)
        self.set_interval(POLL_SECONDS, self.look)
        self.look()
        self.set_timer(_WARM_SECONDS, lambda: self.run_worker(self.doer.do(_import_screens), exit_on_error=False))

    def on_unmount(self) -> None:
        self.remember()
        self.reader.close()
        self.charts.close()
        self.doer.close()

    def remember(self) -> None:
        """Keep the state of the screens for the next time, whatever ends this one."""
        self.remembered.theme = self.theme
        state.save(self.remembered, self._state_path)

    def note_fault(self, error: BaseException) -> None:
        """Keep the traceback of what is only told in a sentence."""
        if not isinstance(error, InnateError):
            self._write_down(error)

    def _write_down(self, error: BaseException) -> None:
        with contextlib.suppress(OSError):
            self.context.home.logs.mkdir(parents=True, exist_ok=True)
        log.error("%s", error, exc_info=error)

    def _handle_exception(self, error: Exception) -> None:
        # A fault of ours ends the screens with a sentence; the traceback goes to the log.
        self._write_down(error)
        self.fault: Exception | None = error
        self.exit(return_code=1)

    fault: Exception | None = None

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key) and not event.is_forwarded:
            self.typeahead.take(event)
        else:
            await super().on_event(event)

    # --- what others do meanwhile ---

    def look(self) -> None:
        """Once a second: has the database moved on, does a worker live."""
        if not self._looking:
            self._looking = True
            self.run_worker(self._look(), exit_on_error=False)

    async def _look(self) -> None:
        try:
            seen, self.worker, self.unfinished = await self.reader.ask(self._looked)
        except Exception as error:
            self.note_fault(error)
            if isinstance(self.screen, Page):
                self.screen.complain(sentence(error))
            return
        finally:
            self._looking = False
        if seen != self._last_look:
            self._last_look = seen
            self.version += 1
            for page in self.screen_stack:
                if isinstance(page, Page):
                    page.data_changed()
        self.show_worker()

    def _looked(self, db: Database) -> tuple[object, WorkerView, Mapping[str, int]]:
        from app.report.status import worker_view
        from storage import queue

        version = db.execute("PRAGMA data_version").fetchone()[0]
        return (id(db), version), worker_view(db, self.context.lived_in), queue.unfinished_counts(db)

    def show_worker(self) -> None:
        """The worker in a word, at the top right."""
        view = self.worker
        if view is None:
            return
        waiting = self.unfinished.get("queued", 0) + self.unfinished.get("running", 0)
        left = f", {waiting} to do" if waiting else ""
        if not view.alive:
            text, colour = f"○ no worker{left}", "$warning" if waiting else "$foreground 60%"
        else:
            colours = {"silent": "$error", "paused": "$warning", "draining": "$warning", "idle": "$foreground 70%"}
            text, colour = f"● {view.state}{left}", colours.get(view.state, "$success")
        for screen in self.screen_stack:
            for masthead in screen.query(Masthead):
                masthead.show_worker(text, colour)

    # --- actions ---

    def action_mode(self, mode: str) -> None:
        # The number of the mode in front leads back to its first screen, from a run's detail too.
        while isinstance(self.screen, TextPage) or (mode == self.current_mode and len(self.screen_stack) > 1):
            self.pop_screen()
        self.remembered.screen = mode
        self.switch_mode(mode)
        self.remember()

    def action_leave(self) -> None:
        self.exit()

    def action_next_theme(self) -> None:
        names = [theme.name for theme in themes.THEMES]
        self.theme = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else names[0]
        self.remember()
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

    # --- changes ---

    def steer(self, page: Page, kind: str, payload: Mapping[str, Any], done: str, command: str) -> None:
        """Have a change made (see `app.worker.changes`) and tell the outcome on `page`."""

        def work() -> dict[str, Any]:
            from app.worker.changes import perform

            db = self.writing()
            try:
                return perform(db, self.context.home, kind, payload)
            finally:
                db.conn.close()

        self.do(page, work, lambda answer: page.say(f"{done.format(**answer)}   ≡ {command}"))

    def writing(self) -> Database:
        """A connection to write with, for the calling thread. Raises BadInput under --db."""
        if self.context.read_only:
            raise BadInput("--db opens a database to read only; start innate with --home DIR to change anything")
        return self.context.writing()

    def do(self, page: Page, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run `work` on the steering thread, then `then(result)` here; an error is told on `page`."""

        async def run() -> None:
            try:
                then(await self.doer.do(work))
            except Exception as error:
                self.note_fault(error)
                page.complain(sentence(error))
            self.look()

        self.run_worker(run(), exit_on_error=False)


def run(context: Context) -> int:
    """The TUI until it is left; returns the exit code. What the user should know after it is narrated."""
    _log_to(context)
    app = InnateApp(context)
    app.run()
    if app.fault is not None:
        context.say(
            f"the screens failed ({type(app.fault).__name__}); nothing is lost, details are in {_log_path(context)}"
        )
        return 1
    waiting = app.unfinished.get("queued", 0) + app.unfinished.get("running", 0)
    if app.worker is not None and app.worker.alive and waiting:
        context.say(f"the worker (pid {app.worker.pid}) goes on with {waiting} trials; innate status, or innate again")
    elif waiting:
        context.say(f"{waiting} trials wait and no worker is running: innate worker start")
    return app.return_code or 0


def _log_path(context: Context) -> Any:
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
