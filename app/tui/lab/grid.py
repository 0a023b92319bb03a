"""The Lab's tables: Grids whose keys g and the arrows to the sides are the screen's."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from app.tui.widgets.grid import Grid, R


class LabGrid(Grid[R], inherit_bindings=False):
    """Its first row is reached by home."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "next row", show=False),
        Binding("up,k", "move(-1)", "row before", show=False),
        Binding("pagedown,ctrl+d", "move_page(1)", "page down", show=False),
        Binding("pageup,ctrl+u", "move_page(-1)", "page up", show=False),
        Binding("home", "move_to(0)", "first row", show=False),
        Binding("end,G", "move_to(-1)", "last row", show=False),
        Binding("enter", "choose", "open", show=False),
    ]
