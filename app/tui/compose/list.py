"""A list of rows to move over, each of one line or more, with what is written in it coloured by meaning."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

Span = tuple[str, str]
"""Text and its colour: "", "dim", "good", "bad", "accent" or "strong"."""
Line = tuple[Span, ...]


@dataclass(frozen=True)
class Row:
    """`key` says which row it is when the rows are given anew."""

    key: Hashable
    lines: tuple[Line, ...]


class RowList(ScrollView, can_focus=True, inherit_bindings=False):
    """`show` gives it rows; the cursor stays on the row whose key it stood on."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--cursor", "rows--dim", "rows--good", "rows--bad", "rows--accent", "rows--strong",
    }  # fmt: skip
    DEFAULT_CSS = """
    RowList { height: 1fr; scrollbar-size-horizontal: 0; scrollbar-size-vertical: 1; background: $background;
        overflow-x: hidden; }
    RowList > .rows--cursor { background: $panel; text-style: bold; }
    RowList:focus > .rows--cursor { background: $primary; color: $background; text-style: bold; }
    RowList > .rows--dim { color: $foreground 65%; }
    RowList > .rows--good { color: $success; }
    RowList > .rows--bad { color: $error; text-style: bold; }
    RowList > .rows--accent { color: $accent; text-style: bold; }
    RowList > .rows--strong { text-style: bold; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "next row", show=False),
        Binding("up,k", "move(-1)", "row before", show=False),
        Binding("pagedown,ctrl+d", "move_page(1)", "page down", show=False),
        Binding("pageup,ctrl+u", "move_page(-1)", "page up", show=False),
        Binding("home,g", "move_to(0)", "first row", show=False),
        Binding("end,G", "move_to(-1)", "last row", show=False),
    ]

    class Moved(Message):
        """The cursor stands on another row, called `key`."""

        def __init__(self, rows: RowList) -> None:
            super().__init__()
            self.rows, self.key = rows, rows.key

        @property
        def control(self) -> RowList:
            return self.rows

    class Resized(Message):
        """There is another width to fill."""

    class Clicked(Message):
        """A row was clicked, so that the cursor stands on it: in which column, and whether twice."""

        def __init__(self, rows: RowList, x: int, *, twice: bool) -> None:
            super().__init__()
            self.rows, self.x, self.twice = rows, x, twice

        @property
        def control(self) -> RowList:
            return self.rows

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[Row, ...] = ()
        self._lines: tuple[tuple[int, Line], ...] = ()
        """Every line, with the number of its row."""
        self.cursor = 0

    def show(self, rows: Sequence[Row], key: Hashable | None = None) -> None:
        """Show `rows`, the cursor on the one called `key`, else on the one it was on, else where it was."""
        wanted = key if key is not None else self.key
        rows = tuple(rows)
        place = next((number for number, row in enumerate(rows) if row.key == wanted), None)
        cursor = max(0, min(self.cursor if place is None else place, len(rows) - 1))
        if rows == self._rows and cursor == self.cursor:
            return
        self._rows, self.cursor = rows, cursor
        self._lines = tuple((number, line) for number, row in enumerate(rows) for line in row.lines)
        self.virtual_size = Size(self.size.width, len(self._lines))
        self._into_sight()
        self.refresh()

    @property
    def key(self) -> Hashable | None:
        """The key of the row under the cursor."""
        return self._rows[self.cursor].key if self._rows else None

    @property
    def keys(self) -> list[Hashable]:
        return [row.key for row in self._rows]

    # --- moving ---

    def action_move(self, by: int) -> None:
        self.move_to(self.cursor + by)

    def action_move_page(self, by: int) -> None:
        self.move_to(self.cursor + by * max(1, self.size.height - 1))

    def action_move_to(self, index: int) -> None:
        self.move_to(len(self._rows) - 1 if index < 0 else index)

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, bring it into sight, and tell."""
        index = max(0, min(index, len(self._rows) - 1))
        if index != self.cursor:
            self.cursor = index
            self._into_sight()
            self.refresh()
            self.post_message(self.Moved(self))

    def _into_sight(self) -> None:
        lines = [y for y, (number, _) in enumerate(self._lines) if number == self.cursor]
        if not lines or not self.size.height:
            return
        top, height = int(self.scroll_y), self.size.height
        if lines[0] < top:
            self.scroll_to(y=lines[0], animate=False)
        elif lines[-1] >= top + height:
            self.scroll_to(y=lines[-1] - height + 1, animate=False)

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._lines))
        self._into_sight()
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        y = int(self.scroll_y) + event.y
        if y < len(self._lines):
            self.move_to(self._lines[y][0])
            self.post_message(self.Clicked(self, event.x, twice=event.chain > 1))

    # --- drawing ---

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        place = int(self.scroll_y) + y
        if place >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        number, line = self._lines[place]
        chosen = number == self.cursor
        base = self.get_component_rich_style("rows--cursor") if chosen else self.rich_style
        segments = []
        for text, colour in line:
            # On the bar of the cursor, colours of their own would not be legible.
            plain = not colour or (chosen and self.has_focus)
            style = base if plain else base + self.get_component_rich_style(f"rows--{colour}", partial=True)
            segments.append(Segment(text, style))
        return Strip(segments).adjust_cell_length(width, base)


def fitted(text: str, width: int) -> str:
    """`text` in exactly `width` columns, with … where it is cut."""
    if cell_len(text) > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return set_cell_size(text, width)
