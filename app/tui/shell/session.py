"""What every screen knows of the program around it: where it works, what it remembers, who reads and who changes."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from app.context import Context
from app.report.charts import ORDINARY, Canvas
from app.tui.shell import state
from app.tui.shell.done import Done, spelled
from app.tui.shell.own import Own
from app.tui.shell.themes import PALETTES
from app.tui.shell.threads import ChangeThread, Reader, sentence
from core.errors import BadInput, InnateError

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.report.status import WorkerView
    from storage.changes import Change

T = TypeVar("T")

log = logging.getLogger("innate.tui")


@dataclass(frozen=True)
class Beginning:
    """A study to go on with in Compose; `spec` is the preset or the file that holds it, None if it is neither."""

    document: dict[str, Any]
    spec: str | None
    told: str


class Session:
    """One for each start of the screens, given to every page. `context` says which home and database, and whether to write.

    Knows no screen and no widget. `reader` answers the screens' questions, `charts` draws, each on a thread of its own;
    changes are made one after another on a third.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        home = context.home
        self._state_path = None if context.read_only else home.root / "tui.json"
        self.remembered = state.load(self._state_path)
        self.option = context.option
        """The global option that commands need to work where the screens do."""
        self.own = Own()
        """Keys and colours of the user's own, once they are read."""
        self.done: list[Done] = []
        """What was done from here, in order."""
        self.reader = Reader(context.database, read_only=context.read_only, name="reader")
        self.charts = Reader(context.database, read_only=context.read_only, name="charts")
        self._doer = ChangeThread()
        self.version = 0
        """Grows whenever the database has changed."""
        self.worker: WorkerView | None = None
        """As of the last look; None before it."""
        self.unfinished: Mapping[str, int] = {}
        """Trials "running" and "queued", in all studies."""
        self.paused = False
        """Whether the queue is, as of the last look."""
        self.meanwhile: Mapping[str, int] = {}
        """How many trials came to their end between the last time and this start: "finished", "failed"."""
        self.news: str | None = None
        """What has become of the database's file, if it is no longer the one that was shown; to be told once."""
        self._left_at = self.remembered.left_at
        self.beginning: Beginning | None = None
        """What another screen wants to be composed: Compose takes it when it comes to the front."""
        self.looking = False
        self.changing = 0
        """Changes that are asked for and not yet made."""
        self._look_again = False
        self._last_look: object = None

    @property
    def waiting(self) -> int:
        """Trials that are not at their end, in all studies."""
        return self.unfinished.get("queued", 0) + self.unfinished.get("running", 0)

    def remember(self) -> None:
        """Keep the state of the screens for the next time, whatever ends this one."""
        self.remembered.left_at = time.time()
        state.save(self.remembered, self._state_path)

    def did(self, told: str, command: str) -> None:
        """Keep the command of what was done."""
        self.done.append(Done(time.time(), told, command))

    def spelled(self, command: str) -> str:
        """`command` so that it works in this home wherever it is typed."""
        return spelled(command, self.option)

    def close(self) -> None:
        self.remember()
        self.reader.close()
        self.charts.close()
        self._doer.close()

    # --- what others do meanwhile ---

    async def look(self) -> bool:
        """Whether the database has moved on since the last look; sees whether a worker lives, too.

        Raises what reading raises. False at once while another look is under way, which then looks once more: what it has read
        may be older than what is asked about.
        """
        if self.looking:
            self._look_again = True
            return False
        self.looking, before, file = True, self._last_look, self.reader.file
        try:
            while True:
                self._look_again = False
                self._last_look, self.worker, self.unfinished, self.paused = await self.reader.ask(self._looked)
                if not self._look_again:
                    break
        finally:
            self.looking = False
        if file is not None and self.reader.file != file:
            now = "gone, so nothing is shown" if self.reader.file is None else "another one than before"
            self.news = f"{self.context.database}: the database is {now}"
        moved_on = self._last_look != before
        self.version += moved_on
        return moved_on

    def _looked(self, db: Database) -> tuple[object, WorkerView, Mapping[str, int], bool]:
        from app.report.status import worker_view
        from storage import queries, queue, worker_state
        from storage.database import data_version

        if self._left_at is not None:
            self.meanwhile, self._left_at = queries.ends_since(db, self._left_at), None
        view, counts = worker_view(db, self.context.lived_in), queue.unfinished_counts(db)
        return (self.reader.connections, data_version(db)), view, counts, worker_state.paused(db) is not None

    # --- charts ---

    async def drawn(self, draw: Callable[[Database, Canvas], str], room: tuple[int, int], theme: str) -> str:
        """The text that `draw` makes of the database in `room` (columns, rows), in the theme's colours where there are any, on
        the charts' own thread. Where that fails: a sentence that says so, and the traceback in the log."""
        canvas = Canvas(*room, self.context.colour, PALETTES.get(theme, ORDINARY))
        try:
            return await self.charts.ask(lambda db: draw(db, canvas))
        except Exception as error:
            self.note_fault(error)
            return sentence(error)

    # --- changes ---

    async def do(self, work: Callable[[], T]) -> T:
        """`work()` on the thread that makes changes, after those asked for before it; raises what it raises."""
        self.changing += 1
        try:
            return await self._doer.do(work)
        finally:
            self.changing -= 1

    async def change(self, change: Change[T]) -> T:
        """Have a change made (`app.worker.changes`); its answer. Raises what the change raises."""

        def work() -> T:
            from app.worker.changes import perform

            with self.writing() as db:
                return perform(db, self.context.home, change)

        return await self.do(work)

    @contextlib.contextmanager
    def writing(self) -> Iterator[Database]:
        """A connection to write with, for the calling thread. Raises BadInput under --db."""
        if self.context.read_only:
            raise BadInput("--db opens a database to read only; start innate with --home DIR to change anything")
        db = self.context.writing()
        try:
            yield db
        finally:
            db.conn.close()

    # --- faults ---

    def note_fault(self, error: BaseException) -> None:
        """Keep the traceback of what is only told in a sentence, unless the sentence says it all."""
        if not isinstance(error, InnateError):
            self.write_down(error)

    def write_down(self, error: BaseException) -> None:
        """The traceback, in the log."""
        with contextlib.suppress(OSError):
            self.context.home.logs.mkdir(parents=True, exist_ok=True)
        log.error("%s", error, exc_info=error)
