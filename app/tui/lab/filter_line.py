"""The line that a filter is typed into: it narrows as one types, enter keeps it, escape goes back to the one before."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from app.tui.shell.page import Page
from app.tui.widgets.field import Field
from core.errors import BadInput
from storage.listing import Filter, parse_filter


class FilterLine(Field):
    """Hidden until it is opened."""

    DEFAULT_CSS = """
    FilterLine, FilterLine:focus { border: none; height: 1; padding: 0; background: $panel; display: none; }
    FilterLine.open { display: block; }
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "go_back", "the filter of before", show=False)]

    class Chosen(Message):
        """A filter that can be read stands there; `kept`: for good."""

        def __init__(self, chosen: Filter, *, kept: bool) -> None:
            super().__init__()
            self.filter, self.kept = chosen, kept

    class Closed(Message):
        """Typing has ended."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, placeholder="optimizer=adam clean>0.9 trust!=ok")
        self._before = Filter()
        # Else it is what the focus falls to, unseen, where the rows that had it are hidden.
        self.can_focus = False

    @property
    def is_open(self) -> bool:
        return self.has_class("open")

    def open(self, before: Filter) -> None:
        """Type over, or add to, the filter of before."""
        self._before, self.value = before, before.text
        self.add_class("open")
        self.can_focus = True
        self.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        chosen = self._read(event.value) if self.is_open else None
        if chosen is not None:
            self._page.say("⏎ keeps the filter, esc goes back to the one before")
            self.post_message(self.Chosen(chosen, kept=False))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        chosen = self._read(event.value)
        if chosen is not None:
            self._close(chosen)

    def action_go_back(self) -> None:
        self._close(self._before)

    def _close(self, chosen: Filter) -> None:
        self.remove_class("open")
        self.can_focus = False
        self.post_message(self.Chosen(chosen, kept=True))
        self.post_message(self.Closed())

    def _read(self, text: str) -> Filter | None:
        """None where it is no filter; says why."""
        try:
            return parse_filter(text)
        except BadInput as error:
            self._page.complain(str(error))
            return None

    @property
    def _page(self) -> Page:
        assert isinstance(self.screen, Page)
        return self.screen
