"""Charts as text: pure functions from rows to a string, coloured or plain, that fit the width they are given.

plotext draws what has two axes; what needs its numbers beside it is in `whiskers`, `signed` and `cells`. plotext's figure is
global, so one chart is built at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.report.ticks import apart, around, label, ticks
from app.terminal.cells import cell_len
from app.terminal.characters import visible

MARKERS = "●◆▲■○◇△□×+*#"
ORDINARY = (6, 3, 2, 5, 4, 1)
"""Cyan, yellow, green, magenta, blue, red of the terminal's own sixteen: they can be seen on a light and on a dark background."""
COLOUR_BLIND = (74, 214, 36, 175, 227, 166)
"""As near as 256 colours come to those of Okabe and Ito (2008) that can be seen on black."""
MOST_CURVES = len(ORDINARY)
"""Curves in one chart: each has a colour of its own, and more would be a thicket."""
_BESIDE = 8
"""Columns that an axis and its labels take, roughly."""
_ROWS_A_MARK = 3
"""Of an axis that goes up: so many rows for each mark, at least."""
_COLUMNS_A_MARK = 12
_FINE = 2
"""Places for each column at which a band is drawn."""


@dataclass(frozen=True)
class Canvas:
    """What a chart is drawn on: characters across and down, and whether in colours."""

    columns: int
    lines: int
    colour: bool = False
    palette: tuple[int, ...] = ORDINARY
    """Of the terminal's 256 colours, for series one after another."""


@dataclass(frozen=True)
class Curve:
    """One labelled line through points (x ascending)."""

    label: str
    x: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Band:
    """What lies between `low` and `high` at each x (ascending), in the colour of the series at `place`."""

    x: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    place: int


def curves(
    title: str,
    lines: Sequence[Curve],
    *,
    x_label: str,
    y_label: str,
    y_limits: tuple[float, float] | None,
    x_ticks: Sequence[float],
    canvas: Canvas,
    legend: bool = True,
    band: Band | None = None,
) -> str:
    """Lines with a marker and a colour of their own each, and a legend below that also names them without colour.

    `x_ticks` (ascending) are what was measured at; where labels have no room some are left out. Without `legend` whoever
    shows the chart names the markers beside it. `band` is shaded behind the lines.
    """
    shown = [_finite(curve) for curve in lines[:MOST_CURVES]]
    figure = _fresh_figure(title, x_label, y_label, canvas)
    if band is not None:
        _shade(figure, band, canvas)
    for index, curve in enumerate(shown):
        if not curve.x:
            continue
        figure.draw(figure.signal(list(curve.x), list(curve.y), marker=_mark("braille", canvas, index)).lines())
        figure.draw(figure.signal(list(curve.x), list(curve.y), marker=_mark(MARKERS[index], canvas, index)))
    across = [x for curve in shown for x in curve.x]
    if len(set(across)) > 1:
        ends = min(across), max(across)
        _rule(
            figure, "x", ends, apart([x for x in x_ticks if ends[0] <= x <= ends[1]], *ends, canvas.columns - _BESIDE)
        )
    _rule(figure, "y", *_y_axis(y_limits, [y for curve in shown for y in curve.y], canvas))
    text = _built(figure, canvas)
    if not legend:
        return text
    named = _legend(
        [_coloured(f"{MARKERS[index]} {curve.label}", canvas, index) for index, curve in enumerate(shown)],
        canvas.columns,
    )
    if len(lines) > len(shown):
        named += f"\n({len(lines) - len(shown)} more left out; narrow the study down with --where)"
    return f"{text}\n{named}"


def _finite(curve: Curve) -> Curve:
    """Without what is no finite number, as the loss of a training that diverged: plotext's kernel ends the process over it."""
    points = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if math.isfinite(x) and math.isfinite(y)]
    return Curve(curve.label, tuple(x for x, _ in points), tuple(y for _, y in points))


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
        figure.draw(figure.signal(list(point.x), list(point.y), marker=_mark(letter_of(index), canvas, index)))
    _rule_round(figure, points, canvas)
    text = _built(figure, canvas)
    if not legend:
        return text
    stars = ["*" if index in front else "" for index in range(len(points))]
    named = [
        _coloured(f"{letter_of(index)}{star} {point.label}", canvas, index)
        for index, (star, point) in enumerate(zip(stars, points, strict=True))
    ]
    return f"{text}\n{_legend(named, canvas.columns)}"


