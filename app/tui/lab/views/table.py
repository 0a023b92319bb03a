"""What all views are made of: a table for the Lab's pane, its cells, and how a view is described."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from rich.color import Color
from rich.style import Style

from app.report.aggregate import Estimate
from app.report.charts import ORDINARY, Canvas
from app.report.text import interval
from app.tui.lab.views.sight import Knobs, Sight
from app.tui.shell.themes import PALETTES, STATE_COLOURS
from app.tui.widgets.grid import Cell, Column, Grid, Line

if TYPE_CHECKING:
    from sqlite_utils import Database

_SERIES = "grid--series"


class ViewGrid(Grid[Line]):
    """A Grid whose cells can also be as warm as their number is high ("heat0" to "heat4"), or have the colour that a series has
    in the chart ("series0" …)."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"grid--heat{step}" for step in range(5)}
    DEFAULT_CSS = """
    ViewGrid > .grid--heat1 { background: $panel; }
    ViewGrid > .grid--heat2 { background: $primary-muted; }
    ViewGrid > .grid--heat3 { background: $primary; color: $background; }
    ViewGrid > .grid--heat4 { background: $primary; color: $background; text-style: bold; }
    """

    def coloured(self, component: str, base: Style, *, chosen: bool) -> Style:
        if not component.startswith(_SERIES):
            return super().coloured(component, base, chosen=chosen)
        palette = PALETTES.get(self.app.theme, ORDINARY)
        hue = palette[int(component.removeprefix(_SERIES)) % len(palette)]
        return base if chosen and self.has_focus else base + Style(color=Color.from_ansi(hue))


@dataclass(frozen=True)
class Table:
    """What a Grid is filled with."""

    columns: tuple[Column[Line], ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class View:
    """One way to look at the rows. `load` runs on the readers' thread and gives None where there is nothing, which `nothing` then
    explains; what it gives goes to `table`, `about` and `command`, and to `draw` with the key of the row under the cursor."""

    title: str
    load: Callable[[Database, Sight, Knobs], Any]
    table: Callable[[Any, int, bool], Table]
    about: Callable[[Sight, Any], tuple[str, ...]]
    """What is seen, in parts; the last ones are left out where there is no room."""
    command: Callable[[Sight, Any], str]
    nothing: str
    draw: Callable[[Any, Canvas, Hashable], str] | None = None


def series(index: int, drawn: int) -> str:
    """The colour of a marker, for the first `drawn`."""
    return f"series{index}" if index < drawn else ""


def heading(by: str, width: int) -> str:
    """Of the column that names groups: what makes one, where there is room."""
    return by if len(by) <= width else "group"


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def interval_of(estimate: Estimate | None, scale: float = 1.0) -> str:
    return "-" if estimate is None else interval(estimate.low, estimate.high, scale, bound=estimate.bound)


def trust_words(trust: str, reasons: Sequence[str]) -> str:
    return "" if trust == "ok" else f" · {trust}: {'; '.join(reasons)}"


def over(estimate: Estimate) -> str:
    """What an interval is over."""
    return "over images, one seed" if estimate.basis == "images" else f"over {estimate.n} models and images"


def value_cell(value: str) -> Cell:
    """A state or a verdict in its colour."""
    return value, value if value in STATE_COLOURS else ""
