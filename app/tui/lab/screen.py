"""The Lab: which choices are robust and how sure that is, in groups that open down to one run; or every run in a list."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from app.tui.lab import changes, choosing, knobs, run_words, words
from app.tui.lab.asked import Asked
from app.tui.lab.columns import TITLES as SCORE_TITLES
from app.tui.lab.filter_line import FilterLine
from app.tui.lab.front import Mark, Rows, RunChosen
from app.tui.lab.grouped import GroupedRows
from app.tui.lab.keys import KEYS
from app.tui.lab.loaded import Loaded, NameBook, Question
from app.tui.lab.run_list import Listed, RunList
from app.tui.lab.viewed import NAMES, PLACES, Viewed
from app.tui.lab.views.pane import ViewPane
from app.tui.shell.page import Page
from app.tui.shell.threads import sentence
from app.tui.widgets.grid import Grid
from app.tui.widgets.tabs import TabLine
from core.errors import BadInput
from storage import listing
from storage.grouping import Reading

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_REST = 4.0
"""How much longer than a look at the groups took to wait before the next, while the data keeps changing."""


class LabScreen(Page):
    """Groups of one study (`GroupedRows`), or the list of runs (`RunList`): one of them stands in #rows, where a view of the same
    may stand instead."""

    MODE = "lab"
    KEYS = KEYS
    CSS = """
    LabScreen #about { height: 1; color: $foreground 85%; text-wrap: nowrap; text-overflow: ellipsis; }
    LabScreen #empty { height: 1fr; padding: 1 2; display: none; }
    LabScreen #rows { height: 1fr; }
    LabScreen RunList { display: none; }
    LabScreen.listed RunList { display: block; }
    LabScreen.listed GroupedRows { display: none; }
    LabScreen.empty #rows { display: none; }
    LabScreen #viewed { display: none; }
    LabScreen.viewed #rows, LabScreen.viewed #empty { display: none; }
    LabScreen.viewed #viewed { display: block; }
    LabScreen.empty #empty { display: block; }
    """
    AUTO_FOCUS: ClassVar[str | None] = None

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.knobs = knobs.read(session.remembered.lab)
        self._filter = listing.EVERYTHING
        self._book = NameBook()
        self._took = 0.0
        self._due = False
        self._told: Content | None = None

    def body(self) -> ComposeResult:
        yield TabLine(NAMES, id="tabs")
        yield Static("reading the runs …", id="about")
        yield FilterLine(id="filter")
        yield Static("", id="empty")
        with Container(id="rows"):
            yield GroupedRows(self.session, self._book, self.key_of, id="grouped")
            yield RunList(self, self._book, id="list")
        yield Viewed(self.session, self.asked, id="viewed")

    # --- its parts ---

    @property
    def grouped(self) -> GroupedRows:
        return self.query_one("#grouped", GroupedRows)

    @property
    def run_list(self) -> RunList:
        return self.query_one("#list", RunList)

    @property
    def viewed(self) -> Viewed:
        return self.query_one("#viewed", Viewed)

    @property
    def pane(self) -> ViewPane | None:
        """The views' own widget; None until one is looked at."""
        return self.viewed.pane

    @property
    def front(self) -> Rows:
        """The table that there is to see, unless a view stands instead."""
        return self.run_list if self.knobs.listed else self.grouped

    @property
    def grid(self) -> Grid[Any]:
        return self.front.grid

    @property
    def loaded(self) -> Loaded | None:
        """Of the groups, None while runs are listed."""
        return None if self.knobs.listed else self.grouped.loaded

    @property
    def loading_data(self) -> bool:
        return super().loading_data or (self.pane is not None and self.pane.reading)

    @property
    def works_aside(self) -> bool:
        return self.grouped.works_aside

    def on_mount(self) -> None:
        remembered = self.session.remembered
        try:
            self._filter = listing.parse_filter(remembered.filter)
        except BadInput:
            remembered.filter = ""
        self._put_in_front()

    def _put_in_front(self) -> None:
        self.set_class(self.knobs.listed, "listed")
        self._focus()

    def _focus(self) -> None:
        """On what is in front, unless a filter is being typed."""
        if self.query_one("#filter", FilterLine).is_open:
            return
        if self.viewed.shown is not None:
            self.viewed.shown.focus_rows()
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
            self.query_one("#empty", Static).update(run_words.nothing(self._filter.text if some else None, self.key_of))
        self._say_what()
        self.viewed.show()

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

    # --- the same in another way ---

    def action_turn(self, by: int) -> None:
        self._turn_to(self.viewed.after(by))

    def action_view(self, view: str) -> None:
        self._turn_to(None if self.viewed.view == view else view)

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        self._turn_to(PLACES[event.index])

    def _turn_to(self, view: str | None) -> None:
        self.say("")
        self.set_class(view is not None, "viewed")
        self.query_one(TabLine).show(PLACES.index(view))
        self.viewed.turn_to(view)
        if view is None:
            self._focus()

    def on_viewed_ready(self) -> None:
        self._focus()

    def on_view_pane_told(self, event: ViewPane.Told) -> None:
        self.say(event.text)

    def look_at(self, study: str) -> None:
        """Have that study in front, as another screen or the search asks."""
        self.choose(**choosing.of_study(study))

    # --- what is chosen ---

    def choose(self, **changes: Any) -> None:
        """Turn knobs, remember them, and look again."""
        before, self.knobs = self.knobs, replace(self.knobs, **changes)
        self.session.remembered.lab = knobs.kept(self.knobs)
        self.session.remember()
        self._put_in_front()
        if self.knobs.listed and (self.knobs.study != before.study or not before.listed):
            self.run_list.expire(restart=True)
        self.reload()

    def on_grouped_rows_turned(self, event: GroupedRows.Turned) -> None:
        self.choose(**event.changes)
        if event.told:
            self.say(event.told)

    def action_group(self) -> None:
        now = self.loaded.by if self.loaded is not None else self.knobs.by or ()
        choosing.ask_grouping(self, self.loaded, now, self.choose)

    def action_radius(self, by: int) -> None:
        choosing.step_radius(self, self.loaded, by, self.choose)

    def action_score(self) -> None:
        def choose(**changes: Any) -> None:
            title = SCORE_TITLES.get(changes["score"])
            if self.knobs.listed and title is not None:  # a plugin's has no column of its own there
                self.run_list.sort_by(title)
            self.choose(**changes)

        choosing.ask_score(self, choose)

    def action_study(self) -> None:
        choosing.ask_study(self, everything=self.knobs.listed, choose=self.choose)

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

    def action_open(self) -> None:
        self.grid.action_choose()

    def on_run_chosen(self, event: RunChosen) -> None:
        from app.tui.run.screen import DetailScreen

        self.app.push_screen(DetailScreen(self.session, event.study, event.trial_id))

    def action_unfold(self) -> None:
        self.front.unfold()

    def action_fold(self) -> None:
        self.front.fold()

    def action_baseline(self) -> None:
        self.front.pin()

    def action_mark(self) -> None:
        def keep(runs: set[Mark], new: bool) -> None:
            marks = set(self.session.remembered.marks)
            self._keep_marks(marks | runs if new else marks - runs)

        self.front.mark(keep)

    def action_unmark(self) -> None:
        self._keep_marks(set())

    def _keep_marks(self, marks: set[Mark]) -> None:
        self.session.remembered.marks = sorted(marks)
        self.session.remember()
        self.run_list.grid.marks = set(marks)
        self.run_list.grid.refresh()
        self.reload()

    def action_copy(self) -> None:
        pane, trial = self.viewed.shown, self.front.trial_id
        text = pane.equivalent() if pane is not None else trial
        if text is not None:
            self.app.copy_to_clipboard(text)
            self.say(f"copied {text}")
        elif self.front.study is not None:
            self.say(f"a run has an id: {self.key_of('unfold')} opens the row down to its runs")

    # --- the list of runs alone ---

    def _listed(self) -> bool:
        """Whether runs are listed; says how they are, if not."""
        if not self.knobs.listed:
            self.say(f"that is for the list of runs: {self.key_of('group')}, none lists them")
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

    # --- out of here, and what is done to runs ---

    def action_export(self) -> None:
        if self.loaded is not None:
            changes.export_groups(self, self.loaded, self.grouped.rows)
        else:
            changes.export_runs(self, self._filter, self.knobs.study)

    def action_harder(self) -> None:
        changes.harder(self, self.front)

    def action_resubmit(self) -> None:
        changes.resubmit(self, self.front)

    def action_note(self) -> None:
        changes.note(self, self.front)

    def action_retry(self) -> None:
        changes.retry(self, self.front)

    def action_delete(self) -> None:
        changes.delete(self, self.front, self.action_unmark)

    def equivalents(self) -> Mapping[str, str]:
        marked = sorted({trial for _, trial in self.session.remembered.marks})
        here, run = list(self.front.trials), self.run_list.current
        if self.loaded is not None:
            found = words.commands(self.loaded, here, marked or here)
        else:
            found = run_words.commands(
                self._filter.text, self.session.remembered, run, marked or here, self.knobs.study
            )
        return {**found, **changes.equivalents(self.front), **self.viewed.equivalents()}
