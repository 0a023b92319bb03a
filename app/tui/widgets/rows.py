"""A list of rows to move over, each of one line or more, with what is written in it coloured by meaning."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from textual import events
from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip

from app.tui.widgets.scrolled import Scrolled

Span = tuple[str, str]
"""Text and its colour: "", "dim", "good", "bad", "accent" or "strong"."""
Line = tuple[Span, ...]


@dataclass(frozen=True)
class Row:
    """`key` says which row it is when the rows are given anew."""

    key: Hashable
    lines: tuple[Line, ...]


class RowList(Scrolled):
    """`show` gives it rows; the cursor stays on the row whose key it stood on."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--cursor", "rows--dim", "rows--good", "rows--bad", "rows--accent", "rows--strong",
    }  # fmt: skip
    DEFAULT_CSS = """
    RowList { overflow-x: hidden; }
    RowList > .rows--cursor { background: $panel; text-style: bold; }
    RowList:focus > .rows--cursor { background: $primary; color: $background; text-style: bold; }
    RowList > .rows--dim { color: $foreground 65%; }
    RowList > .rows--good { color: $success; }
    RowList > .rows--bad { color: $error; text-style: bold; }
    RowList > .rows--accent { color: $accent; text-style: bold; }
    RowList > .rows--strong { text-style: bold; }
    """

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

    @property
    def position(self) -> int:
        return self.cursor

    @property
    def length(self) -> int:
        return len(self._rows)

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, bring it into sight, and tell."""
        index = max(0, min(index, self.length - 1))
        if index != self.cursor:
            self.cursor = index
            self._into_sight()
            self.refresh()
            self.post_message(self.Moved(self))

    def _into_sight(self) -> None:
        lines = [y for y, (number, _) in enumerate(self._lines) if number == self.cursor]
        if lines and self.size.height:
            self.into_sight(lines[0], lines[-1])

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, len(self._lines))
        self._into_sight()
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        y = self.top + event.y
        if y < len(self._lines):
            self.move_to(self._lines[y][0])
            self.post_message(self.Clicked(self, event.x, twice=event.chain > 1))

    # --- drawing ---

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        place = self.top + y
        if place >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        number, line = self._lines[place]
        chosen = number == self.cursor
        base = self.get_component_rich_style("rows--cursor") if chosen else self.rich_style
        segments = []
        for text, colour in line:
            style = self.coloured(f"rows--{colour}", base, chosen=chosen) if colour else base
            segments.append(Segment(text, style))
        return Strip(segments).adjust_cell_length(width, base)
