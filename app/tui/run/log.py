"""The tab of a run that shows what happened in it: its lines, how far one is in them, a field to search with."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, Static

from app.tui.widgets.field import Field
from app.tui.widgets.log import LogLine, LogView

_TIME = 21
"""Cells that a time takes, with its day and the gap behind it."""


class LogPane(Vertical):
    """A log with a line above that says how far one is, and a field to search with. F alone says whether it is followed."""

    DEFAULT_CSS = """
    LogPane #log-about { height: 1; color: $foreground 75%; text-wrap: nowrap; text-overflow: ellipsis; }
    LogPane #search { border: none; height: 1; padding: 0; background: $panel; display: none; }
    LogPane #search.open { display: block; }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.following = False
        self._lines: Sequence[LogLine] = ()
        self._nothing = ""
        self._told = ""

    def compose(self) -> ComposeResult:
        yield Static("", id="log-about")
        yield Field(id="search", placeholder="search the log", select_on_focus=False)
        yield LogView(indent=_TIME, id="log")

    @property
    def view(self) -> LogView:
        return self.query_one(LogView)

    @property
    def _field(self) -> Field:
        return self.query_one(Field)

    @property
    def searching(self) -> bool:
        """Whether the field to type into is open."""
        return self._field.has_class("open")

    @property
    def found(self) -> str:
        """How far the search is, in words; "" without one."""
        view = self.view
        if not view.sought:
            return ""
        if not view.matches:
            return f"no match for {view.sought!r}"
        return f"match {(view.match or 0) + 1} of {len(view.matches)}"

    def show(self, lines: Sequence[LogLine], nothing: str) -> None:
        """Take in the lines; without any, `nothing` says why."""
        self._nothing = nothing
        if lines != self._lines:
            self._lines, self.view.following = lines, self.following
            self.view.show(lines)
        self.tell()

    def open_search(self) -> None:
        self._field.add_class("open")
        self._field.focus()

    def close_search(self, *, keep: bool) -> None:
        """Leave the field; what was searched for stays marked with `keep`."""
        if not keep:
            self._field.value = ""
            self.view.seek("")
        self._field.remove_class("open")
        self.tell()

    def go_on(self, by: int) -> None:
        """To another match."""
        self.view.step(by)
        self.tell()

    def follow(self, on: bool) -> None:
        """Keep the end in sight, or let go of it."""
        self.following = on
        self.view.follow(on)
        self.tell()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.view.seek(event.value)
        if self.view.matches:
            self.view.go_to(0)
        self.tell()

    def tell(self) -> None:
        """The line above, drawn again only when it says something else."""
        count, found = len(self._lines), self.found
        parts = [f"{count} lines", "following the end (F)" if self.following else "not following (F)"]
        parts.append(f"{found}, n next, p before" if found else "/ searches")
        text = "  ·  ".join(parts) if count else self._nothing
        if text != self._told:
            self._told = text
            self.query_one("#log-about", Static).update(Content(text))
