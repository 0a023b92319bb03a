"""Compare: the variants of a study side by side: bars, heatmap, curves, trade-off, and what differs between runs."""

from __future__ import annotations

import itertools
import shlex
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from app.report.study_charts import drawn_curves, drawn_tradeoff
from app.report.study_numbers import Point, Robustness
from app.report.variants import GROUPS
from app.tui.compare.tables import CompareGrid, table
from app.tui.compare.views import TITLES, VIEWS, Choice, Loaded, load
from app.tui.compare.words import about, command, nothing
from app.tui.shell.keys import Key, bindings
from app.tui.shell.page import Page
from app.tui.widgets.chart import ChartView
from app.tui.widgets.dialogs import Item, Picker
from app.tui.widgets.grid import PAGE, Grid, Line
from app.tui.widgets.tabs import TabLine
from core.names import short_id
from core.verdict.scoring import SCORES

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.tui.shell.session import Session

_SLOW = 0.3
"""Seconds of loading from which on it is told."""
_REST = 4.0
"""How much longer than a load took to wait before the next, while the data keeps changing."""


class CompareScreen(Page):
    """One study, one view at a time; of the marked runs' variants if any are marked."""

    MODE = "compare"
    KEYS = (
        Key("tab,right_square_bracket", "turn(1)", "view", "next view: bars, heatmap, curves, trade-off, differences"),
        Key("shift+tab,left_square_bracket", "turn(-1)", "view before", "view before", hint=False),
        Key("o,S", "study", "study", "choose the study"),
        Key("c", "score", "score", "choose the score"),
        Key("f", "factors", "factors", "choose the two factors of the heatmap"),
        Key("a", "attack", "attack", "curves under one attack, or the lowest of all"),
        Key("m", "marked", "marked", "only the variants of marked runs, or all; space marks runs in 1 Lab"),
        Key("enter", "open", "open", "everything about the run behind the row", hint=False),
        Key("y", "copy", "copy", "copy the equivalent command of this view", hint=False),
    )
    BINDINGS = bindings(KEYS)
    CSS = """
    CompareScreen #about { height: 1; color: $foreground 75%; text-wrap: nowrap; text-overflow: ellipsis; }
    CompareScreen #empty { height: 1fr; padding: 1 2; display: none; }
    CompareScreen #split { height: 1fr; layout: vertical; }
    CompareScreen #chart { display: none; width: 1fr; height: 100%; }
    CompareScreen #words { height: 3; border-top: solid $panel; color: $foreground 85%; }
    CompareScreen.charted #chart { display: block; }
    CompareScreen.charted #split { layout: horizontal; }
    CompareScreen.charted #table { width: 42; height: 100%; border-left: solid $panel; }
    CompareScreen.charted.-wide #table { width: 58; }
    CompareScreen.empty #split { display: none; }
    CompareScreen.empty #words { display: none; }
    CompareScreen.empty #empty { display: block; }
    """
    AUTO_FOCUS: ClassVar[str | None] = "#table"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._loaded: Loaded | None = None
        self._laid_out: Any = None
        """What the table shows and for which room."""
        self._marks: Any = None
        self._took = 0.0
        self._due = False

    def body(self) -> ComposeResult:
        yield TabLine(TITLES, id="views")
        yield Static("reading the scores …", id="about")
        yield Static("", id="empty")
        with Container(id="split"):
            yield ChartView(self.session.drawn, id="chart")
            yield CompareGrid(identify=lambda line: line.key, id="table")
        yield Static("", id="words")

    def on_mount(self) -> None:
        self.query_one(TabLine).show(VIEWS.index(self.view))

    @property
    def table(self) -> Grid[Line]:
        return self.query_one("#table", Grid)

    # --- what was chosen, and is remembered ---

    @property
    def view(self) -> str:
        view = self.session.remembered.compare.get("view")
        return view if view in VIEWS else VIEWS[0]

    def _score(self, key: str, usual: str) -> str:
        name = self.session.remembered.compare.get(key)
        return name if isinstance(name, str) and name in SCORES else usual

    @property
    def _factors(self) -> tuple[str, str] | None:
        found = self.session.remembered.compare.get("factors")
        if isinstance(found, list) and len(found) == 2 and found[0] != found[1] and set(found) <= set(GROUPS):
            return found[0], found[1]
        return None

    @property
    def _only_marked(self) -> bool:
        return bool(self.session.remembered.compare.get("marked", True))

    def _choose(self, **changes: Any) -> None:
        self.session.remembered.compare.update(changes)
        self.session.remember()
        self.query_one(TabLine).show(VIEWS.index(self.view))
        if self._took > _SLOW:
            self._loaded = None
            self.query_one("#about", Static).update("reading the scores …")
        self.reload()

    # --- data ---

    def on_screen_resume(self) -> None:
        # Marks are set in the Lab, which no change of the database tells.
        if self._marks is not None and self._marks != self.session.remembered.marks:
            self.reload()

    def question(self) -> Choice:
        remembered = self.session.remembered
        self._marks = list(remembered.marks)
        study, attack = remembered.compare.get("study"), remembered.compare.get("attack")
        return Choice(
            self.view,
            study if isinstance(study, str) else None,
            self._score("score", "innate"),
            self._score("robust", "worst_case"),
            self._factors,
            attack if isinstance(attack, str) else None,
            tuple((mark[0], mark[1]) for mark in remembered.marks),
            self._only_marked,
        )

    def load(self, db: Database, question: Choice) -> Loaded:
        began = time.monotonic()
        try:
            return load(db, question)
        finally:
            self._took = time.monotonic() - began

    def data_changed(self) -> None:
        # Ten thousand trials take seconds to look through: beside a busy worker that is done only now and then.
        if not self._due:
            self._due = True
            self.set_timer(max(0.001, _REST * self._took), self._look_again)

    def _look_again(self) -> None:
        self._due = False
        self.reload()

    def show(self, data: Loaded) -> None:
        if data.choice.view != self.view:  # turned on meanwhile; the next answer is under way
            return
        before, self._loaded = self._loaded, data
        if data == before:
            return
        self.query_one("#about", Static).update(Content(about(data)))
        self.set_class(data.content is None, "empty")
        self.set_class(data.choice.view in ("curves", "tradeoff"), "charted")
        if data.content is None:
            self.query_one("#empty", Static).update(nothing(data))
            self.query_one("#table", Grid).fill_all([])
            return
        if before is None or (before.choice.view, before.study) != (data.choice.view, data.study):
            self.table.expire(restart=True)
        self.table.marks = set() if data.choice.only_marked else set(data.marked)
        self._lay_out()
        self._draw(data)
        self.table.focus()

    def _lay_out(self) -> None:
        """Fill the table for the room that there is; only what differs is drawn again."""
        loaded = self._loaded
        if loaded is None or loaded.content is None:
            return
        wide = self.has_class("-wide")
        made = table(loaded, self.size.width - 3, wide=wide)
        shape = [(column.key, column.title, column.width) for column in made.columns]
        if shape != self._laid_out:
            self._laid_out = shape
            self.table.columns = made.columns
        for offset in range(0, max(1, len(made.lines)), PAGE):
            self.table.fill(offset, made.lines[offset : offset + PAGE], len(made.lines))

    def _draw(self, loaded: Loaded) -> None:
        chart = self.query_one("#chart", ChartView)
        content, choice = loaded.content, loaded.choice
        if isinstance(content, Robustness):
            chart.draw(("curves", content), lambda _, canvas: drawn_curves(content, canvas, legend=False))
        elif choice.view == "tradeoff" and isinstance(content, tuple):
            study = loaded.study or ""
            found = tuple(one for one in content if isinstance(one, Point))
            chart.draw(
                ("tradeoff", choice.robust, content),
                lambda _, canvas: drawn_tradeoff(study, choice.robust, found, canvas, legend=False),
            )

    def on_resize(self, event: events.Resize) -> None:  # noqa: ARG002 - Textual hands it over
        self.call_after_refresh(self._lay_out)

    def on_grid_moved(self) -> None:
        line = self.table.current
        self.query_one("#words", Static).update(Content("" if line is None else line.words))

    # --- actions ---

    def action_turn(self, by: int) -> None:
        self.say("")
        self._choose(view=VIEWS[(VIEWS.index(self.view) + by) % len(VIEWS)])

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        self._choose(view=VIEWS[event.index])

    def action_study(self) -> None:
        self.run_worker(self._pick_study(), exit_on_error=False)

    async def _pick_study(self) -> None:
        from app.tui.shell.threads import sentence
        from storage.studies import studies

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
        if self.view in ("curves", "differences"):
            self.say("the score belongs to bars, heatmap and trade-off; curves show accuracy (a chooses the attack)")
            return
        key = "robust" if self.view == "tradeoff" else "score"
        items = [
            Item(entry.name, entry.name, entry.summary)
            for entry in SCORES.values()
            if key == "score" or entry.name != "clean_accuracy"
        ]
        self.push(Picker("Score", items), lambda name: self._choose(**{key: name}) if name else None)

    def action_factors(self) -> None:
        pairs = list(itertools.permutations(GROUPS, 2))
        items = [Item(pair, f"{pair[0]} × {pair[1]}", "rows × columns") for pair in pairs]
        self.push(
            Picker("Two factors", items),
            lambda pair: self._choose(factors=list(pair), view="heatmap") if pair else None,
        )

    def action_attack(self) -> None:
        if self.view != "curves":
            self.say("attacks belong to the curves: tab goes there")
            return
        known = self._loaded.attacks if self._loaded else ()
        items = [Item("", "all", "the worst case over the attacks"), *(Item(name, name) for name in known)]
        self.push(
            Picker("Curves under", items),
            lambda attack: None if attack is None else self._choose(attack=attack or None),
        )

    def action_marked(self) -> None:
        only = not self._only_marked
        self._choose(marked=only)
        if only and not self.session.remembered.marks:
            self.say("nothing is marked, so all is shown: space marks runs in 1 Lab")
        else:
            self.say("only the variants of the marked runs" if only else "all variants, marked or not")

    def action_open(self) -> None:
        self.table.action_choose()

    def on_grid_chosen(self) -> None:
        from app.tui.run.screen import DetailScreen

        trials = self.table.current.trials if self.table.current else ()
        if trials and self._loaded and self._loaded.study:
            self.app.push_screen(DetailScreen(self.session, self._loaded.study, trials[0]))
        else:
            self.say("there is no single run behind this row; bars, curves and trade-off have one")

    def action_copy(self) -> None:
        text = command(self._loaded)
        self.app.copy_to_clipboard(text)
        self.say(f"copied {text}")

    # --- the same from the command line ---

    def equivalents(self) -> Mapping[str, str]:
        text = command(self._loaded)
        trials = self.table.current.trials if self.table.current else ()
        study = shlex.quote(self._loaded.study) if self._loaded and self._loaded.study else "STUDY"
        factors = ",".join(self._factors or ("optimizer", "activation"))
        return {
            "turn(1)": text,
            "study": f"innate results --study {study}",
            "score": f"innate chart scores --study {study} --score {self._score('score', 'innate')}",
            "factors": f"innate chart heatmap --study {study} --by {factors}",
            "attack": f"innate chart curves --study {study} --attack pgd",
            "marked": text,
            "open": f"innate show {short_id(trials[0])}" if trials else "innate show TRIAL",
        }
