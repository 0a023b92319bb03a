"""The table of groups as a widget: rows to open, estimates that come in aside, and the two lines that say what it all means."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from app.tui.lab import words
from app.tui.lab.columns import lay_out
from app.tui.lab.estimates import MOST_MODELS, Estimates, Wanted
from app.tui.lab.front import Mark, RunChosen
from app.tui.lab.grid import LabGrid
from app.tui.lab.loaded import MOST_TRIALS, Facts, Loaded, NameBook, Question, facts, load
from app.tui.lab.rows import LabRow, Path, rows_of
from app.tui.shell.keys import KeyOf
from app.tui.widgets.grid import Grid
from core.errors import BadInput

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_REST = 0.08
"""Seconds the cursor must rest before its row is looked at."""
_SECOND = 2
"""Lines below the answer that it leaves to what is said of a row."""


class GroupedRows(Container):
    """`load` runs on the readers' thread, all else on the event loop. `key_of` is the page's."""

    DEFAULT_CSS = """
    GroupedRows { height: 1fr; }
    GroupedRows LabGrid { height: 1fr; }
    GroupedRows #answer { height: 5; border-top: solid $panel; color: $foreground; }
    .-wide GroupedRows #answer { height: 4; }
    """

    class Failed(Message):
        """Working something out aside went wrong."""

        def __init__(self, error: Exception) -> None:
            super().__init__()
            self.error = error

    class Turned(Message):
        """Knobs were turned from here: `changes` are fields of Knobs, `told` what to say of it."""

        def __init__(self, told: str = "", **changes: Any) -> None:
            super().__init__()
            self.told, self.changes = told, changes

    def __init__(self, session: Session, book: NameBook, key_of: KeyOf, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._session = session
        self._key_of = key_of
        self._book = book
        self._estimates = Estimates(session.reader.ask, self._lay_out)
        self.loaded: Loaded | None = None
        self.rows: list[LabRow] = []
        self.facts: Facts | None = None
        """Of a row on which the cursor rested."""
        self._fetching = 0
        """How often trials of a row are being looked up."""
        self._shape: Any = None
        self._said: Content | None = None

    def compose(self) -> ComposeResult:
        yield LabGrid[LabRow](identify=lambda row: row.path, id="table")
        yield Static("", id="answer")

    @property
    def grid(self) -> Grid[LabRow]:
        return self.query_one("#table", Grid)

    @property
    def current(self) -> LabRow | None:
        """The row under the cursor, None where it is none to do anything with."""
        row = self.grid.current
        return None if row is None or row.kind == "more" else row

    # --- data ---

    def load(self, db: Database, question: Question) -> Loaded | None:
        return load(db, question, self._book)

    def show(self, loaded: Loaded | None) -> None:
        """Show what is known at once, and have the rest worked out; None where there is no study."""
        self.loaded = loaded
        if loaded is None:
            return
        begin = self._estimates.turn_to(self._wanted(loaded), 0 < loaded.models <= MOST_MODELS)
        self._lay_out()
        if begin:
            self.run_worker(self._estimate(), exit_on_error=False)
        self._look_closer(again=True)

    def _wanted(self, loaded: Loaded) -> Wanted:
        return Wanted(
            loaded.study.name,
            loaded.score,
            loaded.reading.eps,
            loaded.chosen,
            loaded.by,
            ((), *sorted(loaded.opened, key=repr)),
            loaded.baseline,
        )

    async def _estimate(self) -> None:
        try:
            await self._estimates.work()
        except Exception as error:
            self.post_message(self.Failed(error))

    # --- what is seen ---

    def _lay_out(self) -> None:
        """Rows and columns for the room that there is; nothing is drawn where nothing differs."""
        loaded, width = self.loaded, self.grid.size.width - 3  # the sign before a row, and the scrollbar
        if loaded is None or width <= 0:
            return
        rows = rows_of(
            loaded.by, loaded.found, loaded.opened, loaded.names, self._estimates.levels, loaded.score, loaded.baseline
        )
        marks = {row.path for row in rows if row.trials and loaded.marked.get(row.path, 0) >= row.trials}
        partly = {row.path for row in rows if row.path in loaded.marked} - marks
        shape = (rows, width, marks, partly, loaded.baseline, loaded.by, loaded.score)
        if shape != self._shape:
            self._shape = shape
            stood = self.grid.current
            self.rows = rows
            self.grid.marks, self.grid.partly, self.grid.pinned = marks, partly, loaded.baseline or None  # type: ignore[assignment]
            wide = self.screen.has_class("-wide")
            self.grid.fill_all(rows, lay_out(rows, loaded.score, ", ".join(loaded.by), width, wide=wide))
            self._stand_on(stood)
        self._say()

    def _stand_on(self, row: LabRow | None) -> None:
        """The cursor stays on its row, else goes to the nearest one above it that is left."""
        path = () if row is None else row.path
        places = {one.path: place for place, one in enumerate(self.rows)}
        while path and path not in places:
            path = path[:-1]
        if path in places:
            self.grid.move_to(places[path])

    def _go_to(self, path: Path) -> None:
        place = next((place for place, row in enumerate(self.rows) if row.path == path), None)
        if place is not None:
            self.grid.move_to(place)

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002 - Textual hands it over
        self.call_after_refresh(self._lay_out)

    @property
    def _narrows(self) -> str:
        return f"{self._key_of('filter')} narrows"

    def _note(self, loaded: Loaded) -> str | None:
        """Why there are no intervals."""
        if loaded.models > MOST_MODELS:
            return f"no intervals of {loaded.models:,} models, which are more than {MOST_MODELS:,}: {self._narrows}"
        top = [row.path for row in self.rows if row.depth == 0 and row.value is not None]
        if top and not any(path in self._estimates.levels for path in top):
            return "how sure that is is being worked out"
        return None

    def _say(self) -> None:
        loaded = self.loaded
        if loaded is None:
            return
        below = self.query_one("#answer", Static)
        width, height = max(1, below.content_size.width), below.content_size.height
        wanted = min(_SECOND, words.in_lines(self._second(loaded, width, height).plain, width))

        def fits(text: str) -> bool:
            return words.in_lines(text, width) <= height - wanted

        answer = words.answer(loaded, self.rows, self._note(loaded), self._key_of, fits)
        left = height - words.in_lines(answer.plain, width)
        said = Content.assemble(answer, "\n", self._second(loaded, width, left))
        if self._said is None or not said.is_same(self._said):
            self._said = said
            below.update(said)

    def _second(self, loaded: Loaded, width: int, lines: int) -> Content:
        """Below the answer: what is weak of the row under the cursor, else its name where that is cut, else what is weak of the
        best; in so many lines."""
        row, best = self.current, next(iter(self.rows), None)
        known = () if self._known is None else self._known.weak

        def fits(text: str) -> bool:
            return words.in_lines(text, width) <= lines

        if row is not None and (known or row.states.get("failed")):
            return words.weak(row, known, here=True, key_of=self._key_of, fits=fits)
        if row is not None and 2 * row.depth + 2 + cell_len(row.label) > self.grid.columns[0].width:
            return words.here(row)
        return words.weak(best, loaded.weak, here=best is row, key_of=self._key_of, fits=fits)

    # --- the row under the cursor ---

    def on_grid_moved(self) -> None:
        self.set_timer(_REST, self._look_closer)

    def _look_closer(self, *, again: bool = False) -> None:
        row = self.current
        if row is not None and (again or self.facts is None or self.facts.path != row.path):
            self.run_worker(self._look_up(row), exit_on_error=False)

    async def _look_up(self, row: LabRow) -> None:
        try:
            self.facts = await self._ask_facts(row)
        except Exception as error:
            self.post_message(self.Failed(error))
            return
        self._say()

    async def _ask_facts(self, row: LabRow) -> Facts:
        """Of a row, from the readers' thread."""
        loaded, failed = self.loaded, "failed" in row.states
        if loaded is None:
            return Facts(row.path, (), None, ())
        return await self._session.reader.ask(lambda db: facts(db, loaded, row.path, failed=failed))

    @property
    def works_aside(self) -> bool:
        """Whether intervals are being worked out, or trials of a row looked up."""
        return self._estimates.under_way or self._fetching > 0

    @property
    def _known(self) -> Facts | None:
        """What is known of the row under the cursor."""
        row = self.current
        return self.facts if row is not None and self.facts is not None and self.facts.path == row.path else None

    @property
    def trials(self) -> tuple[str, ...]:
        return () if self._known is None else self._known.trials

    @property
    def subject(self) -> str | None:
        return None if self._known is None else _subject(self._known)

    @property
    def study(self) -> str | None:
        return None if self.loaded is None else self.loaded.study.name

    @property
    def trial_id(self) -> str | None:
        return None if self.current is None else self.current.trial_id

    @property
    def variant_id(self) -> str | None:
        row = self.current
        above = {"variant": -1, "trial": -2}.get("" if row is None else row.kind)
        return row.path[above][0] if row is not None and above is not None else None

    def with_trials(self, then: Callable[[list[str]], None]) -> None:
        row = self.current

        def whole(found: Facts) -> None:
            if row is not None and len(found.trials) < row.trials:
                raise BadInput(f"{row.label} has {row.trials:,} runs, more than {MOST_TRIALS:,}: {self._narrows}")
            then(list(found.trials))

        self._with_facts(row, whole)

    def with_subject(self, then: Callable[[str], None]) -> None:
        def some(found: Facts) -> None:
            subject = _subject(found)
            if subject is not None:
                then(subject)

        self._with_facts(self.current, some)

    def _with_facts(self, row: LabRow | None, then: Callable[[Facts], None]) -> None:
        if row is not None:
            self._fetching += 1
            self.run_worker(self._fetched(row, then), exit_on_error=False)

    async def _fetched(self, row: LabRow, then: Callable[[Facts], None]) -> None:
        try:
            then(await self._ask_facts(row))
        except Exception as error:
            self.post_message(self.Failed(error))
        finally:
            self._fetching -= 1

    # --- rows that open, are marked and pinned ---

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        event.stop()
        row, loaded = self.current, self.loaded
        if row is not None and loaded is not None:
            if row.trial_id is not None:
                self.post_message(RunChosen(loaded.study.name, row.trial_id))
            else:
                self.post_message(self.Turned(opened=loaded.opened ^ {row.path}))

    def unfold(self) -> None:
        row, loaded = self.current, self.loaded
        if row is not None and loaded is not None and row.opened is False:
            self.post_message(self.Turned(opened=loaded.opened | {row.path}))
        elif row is not None and row.opened:
            self.grid.action_move(1)

    def fold(self) -> None:
        row, loaded = self.current, self.loaded
        if row is not None and loaded is not None and row.opened:
            self.post_message(self.Turned(opened=loaded.opened - {row.path}))
        elif row is not None and row.depth:
            self._go_to(row.path[:-1])

    def mark(self, then: Callable[[set[Mark], bool], None]) -> None:
        row, study = self.current, self.study
        if row is None or study is None:
            return
        new = row.path not in self.grid.marks
        self.with_trials(lambda trials: then({(study, trial) for trial in trials}, new))
        self.grid.action_move(1)

    def pin(self) -> None:
        row, loaded = self.current, self.loaded
        if row is None or loaded is None:
            return
        path = row.path if row.trial_id is None else row.path[:-1]
        if path == loaded.baseline:
            self.post_message(self.Turned("no baseline: against the best again", baseline=()))
            return
        kind = "groups" if len(path) == len(row.path) and row.kind == "group" else "variants"
        self.post_message(
            self.Turned(
                f"the other {kind} are held against it now; {self._key_of('baseline')} unpins it", baseline=path
            )
        )


def _subject(found: Facts) -> str | None:
    """The run that stands for a row."""
    return found.failed or next(iter(found.trials), None)
