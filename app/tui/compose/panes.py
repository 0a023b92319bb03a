"""The panes of Compose: the parts, the choices or values of one of them, what they are, the study file, the outlook."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Static

from app.report.toml import toml_text
from app.tui.compose.about import about_cursor, foretold, heading, toml_content
from app.tui.compose.model import Composition
from app.tui.compose.rows import axis_rows, part_rows, setting_rows
from app.tui.widgets.field import Field
from app.tui.widgets.rows import Row, RowList


class Panes(Vertical):
    """Shows a composition; changes nothing of it."""

    def __init__(self, model: Composition) -> None:
        super().__init__()
        self._model = model

    def compose(self) -> ComposeResult:
        with Horizontal(id="panes"):
            yield RowList(id="parts")
            with Vertical(id="right"):
                yield Static("", id="heading")
                yield Field(
                    id="search", placeholder="words of a name, what it does or its source", select_on_focus=False
                )
                yield RowList(id="choices")
                yield Static("", id="about")
            with VerticalScroll(id="file", can_focus=False):
                yield Static("", id="toml")
        yield Static("", id="outlook")

    def on_mount(self) -> None:
        self.call_after_refresh(self.draw)

    @property
    def parts(self) -> RowList:
        return self.query_one("#parts", RowList)

    @property
    def choices(self) -> RowList:
        """The list of the part: its choices, or its values."""
        return self.query_one("#choices", RowList)

    @property
    def search(self) -> Field:
        return self.query_one("#search", Field)

    def draw(self) -> None:
        """Show the composition as it is now."""
        if not self.is_mounted:
            return
        model = self._model
        self.parts.show(part_rows(model.document, model.mistakes, self.parts.size.width or 27), model.part.name)
        self.query_one("#heading", Static).update(heading(model.document, model.part, model.open, model.words))
        self.draw_cursor()
        self.query_one("#toml", Static).update(toml_content(toml_text(model.document)))
        self.query_one("#outlook", Static).update(foretold(model, self.screen.size.width - 2))

    def draw_cursor(self) -> None:
        """Only the cursor has moved within the list of its part."""
        self.choices.show(self._rows(), self._model.key)
        self.query_one("#about", Static).update(about_cursor(self._model))

    def _rows(self) -> list[Row]:
        model, width = self._model, self.choices.size.width or 52
        if model.settings:
            return setting_rows(model.document, model.settings, model.mistake, width)
        if model.part.registry is None:
            return []
        return axis_rows(model.document, model.part, model.mistake, width, model.words.lower().split())

    def on_row_list_resized(self) -> None:
        self.draw()
