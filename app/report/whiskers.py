"""Estimates with their intervals as text: ├──●──┤ on one axis from 0, the values in front. Beside `charts`, in its style."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.report.text import distinct
from app.terminal.cells import cell_len, padded

_LEAST_AXIS = 24
"""Characters that the axis keeps beside a long label, where the chart is wide enough."""
_ROOM_FOR_QUARTERS = 24
"""Characters of axis from which on its quarters are numbered too."""


@dataclass(frozen=True)
class Whisker:
    """One labelled estimate with its interval; `note` stands behind it."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    note: str = ""


def estimates(title: str, items: Sequence[Whisker], full: float, width: int) -> str:
    """A line for each, from 0 to `full`."""
    if not items:
        return f"{title}\n(nothing to show yet)"
    note_width = max(len(item.note) for item in items)
    noted = note_width + 1 if note_width else 0
    most = max(10, width // 3, width - 9 - noted - _LEAST_AXIS)
    labels = distinct([item.label for item in items], most)
    label_width = max(map(cell_len, labels))
    room = max(10, width - label_width - 9 - noted)
    lines = [title]
    for item, label in zip(items, labels, strict=True):
        value = "    -" if item.value is None else f"{item.value:5.1f}"
        lines.append(f"{padded(label, label_width)} {value} {estimate(item, full, room)} {item.note}".rstrip())
    lines.append(" " * (label_width + 7) + axis(full, room))
    return "\n".join(lines)


def estimate(item: Whisker, full: float, room: int) -> str:
    """One line `room` characters wide, from 0 to `full`."""
    cells = [" "] * room
    if item.value is not None:
        place = [None if end is None else _place(end, full, room) for end in (item.low, item.value, item.high)]
        draw(cells, *place)  # type: ignore[arg-type]
    return "".join(cells)


def draw(cells: list[str], low: int | None, value: int, high: int | None) -> None:
    """Put ├──●──┤ into a line of characters, where both ends are known; an end under the point gives way to it."""
    if low is not None and high is not None:
        cells[low : high + 1] = "─" * (high + 1 - low)
        cells[low], cells[high] = "├", "┤"
    cells[value] = "●"


def axis(full: float, room: int) -> str:
    """What stands below lines `room` characters wide: 0, the quarters or the half, the whole."""
    shares = (0.25, 0.5, 0.75) if room >= _ROOM_FOR_QUARTERS else (0.5,)
    cells = [" "] * room
    cells[0] = "0"
    last = f"{full:g}"
    cells[room - len(last) :] = last
    for share in shares:
        text = f"{share * full:g}"
        start = _place(share * full, full, room) - (len(text) - 1) // 2
        cells[start : start + len(text)] = text
    return "".join(cells)


def _place(value: float, full: float, room: int) -> int:
    return round((room - 1) * min(1.0, max(0.0, value / full)))
