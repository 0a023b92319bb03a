"""The dialogs in which Compose asks for a value, and what they say to what is typed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from app.tui.compose.draft import dotted, place_of_data
from app.tui.compose.model import Composition
from app.tui.compose.settings import Setting, choose, problem, read
from app.tui.shell.page import Page
from app.tui.widgets.dialogs import Item, Picker, Prompt

Then = Callable[[bool], None]
"""Hears that the model was given the answer, and whether that changed its document."""


def ask_value(page: Page, model: Composition, setting: Setting, then: Then) -> None:
    """Ask on `page` for the value of a setting: one of its choices, else text."""

    def check(text: str) -> str | None:
        return problem(model.document, setting, text, model.base)

    def typed(text: str | None) -> None:
        if text is not None:
            then(model.put(setting, read(setting, text)))

    def picked(choice: str | None) -> None:
        if choice is not None:
            then(model.change(choose(model.document, setting, choice or None)))

    if setting.choices:
        page.push(_picker(setting, setting.text(model.document) or setting.default_text()), picked)
    else:
        text = setting.text(model.document)
        page.push(Prompt(dotted(setting.path), text, hint=setting.about(), check=check), typed)


def _picker(setting: Setting, now: str) -> Picker:
    """A setting's choices; "" stands for leaving the key out."""
    items = [Item(choice, choice, "as it is" if choice == now else "") for choice in setting.choices]
    if setting.absent:
        items.insert(0, Item("", "automatic", setting.absent))
    return Picker(setting.name, items)


def ask_path(page: Page, model: Composition, kind: str, then: Then) -> None:
    """Ask on `page` for the path of a data set of one's own, `kind` "folder" or "npz"."""
    now, path = place_of_data(model.document)

    def check(text: str) -> str | None:
        place = place_of(text)
        if not text.strip():
            return "where is it?"
        if kind == "folder":
            return None if place.is_dir() else f"there is no folder {place}"
        return None if place.is_file() else f"there is no file {place}"

    def typed(text: str | None) -> None:
        if text is not None:
            then(model.choose(kind, place_of(text).resolve()))

    hints = {
        "folder": "pictures under train/CLASS/ and test/CLASS/, or under CLASS/ alone; its options come next",
        "npz": "a file with x_train, y_train, x_test, y_test",
    }
    page.push(Prompt(f"{kind}: where", path if now == kind else "", hint=hints[kind], check=check), typed)


def place_of(text: str) -> Path:
    """The path that was typed."""
    return Path(text.strip()).expanduser()
