"""The grouped table's columns for the room that there is: whole columns are left out, never a word that matters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.cells import cell_len

from app.report import whiskers
from app.report.text import distinct, interval, told_apart
from app.tui.lab.rows import LabRow, Path
from app.tui.widgets.grid import Cell, Column

if TYPE_CHECKING:
    from app.report.aggregate import Difference

_CellOf = Callable[[LabRow], Cell]

TITLES = {
    "innate": "innate",
    "worst_case": "worst",
    "clean_accuracy": "clean",
    "retention": "kept",
    "curve_area": "area",
}
"""Scores as the tables call them, but those of plugins."""


def heading(score: str) -> str:
    """A plugin's goes by its own name; whose it is, the title of the screen says."""
    return TITLES.get(score, score.rpartition(":")[2])


_ALL = 100.0
_LEAST_AXIS = 12
_NARROW, _WIDE = 26, 60
"""The longest name that is shown whole beside an axis, on a narrow screen and on a wide one."""


@dataclass(frozen=True)
class Shape:
    """What of the columns is left out."""

    interval: bool
    n: bool
    name: int
    apart: bool = True
    """Whether verdicts and states stand in columns of their own, or in one."""
    axis: bool = True


def lay_out(rows: Sequence[LabRow], score: str, by: str, width: int, *, wide: bool) -> list[Column[LabRow]]:
    """Columns for `width` cells of text. `by` heads the column of names."""
    name = _WIDE if wide else _NARROW
    shapes = [
        Shape(interval=True, n=True, name=name),
        Shape(interval=True, n=False, name=name),
        Shape(interval=True, n=False, name=name, apart=False),
        Shape(interval=False, n=False, name=name, apart=False),
        Shape(interval=False, n=False, name=18, apart=False),
    ]
    for shape in shapes:
        columns, room = _columns(rows, score, by, width, shape)
        if room >= _LEAST_AXIS and _told_apart(rows, shape.name):
            return columns
    # Names that would be numbered say less than an axis does, and so it goes.
    longest = max((2 * row.depth + cell_len(row.label) for row in rows), default=0)
    bare = Shape(interval=False, n=False, name=longest, apart=False, axis=False)
    columns, room = _columns(rows, score, by, width, bare)
    return columns if room >= 0 else _columns(rows, score, by, width, replace(bare, name=max(18, longest + room)))[0]


def _told_apart(rows: Sequence[LabRow], width: int) -> bool:
    return all(
        told_apart([row.label for row in rows if row.depth == depth], width - 2 * depth)
        for depth in {row.depth for row in rows}
    )


def _columns(rows: Sequence[LabRow], score: str, by: str, width: int, shape: Shape) -> tuple[list[Column[LabRow]], int]:
    """The columns, and how much room is left for the axis, which is among them if the shape has one."""
    names = _names(rows, shape.name)
    before = [
        _column(
            "name", by, rows, lambda row: (names[row.path], "dim" if row.kind == "more" else ""), most=shape.name + 4
        ),
        *([_column("n", "n", rows, _n, right=True)] if shape.n else []),
        _column("value", heading(score), rows, _value, right=True),
        *([_column("interval", "95 %", rows, _interval)] if shape.interval else []),
    ]
    against = "vs ◆" if any(row.role == "baseline" for row in rows) else "vs best"
    notes = (("trust", _trust), ("runs", _states)) if shape.apart else (("trust, runs", _notes),)
    after = [
        *([_column("against", against, rows, difference_cell)] if _any(rows, difference_cell) else []),
        *(_column(key, key, rows, cell) for key, cell in notes if _any(rows, cell)),
    ]
    room = width - sum(column.width + 1 for column in (*before, *after))
    if not shape.axis:
        return [*before, *after], room + 1
    axis: Column[LabRow] = Column(
        f"axis {room}", whiskers.axis(100.0, max(_LEAST_AXIS, room)), max(_LEAST_AXIS, room),
        lambda row: (_whisker(row, max(_LEAST_AXIS, room)), ""),
    )  # fmt: skip
    return [*before, axis, *after], room


def _column(
    key: str, title: str, rows: Sequence[LabRow], cell: _CellOf, *, right: bool = False, most: int = 60
) -> Column[LabRow]:
    """As wide as what stands in it."""
    wide = max([cell_len(title), *(cell_len(cell(row)[0]) for row in rows)])
    return Column(key, title, min(wide, most), cell, right)


def _names(rows: Sequence[LabRow], width: int) -> Mapping[Path, str]:
    """With the sign of what can be opened, a step to the right for each level; rows of one level never look alike."""
    shown: dict[Path, str] = {}
    for depth in {row.depth for row in rows}:
        level = [row for row in rows if row.depth == depth]
        for row, text in zip(level, distinct([row.label for row in level], width - 2 * depth), strict=True):
            sign = {None: "  ", True: "▾ ", False: "▸ "}[row.opened]
            shown[row.path] = f"{'  ' * depth}{sign}{row.label if row.kind == 'more' else text}"
    return shown


def _any(rows: Sequence[LabRow], cell: _CellOf) -> bool:
    return any(cell(row)[0] for row in rows)


def _n(row: LabRow) -> Cell:
    return (str(row.n), "") if row.kind in ("group", "variant") else ("", "")


def _value(row: LabRow) -> Cell:
    if row.value is None:
        return ("", "") if row.kind == "more" else ("-", "dim")
    return f"{row.value:.1f}", ""


def _interval(row: LabRow) -> Cell:
    text = interval(row.low, row.high, bound=row.bound)
    return ("" if text == "-" else text), ""


def _whisker(row: LabRow, room: int) -> str:
    """Of an upper bound, which has no lower end, with what lies above it only."""
    low = row.value if row.bound else row.low
    return whiskers.estimate(whiskers.Whisker("", row.value, low, row.high), 100.0, room)


def difference_cell(row: LabRow) -> Cell:
    """By how much it is above what it is compared with; "≈" where that may be nothing."""
    if row.role:
        return row.role, "title"
    if row.difference is None:
        return "", ""
    text = signed(row.difference)
    return (text, "") if row.difference.apart else (f"≈ {text}", "dim")


def signed(found: Difference) -> str:
    """ "−7.4 ±3.1"; what two seeds say of others may reach beyond all that is possible."""
    half = (found.high - found.low) / 2
    return f"{plus_minus(found.value)} ±{f'{half:.1f}' if half < _ALL else 'all'}"


def plus_minus(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _trust(row: LabRow) -> Cell:
    if row.kind == "trial":
        word = "invalid" if row.invalid else "suspect" if row.suspect else ""
        return word, word
    told = [f"{count} {word}" for count, word in ((row.invalid, "invalid"), (row.suspect, "suspect")) if count]
    return " ".join(told), "invalid" if row.invalid else "suspect"


def _states(row: LabRow) -> Cell:
    if row.kind == "trial":
        state = next(iter(row.states), "")
        return state, state
    return " ".join(f"{count} {state}" for state, count in row.states.items()), next(iter(row.states), "")


def _notes(row: LabRow) -> Cell:
    """Both in one."""
    (trust, colour), (states, other) = _trust(row), _states(row)
    return " ".join(filter(None, (trust, states))), colour if trust else other
