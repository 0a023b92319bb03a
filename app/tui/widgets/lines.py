"""The lines around every screen: where one is and how the worker does above, what happened and the keys below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.widget import Widget

if TYPE_CHECKING:
    from app.report.status import WorkerView

MODES = (("lab", "Lab"), ("compose", "Compose"), ("queue", "Queue"), ("findings", "Findings"), ("worker", "Worker"))


class Masthead(Widget):
    """The five screens, the one in front marked, and the worker in a word."""

    DEFAULT_CSS = "Masthead { height: 1; background: $surface; }"

    def __init__(self, mode: str, keys: Sequence[str] = "12345") -> None:
        super().__init__()
        self._mode = mode
        self._names = [(one, f" {key} {name} ") for key, (one, name) in zip(keys, MODES, strict=True)]
        self._worker = ("", "")

    def show_worker(self, text: str, colour: str) -> None:
        """`text` on the right, in `colour`."""
        if (text, colour) != self._worker:
            self._worker = (text, colour)
            self.refresh()

    def render(self) -> Content:
        parts: list[Content | str | tuple[str, str]] = [("innate ", "bold $accent")]
        for mode, name in self._names:
            parts.append((name, "bold $background on $primary" if mode == self._mode else "$foreground"))
        left = Content.assemble(*parts)
        text, colour = self._worker
        room = self.size.width - left.cell_length - 1
        if len(text) > room:
            text = text[: max(0, room - 1)] + "…" if room > 4 else ""
        gap = " " * max(0, self.size.width - left.cell_length - len(text))
        return Content.assemble(left, gap, (text, colour))

    async def on_click(self, event: events.Click) -> None:
        left = len("innate ")
        for mode, name in self._names:
            width = cell_len(name)
            if left <= event.x < left + width:
                await self.run_action(f"app.mode('{mode}')")
            left += width


def state_word(view: WorkerView, *, paused: bool) -> str:
    """The worker's state in a word. What it says of itself at a heartbeat may be older than a pause of the queue, or its end."""
    if paused:
        return {"working": "pausing", "idle": "paused"}.get(view.state, view.state)
    return "resuming" if view.state == "paused" else view.state


def worker_word(view: WorkerView, waiting: int, *, paused: bool) -> tuple[str, str]:
    """The worker in a word, with how many trials wait for it, and its colour."""
    left = f", {waiting} to do" if waiting else ""
    if not view.alive:
        return f"○ no worker{left}", "$warning" if waiting else "$foreground 60%"
    state, waits = state_word(view, paused=paused), "$warning"
    colours = {"silent": "$error", "paused": waits, "pausing": waits, "draining": waits, "idle": "$foreground 70%"}
    return f"● {state}{left}", colours.get(state, "$success")


class StatusLine(Widget):
    """The last thing that happened, or went wrong, in a sentence."""

    DEFAULT_CSS = "StatusLine { height: auto; min-height: 1; max-height: 4; background: $surface; }"

    def __init__(self) -> None:
        super().__init__()
        self._text, self._colour = "", "$foreground"

    def say(self, text: str, colour: str = "$foreground") -> None:
        """Show `text`; a long one takes more lines, so that none of it is lost."""
        if (text, colour) != (self._text, self._colour):
            longer = max(cell_len(text), cell_len(self._text)) > self.size.width
            self._text, self._colour = text, colour
            self.refresh(layout=longer)

    def render(self) -> Content:
        return Content.assemble((self._text, self._colour))


@dataclass(frozen=True)
class Hint:
    """A key as a person would type it, what it does in a word, and the action that a click on it runs ("screen.search")."""

    key: str
    label: str
    action: str

    @property
    def width(self) -> int:
        """Cells that it takes."""
        return cell_len(f" {self.key} {self.label} ")


class Hints(Widget):
    """The keys of the screen, as many as there is room for; the last ones (help, quit) always."""

    DEFAULT_CSS = "Hints { height: 1; background: $panel; }"

    def __init__(self, hints: Sequence[Hint], always: Sequence[Hint]) -> None:
        super().__init__()
        self._hints, self._always = hints, always

    def render(self) -> Content:
        parts: list[tuple[str, str]] = []
        for hint in self._shown():
            parts += [(f" {hint.key}", "bold $accent"), (f" {hint.label} ", "$foreground")]
        return Content.assemble(*parts)

    async def on_click(self, event: events.Click) -> None:
        left = 0
        for hint in self._shown():
            if left <= event.x < left + hint.width:
                await self.run_action(hint.action)
            left += hint.width

    def _shown(self) -> list[Hint]:
        """Those that have room."""
        room = self.size.width - sum(hint.width for hint in self._always)
        shown = []
        for hint in self._hints:
            room -= hint.width
            if room < 0:
                break
            shown.append(hint)
        return [*shown, *self._always]
