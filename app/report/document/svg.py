"""Charts as SVG to stand within a page: points with whiskers, curves, heat tables. Pure functions from blocks to text.

Nothing is fetched and nothing runs. Colours are classes and the text's own colour, so that the page's style decides for light,
dark and print. Every mark says its numbers in a <title>.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence

from app.report.document.record import Curve, Curves, Heat, Points
from app.report.text import distinct
from app.report.ticks import ticks
from app.report.whiskers import Whisker
from app.terminal.characters import visible

COLOURS = 8
"""Classes c0 … c7; beyond them lines repeat the colours with other dashes."""
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_CHARACTER = 7.3
"""Width of a character at the font size of a chart, in pixels; a little more than it mostly is."""
_ROW = 22
_WIDTH = 760
_NAMES = 40
"""Characters that a label has room for."""


def points(block: Points) -> str:
    """A line for each value: label, whiskers on a common axis, the numbers behind."""
    everything = [item for _, items in block.groups for item in items]
    low, high = _limits(everything, signed=block.signed)
    named = [(heading, items, distinct([item.label for item in items], _NAMES)) for heading, items in block.groups]
    left = 12 + _CHARACTER * max((len(name) for _, _, names in named for name in names), default=8)
    right = 14 + _CHARACTER * max((len(_said(item, signed=block.signed)) for item in everything), default=8)
    room = max(160.0, _WIDTH - left - right)

    def x(value: float) -> float:
        return left + room * (min(high, max(low, value)) - low) / (high - low)

    marks: list[str] = []
    top = 8.0
    for heading, items, names in named:
        if heading:
            marks.append(_text(4, top + 14, heading, "strong"))
            top += _ROW
        for item, name in zip(items, names, strict=True):
            marks += _whisker(item, name, top + _ROW / 2, x, left, left + room + 10, signed=block.signed)
            top += _ROW
    marked = ticks(low, high)
    grid = [_line(x(at), 6, x(at), top + 2, "axis" if at == 0 else "grid") for at in marked]
    labels = [
        _text(x(at), top + 16, f"{at:+g}" if block.signed and at else f"{at:g}", "small", "middle") for at in marked
    ]
    labels.append(_text(left + room / 2, top + 32, block.axis, "small", "middle"))
    return _svg(left + room + right, top + 40, block.caption, [*grid, *marks, *labels])


def _whisker(
    item: Whisker, name: str, y: float, x: Callable[[float], float], left: float, behind: float, *, signed: bool
) -> list[str]:
    said = _said(item, signed=signed)
    marks = [_text(left - 8, y + 4, name, "", "end", item.label), _text(behind, y + 4, said, "small")]
    if item.value is None:
        return marks
    if item.low is not None and item.high is not None:
        low, high = x(item.low), x(item.high)
        marks.append(_line(low, y, high, y, "whisker"))
        marks += [_line(end, y - 4, end, y + 4, "whisker") for end in (low, high)]
    title = f"<title>{escaped(f'{item.label}: {said}')}</title>"
    marks.append(f'<circle class="c0" cx="{x(item.value):.1f}" cy="{y:.1f}" r="4">{title}</circle>')
    return marks


def _said(item: Whisker, *, signed: bool) -> str:
    if item.value is None:
        return f"- {item.note}".rstrip()
    sign = "+" if signed else ""
    ends = "" if item.low is None or item.high is None else f" [{item.low:{sign}.1f}, {item.high:{sign}.1f}]"
    return f"{item.value:{sign}.1f}{ends} {item.note}".rstrip()


def _limits(items: Sequence[Whisker], *, signed: bool) -> tuple[float, float]:
    """0 to 100; differences as far to either side as the farthest reaches."""
    if not signed:
        return 0.0, 100.0
    ends = [abs(end) for item in items for end in (item.value, item.low, item.high) if end is not None]
    farthest = max([1.0, *ends])
    return -farthest, farthest


def curves(block: Curves) -> str:
    """Panels two beside each other (one fills the width), and one legend for all."""
    single = len(block.panels) == 1
    across = 1 if single else 2
    width, height = (_WIDTH / across, 320.0 if single else 230.0)
    highest = max((x for _, lines in block.panels for curve in lines for x in curve.x), default=1.0) or 1.0
    labels = list(dict.fromkeys(curve.label for _, lines in block.panels for curve in lines))
    styles = {label: _style(number) for number, label in enumerate(labels)}
    colours = {label: f'class="band c{number % COLOURS}"' for number, label in enumerate(labels)}
    marks: list[str] = []
    for number, (title, lines) in enumerate(block.panels):
        corner = (number % across) * width, (number // across) * height
        marks += _panel(block, title, lines, styles, colours, highest, corner, (width, height))
    top = math.ceil(len(block.panels) / across) * height + 6
    legend, bottom = _legend(labels, styles, top)
    return _svg(_WIDTH, bottom, block.caption, [*marks, *legend])


def _panel(
    block: Curves,
    title: str,
    lines: Sequence[Curve],
    styles: Mapping[str, str],
    colours: Mapping[str, str],
    highest: float,
    corner: tuple[float, float],
    size: tuple[float, float],
) -> list[str]:
    left, top = corner[0] + 46, corner[1] + 26
    room, depth = size[0] - 62, size[1] - 72

    def x(value: float) -> float:
        return left + room * value / highest

    def y(value: float) -> float:
        return top + depth * (1 - min(100.0, max(0.0, value)) / 100.0)

    marks = [_text(left + room / 2, top - 10, title, "strong", "middle")] if title else []
    for share in (0, 25, 50, 75, 100):
        marks.append(_line(left, y(share), left + room, y(share), "grid"))
        marks.append(_text(left - 6, y(share) + 4, str(share), "small", "end"))
    for at in ticks(0.0, highest):
        marks += [_line(x(at), top + depth, x(at), top + depth + 4, "axis")]
        marks.append(_text(x(at), top + depth + 17, f"{at:g}", "small", "middle"))
    marks += [_line(left, top + depth, left + room, top + depth, "axis"), _line(left, top, left, top + depth, "axis")]
    marks.append(_text(left + room / 2, top + depth + 34, block.x_label, "small", "middle"))
    turned = f' transform="rotate(-90 {left - 34:.1f} {top + depth / 2:.1f})"'
    marks.append(_text(left - 34, top + depth / 2, block.y_label, "small", "middle", turned=turned))
    for curve in lines:
        around = [
            (x(at), y(low), y(high))
            for at, low, high in zip(curve.x, curve.low, curve.high, strict=True)
            if low is not None and high is not None
        ]
        ends = [(at, low) for at, low, _ in around] + [(at, high) for at, _, high in reversed(around)]
        if len(around) > 1:
            marks.append(f'<polygon {colours[curve.label]} points="{_path(ends)}"/>')
    for curve in lines:
        said = ", ".join(f"{at:g}: {value:.1f}" for at, value in zip(curve.x, curve.y, strict=True))
        path = _path([(x(at), y(value)) for at, value in zip(curve.x, curve.y, strict=True)])
        name = escaped(" ".join(part for part in (title, curve.label) if part))
        marks.append(
            f'<polyline {styles[curve.label]} points="{path}"><title>{name}: {escaped(said)}</title></polyline>'
        )
    return marks


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _style(number: int) -> str:
    dashes = _DASHES[number // COLOURS % len(_DASHES)]
    return f'class="line l{number % COLOURS}"' + (f' stroke-dasharray="{dashes}"' if dashes else "")


def _legend(labels: Sequence[str], styles: Mapping[str, str], top: float) -> tuple[list[str], float]:
    """Its marks, and where it ends."""
    marks: list[str] = []
    x, y = 12.0, top + 10
    for label in labels:
        length = 40 + _CHARACTER * len(label)
        if x > 12 and x + length > _WIDTH:
            x, y = 12.0, y + 20
        marks.append(f'<polyline {styles[label]} points="{x:.1f},{y:.1f} {x + 22:.1f},{y:.1f}"/>')
        marks.append(_text(x + 28, y + 4, label))
        x += length
    return marks, y + 14


def heat(block: Heat) -> str:
    """A cell for each pair, the darker the nearer to 100, with its number in it."""
    left = 14 + _CHARACTER * max((len(name) for name in (*block.rows, block.corner)), default=8)
    wanted = max((_CHARACTER * len(name) + 14 for name in block.columns), default=64.0)
    room = max(64.0, min(wanted, (_WIDTH - left) / max(1, len(block.columns))))
    heads = distinct(block.columns, int((room - 8) / _CHARACTER))
    marks = [_text(left - 10, 20, block.corner, "small", "end")]
    for place, (column, head) in enumerate(zip(block.columns, heads, strict=True)):
        marks.append(_text(left + room * (place + 0.5), 20, head, "small", "middle", column))
    for line, row in enumerate(block.rows):
        top = 28.0 + 28 * line
        marks.append(_text(left - 10, top + 18, row, "", "end"))
        for place, column in enumerate(block.columns):
            value = block.values.get((row, column))
            at = left + room * place
            said = "-" if value is None else f"{value:.1f}{block.signs.get((row, column), '')}"
            share = 0.0 if value is None else min(1.0, max(0.0, value / 100.0))
            title = f"<title>{escaped(f'{row}, {column}: {said}')}</title>"
            marks.append(
                f'<rect class="heat" x="{at:.1f}" y="{top:.1f}" width="{room - 2:.1f}" height="26" '
                f'fill-opacity="{0.06 + 0.74 * share:.2f}">{title}</rect>'
            )
            marks.append(_text(at + room / 2 - 1, top + 17, said, "on" if share > 0.72 else "", "middle"))
    return _svg(left + room * len(block.columns), 34.0 + 28 * len(block.rows), block.caption, marks)


def escaped(text: str) -> str:
    """For text and attributes; characters that XML does not know, or that would turn the line, are written out."""
    return html.escape(visible(text))


def _svg(width: float, height: float, caption: str, marks: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" role="img" '
        f'width="{width:.0f}" height="{height:.0f}" aria-label="{escaped(caption)}">'
    )
    return "\n".join([head, *marks, "</svg>"])


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(
    x: float, y: float, words: str, kind: str = "", anchor: str = "start", whole: str | None = None, *, turned: str = ""
) -> str:
    """`whole` is told to whoever points at words that may be cut."""
    title = f"<title>{escaped(whole)}</title>" if whole is not None and whole != words else ""
    classed = f' class="{kind}"' if kind else ""
    return f'<text{classed} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{turned}>{escaped(words)}{title}</text>'
