"""A chart as a widget: drawn as text on the charts' own thread, again only when its data or its room changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING

from rich.text import Text
from textual.widget import Widget

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.report.charts import Canvas

Draw = Callable[["Database", "Canvas"], str]
Ask = Callable[[Draw, tuple[int, int], str], Awaitable[str]]
"""Has a chart drawn in (columns, rows) with a theme's colours, off the event loop; a sentence instead where that fails."""


class ChartView(Widget):
    """Shows what `draw` was last asked for; the old chart stays until the new one is there."""

    DEFAULT_CSS = "ChartView { height: 1fr; }"

    def __init__(self, ask: Ask, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ask = ask
        self._draw: Draw | None = None
        self._key: Hashable = None
        self._shown: Hashable = None
        self._busy = False
        self._text = Text("")

    def draw(self, key: Hashable, draw: Draw) -> None:
        """Show the chart that `draw` makes; `key` says what it depends on beside the room (the data's version too)."""
        self._key, self._draw = key, draw
        self._start()

    def clear(self, text: str = "") -> None:
        """Show a sentence instead of a chart."""
        self._draw = self._key = self._shown = None
        self._put(Text(text))

    def render(self) -> Text:
        return self._text

    def on_resize(self) -> None:
        self._start()

    def _wish(self) -> Hashable:
        return self._key, self.size, self.app.theme

    def _start(self) -> None:
        if self._draw is None or self._busy or self._shown == self._wish() or not self.size.width:
            return
        self._busy = True
        self.run_worker(self._drawn(), exit_on_error=False)

    async def _drawn(self) -> None:
        try:
            while self._draw is not None and self._shown != self._wish():
                wish, draw = self._wish(), self._draw
                text = await self._ask(draw, (self.size.width, self.size.height), self.app.theme)
                self._shown = wish
                self._put(Text.from_ansi(text))
        finally:
            self._busy = False

    def _put(self, text: Text) -> None:
        if text != self._text:
            self._text = text
            self.refresh()
