"""Small screens over the others: ask for a line, choose from a list, confirm, read a text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from app.tui.widgets.field import Field

_BOX = """
    align: center middle;
    background: $background 60%;
"""


_LABEL = 28
"""Cells for names beside which notes stand in a column."""
_LISTED = 200
"""Items listed at most; typing narrows."""


class Prompt(ModalScreen[str | None]):
    """Asks for a line; `check` says at every keystroke what is wrong with it, None if nothing is."""

    DEFAULT_CSS = f"""
    Prompt {{ {_BOX} }}
    Prompt Vertical {{ width: 76; max-width: 96%; height: auto; border: round $primary; background: $surface; padding: 0 1; }}
    Prompt Input, Prompt Input:focus {{ border: none; height: 1; background: $panel; padding: 0 1; }}
    Prompt .hint {{ color: $foreground 70%; height: auto; }}
    Prompt .problem {{ color: $error; height: auto; min-height: 1; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel")]

    def __init__(
        self, title: str, value: str = "", *, hint: str = "", check: Callable[[str], str | None] = lambda _: None
    ) -> None:
        super().__init__()
        self._title, self._value, self._hint, self._check = title, value, hint, check

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self._title
            box.border_subtitle = "⏎ accept   esc leave it"
            yield Field(self._value)  # selected, so that typing replaces what was
            yield Static(Content(self._hint), classes="hint")
            yield Static("", classes="problem")

    def on_input_changed(self, event: Input.Changed) -> None:
        self.query_one(".problem", Static).update(Content(self._check(event.value) or ""))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if self._check(event.value) is None:
            self.dismiss(event.value)


@dataclass(frozen=True)
class Item:
    """One line to choose: `value` is what comes back."""

    value: Any
    label: str
    note: str = ""
    ticked: bool | None = None
    """None where there is nothing to tick."""


def ranked(items: Sequence[Item], text: str) -> list[int]:
    """The places of the items that have every word of `text`: first those whose name begins with it, then those that have the
    words in their names, last those that need their notes for it; as they stand among each other."""
    words = text.lower().split()
    found = []
    for index, item in enumerate(items):
        label, whole = item.label.lower(), f"{item.label} {item.note}".lower()
        if all(word in whole for word in words):
            named = all(word in label for word in words)
            begun = bool(words) and label.startswith(words[0])
            found.append((0 if named and begun else 1 if named else 2, index))
    return [index for _, index in sorted(found)]


class Picker(ModalScreen[Any]):
    """Choose one of a list that narrows as one types; with `many`, tick several with space and accept with enter."""

    DEFAULT_CSS = f"""
    Picker {{ {_BOX} }}
    Picker Vertical {{ width: 76; max-width: 96%; height: auto; max-height: 90%; border: round $primary; background: $surface;
        padding: 0 1; }}
    Picker Input, Picker Input:focus {{ border: none; height: 1; background: $panel; padding: 0 1; }}
    Picker OptionList {{ border: none; height: auto; max-height: 16; background: $surface; padding: 0;
        scrollbar-size-vertical: 1; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "cancel"),
        Binding("down", "highlight(1)", "next", priority=True),
        Binding("up", "highlight(-1)", "before", priority=True),
        Binding("tab", "tick", "tick", priority=True),
    ]

    def __init__(self, title: str, items: Sequence[Item], *, many: bool = False, hint: str = "type to narrow") -> None:
        super().__init__()
        self._title, self._items, self._many, self._hint = title, list(items), many, hint
        self._ticked = {index for index, item in enumerate(items) if item.ticked}
        self._shown: list[int] = []

    def compose(self) -> ComposeResult:
        with Vertical() as box:
            box.border_title = self._title
            box.border_subtitle = (
                "tab tick   ⏎ accept   esc leave it" if self._many else "type to narrow   ⏎ choose   esc leave it"
            )
            yield Field(placeholder=self._hint, select_on_focus=False)
            yield OptionList()

    def on_mount(self) -> None:
        self._narrow("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._narrow(event.value)

    def on_input_submitted(self) -> None:
        self._accept()

    def on_option_list_option_selected(self) -> None:
        if self._many:
            self.action_tick()
        else:
            self._accept()

    def action_highlight(self, by: int) -> None:
        listed = self.query_one(OptionList)
        (listed.action_cursor_down if by > 0 else listed.action_cursor_up)()

    def action_tick(self) -> None:
        place = self.query_one(OptionList).highlighted
        if self._many and place is not None:
            self._ticked ^= {self._shown[place]}
            self._narrow(self.query_one(Input).value, place)

    def found(self, text: str) -> list[int]:
        """The places of the items to show, the best first."""
        return ranked(self._items, text)

    @property
    def chosen(self) -> Item | None:
        """The item under the cursor."""
        place = self.query_one(OptionList).highlighted
        return self._items[self._shown[place]] if place is not None and self._shown else None

    def _narrow(self, text: str, place: int = 0) -> None:
        self._shown = self.found(text)
        listed = self.query_one(OptionList)
        listed.clear_options()
        width = min(_LABEL, max((len(self._items[index].label) for index in self._shown), default=0))
        listed.add_options([Option(self._line(index, width)) for index in self._shown[:_LISTED]])
        if self._shown:
            listed.highlighted = min(place, len(self._shown) - 1, _LISTED - 1)

    def _line(self, index: int, width: int) -> Content:
        item = self._items[index]
        box = "" if not self._many else "[x] " if index in self._ticked else "[ ] "
        return Content.assemble(
            f"{box}{item.label:<{width}}", (f"  {item.note}" if item.note else "", "$foreground 65%")
        )

    def _accept(self) -> None:
        if self._many:
            self.dismiss([self._items[index].value for index in sorted(self._ticked)])
            return
        if self.chosen is not None:
            self.dismiss(self.chosen.value)


class Confirm(ModalScreen[bool]):
    """Asks before something that cannot be undone."""

    DEFAULT_CSS = f"""
    Confirm {{ {_BOX} }}
    Confirm Static {{ width: 64; max-width: 96%; height: auto; border: round $warning; background: $surface; padding: 0 1; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "yes"),
        Binding("n,escape,q", "dismiss(False)", "no"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        box = Static(Content(self._question))
        box.border_subtitle = "y yes   n no"
        yield box


class TextPage(ModalScreen[None]):
    """A text to read and scroll; `y` copies it, or what is `copied` for it. `keys` are told beside."""

    DEFAULT_CSS = f"""
    TextPage {{ {_BOX} }}
    TextPage VerticalScroll {{ width: 100; max-width: 96%; height: auto; max-height: 92%; border: round $primary;
        background: $surface; padding: 0 1; scrollbar-size-vertical: 1; }}
    TextPage Static {{ height: auto; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,e", "dismiss(None)", "close"),
        Binding("down,j", "scroll(1)", "down"),
        Binding("up,k", "scroll(-1)", "up"),
        Binding("pagedown,space", "scroll(15)", "page down"),
        Binding("pageup", "scroll(-15)", "page up"),
        Binding("y", "copy", "copy"),
    ]

    def __init__(self, title: str, text: str | Content, *, copied: str | None = None, keys: str = "") -> None:
        super().__init__()
        self._title, self._copied = title, copied
        self._content = text if isinstance(text, Content) else Content(text)
        self._keys = f"y copy   {keys}   esc close" if keys else "y copy   esc close"

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = self._title
            box.border_subtitle = self._keys
            yield Static(self._content)

    def action_scroll(self, by: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=by, animate=False)

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._content.plain if self._copied is None else self._copied)
        self.tell("copied")

    def tell(self, text: str) -> None:
        """What happened, in the border."""
        self.query_one(VerticalScroll).border_subtitle = f"{text}   esc close"
