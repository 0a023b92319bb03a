"""The Lab: which choices are robust and how sure that is, in groups that open down to one run; or every run in a list."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from app.report.grid import SINGLE
from app.tui.followup.harder import ask_harder
from app.tui.followup.notes import ask_note
from app.tui.followup.resubmit import resubmit, resubmit_command
from app.tui.lab import changes, knobs, run_words, words
from app.tui.lab.asked import Asked
from app.tui.lab.columns import TITLES as SCORE_TITLES
from app.tui.lab.filter_line import FilterLine
from app.tui.lab.grouped import GroupedRows
from app.tui.lab.loaded import MOST_TRIALS, Loaded, NameBook, Question
from app.tui.lab.rows import LabRow
from app.tui.lab.run_list import Listed, RunList
from app.tui.lab.views.pane import TITLES, VIEWS, ViewPane
from app.tui.shell.keys import Key
from app.tui.shell.page import Page
from app.tui.shell.threads import sentence
from app.tui.widgets.dialogs import Item, Picker
from app.tui.widgets.grid import Grid
from app.tui.widgets.tabs import TabLine
from core.errors import BadInput
from core.names import short_id
from core.verdict.scoring import SCORES
from storage import listing
from storage.grouping import Reading

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_REST = 4.0
"""How much longer than a look at the groups took to wait before the next, while the data keeps changing."""
_ROWS = "Rows"
_MOST_NAMED = 20
"""Runs that an equivalent command names."""
_ALL = ""
"""Chosen instead of a study."""


class LabScreen(Page):
    """Groups of one study (`GroupedRows`), or the list of runs (`RunList`): one of them stands in #rows, where a view of the same
    may stand instead."""

    MODE = "lab"
    KEYS = (
        Key("g", "group", "group", "group by factors, variants or seeds, or list every run"),
        Key(
            "tab",
            "turn(1)",
            "view",
            "the same as curves, heatmap, trade-off, training, differences, images; then rows again",
        ),
        Key("shift+tab", "turn(-1)", "view before", "the view before", hint=False),
        Key("A", "harder", "harder", "attack the marked runs harder, or those of the row: what it costs is told"),
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
        Key(
            "E", "resubmit", "resubmit", "edit the run's configuration and submit it as a study of its own", hint=False
        ),
        Key("N", "note", "note", "note something on the row's variant, or on the study: a text and tags", hint=False),
        Key("D", "delete", "delete", "delete the marked runs, or those of the row under the cursor", hint=False),
        Key("R", "retry", "retry", "queue again what failed or was cancelled of them", hint=False),
        Key(
            "y",
            "copy",
            "copy id",
            "copy the run's id, or the command that shows the view (OSC 52)",
            hint=False,
        ),
    )
    CSS = """
    LabScreen #about { height: 1; color: $foreground 85%; text-wrap: nowrap; text-overflow: ellipsis; }
    LabScreen #empty { height: 1fr; padding: 1 2; display: none; }
    LabScreen #rows { height: 1fr; }
    LabScreen RunList { display: none; }
    LabScreen.listed RunList { display: block; }
    LabScreen.listed GroupedRows { display: none; }
    LabScreen.empty #rows { display: none; }
    LabScreen #view { height: 1fr; display: none; }
    LabScreen #words { height: 3; border-top: solid $panel; color: $foreground 85%; display: none; }
    LabScreen.viewed #rows, LabScreen.viewed #empty { display: none; }
    LabScreen.viewed #view, LabScreen.viewed #words { display: block; }
    LabScreen.empty #empty { display: block; }
    """
    AUTO_FOCUS: ClassVar[str | None] = None

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.knobs = knobs.read(session.remembered.lab)
        self._filter = listing.EVERYTHING
        self._book = NameBook()
        self._fetching = 0
        self._took = 0.0
        self._due = False
        self._told: Content | None = None
        self._view: str | None = None
        """Of `views.pane.VIEWS`, that stands instead of the rows."""

    def body(self) -> ComposeResult:
        yield TabLine((_ROWS, *TITLES), id="tabs")
        yield Static("reading the runs …", id="about")
        yield FilterLine(id="filter")
        yield Static("", id="empty")
        with Container(id="rows"):
            yield GroupedRows(self.session, self._book, id="grouped")
            yield RunList(self, self._book, id="list")
        yield Container(id="view")
        yield Static("", id="words")

    @property
    def pane(self) -> ViewPane | None:
        """The views' own widget; None until one is looked at."""
        return next(iter(self.query(ViewPane)), None)

    @property
    def loading_data(self) -> bool:
        return super().loading_data or (self.pane is not None and self.pane.reading)

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
        self.grouped.harder = any(key.action == "harder" for key in self.KEYS)
        self._put_in_front()

    def _put_in_front(self) -> None:
        self.set_class(self.knobs.listed, "listed")
        if not self.query_one("#filter", FilterLine).is_open:
            self._focus()

    def _focus(self) -> None:
        if self._view is not None and self.pane is not None:
            self.pane.focus_rows()
        else:
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
            began = time.monotonic()
            found = self.grouped.load(db, question)
            self._took = time.monotonic() - began
            return found
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
        else:
            self.grouped.show(data)
        if nothing:
            some = data.everything > 0 if isinstance(data, Listed) else data is not None
            self.query_one("#empty", Static).update(run_words.nothing(self._filter.text if some else None))
        self._say_what()
        self._show_view()

    def _say_what(self) -> None:
        remembered, listed = self.session.remembered, self.run_list.listed
        told = Content("")
        if self.loaded is not None:
            told = words.title(self.loaded, len(remembered.marks), self.size.width)
        elif self.knobs.listed and listed is not None:
            told = run_words.about(listed, self._filter.text, remembered, self.knobs.study, self.run_list.eps)
        if self._told is None or not told.is_same(self._told):
            self._told = told
            self.query_one("#about", Static).update(told)

    def data_changed(self) -> None:
        if self.knobs.listed:
            self.run_list.expire()
            if not self.run_list.waits:
                self.reload()
        elif not self._due:
            # A hundred thousand trials take a while to count: beside a busy worker that is done only now and then.
            self._due = True
            self.set_timer(max(0.001, _REST * self._took), self._look_again)

    def _look_again(self) -> None:
        self._due = False
        self.reload()

    def on_resize(self) -> None:
        self.call_after_refresh(self._say_what)

    def on_grouped_rows_failed(self, event: GroupedRows.Failed) -> None:
        self.session.note_fault(event.error)
        self.complain(sentence(event.error))

    # --- the views of the same ---

    def action_turn(self, by: int) -> None:
        places = (None, *VIEWS)
        self._turn_to(places[(places.index(self._view) + by) % len(places)])

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        self._turn_to((None, *VIEWS)[event.index])

    def _turn_to(self, view: str | None) -> None:
        self.say("")
        self._view = view
        self.set_class(view is not None, "viewed")
        self.query_one(TabLine).show((None, *VIEWS).index(view))
        if view is not None and self.pane is None:
            # Only whoever looks at a view waits for its widgets.
            self.query_one("#view", Container).mount(ViewPane(self.session, self.session.remembered.views, id="pane"))
            self.call_after_refresh(self._show_view)
        else:
            self._show_view()

    def _show_view(self) -> None:
        if self._view is not None and self.pane is not None:
            self.pane.show(self.asked(), self._view)
            self._focus()

    def on_view_pane_moved(self) -> None:
        if self.pane is not None:
            self.query_one("#words", Static).update(Content(self.pane.words()))

    def on_view_pane_told(self, event: ViewPane.Told) -> None:
        self.say(event.text)

    def on_view_pane_chosen(self, event: ViewPane.Chosen) -> None:
        from app.tui.run.screen import DetailScreen

        self.app.push_screen(DetailScreen(self.session, event.study, event.trials[0]))

    def look_at(self, study: str) -> None:
        """Have that study in front, as another screen or the search asks."""
        self._study_chosen(study)

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
        levels = {} if self.loaded is None else self.loaded.names.texts
        items = [
            Item(name, name, f"{len(levels[name])} of them: {note}" if name in levels else note, name in now)
            for name, note in words.GROUPINGS
        ]

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
                self.run_list.sort_by(SCORE_TITLES[name])
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
            self.push(Picker("Study", items), self._study_chosen)
        else:
            self.say("there is no study yet: 2 composes one")

    def _study_chosen(self, name: str | None) -> None:
        if name is not None:
            self.choose(study=name or None, opened=frozenset(), baseline=())

    # --- the filter ---

    def action_filter(self) -> None:
        self.query_one("#filter", FilterLine).open(self._filter)

    def on_filter_line_chosen(self, event: FilterLine.Chosen) -> None:
        """As one types, and at the end."""
        if event.filter != self._filter:
            self._filter = event.filter
            if self.knobs.listed:
                self.run_list.expire(restart=True)
            self.reload()
        if event.kept:
            self.session.remembered.filter = self._filter.text
            self.session.remember()

    def on_filter_line_closed(self) -> None:
        self._focus()
        self.say("")

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
            self.run_list.pin()
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

    def action_copy(self) -> None:
        if self._view is not None and self.pane is not None:
            command = self.pane.equivalent()
            self.app.copy_to_clipboard(command)
            self.say(f"copied {command}")
            return
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
        if self._listed():
            self.run_list.choose_order()

    def action_reverse(self) -> None:
        if self._listed():
            self.run_list.reverse()

    def action_columns(self) -> None:
        if self._listed():
            self.run_list.choose_columns()

    def action_preview(self) -> None:
        if self._listed():
            self.run_list.toggle_preview()

    # --- out of here, and changes ---

    def action_export(self) -> None:
        if self.loaded is not None:
            changes.export_groups(self, self.loaded, self.grouped.rows)
        else:
            changes.export_runs(self, self._filter, self.knobs.study)

    def with_meant(self, then: Callable[[list[str]], None]) -> None:
        """Hand the marked trials to `then`, else those of the row under the cursor."""
        if self.session.remembered.marks:
            then(sorted({trial for _, trial in self.session.remembered.marks}))
        else:
            self.with_trials(then)

    def action_delete(self) -> None:
        self.with_meant(lambda trials: changes.delete(self, trials, self.action_unmark))

    def action_retry(self) -> None:
        self.with_meant(lambda trials: changes.retry(self, trials))

    def action_harder(self) -> None:
        study = self._study_meant()
        if study is not None:
            self.with_meant(lambda trials: ask_harder(self, study, self._of_study(study, trials)))

    def action_resubmit(self) -> None:
        study = self._study_meant()
        if study is not None:
            self.with_trials(lambda trials: resubmit(self, study, trials[0]) if trials else None)

    def action_note(self) -> None:
        study, row = self._study_meant(), self._row
        if study is not None:
            run = self.run_list.current if self.knobs.listed else None
            above = {"variant": -1, "trial": -2}.get("" if row is None else row.kind)
            variant = row.path[above][0] if row is not None and above is not None else None
            ask_note(self, study, run.variant_id if run is not None else variant)

    def _study_meant(self) -> str | None:
        """The study that is grouped, or that of the run under the cursor."""
        if self.loaded is not None:
            return self.loaded.study.name
        return None if self.run_list.current is None else self.run_list.current.study

    def _of_study(self, study: str, trials: list[str]) -> list[str]:
        """Marks may be of several studies; an attack is asked for in one."""
        marked = {trial for of, trial in self.session.remembered.marks if of == study}
        return [trial for trial in trials if trial in marked] if marked else trials

    # --- the same from the command line ---

    def equivalents(self) -> Mapping[str, str]:
        found = dict(self._equivalents())
        if self.pane is not None and self._view is not None:
            found |= {"turn(1)": self.pane.equivalent(), **self.pane.equivalents()}
        study, trials = self._study_meant(), self.asked().current
        if study is not None and trials:
            found["resubmit"] = resubmit_command(study, trials[0])
            ids = " ".join(map(short_id, trials[:_MOST_NAMED]))
            found["harder"] = f"innate attack {ids} --escalate --study {shlex.quote(study)}"
            found["note"] = f"innate note {short_id(trials[0])} --study {shlex.quote(study)}"
        return found

    def _equivalents(self) -> Mapping[str, str]:
        marked = sorted({trial for _, trial in self.session.remembered.marks})
        if self.loaded is not None:
            here = self.grouped.trials
            return words.commands(self.loaded, here, marked or list(here))
        run = self.run_list.current
        meant = marked or ([] if run is None else [run.trial_id])
        return run_words.commands(self._filter.text, self.session.remembered, run, meant, self.knobs.study)
