"""What the five screens share: the lines around them, reloading when the data changed, and their keys as data."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from textual.app import App, ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.screen import ModalScreen, Screen

from app.tui.shell.keys import APP, EVERYWHERE, Key, bindings, hints
from app.tui.shell.threads import sentence
from app.tui.widgets.lines import MODES, Hints, Masthead, StatusLine, worker_word

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session
    from storage.changes import Change

T = TypeVar("T")


class Changed(Message):
    """Something was changed from here: the app looks at once instead of at its next round."""


def tell_in_front(app: App[Any], text: str, *, wrong: bool = False, patience: int = 40) -> None:
    """Say it on the screen in front, as soon as that is there."""
    page = next((screen for screen in reversed(app.screen_stack) if isinstance(screen, Page)), None)
    if page is not None and page.query(StatusLine):
        (page.complain if wrong else page.say)(text)
    elif patience:
        app.set_timer(0.05, lambda: tell_in_front(app, text, wrong=wrong, patience=patience - 1))


def told_since(ends: Mapping[str, int]) -> str:
    """What came to its end since the screens were left, in a sentence."""
    done, failed = ends.get("finished", 0), ends.get("failed", 0)
    told = f"since you looked: {done:,} trial{'' if done == 1 else 's'} done"
    return f"{told}, {failed:,} failed (Queue says why)" if failed else told


class Page(Screen[None]):
    """A screen gives `MODE`, `KEYS`, `body`, and how to get and show its data: `load` runs on the readers' thread and
    touches no widget, `show` runs on the event loop.
    """

    MODE: ClassVar[str] = ""
    KEYS: ClassVar[tuple[Key, ...]] = ()
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - Textual declares it without ClassVar
        (0, "-narrow"),
        (110, "-wide"),
    ]

    def __init_subclass__(cls, **given: Any) -> None:
        cls.BINDINGS = bindings(cls.KEYS, cls.MODE)
        super().__init_subclass__(**given)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._loading = False
        self._again = False
        self._seen = -1

    # --- for each screen to give ---

    def body(self) -> ComposeResult:
        """The widgets between the lines."""
        yield from ()

    def question(self) -> Any:
        """What `load` must know of the screen's state: read on the event loop before each load."""
        return None

    def load(self, db: Database, question: Any) -> Any:  # noqa: ARG002 - what a screen without data needs of them
        """The screen's data."""
        return None

    def show(self, data: Any) -> None:
        """Put the data on the screen."""

    @property
    def marked(self) -> str:
        """Which of the five screens the line at the top marks."""
        return self.MODE

    def look_at(self, study: str) -> None:
        """Show this study, on a screen that shows one, or runs."""

    def equivalents(self) -> Mapping[str, str]:
        """Action → the command that does the same, with what is chosen now filled in, so that it runs as it stands. None for an
        action that has nothing to be about."""
        return {}

    # --- shared ---

    @property
    def keys(self) -> tuple[Key, ...]:
        """Its KEYS, with those that are the user's own."""
        return self.session.own.of(self.KEYS, self.MODE)

    def key_of(self, action: str) -> str:
        """The key for an action of this screen, or of every screen, as one types it: for sentences that name it."""
        known = (*self.keys, *self.session.own.of(EVERYWHERE, APP))
        return next(key.shown for key in known if key.action == action)

    def compose(self) -> ComposeResult:
        yield Masthead(self.marked, [self.key_of(f"mode('{mode}')") for mode, _ in MODES])
        with Container(id="body"):
            yield from self.body()
        yield StatusLine()
        yield Hints(hints(self.keys, "screen"), hints(self.session.own.of(EVERYWHERE, APP), "app"))

    def on_screen_resume(self) -> None:
        self.show_worker()
        if self._seen != self.session.version:
            self.reload()

    def show_worker(self) -> None:
        """The worker in a word, at the top right, as of the session's last look."""
        if self.session.worker is not None:
            for masthead in self.query(Masthead):
                masthead.show_worker(
                    *worker_word(self.session.worker, self.session.waiting, paused=self.session.paused)
                )

    def data_changed(self) -> None:
        """The database moved on while this screen is in front."""
        self.reload()

    @property
    def loading_data(self) -> bool:
        """Whether a load is under way."""
        return self._loading

    def reload(self) -> None:
        """Load and show; while a load is under way, once more after it."""
        self._seen = self.session.version
        if self._loading:
            self._again = True
            return
        self._loading = True
        self.run_worker(self._reload(), exit_on_error=False)

    async def _reload(self) -> None:
        try:
            while True:
                self._again = False
                question = self.question()
                try:
                    data = await self.session.reader.ask(lambda db, question=question: self.load(db, question))  # type: ignore[misc]
                    self.show(data)
                except Exception as error:
                    self.session.note_fault(error)
                    self.complain(sentence(error))
                if not self._again:
                    return
        finally:
            self._loading = False

    def go_to(self, mode: str) -> None:
        """Another of the five screens, in front now and at the next start."""
        self.session.remembered.screen = mode
        self.app.switch_mode(mode)

    def push(self, screen: ModalScreen[T], then: Callable[[T | None], None]) -> None:
        """Put a dialog over this screen; `then` gets its answer."""
        self.app.push_screen(screen, then)

    def say(self, text: str) -> None:
        """Tell what happened, in the line at the bottom."""
        self.query_one(StatusLine).say(text)

    def did(self, told: str, command: str) -> None:
        """Tell what was done, with the equivalent command, and keep that in the command log."""
        self.session.did(told, command)
        tell_in_front(self.app, f"{told}   ≡ {command.partition(' <<')[0]}")

    def complain(self, text: str) -> None:
        """Tell what went wrong, there too."""
        self.query_one(StatusLine).say(text, "$error")

    def do(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Run `work` on the thread that makes changes, then `then(result)` here; what goes wrong is told here."""
        self._after(self.session.do(work), then)

    def aside(self, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """As `do`, on a thread of its own: nothing waits for what may take a minute and changes nothing."""
        self._after(asyncio.to_thread(work), then)

    def reporter(self) -> Callable[[str], None]:
        """Tells here what goes on, from another thread and without waiting for this one."""
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()

        def report(text: str) -> None:
            with contextlib.suppress(RuntimeError):  # the screens have been left meanwhile
                loop.call_soon_threadsafe(self.say, text, context=context)

        return report

    def may_change(self) -> bool:
        """Whether this database may be written; tells why not before anything is asked."""
        if self.session.context.read_only:
            self.complain("--db opens a database to read only; start innate with --home DIR to change anything")
            return False
        return True

    def ask(self, question: Callable[[Database], T], then: Callable[[T], None]) -> None:
        """Ask the database on the readers' thread, then `then(answer)` here; what goes wrong is told here."""
        self.run_worker(self._hand_over(self.session.reader.ask(question), then), exit_on_error=False)

    def steer(self, change: Change[T], done: Callable[[T], str], command: str) -> None:
        """Ask for a change of the queue; tells what `done` says of the answer, and the equivalent command."""
        self._after(self.session.change(change), lambda answer: self.did(done(answer), command))

    def _after(self, result: Awaitable[T], then: Callable[[T], None]) -> None:
        async def run() -> None:
            await self._hand_over(result, then)
            self.app.post_message(Changed())

        # The app's, not the page's: a page that is left before the change is made still hears of it.
        self.app.run_worker(run(), exit_on_error=False)

    async def _hand_over(self, result: Awaitable[T], then: Callable[[T], None]) -> None:
        try:
            then(await result)
        except Exception as error:
            self.session.note_fault(error)
            self.complain(sentence(error))
