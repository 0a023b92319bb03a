"""The worker's log: read on as it grows, scrolled, followed, searched."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

_TAIL = 1 << 18
"""Bytes read from the end of a log that is opened: some two or three thousand lines."""
_STEP = 1 << 20
"""Bytes read at most in one go after that; what is more comes with the next look."""
_KEPT = 20_000
"""Lines kept; the oldest are let go."""
_INDENT = 9
"""Cells by which the further rows of a long line are set in: as wide as the time."""
_LINE = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d),\d+ (\w+) (.*)", re.DOTALL)


@dataclass(frozen=True)
class Place:
    """How far a log has been read: of which file, up to which byte."""

    inode: int
    offset: int


@dataclass(frozen=True)
class Piece:
    """What a look at the log brings: whole lines, and where to go on. `fresh`: they replace what was there."""

    lines: Sequence[str]
    place: Place
    fresh: bool


def read_on(path: Path, place: Place | None) -> Piece | None:
    """The lines since `place`, or the end of the log where there is no place or the log was rotated; None without a log."""
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            fresh = place is None or place.inode != status.st_ino or place.offset > status.st_size
            start = max(0, status.st_size - _TAIL) if fresh or place is None else place.offset
            stream.seek(start)
            data = stream.read(_STEP)
    except OSError:
        return None
    end = data.rfind(b"\n") + 1  # the last line may still be being written
    text = data[:end].decode("utf-8", errors="replace")
    lines = text.split("\n")[:-1]
    if fresh and start and lines:
        lines = lines[1:]  # begun in the middle
    return Piece(lines, Place(status.st_ino, start + end), fresh)


def shown_line(line: str, today: str) -> str:
    """A line of the log without what is the same in all: "03:10:12 …", the day where it is not today's, "ERROR" if so."""
    match = _LINE.fullmatch(line)
    if match is None:
        return line.expandtabs(4)
    day, clock, level, text = match.groups()
    when = clock if day == today else f"{day[5:]} {clock[:5]}"
    return f"{when} {'' if level == 'INFO' else level + ' '}{text}".expandtabs(4)


@dataclass(frozen=True)
class Stretch:
    """What one row of the screen shows: cells `start` to `end` of a line."""

    line: int
    start: int
    end: int


def wrapped(line: str, number: int, width: int) -> list[Stretch]:
    """The rows that a line takes, cut between words where there are any; the ones after the first are set in."""
    rows: list[Stretch] = []
    cells, start = cell_len(line), 0
    simple = cells == len(line)  # every character as wide as a cell
    while not rows or start < cells:
        end = start + max(1, width if not rows else width - _INDENT)
        if simple and end < cells:
            space = line.rfind(" ", start + _INDENT, end + 1)
            end = space + 1 if space > 0 else end
        rows.append(Stretch(number, start, end))
        start = end
    return rows


