"""A line to type into that keeps the order of what was typed ahead."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.widgets import Input


class Field(Input):
    """Textual takes a key that is bound (backspace) a moment later than one that is printed, so that over a slow line
    "x", backspace, "9" would come out wrong. Here each is carried out as it comes.
    """

    _AT_ONCE: ClassVar[dict[str, str]] = {
        "backspace": "delete_left",
        "delete": "delete_right",
        "left": "cursor_left",
        "right": "cursor_right",
        "home": "home",
        "end": "end",
        "enter": "submit",
    }

    def on_mount(self) -> None:
        self.cursor_blink = False  # a blink is bytes over the line, for nothing

    async def _on_key(self, event: events.Key) -> None:
        action = self._AT_ONCE.get(event.key)
        if action is None:
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()
        await self.run_action(action)
