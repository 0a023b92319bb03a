"""The evidence of one finding, a part of it at a time: words, the table of its pairs, or a chart."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from app.tui.findings import charts, evidence
from app.tui.findings.data import Loaded
from app.tui.findings.evidence import COMPOSE, PairTable
from app.tui.findings.words import CHARTS, PARTS, TITLES
from app.tui.shell.keys import KeyOf
from app.tui.widgets.chart import ChartView
from app.tui.widgets.grid import PAGE, Grid, Line
from app.tui.widgets.tabs import TabLine
from core.verdict.findings import Finding
from core.verdict.findings.finding import Part
from core.verdict.findings.pairs import Pair, pairs

if TYPE_CHECKING:
    from app.tui.shell.session import Session

_KINDS = ("prose", "pairs", "chart")


class EvidencePane(Container):
    """`turn` puts a part in front, `show` says of what. `key_of` is the page's."""

    DEFAULT_CSS = """
    EvidencePane { layout: vertical; width: 1fr; height: 1fr; }
    EvidencePane VerticalScroll { scrollbar-size-vertical: 1; height: 1fr; display: none; }
    EvidencePane #text { height: auto; }
    EvidencePane #pairs-part { height: 1fr; display: none; }
    EvidencePane #caption { height: auto; color: $foreground 85%; }
    EvidencePane ChartView { display: none; }
    EvidencePane.prose VerticalScroll, EvidencePane.pairs #pairs-part, EvidencePane.chart ChartView { display: block; }
    """

    def __init__(self, session: Session, key_of: KeyOf, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._session, self._key_of = session, key_of
        self._part = PARTS[0]
        self._put: dict[str, Hashable] = {}
        """Widget → what its content was made of."""
        self._comparison: tuple[str, int] | None = None
        """(finding, place) of the comparison whose pairs were asked for, where that is not the one that decides."""
        self._pairs: list[Pair] = []
        self._lines: list[Line] = []
        """Of the pairs' table."""

    def compose(self) -> ComposeResult:
        yield TabLine(TITLES, id="parts")
        with VerticalScroll(id="prose"):
            yield Static("", id="text")
        with Container(id="pairs-part"):
            yield Static("", id="caption")
            yield Grid[Line](identify=lambda line: line.key, id="pairs")
        yield ChartView(self._session.drawn, id="chart")

    def turn(self, part: str) -> None:
        """Put a part in front; what it shows comes with `show`."""
        self._part = part
        self.query_one(TabLine).show(PARTS.index(part))
        kind = "pairs" if part == "pairs" else "chart" if part in CHARTS else "prose"
        for name in _KINDS:
            self.set_class(name == kind, name)

    @property
    def reader(self) -> Widget | None:
        """What moves over the part in front, or scrolls it; None for a chart."""
        return None if self._part in CHARTS else self.query_one("#pairs" if self._part == "pairs" else "#prose")

    def show(self, data: Loaded, heading: str, one: Finding | None) -> None:
        """The part in front, of a finding or (None) of what a heading stands for."""
        if data.found is None:
            return
        if self._part == "pairs":
            self._show_pairs(data, one)
        elif self._part in CHARTS:
            self._draw(data, heading, one)
        else:
            self._tell(data, heading, one)

    # --- words ---

    def _tell(self, data: Loaded, heading: str, one: Finding | None) -> None:
        assert data.found is not None, "nothing is shown before something is found"
        room = max(20, self.size.width - 2)
        what = heading if one is None else one.key
        shape = (data.made_of, tuple(data.settling.items()), data.outlook is None, what, self._part, room)
        if self._put.get("text") == shape:
            return
        self._put["text"] = shape
        match self._part:
            case "settle":
                text = evidence.settling_text(one, data.settling, data.outlook, room, self._key_of)
            case "beside":
                text = evidence.beside_text(data.found, data.beside, one, room, self._key_of)
            case _ if one is None:
                text = evidence.of_heading(data.found, heading, room, self._key_of)
            case _:
                text = evidence.rests(data.found, one, data.settling, room, self._key_of)
        self.query_one("#text", Static).update(text)
        self.query_one("#prose", VerticalScroll).scroll_home(animate=False)

    # --- pairs ---

    def next_comparison(self, one: Finding) -> None:
        """The pairs of the comparison after the one that is shown."""
        now = next((place for place, part in enumerate(one.parts) if part is self._chosen(one)), -1)
        self._comparison = one.key, (now + 1) % len(one.parts)

    def _chosen(self, one: Finding) -> Part | None:
        if self._comparison is not None and self._comparison[0] == one.key:
            return one.parts[self._comparison[1] % len(one.parts)]
        return one.deciding

    @property
    def pair(self) -> Pair | None:
        """The one under the cursor, where pairs are in front."""
        line = self.query_one("#pairs", Grid).current if self._part == "pairs" else None
        return None if line is None else self._pairs[int(str(line.key))]

    def _show_pairs(self, data: Loaded, one: Finding | None) -> None:
        chosen = None if one is None else self._chosen(one)
        shape = (data.made_of, None if one is None else one.key, id(chosen), self.size.width)
        if self._put.get("pairs") == shape:
            return
        self._put["pairs"] = shape
        if one is None:
            self._fill("Pairs are of one finding: ↓ goes to the next.", [], ([], []))
        elif chosen is None or chosen.found.spread is None:
            self._fill("No two models can be paired for this: see Rests on.", [], ([], []))
        else:
            self.run_worker(self._work_out(one, chosen, shape), exit_on_error=False)

    async def _work_out(self, one: Finding, chosen: Part, shape: Hashable) -> None:
        spread, room = chosen.found.spread, self.size.width - 1
        assert spread is not None, "there are pairs"

        def work() -> tuple[list[Pair], PairTable]:
            found = pairs(chosen.found)
            return found, evidence.pair_table(found, spread.mean, room)

        # On the charts' thread: those of ten thousand models take a while.
        found, made = await self._session.charts.ask(lambda _: work())
        if self._put.get("pairs") == shape:  # else the cursor has moved on
            self._fill(evidence.caption(one, chosen, self._key_of), found, made)

    def _fill(self, caption: str, found: list[Pair], made: PairTable) -> None:
        self.query_one("#caption", Static).update(Content(caption))
        self._pairs, (columns, self._lines) = found, made
        grid: Grid[Line] = self.query_one("#pairs", Grid)
        if [column.key for column in columns] != [column.key for column in grid.columns]:
            grid.columns = columns
        grid.expire(restart=True)  # asks for what is in sight

    def on_grid_wanted(self, event: Grid.Wanted) -> None:
        if event.grid.id == "pairs":
            event.grid.fill(event.offset, self._lines[event.offset : event.offset + PAGE], len(self._lines))

    # --- charts ---

    def _draw(self, data: Loaded, heading: str, one: Finding | None) -> None:
        study, chart = data.study or "", self.query_one(ChartView)
        crossed = charts.crossed_with(data.partners, heading, one)
        trait, by = charts.trait_of(one), charts.factor_of(heading, one)
        shape: Hashable = (data.made_of, crossed) if self._part == "interaction" else (data.made_of, trait, by)
        if self._put.get("chart") == shape:
            return
        self._put["chart"] = shape
        if self._part == "causes":
            chart.clear("drawing …")
            chart.draw(shape, charts.trait_against_score(study, trait, by))
        elif crossed is not None:
            chart.clear("drawing …")
            chart.draw(shape, charts.interaction(study, crossed))
        else:
            add = f"{self._key_of(COMPOSE)} Compose adds levels"
            chart.clear(f"An interaction needs two factors that vary, this one and another; {add}.")
