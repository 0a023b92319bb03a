"""What every list on the screens is made on: lines of which only those in sight are drawn, and the keys to move over them."""

from __future__ import annotations

from typing import ClassVar

from rich.style import Style
from textual.binding import Binding, BindingType
from textual.scroll_view import ScrollView


class Scrolled(ScrollView, can_focus=True, inherit_bindings=False):
    """By itself it moves by scrolling. A list with a cursor says with `position`, `length` and `move_to` what moves instead."""

    HEADINGS: ClassVar[int] = 0
    """Lines at the top that stay where they are, and count in `virtual_size`."""
    DEFAULT_CSS = """
    Scrolled { height: 1fr; scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1; background: $background; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "next row", show=False),
        Binding("up,k", "move(-1)", "row before", show=False),
        Binding("pagedown,ctrl+d", "move_page(1)", "page down", show=False),
        Binding("pageup,ctrl+u", "move_page(-1)", "page up", show=False),
        Binding("home,g", "move_to(0)", "first row", show=False),
        Binding("end,G", "move_to(-1)", "last row", show=False),
    ]

    @property
    def top(self) -> int:
        """The first line in sight."""
        return int(self.scroll_y)

    @property
    def room(self) -> int:
        """Lines that are in sight at a time."""
        return max(1, self.size.height - self.HEADINGS)

    @property
    def position(self) -> int:
        """Where one is: what moving counts from."""
        return self.top

    @property
    def length(self) -> int:
        """How many places there are to move to."""
        return self.virtual_size.height - self.HEADINGS

    def move_to(self, index: int) -> None:
        """Go there, or as near as there is a place."""
        self.scroll_to(y=max(0, min(index, self.max_scroll_y)), animate=False, immediate=True)

    def action_move(self, by: int) -> None:
        self.move_to(self.position + by)

    def action_move_page(self, by: int) -> None:
        self.move_to(self.position + by * max(1, self.room - 1))

    def action_move_to(self, index: int) -> None:
        """To a place, the last one where `index` is negative."""
        self.move_to(self.length - 1 if index < 0 else index)

    def into_sight(self, first: int, last: int) -> None:
        """Scroll as little as brings the lines from `first` to `last` into sight."""
        if first < self.top:
            self.scroll_to(y=first, animate=False)
        elif last >= self.top + self.room:
            self.scroll_to(y=last - self.room + 1, animate=False)

    def coloured(self, component: str, base: Style, *, chosen: bool) -> Style:
        """`base` in the colours of a component class; on the bar of the cursor they would not be legible."""
        return base if chosen and self.has_focus else base + self.get_component_rich_style(component, partial=True)
