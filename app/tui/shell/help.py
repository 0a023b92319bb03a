"""The help and the list of equivalent commands, both made from the keys of the screen in front."""

from __future__ import annotations

from textual.content import Content

from app.tui.shell.keys import EVERYWHERE, Key
from app.tui.shell.page import Page

_MOVING = (
    Key("down,j", "", "", "next row"),
    Key("up,k", "", "", "row before"),
    Key("pagedown,pageup", "", "", "a page on, a page back"),
    Key("g,G", "", "", "first row, last row"),
    Key("right,left", "", "", "columns that have no room, on and back"),
)


def help_text(page: Page) -> Content:
    """Every key of a screen, of its tables and of every screen, with what it does."""
    parts: list[Content | str | tuple[str, str]] = []
    for title, keys in ((page.MODE.capitalize(), page.KEYS), ("Moving", _MOVING), ("Everywhere", EVERYWHERE)):
        if keys:
            parts.append((f"{title}\n", "bold $accent"))
        for key in keys:
            parts += [(f"  {key.all_shown:<12}", "bold"), f" {key.help}\n"]
    parts.append(("The mouse works too: click rows, titles of columns, the hints below.", "$foreground 70%"))
    return Content.assemble(*parts)


def equivalents_text(page: Page) -> Content:
    """What to type to get the same without the screens."""
    commands = page.equivalents()
    parts: list[Content | str | tuple[str, str]] = []
    for key in page.KEYS:
        if key.action in commands:
            parts += [(f"{key.help}\n", "$foreground 70%"), (f"  {commands[key.action]}\n", "bold")]
    return Content.assemble(*parts)
