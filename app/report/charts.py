"""Charts as text: pure functions from rows to a string, coloured or plain, that fit the width they are given.

plotext draws what has two axes; bars and heatmaps, which need their numbers beside them, are drawn here. plotext's figure
is global, so one chart is built at a time. To add a chart: a function here and a line in `app/cli/chart.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.report.text import distinct

MARKERS = "●◆▲■○◇△□×+*#"
_COLOURS = ("cyan", "orange", "green", "magenta", "blue", "red", "cyan+", "magenta+")
"""Of the terminal's sixteen, those that can be seen on a light and on a dark background."""
_BLOCKS = " ▏▎▍▌▋▊▉█"
_SHADES = " ░▒▓█"
_LEAST_BAR = 24
"""Characters that a bar keeps beside a long label, where the chart is wide enough."""
MOST_CURVES = 8
"""Curves in one chart before it turns into a thicket."""


@dataclass(frozen=True)
class Canvas:
    """What a chart is drawn on: characters across and down, and whether in colours."""

    columns: int
    lines: int
    colour: bool = False


@dataclass(frozen=True)
class Bar:
    """One labelled value with its interval; `note` stands behind it."""

    label: str
    value: float | None
    low: float | None
    high: float | None
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """One labelled line through points (x ascending)."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


def bars(title: str, items: Sequence[Bar], full: float, width: int) -> str:
    """Horizontal bars from 0 to `full`, the interval drawn over them as ├─┤, the value in front."""
    if not items:
        return f"{title}\n(nothing to show yet)"
    note_width = max(len(item.note) for item in items)
    noted = note_width + 1 if note_width else 0
    most = max(10, width // 3, width - 9 - noted - _LEAST_BAR)
    labels = distinct([item.label for item in items], most)
    label_width = max(map(len, labels))
    room = max(10, width - label_width - 9 - noted)
    lines = [title]
    for item, label in zip(items, labels, strict=True):
        value = "    -" if item.value is None else f"{item.value:5.1f}"
        lines.append(f"{label:<{label_width}} {value} {bar(item, full, room)} {item.note}".rstrip())
    lines.append(" " * (label_width + 7) + axis(full, room))
    return "\n".join(lines)


def curves(
    title: str,
    lines: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    y_limits: tuple[float, float] | None,
    x_ticks: Sequence[int] | None,
    canvas: Canvas,
    legend: bool = True,
) -> str:
    """Lines with a marker of their own each, and a legend below that also names them without colour.

    `x_ticks` are whole numbers to mark instead of even divisions; where there are many, some are left out. Without
    `legend` whoever shows the chart names the markers beside it.
    """
    import plotext

    shown = lines[:MOST_CURVES]
    figure = _fresh_figure(title, x_label, y_label, canvas)
    for index, curve in enumerate(shown):
        hue = _COLOURS[index % len(_COLOURS)]
        line = plotext.marker("braille", plotext.pixel(hue)) if canvas.colour else "braille"
        figure.draw(figure.signal(list(curve.x), list(curve.y), marker=line).lines())
        mark = plotext.marker(MARKERS[index], plotext.pixel(hue)) if canvas.colour else MARKERS[index]
        figure.draw(figure.signal(list(curve.x), list(curve.y), marker=mark))
    if y_limits is not None:
        figure.ruler("y").lim(*y_limits)
    if x_ticks:
        marked = list(x_ticks)[:: max(1, len(x_ticks) // 10)]
        figure.ruler("x").ticks(marked, [str(tick) for tick in marked])
    text = _built(figure, canvas.colour)
    if not legend:
        return text
    named = _legend([f"{MARKERS[index]} {curve.label}" for index, curve in enumerate(shown)], canvas.columns)
    if len(lines) > len(shown):
        named += f"\n({len(lines) - len(shown)} more left out; narrow the study down with --where)"
    return f"{text}\n{named}"


def scatter(
    title: str,
    points: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    canvas: Canvas,
    front: Sequence[int] = (),
    legend: bool = True,
) -> str:
    """Single points, each with a letter of its own, explained below.

    `front` names points by their place, from left to right and down; stairs run along them, and they carry a star in the
    legend.
    """
    import plotext

    figure = _fresh_figure(title, x_label, y_label, canvas)
    if front:
        line = plotext.marker("braille", plotext.pixel("gray")) if canvas.colour else "braille"
        corners = _stairs([(points[index].x[0], points[index].y[0]) for index in front], points)
        figure.draw(figure.signal([x for x, _ in corners], [y for _, y in corners], marker=line).lines())
    for index, point in enumerate(points):
        letter = letter_of(index)
        mark: Any = letter
        if canvas.colour:
            mark = plotext.marker(letter, plotext.pixel(_COLOURS[index % len(_COLOURS)]))
        figure.draw(figure.signal(list(point.x), list(point.y), marker=mark))
    text = _built(figure, canvas.colour)
    if not legend:
        return text
    stars = ["*" if index in front else "" for index in range(len(points))]
    named = [
        f"{letter_of(index)}{star} {point.label}" for index, (star, point) in enumerate(zip(stars, points, strict=True))
    ]
    return f"{text}\n{_legend(named, canvas.columns)}"


def marked(title: str, series: Sequence[Curve], *, x_label: str, y_label: str, canvas: Canvas) -> str:
    """Points without lines, a marker for each series, explained below."""
    import plotext

    figure = _fresh_figure(title, x_label, y_label, canvas)
    marks = [MARKERS[index] if len(series) <= len(MARKERS) else letter_of(index) for index in range(len(series))]
    for index, (mark, one) in enumerate(zip(marks, series, strict=True)):
        shown: Any = mark
        if canvas.colour:
            shown = plotext.marker(mark, plotext.pixel(_COLOURS[index % len(_COLOURS)]))
        figure.draw(figure.signal(list(one.x), list(one.y), marker=shown))
    text = _built(figure, canvas.colour)
    return (
        f"{text}\n{_legend([f'{mark} {one.label}' for mark, one in zip(marks, series, strict=True)], canvas.columns)}"
    )


def _stairs(front: Sequence[tuple[float, float]], points: Sequence[Curve]) -> list[tuple[float, float]]:
    """The edge of what the front beats: everything below and to the left of it."""
    corners = [(min(point.x[0] for point in points), front[0][1])]
    for (x, y), (_, below) in zip(front, [*front[1:], (0.0, min(point.y[0] for point in points))], strict=True):
        corners += [(x, y), (x, below)]
    return corners


def letter_of(index: int) -> str:
    """a … z, A … Z, then over again: one character per point."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return letters[index % len(letters)]


