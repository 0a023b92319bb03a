"""The application: five screens on one session, how it begins, what every screen's keys share, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.handlers
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.driver import Driver

from app.tui.shell import own, themes
from app.tui.shell.anything import Act
from app.tui.shell.anywhere import Anywhere
from app.tui.shell.command_log import CommandLog
from app.tui.shell.commands import Command
from app.tui.shell.keys import APP, EVERYWHERE, Key, bindings
from app.tui.shell.page import Changed, Page, tell_in_front, told_since
from app.tui.shell.session import Session, log
from app.tui.shell.terminal import Terminal
from app.tui.shell.threads import sentence
from app.tui.shell.typeahead import TypeAhead
from app.tui.widgets.dialogs import Item, TextPage
from app.tui.widgets.harmless import Harmless

if TYPE_CHECKING:
    from app.context import Context
    from app.tui.shell.ground import Asked

POLL_SECONDS = 1.0
_WARM_SECONDS = 0.3
"""After the first screen is painted: the others are imported aside, so that no key waits for that."""


def _lab() -> type[Page]:
    from app.tui.lab.screen import LabScreen

    return LabScreen


def _compose() -> type[Page]:
    from app.tui.compose.screen import ComposeScreen

    return ComposeScreen


def _queue() -> type[Page]:
    from app.tui.queue.screen import QueueScreen

    return QueueScreen


def _findings() -> type[Page]:
    from app.tui.findings.screen import FindingsScreen

    return FindingsScreen


def _worker() -> type[Page]:
    from app.tui.worker.screen import WorkerScreen

    return WorkerScreen


def _import_screens() -> None:
    import core.study.resolve  # noqa: F401 - what Compose needs

    for page in InnateApp.PAGES.values():
        page()


class InnateApp(App[None]):
    """`context` is the command line's: home, database, whether to write, colours. `commands` are those it has; `asked`: what the
    terminal was asked before."""

    TITLE = "innate"
    PAGES: ClassVar[Mapping[str, Callable[[], type[Page]]]] = {
        "lab": _lab,
        "compose": _compose,
        "queue": _queue,
        "findings": _findings,
        "worker": _worker,
    }
    """The first of them shows studies."""
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(EVERYWHERE, APP),
        Binding("ctrl+c", "leave", "quit", show=False, priority=True),
    ]
    CSS = """
    Page { background: $background; }
    #body { height: 1fr; }
    """
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, context: Context, commands: Sequence[Command] = (), asked: Asked | None = None) -> None:
        if not context.colour:
            os.environ["NO_COLOR"] = "1"  # --no-color says the same; Textual looks for it here, and takes it out again
        super().__init__(driver_class=Terminal)
        self.session = Session(context)
        self.asked = asked
        for mode, page in self.PAGES.items():
            self.add_mode(mode, lambda page=page: page()(self.session))  # type: ignore[misc]
        self.typeahead = TypeAhead(self, super().on_event)
        self.fault: Exception | None = None
        """What ended the screens, if they did not end by themselves."""
        self.animation_level = "none"
        self._filters.append(Harmless())
        self._take_own(context.home.root / own.FILE)
        self.themes = [*themes.THEMES, *([self.session.own.theme] if self.session.own.theme else [])]
        for theme in self.themes:
            self.register_theme(theme)
        more = [Item(Act(None, "own_keys"), "own keys", f"write {own.FILE}: keys and colours to edit")]
        more += [
            Item(Act(None, f"theme('{theme.name}')"), f"theme {theme.name}", "these colours") for theme in self.themes
        ]
        more.append(Item(Act(None, "theme('')"), "theme of the terminal", "light or dark, as its ground is"))
        self._anywhere = Anywhere(self, self.session, self.PAGES, commands, self._open_run, more)

    # --- beginning and end ---

    def on_mount(self) -> None:
        remembered = self.session.remembered
        self.theme = self._theme_now()
        for number in (signal.SIGTERM, signal.SIGHUP):
            # A signal must leave the terminal as it was; a hang-up only ends the screens, never the worker.
            with contextlib.suppress(RuntimeError, ValueError):
                asyncio.get_running_loop().add_signal_handler(number, self.exit)
        self.switch_mode(remembered.screen if remembered.screen in self.PAGES else next(iter(self.PAGES)))
        if self.session.own.told:
            tell_in_front(self, self.session.own.told, wrong=True)
        self.set_interval(POLL_SECONDS, self.look)
        self.look()
        self.set_timer(_WARM_SECONDS, lambda: self.run_worker(self.session.do(_import_screens), exit_on_error=False))

    def on_unmount(self) -> None:
        self.session.close()

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
        if self.session.meanwhile:
            tell_in_front(self, told_since(self.session.meanwhile))
            self.session.meanwhile = {}
        if self.session.news is not None:
            tell_in_front(self, self.session.news, wrong=True)
            self.session.news = None
        for page in self.screen_stack:
            if isinstance(page, Page):
                page.show_worker()
                if moved_on:
                    page.data_changed()

    @on(Driver.SignalResume)
    def _draw_again(self) -> None:
        """After a stop: the shell has written over everything, and the database may have moved on."""
        self.refresh(layout=True)
        self.look()

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
        names = [theme.name for theme in self.themes]
        self.action_theme(names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else names[0])

    def action_help(self) -> None:
        from app.tui.shell.help import help_text

        if isinstance(self.screen, Page):
            self.push_screen(TextPage(f"Keys: {self.screen.MODE}", help_text(self.screen)))

    def action_equivalents(self) -> None:
        from app.tui.shell.help import equivalents_text

        if isinstance(self.screen, Page):
            self.push_screen(TextPage("The same from the command line", equivalents_text(self.screen)))

    def action_command_log(self) -> None:
        self.push_screen(CommandLog(self.session))

    def action_anything(self) -> None:
        if isinstance(self.screen, Page):
            self._anywhere.ask(self.screen)

    def _open_run(self, study: str, trial_id: str) -> None:
        from app.tui.run.screen import DetailScreen

        self.push_screen(DetailScreen(self.session, study, trial_id))

    # --- themes and keys ---

    def _take_own(self, file: Path) -> None:
        """The user's own keys and colours; the screens are only looked at for them where there are any."""
        if file.exists():
            self.session.own = own.read(file, self._screens())
            self.set_keymap(dict(self.session.own.keys))

    def _screens(self) -> dict[str, Sequence[Key]]:
        """Mode → keys, of every screen and of a run's detail."""
        from app.tui.run.screen import DetailScreen

        return {**{mode: page().KEYS for mode, page in self.PAGES.items()}, DetailScreen.MODE: DetailScreen.KEYS}

    def _theme_now(self) -> str:
        """The theme that was chosen, else one's own, else what goes with the terminal's ground."""
        chosen = self.session.remembered.theme
        if chosen in {theme.name for theme in self.themes}:
            return chosen
        if self.session.own.theme is not None:
            return own.OWN
        light = self.asked is not None and self.asked.ground.dark is False
        return themes.LIGHT.name if light else themes.DARK.name

    def action_theme(self, name: str) -> None:
        """From now on, and at the next start; "": the terminal's own."""
        self.session.remembered.theme = name
        self.session.remember()
        self.theme = self._theme_now()
        tell_in_front(self, f"theme: {self.theme}{'' if name else ', as the terminal'}")

    def on_ground_known(self) -> None:
        self.theme = self._theme_now()

    def action_own_keys(self) -> None:
        """Write the file of own keys and colours, to be edited."""
        context, screens = self.session.context, self._screens()
        file = context.home.root / own.FILE

        def work() -> bool:
            with self.session.writing():
                pass  # makes the home, or says why it cannot be written
            try:
                with file.open("x", encoding="utf-8") as stream:
                    stream.write(own.template(screens))
            except FileExistsError:
                return False
            return True

        if isinstance(self.screen, Page):
            self.screen.do(
                work,
                lambda new: tell_in_front(
                    self, f"{'wrote' if new else 'there already:'} {file}; edit it, then start again"
                ),
            )


def run(context: Context, commands: Sequence[Command] = (), asked: Asked | None = None) -> int:
    """The TUI until it is left; returns the exit code. What the user should know after it is narrated."""
    _log_to(context)
    app = InnateApp(context, commands, asked)
    if asked is not None:
        asked.answer()
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
