"""The help and the list of equivalent commands, both made from the keys of the screen in front."""

from __future__ import annotations

from collections import defaultdict

from textual.content import Content

from app.tui.shell.done import prelude
from app.tui.shell.keys import APP, EVERYWHERE, MOVING
from app.tui.shell.own import FILE
from app.tui.shell.page import Page


def help_text(page: Page) -> Content:
    """Every key of a screen, of its tables and of every screen, with what it does."""
    parts: list[Content | str | tuple[str, str]] = []
    everywhere = page.session.own.of(EVERYWHERE, APP)
    for title, keys in ((page.MODE.capitalize(), page.keys), ("Moving", MOVING), ("Everywhere", everywhere)):
        if keys:
            parts.append((f"{title}\n", "bold $accent"))
        for key in keys:
            parts += [(f"  {key.all_shown:<12}", "bold"), f" {key.help}\n"]
    file = page.session.context.home.root / FILE
    parts.append((
        "The mouse works too: click rows, titles of columns, the hints below.\n"
        f"Own keys and colours: {file}; “own keys” under : writes it, with everything in it to edit.",
        "$foreground 70%",
    ))  # fmt: skip
    return Content.assemble(*parts)


def equivalents_text(page: Page) -> Content:
    """What to type to get the same without the screens."""
    commands, told = page.equivalents(), defaultdict[str, list[str]](list)
    for key in page.keys:
        if key.action in commands:
            told[commands[key.action]].append(key.help)
    parts: list[Content | str | tuple[str, str]] = []
    if page.session.option and told:
        parts += [("once, since this is another home than innate's own\n", "$foreground 70%")]
        parts += [(f"  {prelude(page.session.option)}\n", "bold")]
    # What is short first: a study on stdin takes many lines.
    for command, actions in sorted(told.items(), key=lambda item: "\n" in item[0]):
        parts += [("\n".join(actions) + "\n", "$foreground 70%"), (f"  {command}\n", "bold")]
    if not parts:
        parts.append("There is nothing here to have a command for.")
    return Content.assemble(*parts)
