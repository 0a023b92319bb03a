"""The lines around every screen: where one is and how the worker does above, what happened and the keys below."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widget import Widget

if TYPE_CHECKING:
    from app.tui.app import InnateApp
    from app.tui.keys import Key

MODES = (("runs", "Runs"), ("compose", "Compose"), ("queue", "Queue"), ("compare", "Compare"), ("worker", "Worker"))


class Masthead(Widget):
    """The five screens, the one in front marked, and the worker in a word."""

    DEFAULT_CSS = "Masthead { height: 1; background: $surface; }"

    def __init__(self, mode: str) -> None:
        super().__init__()
        self._mode = mode
        self._worker = ("", "")

    def show_worker(self, text: str, colour: str) -> None:
        """`text` on the right, in `colour`."""
        if (text, colour) != self._worker:
            self._worker = (text, colour)
            self.refresh()

    def render(self) -> Content:
        parts: list[Content | str | tuple[str, str]] = [("innate ", "bold $accent")]
        for number, (mode, name) in enumerate(MODES, 1):
            style = "bold $background on $primary" if mode == self._mode else "$foreground"
            parts.append(Content.from_markup(f"[@click=app.mode('{mode}')] {number} {name} [/]").stylize(style))
        left = Content.assemble(*parts)
        text, colour = self._worker
        room = self.size.width - left.cell_length - 1
        if len(text) > room:
            text = text[: max(0, room - 1)] + "…" if room > 4 else ""
        gap = " " * max(0, self.size.width - left.cell_length - len(text))
        return Content.assemble(left, gap, (text, colour))


class StatusLine(Widget):
    """The last thing that happened, or went wrong, in a sentence."""

    DEFAULT_CSS = "StatusLine { height: 1; background: $surface; }"

    def __init__(self) -> None:
        super().__init__()
        self._text, self._colour = "", "$foreground"

    def say(self, text: str, colour: str = "$foreground") -> None:
        if (text, colour) != (self._text, self._colour):
            self._text, self._colour = text, colour
            self.refresh()

    def render(self) -> Content:
        room = self.size.width - 1
        text = self._text if len(self._text) <= room else self._text[: room - 1] + "…"
        return Content.assemble((text, self._colour))


class Hints(Widget):
    """The keys of the screen, as many as there is room for; the last ones (help, quit) always."""

    DEFAULT_CSS = "Hints { height: 1; background: $panel; }"

    def __init__(self, keys: tuple[Key, ...], always: tuple[Key, ...]) -> None:
        super().__init__()
        self._keys = tuple(key for key in keys if key.hint)
        self._always = tuple(key for key in always if key.hint)

    @property
    def innate(self) -> InnateApp:
        return self.app  # type: ignore[return-value]

    def render(self) -> Content:
        always = [self._hint(key, "app") for key in self._always]
        room = self.size.width - sum(hint.cell_length for hint in always)
        shown: list[Content] = []
        for key in self._keys:
            hint = self._hint(key, "screen")
            if hint.cell_length > room:
                break
            shown.append(hint)
            room -= hint.cell_length
        return Content.assemble(*shown, *always)

    @staticmethod
    def _hint(key: Key, scope: str) -> Content:
        text = Content.assemble((f" {key.shown}", "bold $accent"), (f" {key.label} ", "$foreground"))
        return text.stylize(f"@click={scope}.{key.action}")
