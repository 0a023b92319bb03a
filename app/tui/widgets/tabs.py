"""The line of tabs of a screen that shows one thing in several ways."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget


class TabLine(Widget):
    """The names side by side, the one in front in brackets, so that it can be told without colour; click to change."""

    DEFAULT_CSS = "TabLine { height: 1; background: $surface; }"

    class Chosen(Message):
        """A name was clicked."""

        def __init__(self, index: int) -> None:
            super().__init__()
            self.index = index

    def __init__(self, names: Sequence[str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._names = tuple(names)
        self._front = 0

    def show(self, index: int) -> None:
        """Put a name in front."""
        if index != self._front:
            self._front = index
            self.refresh()

    def render(self) -> Content:
        return Content.assemble(
            *(
                (f"[{name}]", "bold $accent") if index == self._front else (f" {name} ", "$foreground 85%")
                for index, name in enumerate(self._names)
            )
        )

    def on_click(self, event: events.Click) -> None:
        left = 0
        for index, name in enumerate(self._names):
            width = cell_len(name) + 2
            if left <= event.x < left + width:
                self.post_message(self.Chosen(index))
            left += width
