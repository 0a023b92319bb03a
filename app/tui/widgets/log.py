"""A log: lines, long ones over several rows, that are scrolled, followed as they grow, and searched. Where they come from
is for the screen to know."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip

from app.tui.widgets.scrolled import Scrolled

_KEPT = 20_000
"""Lines kept; the oldest are let go."""


@dataclass(frozen=True)
class LogLine:
    """`text` as it is shown and searched; `bad`: it tells of an error."""

    text: str
    bad: bool = False


@dataclass(frozen=True)
class Stretch:
    """What one row of the screen shows: cells `start` to `end` of a line."""

    line: int
    start: int
    end: int


def wrapped(line: str, number: int, width: int, indent: int) -> list[Stretch]:
    """The rows of `width` cells that a line takes, cut between words where there are any; the ones after the first are set
    in by `indent` cells."""
    rows: list[Stretch] = []
    cells, start = cell_len(line), 0
    simple = cells == len(line)  # every character as wide as a cell
    while not rows or start < cells:
        end = start + max(1, width if not rows else width - indent)
        if simple and end < cells:
            space = line.rfind(" ", start + indent, end + 1)
            end = space + 1 if space > 0 else end
        rows.append(Stretch(number, start, end))
        start = end
    return rows


class LogView(Scrolled):
    """`show` it lines, `add` more. `following`: new lines are scrolled to; scrolling up ends that, the end key takes it up
    again. `indent`: cells by which the further rows of a long line are set in, as wide as the time."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--match", "log--here", "log--error"}
    DEFAULT_CSS = """
    LogView { overflow-y: scroll; }
    LogView > .log--match { background: $warning; color: $background; }
    LogView > .log--here { background: $primary; color: $background; text-style: bold underline; }
    LogView > .log--error { color: $error; }
    """

    class Changed(Message):
        """Following, search or number of lines changed."""

    def __init__(self, *, indent: int, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[LogLine] = []
        self.following = True
        self.sought = ""
        self.matches: list[int] = []
        """Numbers of the lines with what is sought."""
        self.match: int | None = None
        """Which of `matches` one stands on."""
        self._indent = indent
        self._rows: list[Stretch] = []
        self._wrapped_at = 0

    # --- what the screen says ---

    def show(self, lines: Sequence[LogLine]) -> None:
        """Other lines; where they only go on from those that are here, these stay as they are."""
        known = len(self.lines)
        if list(lines[:known]) == self.lines:
            self.add(lines[known:])
        else:
            self.lines = list(lines)
            self._taken(anew=True)

    def add(self, lines: Sequence[LogLine]) -> None:
        """More lines."""
        if lines:
            self.lines += lines
            self._taken(anew=False)

    def seek(self, text: str) -> None:
        """Search for `text`, whatever its case; "" ends the search."""
        if text != self.sought:
            self.sought, self.match = text, None
            self._search_again()
            self.refresh()
            self.post_message(self.Changed())

    def step(self, by: int) -> None:
        """To the next match, or the one before, around the ends. The first step of a search goes to the last match: what
        happened last is what one looks for in a log."""
        if self.matches:
            self.go_to(len(self.matches) - 1 if self.match is None else (self.match + by) % len(self.matches))

    def go_to(self, match: int) -> None:
        """To one of `matches`."""
        self.match = match
        line = self.matches[match]
        row = next((number for number, stretch in enumerate(self._rows) if stretch.line == line), 0)
        self._follow(False)
        if not self.top <= row < self.top + self.room:
            self.scroll_to(y=max(0, row - self.room // 2), animate=False, immediate=True)
        self.refresh()
        self.post_message(self.Changed())

    def follow(self, on: bool) -> None:
        """Go with the log, or stay."""
        self._follow(on)
        if on:
            self._show_end()

    # --- moving ---

    def move_to(self, index: int) -> None:
        end, before = int(self.max_scroll_y), self.top
        super().move_to(index)
        self._follow(index >= end and (index >= before or end == 0))

    def on_mouse_scroll_up(self) -> None:
        self._follow(False)

    def on_resize(self) -> None:
        if self._width != self._wrapped_at:
            self._wrap(anew=True)
        if self.following:
            self._show_end()

    @property
    def _width(self) -> int:
        """Cells of a row, beside the scrollbar."""
        return self.scrollable_content_region.width

    def _follow(self, on: bool) -> None:
        if on != self.following:
            self.following = on
            self.post_message(self.Changed())

    def _show_end(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)

    def _taken(self, *, anew: bool) -> None:
        """Lay out and draw what has come; `anew`: the lines before it are others too."""
        before, gone = len(self._rows), max(0, len(self.lines) - _KEPT)
        del self.lines[:gone]
        if anew or gone:
            self.match = None  # lines have other numbers now
            self._wrap(anew=True)
            self.refresh()
        else:
            self._wrap()
            top = before - self.top
            if top < self.size.height:  # what is in sight already stays as it is
                self.refresh(Region(0, max(0, top), self.size.width, self.size.height))
        self._search_again()
        if self.following:
            self._show_end()
        self.post_message(self.Changed())

    def _wrap(self, *, anew: bool = False) -> None:
        """Lay the lines out in rows: all of them, or only those that have none yet."""
        width = self._width
        if anew:
            self._rows, self._wrapped_at = [], width
        if not width:  # not on the screen yet
            return
        done = self._rows[-1].line + 1 if self._rows else 0
        for number in range(done, len(self.lines)):
            self._rows += wrapped(self.lines[number].text, number, width, self._indent)
        self.virtual_size = Size(width, len(self._rows))

    def _search_again(self) -> None:
        here = self.matches[self.match] if self.match is not None and self.match < len(self.matches) else None
        sought = self.sought.lower()
        self.matches = (
            [number for number, line in enumerate(self.lines) if sought in line.text.lower()] if sought else []
        )
        self.match = self.matches.index(here) if here is not None and here in self.matches else None

    # --- drawing ---

    def render_line(self, y: int) -> Strip:
        width, row = self._width, self.top + y
        if row >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        stretch = self._rows[row]
        line = self.lines[stretch.line]
        error = self.get_component_rich_style("log--error", partial=True)
        base = self.rich_style + error if line.bad else self.rich_style
        strip = Strip(self._segments(stretch.line, base)).crop(stretch.start, stretch.end)
        if stretch.start:
            strip = Strip([Segment(" " * self._indent, base), *strip])
        return strip.adjust_cell_length(width, base)

    def _segments(self, number: int, base: Style) -> Iterator[Segment]:
        """A line in its colours, whatever its length."""
        line, start = self.lines[number].text, 0
        here = self.match is not None and self.matches[self.match] == number
        found = self.get_component_rich_style("log--here" if here else "log--match")
        for match in re.finditer(re.escape(self.sought), line, re.IGNORECASE) if self.sought else ():
            yield Segment(line[start : match.start()], base)
            yield Segment(match.group(), found)
            start = match.end()
        yield Segment(line[start:], base)
