"""Keys as data: one table per screen drives dispatch, the line of hints, the help and the palette.

To give a screen an action: an entry in its KEYS and a method `action_NAME`; its equivalent command in `equivalents`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.binding import Binding, BindingType

from app.tui.widgets.lines import Hint


@dataclass(frozen=True)
class Key:
    """`keys` as Textual names them, separated by commas; `label` stands in the line of hints, `help` in help and palette.

    `hint` False keeps it out of the line of hints, where there is little room.
    """

    keys: str
    action: str
    label: str
    help: str
    hint: bool = True

    @property
    def shown(self) -> str:
        """The first key as a person would type it."""
        return _SHOWN.get(self.keys.split(",")[0], self.keys.split(",")[0])

    @property
    def all_shown(self) -> str:
        """Every key for it."""
        return " ".join(_SHOWN.get(key, key) for key in self.keys.split(","))


_SHOWN = {
    "question_mark": "?", "slash": "/", "enter": "⏎", "escape": "esc", "ctrl+p": "^p", "space": "space", "up": "↑",
    "down": "↓", "left": "←", "right": "→", "pageup": "pgup", "pagedown": "pgdn", "left_square_bracket": "[",
    "right_square_bracket": "]", "comma": ",", "full_stop": ".", "plus": "+", "minus": "-", "equals_sign": "=",
}  # fmt: skip

EVERYWHERE = (
    Key("1", "mode('lab')", "Lab", "which choices are robust, and how sure that is; every run", hint=False),
    Key("2", "mode('compose')", "Compose", "put a study together and submit it", hint=False),
    Key("3", "mode('queue')", "Queue", "what runs, waits and failed", hint=False),
    Key("4", "mode('compare')", "Compare", "scores, heatmap, curves, trade-off", hint=False),
    Key("5", "mode('worker')", "Worker", "the worker, its devices and its log", hint=False),
    Key("question_mark", "help", "help", "the keys of this screen"),
    Key("e", "equivalents", "commands", "the equivalent command of every action here", hint=False),
    Key("ctrl+p", "command_palette", "palette", "find any action by its name", hint=False),
    Key("T", "next_theme", "theme", "dark, light, colour-blind-safe", hint=False),
    Key("q", "leave", "quit", "leave; a worker goes on without you"),
)


def hints(keys: Sequence[Key], scope: str) -> list[Hint]:
    """Those of the table that stand in the line of hints; `scope`: whose actions they are, "screen" or "app"."""
    return [Hint(key.shown, key.label, f"{scope}.{key.action}") for key in keys if key.hint]


def bindings(keys: Sequence[Key]) -> list[BindingType]:
    """The table as Textual's bindings."""
    return [Binding(key.keys, key.action, key.label, show=False, tooltip=key.help) for key in keys]
