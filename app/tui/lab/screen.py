"""The Lab: which choices are robust and how sure that is, in groups that open down to one run; or every run in a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.widgets import Input, Static

from app.report.grid import SINGLE
from app.tui.lab import exports, knobs, run_words, words
from app.tui.lab.asked import Asked
from app.tui.lab.columns import TITLES
from app.tui.lab.grouped import GroupedRows
from app.tui.lab.loaded import MOST_TRIALS, Loaded, Question
from app.tui.lab.rows import LabRow
from app.tui.lab.run_columns import COLUMNS
from app.tui.lab.run_list import Listed, RunList
from app.tui.shell.keys import Key, bindings
from app.tui.shell.page import Page
from app.tui.shell.threads import sentence
from app.tui.widgets.dialogs import Confirm, Item, Picker, Prompt
from app.tui.widgets.field import Field
from app.tui.widgets.grid import Grid
from core.errors import BadInput
from core.names import short_id
from core.verdict.scoring import SCORES
from storage import listing
from storage.changes import Delete, Retry
from storage.grouping import Reading

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_ALL = ""
"""Chosen instead of a study."""


class LabScreen(Page):
    """Groups of one study (`GroupedRows`), or the list of runs (`RunList`): one of them stands in #rows, where a view of the same
    may stand instead."""

    MODE = "lab"
    KEYS = (
        Key("g", "group", "group", "group by factors, variants or seeds, or list every run"),
        Key("left_square_bracket", "radius(-1)", "ε", "the smaller ε that was attacked", hint=False),
        Key("right_square_bracket", "radius(1)", "ε", "the larger ε that was attacked"),
        Key("c", "score", "score", "choose the score"),
        Key("slash", "filter", "filter", "filter the runs: optimizer=adam clean>0.9 trust!=ok"),
        Key("space", "mark", "mark", "mark the run, or all runs of the row; again to undo it"),
        Key("b", "baseline", "baseline", "pin the row: the others are held against it; again to unpin"),
        Key("o", "study", "study", "choose the study"),
        Key("enter", "open", "open", "open the row, or everything about the run: training, attacks, examples, log"),
        Key("right,l", "unfold", "unfold", "open the row; in the list of runs, columns on", hint=False),
        Key("left,h", "fold", "fold", "close the row, or go to the one above; in the list, columns back", hint=False),
        Key("x", "export", "export", "write what is listed to a CSV, JSON or JSONL file"),
        Key("u", "unmark", "unmark", "forget all marks", hint=False),
        Key("s", "sort", "sort", "choose what to sort the list of runs by", hint=False),
        Key("r", "reverse", "reverse", "turn the order of the list around", hint=False),
        Key("C", "columns", "columns", "choose the columns of the list of runs", hint=False),
        Key("p", "preview", "preview", "show or hide the preview of the list of runs", hint=False),
        Key("D", "delete", "delete", "delete the marked runs, or those of the row under the cursor", hint=False),
        Key("R", "retry", "retry", "queue again what failed or was cancelled of them", hint=False),
        Key("y", "copy", "copy id", "copy the run's id to the clipboard (OSC 52)", hint=False),
    )
    BINDINGS = bindings(KEYS)
    CSS = """
    LabScreen #about { height: 1; color: $foreground 85%; text-wrap: nowrap; text-overflow: ellipsis; }
    LabScreen #filter { border: none; height: 1; padding: 0; background: $panel; display: none; }
    LabScreen #filter.open { display: block; }
    LabScreen #empty { height: 1fr; padding: 1 2; display: none; }
    LabScreen #rows { height: 1fr; }
    LabScreen RunList { display: none; }
    LabScreen.listed RunList { display: block; }
    LabScreen.listed GroupedRows { display: none; }
    LabScreen.empty #rows { display: none; }
    LabScreen.empty #empty { display: block; }
    """
    AUTO_FOCUS: ClassVar[str | None] = None

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.knobs = knobs.read(session.remembered.lab)
        self._filter = listing.EVERYTHING
        self._fetching = 0

    def body(self) -> ComposeResult:
        yield Static("reading the runs …", id="about")
        yield Field(id="filter", placeholder="optimizer=adam clean>0.9 trust!=ok")
        yield Static("", id="empty")
        with Container(id="rows"):
            yield GroupedRows(self.session, id="grouped")
            yield RunList(self.session, self.reload, id="list")

    @property
    def grouped(self) -> GroupedRows:
        return self.query_one("#grouped", GroupedRows)

    @property
    def run_list(self) -> RunList:
        return self.query_one("#list", RunList)

    @property
    def grid(self) -> Grid[Any]:
        """The table in front."""
        return self.run_list.grid if self.knobs.listed else self.grouped.grid

    @property
    def loaded(self) -> Loaded | None:
        """Of the groups, None while runs are listed."""
        return None if self.knobs.listed else self.grouped.loaded

    @property
    def works_aside(self) -> bool:
        """Whether intervals are being worked out, or trials of a row looked up."""
        return self.grouped.estimating or self._fetching > 0

    def on_mount(self) -> None:
        remembered = self.session.remembered
        try:
            self._filter = listing.parse_filter(remembered.filter)
        except BadInput:
            remembered.filter = ""
        if remembered.sort not in listing.KEYS:
            remembered.sort = None
        self.run_list.grid.marks = set(remembered.marks)
        self.run_list.grid.pinned = remembered.baseline
        self.run_list.set_class(not remembered.preview, "no-preview")
        self.grouped.harder = any(key.action == "harder" for key in self.KEYS)
        self._put_in_front()

    def _put_in_front(self) -> None:
        self.set_class(self.knobs.listed, "listed")
        if not self.query_one("#filter", Input).has_class("open"):
            self.grid.focus()

    # --- what is looked at, for every view of it ---

    def asked(self) -> Asked:
        """The study, grouping, number, filter, marks, and the trials under the cursor."""
        marks, loaded = tuple(self.session.remembered.marks), self.loaded
        if loaded is not None:
            return Asked(
                loaded.study.name,
                loaded.by,
                loaded.reading,
                self._filter,
                marks,
                self.grouped.trials,
                loaded.baseline_trials,
            )
        run, pinned = self.run_list.current, self.session.remembered.baseline
        return Asked(
            self.knobs.study or (None if run is None else run.study),
            (),
            Reading(self.knobs.score or "worst_case"),
            self._filter,
            marks,
            () if run is None else (run.trial_id,),
            () if pinned is None else (pinned[1],),
        )

    # --- data ---

    def question(self) -> Any:
        if self.knobs.listed:
            return self.run_list.question(self._filter, self.knobs.study)
        return Question(self.knobs, self._filter, tuple(self.session.remembered.marks))

    def load(self, db: Database, question: Any) -> Loaded | Listed | None:
        if isinstance(question, Question):
            return self.grouped.load(db, question)
        return self.run_list.load(db, question)

    def show(self, data: Loaded | Listed | None) -> None:
        if isinstance(data, Listed) != self.knobs.listed:  # chosen otherwise meanwhile; the next answer is under way
            return
        nothing = data is None or (isinstance(data, Listed) and data.total == 0) or (
            isinstance(data, Loaded) and not data.groups
        )  # fmt: skip
        self.set_class(nothing, "empty")
        if isinstance(data, Listed):
            self.run_list.show(data)
        elif data is not None:
            self.grouped.show(data)
        if nothing:
            some = data.everything > 0 if isinstance(data, Listed) else data is not None
            self.query_one("#empty", Static).update(run_words.nothing(self._filter.text if some else None))
        self._say_what()

    def _say_what(self) -> None:
        remembered, listed = self.session.remembered, self.run_list.listed
        told = self.query_one("#about", Static)
        if self.loaded is not None:
            told.update(words.title(self.loaded, len(remembered.marks), self.size.width))
        elif self.knobs.listed and listed is not None:
            pinned = None if listed.baseline is None else listed.baseline.trial_id
            told.update(
                run_words.about(
                    listed.total, listed.everything, self._filter.text, remembered, self.knobs.study, pinned
                )
            )
        elif not self.knobs.listed:
            told.update("")

    def data_changed(self) -> None:
        if self.knobs.listed:
            self.run_list.expire()
            if self.run_list.waits:
                return
        self.reload()

    def on_resize(self) -> None:
        self.call_after_refresh(self._say_what)

    def on_grouped_rows_failed(self, event: GroupedRows.Failed) -> None:
        self.session.note_fault(event.error)
        self.complain(sentence(event.error))

    # --- knobs ---

    def choose(self, **changes: Any) -> None:
        """Turn knobs, remember them, and look again."""
        before, self.knobs = self.knobs, replace(self.knobs, **changes)
        self.session.remembered.lab = knobs.kept(self.knobs)
        self.session.remember()
        self._put_in_front()
        if self.knobs.listed and (self.knobs.study != before.study or not before.listed):
            self.run_list.expire(restart=True)
        self.reload()

    def action_group(self) -> None:
        now = self.loaded.by if self.loaded is not None else self.knobs.by or ()
        items = [Item(name, name, note, name in now) for name, note in words.GROUPINGS]

        def chosen(names: list[str] | None) -> None:
            if names is not None:
                by = () if words.NONE in names else knobs.normal(tuple(names))
                self.choose(by=by, opened=frozenset(), baseline=())
                self.say("every run, ungrouped; g groups them" if not by else "")

        self.push(Picker("Group by", items, many=True), chosen)

    def action_radius(self, by: int) -> None:
        loaded = self.loaded
        if loaded is None:
            self.say("the list shows every score at its study's own ε: g groups, and reads them at another")
        elif loaded.score not in SINGLE:
            self.say(
                f"{words.score_words(loaded.score)} is of no single ε: c chooses {' or '.join(map(words.score_words, SINGLE))}"
            )
        elif not loaded.radii or loaded.eps is None:
            self.say(f"{loaded.study.name} attacks nothing, so there is no ε")
        else:
            place = loaded.radii.index(loaded.eps) + by
            if 0 <= place < len(loaded.radii):
                self.choose(eps=loaded.radii[place])
            else:
                end = "largest" if by > 0 else "smallest"
                self.say(f"ε {loaded.eps:g} is the {end} that {loaded.study.name} attacked")

    def action_score(self) -> None:
        items = [Item(entry.name, words.score_words(entry.name), entry.summary) for entry in SCORES.values()]

        def chosen(name: str | None) -> None:
            if name is None:
                return
            if self.knobs.listed:
                self._sort_by(TITLES[name])
            self.choose(score=name)

        self.push(Picker("Score", items), chosen)

    def action_study(self) -> None:
        self.run_worker(self._pick_study(), exit_on_error=False)

    async def _pick_study(self) -> None:
        from storage.studies import studies

        try:
            rows = await self.session.reader.ask(studies)
        except Exception as error:
            self.session.note_fault(error)
            self.complain(sentence(error))
            return
        items = [Item(row.study, row.study, f"{row.dataset}, {row.done} of {row.trials} done") for row in rows]
        if self.knobs.listed and items:
            items = [Item(_ALL, "all studies", "every run there is"), *items]
        if items:
            self.push(Picker("Study", items), lambda name: None if name is None else self.choose(study=name or None))
        else:
            self.say("there is no study yet: 2 composes one")

    # --- the filter ---

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
        if self.knobs.listed:
            self.run_list.expire(restart=True)
        self.reload()

    # --- rows ---

    @property
    def _row(self) -> LabRow | None:
        """The group under the cursor."""
        return None if self.knobs.listed else self.grouped.current

    def action_open(self) -> None:
        self.grid.action_choose()

    def on_grid_chosen(self) -> None:
        from app.tui.run.screen import DetailScreen

        row, loaded = self._row, self.loaded
        if row is not None and loaded is not None:
            if row.trial_id is not None:
                self.app.push_screen(DetailScreen(self.session, loaded.study.name, row.trial_id))
            else:
                self.choose(opened=loaded.opened ^ {row.path})
        elif self.run_list.current is not None and self.knobs.listed:
            run = self.run_list.current
            self.app.push_screen(DetailScreen(self.session, run.study, run.trial_id))

    def action_unfold(self) -> None:
        row, loaded = self._row, self.loaded
        if self.knobs.listed:
            self.grid.action_shift(1)
        elif row is not None and loaded is not None and row.opened is False:
            self.choose(opened=loaded.opened | {row.path})
        elif row is not None and row.opened:
            self.grid.action_move(1)

    def action_fold(self) -> None:
        row, loaded = self._row, self.loaded
        if self.knobs.listed:
            self.grid.action_shift(-1)
        elif row is not None and loaded is not None and row.opened:
            self.choose(opened=loaded.opened - {row.path})
        elif row is not None and row.depth:
            self.grouped.go_to(row.path[:-1])

    def with_trials(self, then: Callable[[list[str]], None]) -> None:
        """Hand the trials of the row under the cursor to `then`: at once if they are known."""
        if self.knobs.listed:
            then([] if self.run_list.current is None else [self.run_list.current.trial_id])
        elif self._row is not None:
            self._fetch(self._row, then)

    def _fetch(self, row: LabRow, then: Callable[[list[str]], None]) -> None:
        self._fetching += 1
        self.run_worker(self._fetched(row, then), exit_on_error=False)

    async def _fetched(self, row: LabRow, then: Callable[[list[str]], None]) -> None:
        try:
            found = await self.grouped.ask_facts(row.path)
        except Exception as error:
            self.session.note_fault(error)
            self.complain(sentence(error))
            return
        finally:
            self._fetching -= 1
        if len(found.trials) < row.trials:
            self.complain(f"{row.label} has {row.trials:,} runs, more than {MOST_TRIALS:,}: / narrows")
        else:
            then(list(found.trials))

    def action_mark(self) -> None:
        if self.knobs.listed:
            if self.run_list.grid.toggle_mark() is not None:
                self.grid.action_move(1)
                self._keep_marks(self.run_list.grid.marks)
            return
        row, loaded = self._row, self.loaded
        if row is None or loaded is None:
            return
        undo, study = row.path in self.grouped.grid.marks, loaded.study.name
        self.grid.action_move(1)

        def mark(trials: list[str]) -> None:
            changed = {(study, trial) for trial in trials}
            marks = set(self.session.remembered.marks)
            self._keep_marks(marks - changed if undo else marks | changed)

        self._fetch(row, mark)

    def action_unmark(self) -> None:
        self._keep_marks(set())

    def _keep_marks(self, marks: set[Any]) -> None:
        self.session.remembered.marks = sorted(marks)
        self.session.remember()
        self.run_list.grid.marks = set(marks)
        self.run_list.grid.refresh()
        self.reload()

    def action_baseline(self) -> None:
        if self.knobs.listed:
            self._pin_run()
            return
        row = self._row
        if row is None:
            return
        path = row.path if row.trial_id is None else row.path[:-1]
        pinned = () if self.knobs.baseline == path else path
        self.choose(baseline=pinned)
        kind = "groups" if len(path) == len(row.path) and row.kind == "group" else "variants"
        self.say(
            f"the other {kind} are held against it now; b unpins it"
            if pinned
            else "no baseline: against the best again"
        )

    def _pin_run(self) -> None:
        run, remembered = self.run_list.current, self.session.remembered
        if run is None:
            return
        key = (run.study, run.trial_id)
        pinned = None if remembered.baseline == key else key
        remembered.baseline = self.run_list.grid.pinned = pinned
        self.session.remember()
        self.run_list.expire()
        self.reload()
        self.say(
            "no baseline" if pinned is None else f"Δ columns are against {short_id(run.trial_id)} now; b unpins it"
        )

    def action_copy(self) -> None:
        trial = self.run_list.current.trial_id if self.knobs.listed and self.run_list.current else None
        row = self._row
        trial = row.trial_id if row is not None else trial
        if trial is not None:
            self.app.copy_to_clipboard(trial)
            self.say(f"copied {trial}")
        elif row is not None:
            self.say("a run has an id: → opens the row down to its runs")

    # --- the list of runs alone ---

    def _listed(self) -> bool:
        """Whether runs are listed; says how they are, if not."""
        if not self.knobs.listed:
            self.say("that is for the list of runs: g, none lists them")
        return self.knobs.listed

    def action_sort(self) -> None:
        if not self._listed():
            return
        items = [Item(None, "as they were run", "latest study first")]
        items += [Item(column.key, column.title, column.help) for column in COLUMNS.values()]
        self.push(Picker("Sort by", items), self._sort_by)

    def on_grid_heading_clicked(self, event: Grid.HeadingClicked) -> None:
        if not self.knobs.listed:
            return
        key = event.key.removeprefix("Δ")
        if self.session.remembered.sort == key:
            self.action_reverse()
        else:
            self._sort_by(key)

    def _sort_by(self, key: Any) -> None:
        remembered = self.session.remembered
        remembered.sort = key
        # Scores are looked at from the best one down.
        remembered.descending = key is not None and COLUMNS[key].numeric
        self._order_changed()

    def action_reverse(self) -> None:
        if not self._listed():
            return
        remembered = self.session.remembered
        if remembered.sort is None:
            self.say("choose what to sort by first: s")
            return
        remembered.descending = not remembered.descending
        self._order_changed()

    def _order_changed(self) -> None:
        self.session.remember()
        self.run_list.expire(restart=True)
        self.reload()

    def action_columns(self) -> None:
        if not self._listed():
            return
        shown = self.run_list.keys
        items = [Item(column.key, column.title, column.help, column.key in shown) for column in COLUMNS.values()]

        def keep(columns: list[str] | None) -> None:
            if columns is not None and columns != shown:
                self.session.remembered.columns = columns
                self.session.remember()
                self.run_list.columns_changed()

        self.push(Picker("Columns (none ticked: as many as have room)", items, many=True), keep)

    def action_preview(self) -> None:
        if self._listed():
            self.session.remembered.preview = not self.session.remembered.preview
            self.session.remember()
            self.run_list.set_class(not self.session.remembered.preview, "no-preview")
            self.run_list.look_closer(again=True)

    # --- out of here, and changes ---

    def action_export(self) -> None:
        loaded = self.loaded

        def check(text: str) -> str | None:
            return exports.refusal(text) or self.session.context.refusal(Path(text).expanduser())

        def write(name: str | None) -> None:
            if name is not None:
                self._export(Path(name).expanduser())

        what = "the filtered runs" if loaded is None else "the groups, with score and ε"
        hint = f"{what}, one row each, in their order; the ending decides the format"
        name = exports.name_for(loaded, self.knobs.study, Path.cwd())
        self.push(Prompt("Export to", name, hint=hint, check=check), write)

    def _export(self, path: Path) -> None:
        from storage.export import export_listing, export_table

        loaded, remembered, context = self.loaded, self.session.remembered, self.session.context
        chosen, study = self._filter, self.knobs.study
        records = [] if loaded is None else exports.records(loaded, self.grouped.rows)

        def work() -> int:
            if loaded is not None:
                return export_table(path, records, list(records[0]) if records else ["study"], context.in_use)
            db = context.reading(hint=False)
            wanted = chosen if study is None else chosen.narrowed("study", study)
            try:
                return export_listing(
                    db, path, wanted, remembered.sort, context.in_use, descending=remembered.descending
                )
            finally:
                db.conn.close()

        if loaded is None:
            command = run_words.listing_command(chosen.text, remembered, path, study)
        else:
            command = f"{words.results_command(loaded)} --format csv"
        self.do(work, lambda rows: self.say(f"wrote {rows:,} rows to {path}   ≡ {command}"))

    def with_meant(self, then: Callable[[list[str]], None]) -> None:
        """Hand the marked trials to `then`, else those of the row under the cursor."""
        if self.session.remembered.marks:
            then(sorted({trial for _, trial in self.session.remembered.marks}))
        else:
            self.with_trials(then)

    def action_delete(self) -> None:
        def ask(trials: list[str]) -> None:
            if not trials:
                return
            command = f"innate delete {' '.join(map(short_id, trials))} --yes"

            def sure(yes: bool | None) -> None:
                if yes:
                    self.action_unmark()
                    self.steer(Delete(tuple(trials)), lambda _: f"deleted {run_words.runs(len(trials))}", command)

            whole = f"Delete {run_words.runs(len(trials))} with weights and results, from every study, for good?"
            self.push(Confirm(whole), sure)

        self.with_meant(ask)

    def action_retry(self) -> None:
        def retry(trials: list[str]) -> None:
            if trials:
                command = f"innate retry {' '.join(map(short_id, trials))}"
                told = "asked to run again what had failed or was cancelled"
                self.steer(Retry(tuple(trials)), lambda _: told, command)

        self.with_meant(retry)

    # --- the same from the command line ---

    def equivalents(self) -> Mapping[str, str]:
        marked = sorted({trial for _, trial in self.session.remembered.marks})
        if self.loaded is not None:
            here = self.grouped.trials
            return words.commands(self.loaded, here, marked or list(here))
        run = self.run_list.current
        meant = marked or ([] if run is None else [run.trial_id])
        return run_words.commands(self._filter.text, self.session.remembered, run, meant, self.knobs.study)
