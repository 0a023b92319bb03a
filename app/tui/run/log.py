"""Lines of a log, wrapped to the room there is, with a search through them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, Static

from app.tui.widgets.field import Field


class RunLog(ScrollView, can_focus=True):
    """`show` it lines; `search` marks what it finds, `to_match` goes through it; with `follow` the end stays in sight."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"runlog--match", "runlog--here", "runlog--time"}
    DEFAULT_CSS = """
    RunLog { height: 1fr; scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1; background: $background; }
    RunLog > .runlog--match { color: $accent; text-style: bold underline; }
    RunLog > .runlog--here { color: $background; background: $accent; text-style: bold; }
    RunLog > .runlog--time { color: $foreground 65%; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "scroll_by(1)", "down", show=False),
        Binding("up,k", "scroll_by(-1)", "up", show=False),
        Binding("home,g", "scroll_home", "first line", show=False),
        Binding("end,G", "scroll_end", "last line", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: tuple[str, ...] = ()
        self._shown: list[str] = []
        self._needle = ""
        self._matches: list[tuple[int, int]] = []
        """(line shown, column) of each."""
        self._here = 0
        self.follow = False

    def show(self, lines: Sequence[str]) -> None:
        """Take in the lines; those that are known already are not drawn again."""
        if tuple(lines) != self._lines:
            self._lines = tuple(lines)
            self._wrap()

    def search(self, text: str) -> None:
        """Mark every occurrence, upper or lower case, and go to the first; "" ends the search."""
        self._needle, self._here = text.lower(), 0
        self._find()
        self.to_match(0)

    def to_match(self, by: int) -> None:
        """Go on by so many matches, round and round."""
        if self._matches:
            self._here = (self._here + by) % len(self._matches)
            line = self._matches[self._here][0]
            top, room = int(self.scroll_y), max(1, self.size.height)
            if not top <= line < top + room:
                self.scroll_to(y=max(0, line - room // 2), animate=False)
        self.refresh()

    @property
    def found(self) -> str:
        """How far the search is, in words; "" without one."""
        if not self._needle:
            return ""
        if not self._matches:
            return f"no match for {self._needle!r}"
        return f"match {self._here + 1} of {len(self._matches)}"

    def action_scroll_by(self, by: int) -> None:
        self.scroll_to(y=self.scroll_y + by, animate=False)

    def action_scroll_home(self) -> None:
        self.scroll_home(animate=False)

    def action_scroll_end(self) -> None:
        self.scroll_end(animate=False)

    def on_resize(self) -> None:
        self._wrap()

    def _wrap(self) -> None:
        width = max(20, self.size.width - 1)
        self._shown = [
            part
            for line in self._lines
            for part in textwrap.wrap(line, width, subsequent_indent=" " * 21, break_on_hyphens=False) or [""]
        ]
        self.virtual_size = Size(self.size.width, len(self._shown))
        self._find()
        if self.follow:
            self.scroll_end(animate=False)
        self.refresh()

    def _find(self) -> None:
        self._matches = []
        for number, line in enumerate(self._shown):
            at = line.lower().find(self._needle) if self._needle else -1
            while at >= 0:
                self._matches.append((number, at))
                at = line.lower().find(self._needle, at + len(self._needle))
        self._here = min(self._here, max(0, len(self._matches) - 1))

    def render_line(self, y: int) -> Strip:
        width, number = self.size.width, int(self.scroll_y) + y
        base = self.rich_style
        if number >= len(self._shown):
            return Strip.blank(width, base)
        line, segments, at = self._shown[number], [], 0
        for index, (where, column) in enumerate(self._matches):
            if where == number:
                name = "runlog--here" if index == self._here else "runlog--match"
                segments.append(Segment(line[at:column], base))
                at = column + len(self._needle)
                segments.append(Segment(line[column:at], base + self.get_component_rich_style(name, partial=True)))
        if not segments and line[:4].isdigit():  # the time stands back behind what happened then
            segments.append(Segment(line[:19], base + self.get_component_rich_style("runlog--time", partial=True)))
            at = 19
        segments.append(Segment(line[at:], base))
        return Strip(segments).adjust_cell_length(width, base)


class LogPane(Vertical):
    """A RunLog with a line above that says how far one is, and a field to search with."""

    DEFAULT_CSS = """
    LogPane #log-about { height: 1; color: $foreground 75%; text-wrap: nowrap; text-overflow: ellipsis; }
    LogPane #search { border: none; height: 1; padding: 0; background: $panel; display: none; }
    LogPane #search.open { display: block; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._count = 0
        self._nothing = ""
        self._told = ""

    def compose(self) -> ComposeResult:
        yield Static("", id="log-about")
        yield Field(id="search", placeholder="search the log", select_on_focus=False)
        yield RunLog(id="log")

    @property
    def view(self) -> RunLog:
        return self.query_one(RunLog)

    @property
    def _field(self) -> Field:
        return self.query_one(Field)

    @property
    def searching(self) -> bool:
        """Whether the field to type into is open."""
        return self._field.has_class("open")

    def show(self, lines: Sequence[str], nothing: str) -> None:
        """Take in the lines; without any, `nothing` says why."""
        self._count, self._nothing = len(lines), nothing
        self.view.show(lines)
        self.tell()

    def open_search(self) -> None:
        self._field.add_class("open")
        self._field.focus()

    def close_search(self, *, keep: bool) -> None:
        """Leave the field; what was searched for stays marked with `keep`."""
        if not keep:
            self._field.value = ""
            self.view.search("")
        self._field.remove_class("open")
        self.tell()

    def go_on(self, by: int) -> None:
        """To another match."""
        self.view.to_match(by)
        self.tell()

    def follow(self, on: bool) -> None:
        """Keep the end in sight, or let go of it."""
        self.view.follow = on
        if on:
            self.view.scroll_end(animate=False)
        self.tell()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.view.search(event.value)
        self.tell()

    def tell(self) -> None:
        """The line above, drawn again only when it says something else."""
        view = self.view
        parts = [f"{self._count} lines", "following the end (F)" if view.follow else "not following (F)"]
        parts.append(f"{view.found}, n next, N before" if view.found else "/ searches")
        text = "  ·  ".join(parts) if self._count else self._nothing
        if text != self._told:
            self._told = text
            self.query_one("#log-about", Static).update(Content(text))
