"""Lines of text that change one by one, and the small drawings in them: bars, sparklines, durations in coarse words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rich.cells import cell_len
from textual.content import Content
from textual.geometry import Region
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

_LEVELS = "▁▂▃▄▅▆▇█"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille character by row and column of the dot."""


class TextLines(Widget):
    """One line of text per line, cut with "…" where there is no room. Only lines that changed are drawn again."""

    DEFAULT_CSS = "TextLines { height: 0; }"

    def __init__(self, first: str = "", *, id: str | None = None) -> None:
        """`first` stands there until there is something to `put`."""
        super().__init__(id=id)
        self._lines = [Content(first)] if first else []
        self.styles.height = len(self._lines)

    def put(self, lines: Sequence[Content]) -> None:
        """Show these lines; the widget is as high as there are lines."""
        before, self._lines = self._lines, list(lines)
        if len(before) != len(lines):
            self.styles.height = len(lines)
            self.refresh(layout=True)
            return
        for place, (old, new) in enumerate(zip(before, lines, strict=True)):
            if not old.is_same(new):
                self.refresh(Region(0, place, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        line = self._lines[y].truncate(width, ellipsis=True)
        strips = Visual.to_strips(self, line, width, 1, self.visual_style, pad=True)
        return strips[0] if strips else Strip.blank(width, self.rich_style)


def joined(parts: Sequence[str], width: int) -> str:
    """The parts in a line of `width` cells; the last ones are left out where they would be cut, the first stands in any case."""
    between = "  ·  "
    count = max((n for n in range(1, len(parts) + 1) if cell_len(between.join(parts[:n])) <= width), default=1)
    return between.join(parts[:count])


def sparkline(values: Sequence[float], width: int, low: float, high: float) -> str:
    """`values` between `low` and `high` as blocks, at most `width` of them; what is no number is a "·"."""
    if len(values) > width:
        # The last of each stretch: where it stands now is the one value that must be told exactly.
        values = [values[(place + 1) * len(values) // width - 1] for place in range(width)]
    span = high - low
    return "".join(
        _LEVELS[max(0, min(7, int((value - low) / span * 8)))] if math.isfinite(value) and span > 0 else "·"
        for value in values
    )


def curve(values: Sequence[float], width: int, height: int, low: float, high: float) -> list[str]:
    """A line through `values`, one after another from left to right, in `height` lines of `width` characters: dots of braille,
    two beside and four above each other in a character. What is no number leaves a gap."""
    dots: list[list[int]] = [[0] * width for _ in range(height)]
    across, up = 2 * width, 4 * height

    def place(index: float, value: float) -> tuple[int, int]:
        x = 0 if len(values) < 2 else round(index / (len(values) - 1) * (across - 1))
        share = (value - low) / (high - low) if high > low else 0.0
        return x, (up - 1) - round(min(1.0, max(0.0, share)) * (up - 1))

    for index, value in enumerate(values):
        if not math.isfinite(value):
            continue
        before = values[index - 1] if index and math.isfinite(values[index - 1]) else value
        (x0, y0), (x1, y1) = place(index - 1 if before is not value else index, before), place(index, value)
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for step in range(steps + 1):
            x, y = round(x0 + (x1 - x0) * step / steps), round(y0 + (y1 - y0) * step / steps)
            dots[y // 4][x // 2] |= _DOTS[y % 4][x % 2]
    return ["".join(chr(0x2800 + cell) if cell else " " for cell in line) for line in dots]


def bar(share: float, width: int) -> str:
    """`share` of 1 as a bar of `width` cells."""
    filled = max(0, min(width, round(share * width)))
    return "█" * filled + "░" * (width - filled)


def coarse(seconds: float) -> str:
    """A duration in steps in which it need not be written anew each second: "15 s", "4 min", "2 h 10 min"."""
    if seconds < 55:
        return f"{max(5, 5 * round(seconds / 5))} s"
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {10 * (minutes % 60 // 10):02d} min"


def size(bytes_held: float) -> str:
    """Bytes in MiB or GiB."""
    return f"{bytes_held / 2**20:,.0f} MiB" if bytes_held < 2**30 else f"{bytes_held / 2**30:,.1f} GiB"
