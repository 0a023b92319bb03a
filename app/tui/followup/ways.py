"""The dialog that offers ways to attack harder, each with its cost; what the one under the cursor does stands below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option


@dataclass(frozen=True)
class Offered:
    """One line: `value` is what comes back, `cost` stands at its end, `about` and `command` below the list."""

    value: object
    name: str
    cost: str
    about: str
    command: str = ""


class Ways(ModalScreen[object]):
    """Choose one with the arrows or j and k, accept with enter; nothing is done before that."""

    DEFAULT_CSS = """
    Ways { align: center middle; background: $background 60%; }
    Ways Vertical { width: 78; max-width: 98%; height: auto; max-height: 96%; border: round $primary; background: $surface;
        padding: 0 1; }
    Ways OptionList, Ways OptionList:focus { height: auto; max-height: 12; border: none; padding: 0; background: $surface; }
    Ways #left-out { height: auto; color: $warning; display: none; }
    Ways #left-out.told { display: block; }
    Ways #about { height: 8; border-top: solid $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "cancel"),
        Binding("j", "move(1)", "next"),
        Binding("k", "move(-1)", "before"),
    ]

    def __init__(self, title: str, offered: Sequence[Offered], *, left_out: str = "") -> None:
        super().__init__()
        self._title, self._offered, self._left_out = title, offered, left_out

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self._title
            box.border_subtitle = "↑ ↓ look   ⏎ queue it   esc leave it"
            yield Static(Content(self._left_out), id="left-out", classes="told" if self._left_out else "")
            yield OptionList(*map(self._line, self._offered))
            yield Static("", id="about")

    def on_mount(self) -> None:
        listed = self.query_one(OptionList)
        listed.highlighted = 0
        listed.focus()

    def _line(self, one: Offered) -> Option:
        name = max(len(other.name) for other in self._offered)
        return Option(Content.assemble(f"{one.name:<{name}}  ", (one.cost, "$foreground 70%")))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        one = self._offered[event.option_index]
        parts: list[str | tuple[str, str]] = [one.about]
        if one.command:
            parts.append((f"\n≡ {one.command}", "$foreground 70%"))
        self.query_one("#about", Static).update(Content.assemble(*parts))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._offered[event.option_index].value)

    def action_move(self, by: int) -> None:
        listed = self.query_one(OptionList)
        (listed.action_cursor_down if by > 0 else listed.action_cursor_up)()
