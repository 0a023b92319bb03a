"""Compare: the views of one study, by variant."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from app.tui.lab.asked import Asked
from app.tui.lab.views.pane import KEYS, TITLES, VIEWS, ViewPane
from app.tui.shell.keys import Key
from app.tui.shell.page import Page
from app.tui.shell.threads import sentence
from app.tui.widgets.dialogs import Item, Picker
from app.tui.widgets.grid import Grid, Line
from app.tui.widgets.tabs import TabLine
from core.verdict.scoring import SCORES
from storage.grouping import Reading
from storage.listing import EVERYTHING
from storage.studies import latest_study, studies

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session


class CompareScreen(Page):
    """One study, one view at a time; of the marked runs' variants if any are marked."""

    MODE = "compare"
    OWN = (
        Key("tab,right_square_bracket", "turn(1)", "view", "next view: " + ", ".join(TITLES).lower()),
        Key("shift+tab,left_square_bracket", "turn(-1)", "view before", "view before", hint=False),
        Key("o,S", "study", "study", "choose the study"),
        Key("c", "score", "score", "choose the score"),
        Key("m", "marked", "marked", "only the variants of marked runs, or all; space marks runs in 1 Runs"),
        Key("y", "copy", "copy", "copy the equivalent command of this view", hint=False),
    )
    KEYS = (*OWN, *KEYS)
    CSS = "CompareScreen #words { height: 3; border-top: solid $panel; color: $foreground 85%; }"
    AUTO_FOCUS: ClassVar[str | None] = "#view-rows"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._marks: Any = None

    def body(self) -> ComposeResult:
        yield TabLine(TITLES, id="tabs")
        yield ViewPane(self.session, self.session.remembered.compare, id="pane")
        yield Static("", id="words")

    def on_mount(self) -> None:
        self.query_one(TabLine).show(VIEWS.index(self.view))

    @property
    def pane(self) -> ViewPane:
        return self.query_one(ViewPane)

    @property
    def table(self) -> Grid[Line]:
        return self.pane.table

    @property
    def loading_data(self) -> bool:
        return super().loading_data or self.pane.reading

    # --- what was chosen, and is remembered ---

    @property
    def view(self) -> str:
        view = self.session.remembered.compare.get("view")
        return view if view in VIEWS else VIEWS[0]

    @property
    def _score(self) -> str:
        name = self.session.remembered.compare.get("score")
        return name if isinstance(name, str) and name in SCORES else "innate"

    def _choose(self, **changes: Any) -> None:
        self.session.remembered.compare.update(changes)
        self.session.remember()
        self.query_one(TabLine).show(VIEWS.index(self.view))
        self.reload()

    # --- data ---

    def on_screen_resume(self) -> None:
        # Marks are set in Runs, which no change of the database tells.
        if self._marks is not None and self._marks != self.session.remembered.marks:
            self.reload()

    def load(self, db: Database, question: Any) -> str | None:  # noqa: ARG002 - the study is all it needs
        """The study that was chosen, or, where it is gone, the one run last."""
        chosen = self.session.remembered.compare.get("study")
        return chosen if any(row.study == chosen for row in studies(db)) else latest_study(db)

    def show(self, data: str | None) -> None:
        remembered = self.session.remembered
        self._marks = list(remembered.marks)
        marks = tuple(remembered.marks) if remembered.compare.get("marked", True) else ()
        self.pane.show(Asked(data, (), Reading(self._score), EVERYTHING, marks), self.view)
        self.pane.focus_rows()

    def on_view_pane_moved(self) -> None:
        self.query_one("#words", Static).update(Content(self.pane.words()))

    def on_view_pane_told(self, event: ViewPane.Told) -> None:
        self.say(event.text)

    def on_view_pane_chosen(self, event: ViewPane.Chosen) -> None:
        from app.tui.run.screen import DetailScreen

        self.app.push_screen(DetailScreen(self.session, event.study, event.trials[0]))

    # --- actions ---

    def action_turn(self, by: int) -> None:
        self.say("")
        self._choose(view=VIEWS[(VIEWS.index(self.view) + by) % len(VIEWS)])

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        self._choose(view=VIEWS[event.index])

    def action_study(self) -> None:
        self.run_worker(self._pick_study(), exit_on_error=False)

    async def _pick_study(self) -> None:
        try:
            rows = await self.session.reader.ask(studies)
        except Exception as error:
            self.session.note_fault(error)
            self.complain(sentence(error))
            return
        items = [Item(row.study, row.study, f"{row.dataset}, {row.done} of {row.trials} done") for row in rows]
        if items:
            self.push(Picker("Study", items), lambda study: self._choose(study=study) if study else None)
        else:
            self.say("there is no study yet: 2 composes one")

    def action_score(self) -> None:
        items = [Item(entry.name, entry.name, entry.summary) for entry in SCORES.values()]
        self.push(Picker("Score", items), lambda name: self._choose(score=name) if name else None)

    def action_marked(self) -> None:
        only = not self.session.remembered.compare.get("marked", True)
        self._choose(marked=only)
        if only and not self.session.remembered.marks:
            self.say("nothing is marked, so all is shown: space marks runs in 1 Runs")
        else:
            self.say("only the variants of the marked runs" if only else "all variants, marked or not")

    def action_copy(self) -> None:
        text = self.pane.equivalent()
        self.app.copy_to_clipboard(text)
        self.say(f"copied {text}")

    # --- the same from the command line ---

    def equivalents(self) -> Mapping[str, str]:
        text, study = self.pane.equivalent(), self.session.remembered.compare.get("study")
        return {
            **dict.fromkeys(("turn(1)", "marked"), text),
            "study": f"innate results --study {shlex.quote(study)}" if isinstance(study, str) else "innate results",
            "score": f"innate chart scores --score {self._score}",
            **self.pane.equivalents(),
        }

    def look_at(self, study: str) -> None:
        self._choose(study=study)
