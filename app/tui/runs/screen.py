"""Runs: every trial of every study in a table of any length, with a preview; filter, sort, mark, pin, export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import Input, Static

from app.tui.runs import words as runs_words
from app.tui.runs.columns import COLUMNS, Delta, RunLine, preview_text, with_deltas
from app.tui.shell.keys import Key
from app.tui.shell.page import Page
from app.tui.widgets.chart import ChartView
from app.tui.widgets.dialogs import Confirm, Item, Picker, Prompt
from app.tui.widgets.field import Field
from app.tui.widgets.grid import PAGE, Grid
from core.errors import BadInput
from core.names import short_id
from storage import listing
from storage.changes import Delete, Retry
from storage.rows import ListedTrial

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_PREVIEW_DELAY = 0.08
"""Seconds the cursor must rest before its row is looked at."""


@dataclass(frozen=True)
class Answer:
    """What one load brings: some pages of the table, and what is compared with."""

    pages: Mapping[int, Sequence[ListedTrial]]
    total: int
    everything: int
    baseline: ListedTrial | None


class RunsScreen(Page):
    """One row per trial × study."""

    MODE = "runs"
    KEYS = (
        Key("slash", "filter", "filter", "filter the runs: optimizer=adam clean>0.9 trust!=ok"),
        Key("s", "sort", "sort", "choose what to sort by"),
        Key("r", "reverse", "reverse", "turn the order around", hint=False),
        Key("space", "mark", "mark", "mark the run, or undo it; Compare shows the marked ones"),
        Key("enter", "open", "open", "everything about the run: training, attacks, examples, log"),
        Key("b", "baseline", "baseline", "pin the run as baseline: Δ columns against it; again to unpin"),
        Key("c", "columns", "columns", "choose the columns"),
        Key("p", "preview", "preview", "show or hide the preview", hint=False),
        Key("x", "export", "export", "write the filtered runs to a CSV, JSON or JSONL file"),
        Key("u", "unmark", "unmark", "forget all marks", hint=False),
        Key("D", "delete", "delete", "delete the marked runs, or the one under the cursor", hint=False),
        Key("R", "retry", "retry", "queue the failed or cancelled run again", hint=False),
        Key("y", "copy", "copy id", "copy the run's id to the clipboard (OSC 52)", hint=False),
    )
    CSS = """
    RunsScreen #about { height: 1; color: $foreground 75%; text-wrap: nowrap; text-overflow: ellipsis; }
    RunsScreen #filter { border: none; height: 1; padding: 0; background: $panel; display: none; }
    RunsScreen #filter.open { display: block; }
    RunsScreen #empty { height: 1fr; padding: 1 2; display: none; }
    RunsScreen #split { height: 1fr; layout: vertical; }
    RunsScreen #preview { height: 9; border-top: solid $panel; layout: horizontal; }
    RunsScreen #preview Static { width: 42; height: 100%; padding: 0 1 0 0; }
    RunsScreen #curve { width: 1fr; height: 100%; }
    RunsScreen.-wide #split { layout: horizontal; }
    RunsScreen.-wide #grid { width: 1fr; }
    RunsScreen.-wide #preview { width: 33%; min-width: 38; height: 1fr; border-top: none; border-left: solid $panel;
        layout: vertical; padding: 0 0 0 1; }
    RunsScreen.-wide #preview Static { width: 1fr; height: auto; max-height: 60%; }
    RunsScreen.-wide #curve { height: 1fr; min-height: 8; }
    RunsScreen.no-preview #preview { display: none; }
    RunsScreen.empty #split { display: none; }
    RunsScreen.empty #empty { display: block; }
    """
    AUTO_FOCUS: ClassVar[str | None] = "#grid"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._filter = listing.EVERYTHING
        self._wanted: set[int] = {0}
        self._baseline: ListedTrial | None = None
        self._previewed: Any = None

    def body(self) -> ComposeResult:
        yield Static("reading the runs …", id="about")
        yield Field(id="filter", placeholder="optimizer=adam clean>0.9 trust!=ok")
        yield Static("", id="empty")
        with Container(id="split"):
            yield Grid[RunLine](identify=lambda line: (line.trial.study, line.trial.trial_id), id="grid")
            with Vertical(id="preview"):
                yield Static("", id="facts")
                yield ChartView(self.session.drawn, id="curve")

    @property
    def grid(self) -> Grid[RunLine]:
        return self.query_one("#grid", Grid)

    @property
    def current(self) -> ListedTrial | None:
        """The run under the cursor."""
        return None if self.grid.current is None else self.grid.current.trial

    def on_mount(self) -> None:
        remembered = self.session.remembered
        try:
            self._filter = listing.parse_filter(remembered.filter)
        except BadInput:
            remembered.filter = ""
        if remembered.sort not in listing.KEYS:
            remembered.sort = None
        self.grid.marks = set(remembered.marks)
        self.grid.pinned = remembered.baseline
        self.set_class(not remembered.preview, "no-preview")
        self._set_columns()

    # --- data ---

    def question(self) -> Any:
        remembered = self.session.remembered
        wanted, self._wanted = self._wanted or {0}, set()
        return self._filter, remembered.sort, remembered.descending, sorted(wanted), remembered.baseline

    def load(self, db: Database, question: Any) -> Answer:
        chosen, order, descending, offsets, baseline = question
        pages = {
            offset: listing.page(db, chosen, order, descending=descending, offset=offset, limit=PAGE)
            for offset in offsets
        }
        return Answer(
            pages,
            listing.count(db, chosen),
            listing.count(db),
            listing.one(db, *baseline) if baseline else None,
        )

    def show(self, data: Answer) -> None:
        self._baseline = data.baseline
        self.set_class(data.total == 0, "empty")
        for offset, rows in data.pages.items():
            self.grid.fill(offset, with_deltas(rows, data.baseline), data.total)
        if data.total == 0:
            self.query_one("#empty", Static).update(runs_words.nothing(self._filter.text if data.everything else None))
        self._about(data.total, data.everything)

    def data_changed(self) -> None:
        self.grid.expire()
        if not self._wanted:
            self.reload()

    def on_grid_wanted(self, event: Grid.Wanted) -> None:
        self._wanted.add(event.offset)
        self.reload()

    def on_grid_moved(self) -> None:
        self.set_timer(_PREVIEW_DELAY, self._look_closer)

    def _look_closer(self) -> None:
        """The preview of the row on which the cursor rests."""
        run = self.current
        if run is None or not self.session.remembered.preview:
            return
        wide = self.has_class("-wide")
        seen = (run, wide)
        if seen == self._previewed:
            return
        self._previewed = seen
        self.query_one("#facts", Static).update(preview_text(run, wide=wide))
        study, trial_id = run.study, run.trial_id
        curve = self.query_one("#curve", ChartView)
        if run.state == "running" or (run.clean_accuracy is None and run.state != "failed"):
            from app.report.trial_charts import training_curves

            curve.draw(
                ("training", trial_id, self.session.version),
                lambda db, canvas: training_curves(db, trial_id, canvas),
            )
        else:
            from app.report.trial_charts import attack_curves

            curve.draw(
                ("attacks", study, trial_id, run.state, run.innate),
                lambda db, canvas: attack_curves(db, study, trial_id, canvas),
            )

    def _about(self, total: int, everything: int) -> None:
        pinned = self._baseline.trial_id if self._baseline is not None else None
        told = runs_words.about(
            total, everything, self._filter.text, self.session.remembered, len(self.grid.marks), pinned
        )
        self.query_one("#about", Static).update(told)

    # --- actions ---

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = self._filter.text
        field.add_class("open")
        field.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.has_class("open"):
            try:
                chosen = listing.parse_filter(event.value)
            except BadInput as error:
                self.complain(str(error))
                return
            self.say("⏎ keeps the filter, esc goes back to the one before")
            if chosen != self._filter:
                self._apply(chosen)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            self._apply(listing.parse_filter(event.value))
        except BadInput as error:
            self.complain(str(error))
            return
        self.session.remembered.filter = self._filter.text
        self.session.remember()
        self._close_filter()

    def key_escape(self) -> None:
        if self.query_one("#filter", Input).has_class("open"):
            self._apply(listing.parse_filter(self.session.remembered.filter))
            self._close_filter()

    def _close_filter(self) -> None:
        self.query_one("#filter", Input).remove_class("open")
        self.grid.focus()
        self.say("")

    def _apply(self, chosen: listing.Filter) -> None:
        self._filter = chosen
        self._restart()

    def _restart(self) -> None:
        self._wanted = {0}
        self.grid.expire(restart=True)
        self.reload()

    def action_sort(self) -> None:
        items = [Item(None, "as they were run", "latest study first")]
        items += [Item(column.key, column.title, column.help) for column in COLUMNS.values() if column.sortable]

        def chosen(key: Any) -> None:
            self._sort_by(key)

        self.push(Picker("Sort by", items), chosen)

    def on_grid_heading_clicked(self, event: Grid.HeadingClicked) -> None:
        key = event.key.removeprefix("Δ")
        if self.session.remembered.sort == key:
            self.action_reverse()
        else:
            self._sort_by(key)

    def _sort_by(self, key: str | None) -> None:
        remembered = self.session.remembered
        remembered.sort = key
        # Scores are looked at from the best one down.
        remembered.descending = key is not None and COLUMNS[key].numeric
        self._order_changed()

    def action_reverse(self) -> None:
        remembered = self.session.remembered
        if remembered.sort is None:
            self.say("choose what to sort by first: s")
            return
        remembered.descending = not remembered.descending
        self._order_changed()

    def _order_changed(self) -> None:
        self.grid.sorted_by = (self.session.remembered.sort, self.session.remembered.descending)
        self.session.remember()
        self._restart()

    def action_mark(self) -> None:
        if self.grid.toggle_mark() is not None:
            self.grid.action_move(1)
            self._marks_changed()

    def action_unmark(self) -> None:
        self.grid.marks.clear()
        self.grid.refresh()
        self._marks_changed()

    def _marks_changed(self) -> None:
        self.session.remembered.marks = sorted(self.grid.marks)  # type: ignore[arg-type]
        self.session.remember()
        self.reload()

    def action_baseline(self) -> None:
        run = self.current
        if run is None:
            return
        key = (run.study, run.trial_id)
        pinned = None if self.session.remembered.baseline == key else key
        self.session.remembered.baseline = self.grid.pinned = pinned
        self.session.remember()
        self._set_columns()
        self.grid.expire()
        self.reload()
        self.say(
            "no baseline" if pinned is None else f"Δ columns are against {short_id(run.trial_id)} now; b unpins it"
        )

    def action_columns(self) -> None:
        chosen = self.session.remembered.columns
        items = [Item(column.key, column.title, column.help, column.key in chosen) for column in COLUMNS.values()]

        def keep(columns: list[str] | None) -> None:
            if columns:
                self.session.remembered.columns = columns
                self.session.remember()
                self._set_columns()

        self.push(Picker("Columns", items, many=True), keep)

    def _set_columns(self) -> None:
        remembered = self.session.remembered
        keys = [key for key in remembered.columns if key in COLUMNS] or list(COLUMNS)
        columns = []
        for key in keys:
            columns.append(COLUMNS[key].grid_column())
            if remembered.baseline and COLUMNS[key].delta:
                columns.append(Delta(COLUMNS[key]).grid_column())
        self.grid.columns = columns
        self.grid.sorted_by = (remembered.sort, remembered.descending)

    def action_preview(self) -> None:
        self.session.remembered.preview = not self.session.remembered.preview
        self.session.remember()
        self.set_class(not self.session.remembered.preview, "no-preview")
        self._previewed = None
        self._look_closer()

    def action_open(self) -> None:
        self.grid.action_choose()

    def on_grid_chosen(self) -> None:
        from app.tui.run.screen import DetailScreen

        if self.current is not None:
            self.app.push_screen(DetailScreen(self.session, self.current.study, self.current.trial_id))

    def action_copy(self) -> None:
        run = self.current
        if run is not None:
            self.app.copy_to_clipboard(run.trial_id)
            self.say(f"copied {run.trial_id}")

    def action_export(self) -> None:
        def check(text: str) -> str | None:
            path = Path(text).expanduser()
            if path.suffix not in (".csv", ".json", ".jsonl"):
                return "name it .csv, .json or .jsonl"
            if path.exists():
                return f"{path} exists already"
            if not path.absolute().parent.is_dir():
                return f"there is no folder {path.absolute().parent}"
            return self.session.context.refusal(path)

        def write(name: str | None) -> None:
            if name is not None:
                self._export(Path(name).expanduser())

        hint = "the filtered runs, one row each, in their order; the ending decides the format"
        self.push(Prompt("Export to", "runs.csv", hint=hint, check=check), write)

    def _export(self, path: Path) -> None:
        remembered, chosen, reader = self.session.remembered, self._filter, self.session.context

        def work() -> int:
            from storage.export import export_listing

            db = reader.reading(hint=False)
            try:
                return export_listing(
                    db, path, chosen, remembered.sort, reader.in_use, descending=remembered.descending
                )
            finally:
                db.conn.close()

        self.do(
            work,
            lambda rows: self.did(
                f"wrote {rows:,} rows to {path}", runs_words.listing_command(chosen.text, remembered, path)
            ),
        )

    def action_delete(self) -> None:
        trials = self._meant()
        if not trials:
            return
        command = f"innate delete {' '.join(map(short_id, trials))} --yes"

        def sure(yes: bool | None) -> None:
            if yes:
                self.action_unmark()
                self.steer(Delete(tuple(trials)), lambda _: f"deleted {runs_words.runs(len(trials))}", command)

        self.push(
            Confirm(f"Delete {runs_words.runs(len(trials))} with weights and results, from every study, for good?"),
            sure,
        )

    def action_retry(self) -> None:
        trials = self._meant()
        if trials:
            command = f"innate retry {' '.join(map(short_id, trials))}"
            self.steer(Retry(tuple(trials)), lambda _: "asked to run again what had failed or was cancelled", command)

    def _meant(self) -> list[str]:
        """The marked runs, else the one under the cursor."""
        if self.grid.marks:
            return sorted({trial for _, trial in self.session.remembered.marks})
        run = self.current
        return [] if run is None else [run.trial_id]

    def look_at(self, study: str) -> None:
        chosen = listing.parse_filter(f'study="{study}"')
        self.session.remembered.filter = chosen.text
        self.session.remember()
        self._apply(chosen)

    # --- the same from the command line ---

    def equivalents(self) -> Mapping[str, str]:
        return runs_words.commands(self._filter.text, self.session.remembered, self.current, self._meant())
