"""A table of any length of which only the rows in sight are held: pages are asked for as they come into view."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from app.terminal.cells import fitted
from app.tui.widgets.scrolled import Scrolled

R = TypeVar("R")
"""What a table holds a row of."""
Cell = tuple[str, str]
"""Text and the name of its colour: "", "dim", or a key of themes.STATE_COLOURS."""

PAGE = 100
_WHOLE = 12
"""Columns up to so wide hold numbers and single words: they are shown whole or not at all."""


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column: `cell` makes what a row shows in it."""

    key: str
    title: str
    width: int
    cell: Callable[[R], Cell]
    right: bool = False


@dataclass(frozen=True)
class Line:
    """A row that is made for one table: its cells by name, and the whole of it in words."""

    key: Hashable
    cells: Mapping[str, Cell]
    words: str = ""
    trials: tuple[str, ...] = ()
    """The trials that it is about, if it is about some of a study."""


def named_cell(name: str) -> Callable[[Line], Cell]:
    """What a column of Lines shows: the cell of that name, nothing where there is none."""
    return lambda line: line.cells.get(name, ("", ""))


class Grid(Scrolled, Generic[R]):
    """`fill` it with pages of rows as `Wanted` asks; it moves a cursor over them and tells.

    `identify` gives a row the key under which it is marked.
    """

    HEADINGS = 1
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "grid--header", "grid--cursor", "grid--dim", "grid--mark", "grid--done", "grid--running", "grid--queued",
        "grid--failed", "grid--cancelled", "grid--ok", "grid--suspect", "grid--invalid", "grid--title",
    }  # fmt: skip
    DEFAULT_CSS = """
    Grid > .grid--header { color: $primary; text-style: bold; background: $surface; }
    Grid > .grid--cursor { background: $panel; text-style: bold; }
    Grid:focus > .grid--cursor { background: $primary; color: $background; text-style: bold; }
    Grid > .grid--dim { color: $foreground 60%; }
    Grid > .grid--title { color: $accent; text-style: bold; }
    Grid > .grid--mark { color: $accent; text-style: bold; }
    Grid > .grid--done, Grid > .grid--ok { color: $success; }
    Grid > .grid--running { color: $primary; text-style: bold; }
    Grid > .grid--queued { color: $foreground 75%; }
    Grid > .grid--failed, Grid > .grid--invalid { color: $error; }
    Grid > .grid--cancelled { color: $foreground 60%; }
    Grid > .grid--suspect { color: $warning; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,l", "shift(1)", "columns on", show=False),
        Binding("left,h", "shift(-1)", "columns back", show=False),
        Binding("enter", "choose", "open", show=False),
    ]

    cursor: reactive[int] = reactive(0)

    class FromGrid(Message):
        """What all its messages have: which grid it was."""

        def __init__(self, grid: Grid[Any]) -> None:
            super().__init__()
            self.grid = grid

        @property
        def control(self) -> Grid[Any]:
            return self.grid

    class Wanted(FromGrid):
        """Rows from `offset` on are in sight and not here."""

        def __init__(self, grid: Grid[Any], offset: int) -> None:
            super().__init__(grid)
            self.offset = offset

    class Moved(FromGrid):
        """The cursor stands on another row, or its row has changed: `grid.current`."""

    class Chosen(FromGrid):
        """The row under the cursor was opened: `grid.current`."""

    class HeadingClicked(FromGrid):
        """A column's title was clicked."""

        def __init__(self, grid: Grid[Any], key: str) -> None:
            super().__init__(grid)
            self.key = key

    def __init__(
        self,
        columns: Sequence[Column[R]] = (),
        *,
        identify: Callable[[R], Hashable],
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self._columns: list[Column[R]] = list(columns)
        self._identify = identify
        self._widths: dict[str, int] = {}
        """As wide as what was shown so far: columns grow, up to their own limit, and never jump back."""
        self._shift = 0
        """Columns that have moved out of sight to the left."""
        self._pages: dict[int, list[R]] = {}
        self._stale: set[int] = set()
        self._asked: set[int] = set()
        self.total: int | None = None
        """Rows in all; None before the first answer."""
        self.marks: set[Hashable] = set()
        self.partly: set[Hashable] = set()
        """Rows of which a part is marked."""
        self.pinned: Hashable | None = None
        """The row that others are compared with."""
        self.sorted_by: tuple[str | None, bool] = (None, False)

    # --- what the screen says ---

    @property
    def columns(self) -> list[Column[R]]:
        return self._columns

    @columns.setter
    def columns(self, columns: Sequence[Column[R]]) -> None:
        """Other columns of the same rows."""
        self._columns, self._shift = list(columns), 0
        for page in self._pages.values():
            self._widen(page)
        self._resize()

    def fill(self, offset: int, rows: Sequence[R], total: int) -> None:
        """Take in one page, and how many rows there are now."""
        page = offset // PAGE
        before = self._pages.get(page)
        self._pages[page] = list(rows)
        self._widen(rows)
        self._stale.discard(page)
        self._asked.discard(page)
        if self.total != total or before is None or len(before) != len(rows):
            self.total = total
            self._pages = {number: kept for number, kept in self._pages.items() if number * PAGE < max(1, total)}
            self._resize()
        else:  # over a slow line every cell counts: only rows that changed are drawn again
            for place, (old, new) in enumerate(zip(before, rows, strict=True)):
                if old != new:
                    self.refresh_line(offset + place + 1)
        self.cursor = max(0, min(self.cursor, total - 1))
        self._tell()

    def fill_all(self, rows: Sequence[R], columns: Sequence[Column[R]] | None = None) -> None:
        """The whole of a short table at once; in other `columns`, if given, which may know nothing of the rows of before."""
        self._pages.clear()
        if columns is not None:
            self._columns, self._shift = list(columns), 0
            self._widths.clear()
        for offset in range(0, max(1, len(rows)), PAGE):
            self.fill(offset, rows[offset : offset + PAGE], len(rows))

    def expire(self, *, restart: bool = False) -> None:
        """What is shown may have changed: it stays until the new pages come. `restart` goes back to the first row."""
        self._stale = set(self._pages)
        self._asked.clear()
        if restart:
            self._pages.clear()
            self._stale.clear()
            self.total = None
            self.cursor = 0
            self.scroll_to(0, 0, animate=False)
        self._want()

    @property
    def current(self) -> R | None:
        """The row under the cursor."""
        return self.row(self.cursor)

    def row(self, index: int) -> R | None:
        """A row by its position, None while it is not here."""
        page = self._pages.get(index // PAGE, [])
        place = index % PAGE
        return page[place] if index >= 0 and place < len(page) else None

    def toggle_mark(self) -> bool | None:
        """Mark the row under the cursor or undo it; None where there is no row."""
        row = self.current
        if row is None:
            return None
        key = self._identify(row)
        self.marks ^= {key}
        self.refresh()
        return key in self.marks

    # --- moving ---

    @property
    def position(self) -> int:
        return self.cursor

    @property
    def length(self) -> int:
        return self.total or 1

    def action_shift(self, by: int) -> None:
        """Bring columns into sight that have no room, as far as there are any."""
        room, widths = self.size.width - 3, [self._width(column) + 1 for column in self._columns]
        most = next((first for first in range(len(widths)) if sum(widths[first:]) <= room), max(0, len(widths) - 1))
        shift = max(0, min(self._shift + by, most))
        if shift != self._shift:
            self._shift = shift
            self.refresh()

    def action_choose(self) -> None:
        if self.current is not None:
            self.post_message(self.Chosen(self))

    def move_to(self, index: int) -> None:
        """Put the cursor on a row and bring it into sight."""
        self.cursor = max(0, min(index, self.length - 1))
        self.into_sight(self.cursor, self.cursor)
        self._want()
        self._tell()

    def watch_cursor(self) -> None:
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._want()

    def on_resize(self) -> None:
        self._want()

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            key = self._column_at(event.x)
            if key is not None:
                self.post_message(self.HeadingClicked(self, key))
            return
        index = self.top + event.y - self.HEADINGS
        if index < (self.total or 0):
            self.move_to(index)
            if event.chain > 1:
                self.action_choose()

    def _column_at(self, x: int) -> str | None:
        left = 2
        for column in self._columns[self._shift :]:
            width = self._width(column)
            if left <= x < left + width:
                return column.key
            left += width + 1
        return None

    def _tell(self) -> None:
        self.post_message(self.Moved(self))

    def _want(self) -> None:
        """Ask for the pages in sight that are not here or out of date."""
        first = self.top // PAGE
        last = (self.top + max(1, self.size.height)) // PAGE
        if self.total is not None:
            last = min(last, max(0, self.total - 1) // PAGE)
        for page in range(first, last + 1):
            if (page not in self._pages or page in self._stale) and page not in self._asked:
                self._asked.add(page)
                self.post_message(self.Wanted(self, page * PAGE))

    def _widen(self, rows: Sequence[R]) -> None:
        for column in self._columns:
            shown = max((cell_len(column.cell(row)[0]) for row in rows), default=0)
            width = min(column.width, max(shown, cell_len(column.title) + 1))  # the arrow of the order fits too
            if width > self._widths.get(column.key, 0):
                self._widths[column.key] = width
                self.refresh()

    def _width(self, column: Column[R]) -> int:
        return self._widths.get(column.key, min(column.width, cell_len(column.title) + 1))

    def _resize(self) -> None:
        # The line of titles stays where it is, so the last row needs a line more.
        self.virtual_size = Size(self.size.width, (self.total or 0) + self.HEADINGS)
        self.refresh()

    # --- drawing ---

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0:
            return self._header(width)
        index = self.top + y - self.HEADINGS
        if self.total is None or index >= self.total:
            return Strip.blank(width, self.rich_style)
        return self._line(index, width)

    def _header(self, width: int) -> Strip:
        style = self.get_component_rich_style("grid--header")
        text = "‹ " if self._shift else "  "
        shown = self._in_sight(width)
        for column in shown:
            title = column.title
            if self.sorted_by[0] == column.key:
                title = f"{title}{'▼' if self.sorted_by[1] else '▲'}"
            text += fitted(title, self._width(column), right=column.right) + " "
        if self._shift + len(shown) < len(self._columns) and width > 0:
            text = set_cell_size(text, width - 1) + "›"
        return Strip([Segment(set_cell_size(text, width), style)])

    def _in_sight(self, width: int) -> list[Column[R]]:
        """The columns that are drawn; one that begins in sight and ends outside is cut, unless it would cut a word."""
        shown, left = [], width - 2
        for column in self._columns[self._shift :]:
            wide = self._width(column)
            if left <= 0 or (left < wide <= _WHOLE):
                break
            shown.append(column)
            left -= wide + 1
        return shown

    def _line(self, index: int, width: int) -> Strip:
        row = self.row(index)
        chosen = index == self.cursor
        base = self.get_component_rich_style("grid--cursor") if chosen else self.rich_style
        if row is None:
            return Strip([Segment(set_cell_size("  …", width), base)])
        key = self._identify(row)
        sign = "◆" if key == self.pinned else "●" if key in self.marks else "○" if key in self.partly else " "
        segments = [Segment(f"{sign} ", self.coloured("grid--mark", base, chosen=chosen))]
        for column in self._in_sight(width):
            text, colour = column.cell(row)
            style = self.coloured(f"grid--{colour}", base, chosen=chosen) if colour else base
            segments.append(Segment(fitted(text, self._width(column), right=column.right) + " ", style))
        line = Strip(segments)
        if line.cell_length > width + 1:  # one that only lacks the gap after its last column is whole
            line = Strip([*line.crop(0, width - 1), Segment("…", base)])
        return line.adjust_cell_length(width, base)