def marked(title: str, series: Sequence[Curve], *, x_label: str, y_label: str, canvas: Canvas) -> str:
    """Points without lines, a marker for each series, explained below."""
    figure = _fresh_figure(title, x_label, y_label, canvas)
    marks = [MARKERS[index] if len(series) <= len(MARKERS) else letter_of(index) for index in range(len(series))]
    for index, (mark, one) in enumerate(zip(marks, series, strict=True)):
        figure.draw(figure.signal(list(one.x), list(one.y), marker=_mark(mark, canvas, index)))
    _rule_round(figure, series, canvas)
    named = [
        _coloured(f"{mark} {one.label}", canvas, index)
        for index, (mark, one) in enumerate(zip(marks, series, strict=True))
    ]
    return f"{_built(figure, canvas)}\n{_legend(named, canvas.columns)}"


def _shade(figure: Any, band: Band, canvas: Canvas) -> None:
    first, last, count = band.x[0], band.x[-1], _FINE * canvas.columns
    across = [first + (last - first) * place / (count - 1) for place in range(count)]
    ends = [
        figure.signal(across, [_between(x, band.x, side) for x in across], marker=_mark("░", canvas, band.place))
        for side in (band.high, band.low)
    ]
    figure.draw(ends[0].fill(ends[1]))


def _between(x: float, places: Sequence[float], values: Sequence[float]) -> float:
    """On the straight line between the two of `places` (ascending, one of them at or above `x`) that `x` lies between."""
    right = next(index for index, place in enumerate(places) if index and place >= x - 1e-12)
    share = (x - places[right - 1]) / (places[right] - places[right - 1])
    return values[right - 1] + share * (values[right] - values[right - 1])


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


def _fresh_figure(title: str, x_label: str, y_label: str, canvas: Canvas) -> Any:
    """plotext's one figure, emptied and labelled."""
    import plotext

    figure = plotext.figure
    figure.clear()
    figure.theme("colorless")  # the default paints a white sheet, whatever the terminal's background
    figure.plot_size(canvas.columns, canvas.lines)
    figure.title(visible(title, in_cell=True))
    figure.label(x_label, "x")
    figure.label(y_label, "y")
    return figure


def _mark(character: str, canvas: Canvas, index: int) -> Any:
    """A character in the colour of series `index`."""
    import plotext

    return plotext.marker(character, plotext.pixel(_hue(canvas, index))) if canvas.colour else character


def _hue(canvas: Canvas, index: int) -> int:
    return canvas.palette[index % len(canvas.palette)]


def _y_axis(
    given: tuple[float, float] | None, values: Sequence[float], canvas: Canvas
) -> tuple[tuple[float, float], list[float]]:
    """Its ends and what is marked: `given`, or round numbers around the values."""
    most = max(2, min(8, canvas.lines // _ROWS_A_MARK))
    if given is not None:
        return given, ticks(*given, most)
    marked = around(values, most)
    return (marked[0], marked[-1]), marked


def _rule_round(figure: Any, points: Sequence[Curve], canvas: Canvas) -> None:
    """Both axes between round numbers."""
    most = max(2, min(8, (canvas.columns - _BESIDE) // _COLUMNS_A_MARK))
    marked = around([x for point in points for x in point.x], most)
    _rule(figure, "x", (marked[0], marked[-1]), marked)
    _rule(figure, "y", *_y_axis(None, [y for point in points for y in point.y], canvas))


def _rule(figure: Any, side: str, ends: tuple[float, float], places: Sequence[float]) -> None:
    figure.ruler(side).lim(*ends)
    figure.ruler(side).ticks(list(places), [label(place) for place in places])


def _built(figure: Any, canvas: Canvas) -> str:
    text = str(figure.build().string(colorless=not canvas.colour))
    return "\n".join(line.rstrip() for line in text.splitlines())


def _coloured(text: str, canvas: Canvas, index: int) -> tuple[str, str]:
    """A series in a legend: as it reads, and as it is written."""
    text = visible(text, in_cell=True)
    return text, f"\x1b[38;5;{_hue(canvas, index)}m{text}\x1b[0m" if canvas.colour else text


def _legend(entries: Sequence[tuple[str, str]], width: int) -> str:
    lines: list[str] = []
    room = 0
    for text, written in entries:
        if lines and cell_len(text) + 3 <= room:
            lines[-1] += f"   {written}"
            room -= cell_len(text) + 3
        else:
            lines.append(written)
            room = width - cell_len(text)
    return "\n".join(lines)
