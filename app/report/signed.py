"""Charts of differences as text: whiskers around 0, and tables of what is above and below it. Beside `whiskers`, in its style."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.report.cells import grid, shade
from app.report.text import distinct
from app.report.whiskers import Whisker
from app.terminal.cells import cell_len, padded

_LEAST_AXIS = 21
"""Characters that the axis keeps beside long labels."""


@dataclass(frozen=True)
class Residue:
    """What a cell has beyond its row and its column; `apart`: its interval leaves out 0. `sign` is its verdict's."""

    value: float
    apart: bool
    sign: str = ""


def whiskers(title: str, groups: Sequence[tuple[str, Sequence[Whisker]]], width: int) -> str:
    """Each group under its heading (none where it is empty), one axis for all: ├──●──┤ beside a line at 0, values in front."""
    everything = [item for _, items in groups for item in items]
    if not everything:
        return f"{title}\n(nothing to show yet)"
    indent = "  " if any(heading for heading, _ in groups) else ""
    note_width = max(len(item.note) for item in everything)
    noted = note_width + 1 if note_width else 0
    fixed = len(indent) + 9 + noted
    labels = [distinct([item.label for item in items], max(8, width - fixed - _LEAST_AXIS)) for _, items in groups]
    label_width = max(cell_len(label) for names in labels for label in names)
    room = max(9, width - fixed - label_width)
    room -= 1 - room % 2  # odd, so that 0 has the middle
    limit = reach(everything)
    lines = [title]
    for (heading, items), names in zip(groups, labels, strict=True):
        if heading:
            lines.append(heading)
        for item, label in zip(items, names, strict=True):
            value = "-" if item.value is None else f"{item.value:+.1f}"
            lines.append(
                f"{indent}{padded(label, label_width)} {value:>6} {whisker(item, limit, room)} {item.note}".rstrip()
            )
    return "\n".join([*lines, (" " * (len(indent) + label_width + 8) + axis(limit, room)).rstrip()])


def whisker(item: Whisker, limit: float, room: int) -> str:
    """One line `room` (odd) characters wide, from -`limit` to `limit`."""
    middle = room // 2
    cells = [" "] * room
    cells[middle] = "│"
    if item.value is None:
        return "".join(cells)

    def place(value: float) -> int:
        return min(room - 1, max(0, middle + round(value / limit * middle)))

    if item.low is not None and item.high is not None:
        low, high = place(item.low), place(item.high)
        for position in range(low, high + 1):
            cells[position] = "┼" if position == middle else "─"
        # An end that rounds to 0 without reaching it stays beside the line.
        if low == middle and item.low > 0 and high > low:
            cells[middle], low = "│", middle + 1
        if high == middle and item.high < 0 and low < high:
            cells[middle], high = "│", middle - 1
        cells[low], cells[high] = "├", "┤"
    cells[place(item.value)] = "●"
    return "".join(cells)


def residues(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], Residue],
    width: int,
    full: float,
) -> str:
    """A table of signed numbers, the shade growing with their size up to `full`; * where the interval leaves out 0."""
    signed = any(cell.sign for cell in cells.values())
    text = {
        key: f"{shade(abs(cell.value), full)} {cell.value:+5.1f}{'*' if cell.apart else ' '}{cell.sign:<{int(signed)}}"
        for key, cell in cells.items()
    }
    return grid(title, rows, columns, text, width)


def reach(items: Sequence[Whisker]) -> float:
    """A round number that no end exceeds."""
    ends = [abs(end) for item in items for end in (item.value, item.low, item.high) if end is not None]
    largest = max(ends, default=0.0)
    if largest <= 0.0:
        return 1.0
    step = 10.0 ** math.floor(math.log10(largest)) / 2
    return step * math.ceil(largest / step)


def axis(limit: float, room: int) -> str:
    """What stands above or below such lines: -limit, 0 where the line is, +limit."""
    middle = room // 2
    left, right = f"-{limit:g}", f"+{limit:g}"
    return left + "0".rjust(middle + 1 - len(left)) + right.rjust(room - middle - 1)