def heatmap(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Mapping[tuple[str, str], float | None],
    width: int,
    *,
    full: float,
    signs: Mapping[tuple[str, str], str] | None = None,
) -> str:
    """A table of numbers, each with a block whose shade grows from 0 to `full`, and its sign from `signs` behind it."""
    signs = signs or {}
    tail = 1 if any(signs.values()) else 0
    cells = {
        key: f"{shade(value, full)}{value:5.1f}{signs.get(key, ''):<{tail}}"
        for key, value in values.items()
        if value is not None
    }
    return grid(title, rows, columns, cells, width)


def grid(
    title: str, rows: Sequence[str], columns: Sequence[str], cells: Mapping[tuple[str, str], str], width: int
) -> str:
    """Cells by (row, column) under the columns' names, "-" where there is none; columns that do not fit stand below."""
    least = max([8, *map(len, cells.values())])
    # Rows may have what columns leave at their narrowest, and a third of the width in any case.
    names = dict(zip(rows, distinct(rows, max(16, width // 3, width - len(columns) * (least + 2))), strict=True))
    first = max(map(len, names.values()))
    size = max(least, min(max(map(len, columns)), (width - first) // max(1, len(columns)) - 2))
    fitting = max(1, (width - first) // (size + 2))
    headed = dict(zip(columns, distinct(columns, size), strict=True))
    parts = [title]
    for start in range(0, len(columns), fitting):
        shown = columns[start : start + fitting]
        parts.append(" " * first + "".join(f"  {headed[column]:>{size}}" for column in shown))
        for row in rows:
            line = (f"  {cells.get((row, column), '-'):>{size}}" for column in shown)
            parts.append(f"{names[row]:<{first}}" + "".join(line))
    return "\n".join(line.rstrip() for line in parts)


def shade(value: float, full: float) -> str:
    """Two blocks, the denser the nearer `value` is to `full`."""
    return _SHADES[heat(value, full)] * 2


def heat(value: float, full: float) -> int:
    """The shade as a step from 0 to 4."""
    return min(4, max(0, round(4 * value / full)))


def bar(item: Bar, full: float, room: int) -> str:
    """One bar `room` cells wide, its interval drawn over it."""
    if item.value is None:
        return " " * room
    eighths = round(8 * room * min(1.0, max(0.0, item.value / full)))
    cells = list("█" * (eighths // 8) + (_BLOCKS[eighths % 8] if eighths % 8 else ""))
    cells += [" "] * (room - len(cells))
    if item.low is not None and item.high is not None:
        low, high = (
            min(room - 1, max(0, round((room - 1) * min(1.0, max(0.0, end / full))))) for end in (item.low, item.high)
        )
        if high > low:
            for position in range(low + 1, high):
                cells[position] = "─"
            cells[low], cells[high] = "├", "┤"
    return "".join(cells[:room])


def axis(full: float, room: int) -> str:
    """What stands below bars `room` cells wide: 0, the half, the whole."""
    half = f"{full / 2:g}"
    return "0" + half.rjust(room // 2) + f"{full:g}".rjust(room - room // 2 - 1)


def _fresh_figure(title: str, x_label: str, y_label: str, canvas: Canvas) -> Any:
    """plotext's one figure, emptied and labelled."""
    import plotext

    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")  # the default paints a white sheet, whatever the terminal's background
    figure.plot_size(canvas.columns, canvas.lines)
    figure.title(title)
    figure.label(x_label, "x")
    figure.label(y_label, "y")
    return figure


def _built(figure: Any, colour: bool) -> str:
    text = str(figure.build().string(colorless=not colour))
    return "\n".join(line.rstrip() for line in text.splitlines())


def _legend(entries: Sequence[str], width: int) -> str:
    lines, current = [], ""
    for entry in entries:
        if current and len(current) + 3 + len(entry) > width:
            lines.append(current)
            current = ""
        current = f"{current}   {entry}" if current else entry
    return "\n".join([*lines, current])
