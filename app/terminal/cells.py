"""Text by the cells that it takes in a terminal: two for 猫, none for what joins the character before it."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from app.terminal.characters import HARM_IN_CELL

__all__ = ["blanked", "cell_len", "cut", "fitted", "padded"]


def cut(text: str, width: int) -> str:
    """`text` in `width` cells, with "…" where it had to be cut."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """`text` in exactly `width` cells, cut with "…" or filled up with spaces, which stand before it with `right`."""
    return padded(cut(text, width), width, right=right) if width > 0 else ""


def blanked(text: str) -> str:
    """`text` as wide as it was, without characters that `visible` writes out: most of them take no cell."""
    if text.isascii() and text.isprintable():
        return text
    return HARM_IN_CELL.sub(lambda found: " " * cell_len(found[0]), text)


def padded(text: str, width: int, *, right: bool = False) -> str:
    """`text` filled up with spaces to `width` cells, before it with `right`; never cut."""
    room = " " * (width - cell_len(text))
    return room + text if right else text + room
