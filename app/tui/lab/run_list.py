"""Every run in a table of any length, with a preview, as a widget: what the Lab shows where nothing is grouped."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual import events
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Static

from app.tui.lab.front import Mark, RunChosen
from app.tui.lab.grid import LabGrid
from app.tui.lab.loaded import NameBook
from app.tui.lab.rows import Names
from app.tui.lab.run_columns import COLUMNS, Delta, RunLine, fitting, lines_of, preview_text
from app.tui.shell.page import Page
from app.tui.widgets.chart import ChartView
from app.tui.widgets.dialogs import Item, Picker
from app.tui.widgets.grid import PAGE, Column, Grid
from core.names import short_id
from storage import listing
from storage.database import data_version
from storage.listing import Filter
from storage.rows import ListedTrial

if TYPE_CHECKING:
    from sqlite_utils import Database

_REST = 0.08
"""Seconds the cursor must rest before its row is looked at."""


@dataclass(frozen=True)
class Listed:
    """What one load brings: some pages of the table, and what is compared with."""

    pages: Mapping[int, Sequence[ListedTrial]]
    total: int
    everything: int
    baseline: ListedTrial | None
    names: Mapping[str, Names]
    """Study → what its choices are called."""


@dataclass(frozen=True)
class Question:
    chosen: Filter
    study: str | None
    """None: of all studies."""
    order: str | None
    descending: bool
    offsets: tuple[int, ...]
    baseline: tuple[str, str] | None


class RunList(Container):
    """One row per trial × study. `load` runs on the readers' thread; `page` is asked for one, and for dialogs."""

    DEFAULT_CSS = """
    RunList { height: 1fr; layout: vertical; }
    RunList LabGrid { height: 1fr; }
    RunList #preview { height: 9; border-top: solid $panel; layout: horizontal; }
    RunList #preview Static { width: 42; height: 100%; padding: 0 1 0 0; }
    RunList #curve { width: 1fr; height: 100%; }
    .-wide RunList { layout: horizontal; }
    .-wide RunList LabGrid { width: 1fr; }
    .-wide RunList #preview { width: 33%; min-width: 38; height: 1fr; border-top: none; border-left: solid $panel;
        layout: vertical; padding: 0 0 0 1; }
    .-wide RunList #preview Static { width: 1fr; height: auto; max-height: 60%; }
    .-wide RunList #curve { height: 1fr; min-height: 8; }
    RunList.no-preview #preview { display: none; }
    """

    def __init__(self, page: Page, book: NameBook, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._page = page
        self._session = page.session
        self._wanted: set[int] = {0}
        self._book = book
        self._first: tuple[int, list[RunLine]] | None = None
        """The page that came first, and where it begins: what columns there are does not change while one scrolls."""
        self.listed: Listed | None = None
        self._counts: dict[Filter, int] = {}
        """By the readers' thread alone; `_as_of` says for which data."""
        self._as_of: Any = None
        self._previewed: Any = None
        self._shape: Any = None

    def compose(self) -> ComposeResult:
        yield LabGrid[RunLine](identify=lambda line: (line.trial.study, line.trial.trial_id), id="grid")
        with Vertical(id="preview"):
            yield Static("", id="facts")
            yield ChartView(self._session.drawn, id="curve")

    def on_mount(self) -> None:
        remembered = self._session.remembered
        if remembered.sort not in listing.KEYS:
            remembered.sort = None
        self.grid.marks = set(remembered.marks)
        self.grid.pinned = remembered.baseline
        self.set_class(not remembered.preview, "no-preview")

    @property
    def grid(self) -> Grid[RunLine]:
        return self.query_one("#grid", Grid)

    @property
    def current(self) -> ListedTrial | None:
        """The run under the cursor."""
        return None if self.grid.current is None else self.grid.current.trial

    @property
    def study(self) -> str | None:
        return None if self.current is None else self.current.study

    @property
    def trial_id(self) -> str | None:
        return None if self.current is None else self.current.trial_id

    subject = trial_id

    @property
    def variant_id(self) -> str | None:
        return None if self.current is None else self.current.variant_id

    @property
    def trials(self) -> tuple[str, ...]:
        return () if self.trial_id is None else (self.trial_id,)

    # --- data ---

    def question(self, chosen: Filter, study: str | None) -> Question:
        remembered = self._session.remembered
        wanted, self._wanted = self._wanted or {0}, set()
        return Question(
            chosen, study, remembered.sort, remembered.descending, tuple(sorted(wanted)), remembered.baseline
        )

    def load(self, db: Database, question: Question) -> Listed:
        chosen = question.chosen if question.study is None else question.chosen.narrowed("study", question.study)
        pages = {
            offset: listing.page(db, chosen, question.order, descending=question.descending, offset=offset, limit=PAGE)
            for offset in question.offsets
        }
        return Listed(
            pages,
            self._counted(db, chosen),
            self._counted(db, listing.EVERYTHING),
            listing.one(db, *question.baseline) if question.baseline else None,
            {study: self._book.of(db, study) for study in {row.study for rows in pages.values() for row in rows}},
        )

    def _counted(self, db: Database, chosen: Filter) -> int:
        """How many rows pass, which is counted anew only where somebody has written since: scrolling counts nothing."""
        now = (id(db), data_version(db))
        if now != self._as_of:
            self._as_of, self._counts = now, {}
        if chosen not in self._counts:
            self._counts[chosen] = listing.count(db, chosen)
        return self._counts[chosen]

    def show(self, listed: Listed) -> None:
        self.listed = listed
        lines = {offset: lines_of(rows, listed.baseline, listed.names) for offset, rows in listed.pages.items()}
        for offset, page in lines.items():
            if self._first is None or self._first[0] == offset:
                self._first = offset, page
        self._set_columns()
        for offset, page in lines.items():
            self.grid.fill(offset, page, listed.total)

    def expire(self, *, restart: bool = False) -> None:
        """What is shown may have changed; `restart`: other rows in another order, from the first."""
        if restart:
            self._wanted = {0}
            self._first = None
        self.grid.expire(restart=restart)

    @property
    def waits(self) -> bool:
        """Whether pages that are in sight were asked for, which a reload brings."""
        return bool(self._wanted)

    def on_grid_wanted(self, event: Grid.Wanted) -> None:
        event.stop()
        self._wanted.add(event.offset)
        self._page.reload()

    # --- what is seen ---

    @property
    def eps(self) -> float | None:
        """The ε that the scores in the list are at; None where they are at several, which stand beside them."""
        radii = {line.trial.threat_eps for line in (self._first[1] if self._first else ())}
        return radii.pop() if len(radii) == 1 else None

    @property
    def keys(self) -> list[str]:
        """The columns: those that were chosen, else as many as have room, the most telling first."""
        remembered = self._session.remembered
        lines = [] if self._first is None else self._first[1]
        kept = set(remembered.columns)
        if kept and len({line.trial.study for line in lines}) > 1:
            kept.add("eps")  # scores of several studies are at an ε each
        chosen = [key for key in COLUMNS if key in kept]
        varying = {factor for names in (self.listed.names.values() if self.listed else ()) for factor in names.varying}
        room, order = self.grid.size.width - 3, remembered.sort
        return chosen or fitting(lines, varying, room, order=order, deltas=remembered.baseline is not None)

    def _set_columns(self) -> None:
        remembered, keys = self._session.remembered, self.keys
        shape = (tuple(keys), remembered.baseline is not None)
        self.grid.sorted_by = (remembered.sort, remembered.descending)
        if shape == self._shape:
            return
        self._shape = shape
        columns: list[Column[RunLine]] = []
        for key in keys:
            columns.append(COLUMNS[key].grid_column())
            if remembered.baseline and COLUMNS[key].delta:
                columns.append(Delta(COLUMNS[key]).grid_column())
        self.grid.columns = columns

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002 - Textual hands it over
        self.call_after_refresh(self._set_columns)

    def on_grid_moved(self) -> None:
        self.set_timer(_REST, self.look_closer)

    def look_closer(self, *, again: bool = False) -> None:
        """The preview of the row on which the cursor rests."""
        run = self.current
        if run is None or not self._session.remembered.preview:
            return
        wide = self.screen.has_class("-wide")
        seen = (run, wide)
        if seen == self._previewed and not again:
            return
        self._previewed = seen
        self.query_one("#facts", Static).update(preview_text(run, wide=wide))
        study, trial_id = run.study, run.trial_id
        curve = self.query_one("#curve", ChartView)
        if run.state == "running" or (run.clean_accuracy is None and run.state != "failed"):
            from app.report.trial_charts import training_curves

            curve.draw(
                ("training", trial_id, self._session.version),
                lambda db, canvas: training_curves(db, trial_id, canvas),
            )
        else:
            from app.report.trial_charts import attack_curves

            curve.draw(
                ("attacks", study, trial_id, run.state, run.innate),
                lambda db, canvas: attack_curves(db, study, trial_id, canvas),
            )

    # --- what can be chosen ---

    def choose_order(self) -> None:
        items = [Item(None, "as they were run", "latest study first")]
        items += [Item(column.key, column.title, column.help) for column in COLUMNS.values()]
        self._page.push(Picker("Sort by", items), self.sort_by)

    def on_grid_heading_clicked(self, event: Grid.HeadingClicked) -> None:
        event.stop()
        key = event.key.removeprefix("Δ")
        if self._session.remembered.sort == key:
            self.reverse()
        else:
            self.sort_by(key)

    def sort_by(self, key: Any) -> None:
        remembered = self._session.remembered
        remembered.sort = key
        # Scores are looked at from the best one down.
        remembered.descending = key is not None and COLUMNS[key].numeric
        self._order_changed()

    def reverse(self) -> None:
        remembered = self._session.remembered
        if remembered.sort is None:
            self._page.say(f"choose what to sort by first: {self._page.key_of('sort')}")
            return
        remembered.descending = not remembered.descending
        self._order_changed()

    def _order_changed(self) -> None:
        self._session.remember()
        self.expire(restart=True)
        self._page.reload()

    def choose_columns(self) -> None:
        shown = self.keys
        items = [Item(column.key, column.title, column.help, column.key in shown) for column in COLUMNS.values()]

        def keep(columns: list[str] | None) -> None:
            if columns is not None and columns != shown:
                self._session.remembered.columns = columns
                self._session.remember()
                self._set_columns()

        self._page.push(Picker("Columns (none ticked: as many as have room)", items, many=True), keep)

    def toggle_preview(self) -> None:
        self._session.remembered.preview = not self._session.remembered.preview
        self._session.remember()
        self.set_class(not self._session.remembered.preview, "no-preview")
        self.look_closer(again=True)

    # --- what is done with the run under the cursor ---

    def with_trials(self, then: Callable[[list[str]], None]) -> None:
        then(list(self.trials))

    def with_subject(self, then: Callable[[str], None]) -> None:
        if self.trial_id is not None:
            then(self.trial_id)

    def on_grid_chosen(self, event: Grid.Chosen) -> None:
        event.stop()
        if self.current is not None:
            self.post_message(RunChosen(self.current.study, self.current.trial_id))

    def unfold(self) -> None:
        """Columns that have no room, on."""
        self.grid.action_shift(1)

    def fold(self) -> None:
        """Columns back."""
        self.grid.action_shift(-1)

    def mark(self, then: Callable[[set[Mark], bool], None]) -> None:
        run, new = self.current, self.grid.toggle_mark()
        if run is not None and new is not None:
            self.grid.action_move(1)
            then({(run.study, run.trial_id)}, new)

    def pin(self) -> None:
        run, remembered = self.current, self._session.remembered
        if run is None:
            return
        key = (run.study, run.trial_id)
        pinned = None if remembered.baseline == key else key
        remembered.baseline = self.grid.pinned = pinned
        self._session.remember()
        self.expire()
        self._page.reload()
        if pinned is None:
            self._page.say("no baseline")
        else:
            unpin = self._page.key_of("baseline")
            self._page.say(f"Δ columns are against {short_id(run.trial_id)} now; {unpin} unpins it")
