"""The Lab's rows in another way: one of the views in place of the tables, with what its row says in full. Only whoever looks at a
view waits for its widgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from app.tui.lab.asked import Asked
from app.tui.lab.front import RunChosen
from app.tui.lab.views.pane import TITLES, VIEWS, ViewPane

if TYPE_CHECKING:
    from app.tui.shell.session import Session

PLACES = (None, *VIEWS)
"""What stands in front, in the order of the tabs: the rows (None), or a view."""
NAMES = ("Rows", *TITLES)
"""What these are called."""


class Viewed(Container):
    """`asked` says what is looked at, whenever that is shown anew."""

    DEFAULT_CSS = """
    Viewed { height: 1fr; }
    Viewed #words { height: 3; border-top: solid $panel; color: $foreground 85%; }
    """

    class Ready(Message):
        """The view in front has its widgets, so that it can have the focus."""

    def __init__(self, session: Session, asked: Callable[[], Asked], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._session, self._asked = session, asked
        self.view: str | None = None
        """Of VIEWS, that stands in front; None: the rows do."""

    def compose(self) -> ComposeResult:
        yield Static("", id="words")

    @property
    def pane(self) -> ViewPane | None:
        """The views' own widget; None until one is looked at."""
        return next(iter(self.query(ViewPane)), None)

    @property
    def shown(self) -> ViewPane | None:
        """The same, where a view is in front."""
        return None if self.view is None else self.pane

    def turn_to(self, view: str | None) -> None:
        self.view = view
        if view is not None and self.pane is None:
            self.mount(ViewPane(self._session, self._session.remembered.views, id="pane"), before="#words")
            self.call_after_refresh(self.show)
        else:
            self.show()

    def after(self, by: int) -> str | None:
        """The place so many tabs on."""
        return PLACES[(PLACES.index(self.view) + by) % len(PLACES)]

    def show(self) -> None:
        """What is asked for, in the view in front."""
        if self.shown is not None and self.view is not None:
            self.shown.show(self._asked(), self.view)
            self.post_message(self.Ready())

    def on_view_pane_moved(self, event: ViewPane.Moved) -> None:
        event.stop()
        if self.pane is not None:
            self.query_one("#words", Static).update(Content(self.pane.words()))

    def on_view_pane_chosen(self, event: ViewPane.Chosen) -> None:
        event.stop()
        self.post_message(RunChosen(event.study, event.trials[0]))

    def equivalents(self) -> Mapping[str, str]:
        """Of turning to the view in front, and of each of its keys."""
        pane = self.shown
        if pane is None:
            return {}
        return {"turn(1)": pane.equivalent(), f"view('{self.view}')": pane.equivalent(), **pane.equivalents()}
