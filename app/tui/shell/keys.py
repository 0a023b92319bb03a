"""Keys as data: one table per screen drives dispatch, the line of hints, the help and what `:` finds.

To give a screen an action: an entry in its KEYS and a method `action_NAME`; its equivalent command in `equivalents`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from textual.binding import Binding, BindingType

from app.tui.widgets.lines import Hint

KeyOf = Callable[[str], str]
"""Action → the key for it as a person would type it, for sentences that name one (`Page.key_of`)."""


@dataclass(frozen=True)
class Key:
    """`keys` as Textual names them, separated by commas; `label` stands in the line of hints, `help` in the help and beside what
    `:` finds.

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
    "question_mark": "?", "slash": "/", "enter": "⏎", "escape": "esc", "ctrl+p": "^p", "ctrl+z": "^z", "space": "space",
    "up": "↑", "down": "↓", "left": "←", "right": "→", "pageup": "pgup", "pagedown": "pgdn", "left_square_bracket": "[",
    "right_square_bracket": "]", "comma": ",", "full_stop": ".", "plus": "+", "minus": "-", "equals_sign": "=",
    "colon": ":",
}  # fmt: skip

EVERYWHERE = (
    Key("1", "mode('lab')", "Lab", "which choices are robust, and how sure that is; every run", hint=False),
    Key("2", "mode('compose')", "Compose", "put a study together and submit it", hint=False),
    Key("3", "mode('queue')", "Queue", "what runs, waits and failed", hint=False),
    Key("4", "mode('findings')", "Findings", "claims and effects with verdicts, and what they rest on", hint=False),
    Key("5", "mode('worker')", "Worker", "the worker, its devices and its log", hint=False),
    Key("colon,ctrl+p", "anything", "anything", "any screen, study, run (by its id), action or command, by its name"),
    Key("question_mark", "help", "help", "the keys of this screen"),
    Key("e", "equivalents", "commands", "the equivalent command of every action here", hint=False),
    Key("L", "command_log", "command log", "what was done here, as a script that does it again", hint=False),
    Key("T", "next_theme", "theme", "dark, light, colour-blind-safe, your own", hint=False),
    Key("ctrl+z", "suspend_process", "suspend", "back to the shell; fg comes back here", hint=False),
    Key("q", "leave", "quit", "leave; a worker goes on without you"),
)
MOVING = (
    Key("down,j", "", "", "next row"),
    Key("up,k", "", "", "row before"),
    Key("pagedown,pageup", "", "", "a page on, a page back"),
    Key("g,G", "", "", "first row, last row"),
    Key("right,left", "", "", "columns that have no room, on and back"),
)
"""What tables and lists do by themselves."""
APP = "everywhere"
"""Stands for the name of a screen where keys hold on every screen."""


def hints(keys: Sequence[Key], scope: str) -> list[Hint]:
    """Those of the table that stand in the line of hints; `scope`: whose actions they are, "screen" or "app"."""
    return [Hint(key.shown, key.label, f"{scope}.{key.action}") for key in keys if key.hint]


def bindings(keys: Sequence[Key], mode: str = "") -> list[BindingType]:
    """The table as Textual's bindings; `mode` is the screen's, by which own keys are given to its actions."""
    return [
        Binding(key.keys, key.action, key.label, show=False, tooltip=key.help, id=identity(mode, key.action))
        for key in keys
    ]


def identity(mode: str, action: str) -> str | None:
    """What an action is called among those of all screens."""
    return f"{mode}.{action}" if mode else None