class LogView(ScrollView, can_focus=True):
    """Lines of a log, long ones over several rows. `following`: new lines are scrolled to; scrolling up ends that, the end
    key takes it up again."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"log--match", "log--here", "log--error"}
    DEFAULT_CSS = """
    LogView { height: 1fr; overflow-y: scroll; scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1;
        background: $background; }
    LogView > .log--match { background: $warning; color: $background; }
    LogView > .log--here { background: $primary; color: $background; text-style: bold underline; }
    LogView > .log--error { color: $error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "by(1)", "line down", show=False),
        Binding("up,k", "by(-1)", "line up", show=False),
        Binding("pagedown,ctrl+d", "by_page(1)", "page down", show=False),
        Binding("pageup,ctrl+u", "by_page(-1)", "page up", show=False),
        Binding("home,g", "top", "first line", show=False),
        Binding("end,G", "bottom", "last line", show=False),
    ]

    class Changed(Message):
        """Following, search or number of lines changed."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[str] = []
        self.following = True
        self.sought = ""
        self.matches: list[int] = []
        """Numbers of the lines with what is sought."""
        self.match: int | None = None
        """Which of `matches` one stands on."""
        self._rows: list[Stretch] = []
        self._wrapped_at = 0

    # --- what the screen says ---

    def take(self, piece: Piece) -> None:
        """New lines, or others."""
        if not piece.fresh and not piece.lines:
            return
        today = datetime.date.today().isoformat()
        added = [shown_line(line, today) for line in piece.lines]
        before = len(self._rows)
        self.lines = added if piece.fresh else self.lines + added
        gone = max(0, len(self.lines) - _KEPT)
        del self.lines[:gone]
        if piece.fresh or gone:
            self.match = None  # lines have other numbers now
            self._wrap(anew=True)
            self.refresh()
        else:
            self._wrap()
            top = before - int(self.scroll_y)
            if top < self.size.height:  # what is in sight already stays as it is
                self.refresh(Region(0, max(0, top), self.size.width, self.size.height))
        self._search_again()
        if self.following:
            self._show_end()
        self.post_message(self.Changed())

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
        if not self.matches:
            return
        self.match = len(self.matches) - 1 if self.match is None else (self.match + by) % len(self.matches)
        line = self.matches[self.match]
        row = next(number for number, stretch in enumerate(self._rows) if stretch.line == line)
        self._follow(False)
        top, room = int(self.scroll_y), max(1, self.size.height)
        if not top <= row < top + room:
            self.scroll_to(y=max(0, row - room // 2), animate=False, immediate=True)
        self.refresh()
        self.post_message(self.Changed())

    def follow(self, on: bool) -> None:
        """Go with the log, or stay."""
        self._follow(on)
        if on:
            self._show_end()

    # --- moving ---

    def action_by(self, rows: int) -> None:
        end = self.max_scroll_y
        to = max(0, min(end, int(self.scroll_y) + rows))
        self.scroll_to(y=to, animate=False, immediate=True)
        self._follow(to >= end and (rows > 0 or end == 0))

    def action_by_page(self, pages: int) -> None:
        self.action_by(pages * max(1, self.size.height - 1))

    def action_top(self) -> None:
        self.action_by(-len(self._rows))

    def action_bottom(self) -> None:
        self.follow(True)

    def on_mouse_scroll_up(self) -> None:
        self._follow(False)

    def on_resize(self) -> None:
        if self._room != self._wrapped_at:
            self._wrap(anew=True)
        if self.following:
            self._show_end()

    @property
    def _room(self) -> int:
        """Cells of a row, beside the scrollbar."""
        return self.scrollable_content_region.width

    def _follow(self, on: bool) -> None:
        if on != self.following:
            self.following = on
            self.post_message(self.Changed())

    def _show_end(self) -> None:
        self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True)

    def _wrap(self, *, anew: bool = False) -> None:
        """Lay the lines out in rows: all of them, or only those that have none yet."""
        width = self._room
        if anew:
            self._rows, self._wrapped_at = [], width
        done = self._rows[-1].line + 1 if self._rows else 0
        for number in range(done, len(self.lines)):
            self._rows += wrapped(self.lines[number], number, width)
        self.virtual_size = Size(width, len(self._rows))

    def _search_again(self) -> None:
        here = self.matches[self.match] if self.match is not None and self.match < len(self.matches) else None
        sought = self.sought.lower()
        self.matches = [number for number, line in enumerate(self.lines) if sought in line.lower()] if sought else []
        self.match = self.matches.index(here) if here is not None and here in self.matches else None

    # --- drawing ---

    def render_line(self, y: int) -> Strip:
        width, row = self._room, int(self.scroll_y) + y
        if row >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        stretch = self._rows[row]
        line = self.lines[stretch.line]
        bad = re.match(r"\S+ (\S+ )?(ERROR|CRITICAL) ", line) is not None
        base = self.rich_style + self.get_component_rich_style("log--error", partial=True) if bad else self.rich_style
        here = self.match is not None and self.matches[self.match] == stretch.line
        found = self.get_component_rich_style("log--here" if here else "log--match")
        segments, start = [], 0
        for match in re.finditer(re.escape(self.sought), line, re.IGNORECASE) if self.sought else ():
            segments += [Segment(line[start : match.start()], base), Segment(match.group(), found)]
            start = match.end()
        segments.append(Segment(line[start:], base))
        strip = Strip(segments).crop(stretch.start, stretch.end)
        if stretch.start:
            strip = Strip([Segment(" " * _INDENT, base), *strip])
        return strip.adjust_cell_length(width, base)


def cut(text: str, width: int) -> str:
    """`text` in `width` cells, with "…" where it had to be cut."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"
