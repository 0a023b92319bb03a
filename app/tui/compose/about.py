"""What Compose tells beside its lists: about what is under the cursor, what submitting would bring, the study file."""

from __future__ import annotations

from typing import Any

from textual.content import Content

from app.terminal.cells import fitted
from app.tui.compose.draft import BY_NAME, Document, Offer, Part, entry_of, items, place_of_data
from app.tui.compose.mistakes import Mistake
from app.tui.compose.model import Composition
from app.tui.compose.outlook import Outlook, counts, in_lines, remarks
from app.tui.compose.settings import Setting, settings
from app.tui.compose.words import label_at, summary
from core.datasets import Dataset

_Told = list[str | tuple[str, str]]
"""Words, those that are not plain with their colour."""


def heading(document: Document, part: Part, index: int | None, words: str) -> Content:
    """What the right pane shows."""
    if index is not None:
        title = summary(document, part) if part.name == "dataset" else label_at(document, part, index)
        return Content.assemble((f" {title}", "bold $primary"), ("  options   esc goes back", "$foreground 65%"))
    if part.registry is None:
        return Content.assemble((f" {part.title}", "bold $primary"), (f"  {part.help}", "$foreground 65%"))
    chosen = len(items(document, part.name))
    told = part.help if not part.several else f"{part.help} · {chosen} chosen"
    searched = f" · matching “{words}”" if words else ""
    return Content.assemble((f" {part.title}", "bold $primary"), (f"  {told}{searched}", "$foreground 65%"))


def about_choice(
    document: Document, part: Part, offer: Offer, mistake: Mistake | None, outlook: Outlook | None = None
) -> Content:
    """A choice in full: what it is, where it comes from, its options. Of the chosen data set `outlook` says why it is not at
    hand, and how it was read.
    """
    name, index = offer
    chosen = items(document, part.name)
    entry = entry_of(part.name, chosen[index] if index is not None else name)
    parts: _Told = []
    if mistake is not None:
        parts.append((f"✗ {mistake.text}\n", "$error"))
    if entry is None:
        return Content.assemble(*parts, f"{name} is not known here; - removes it")
    parts += [(entry.name, "bold"), f"  {entry.summary}\n"]
    if outlook is not None and outlook.absent is not None and isinstance(entry, Dataset) and index is not None:
        parts.append((f"{outlook.absent}\n", "$warning"))
    if entry.source not in ("-", ""):
        parts += [("source   ", "$foreground 65%"), f"{entry.source}\n"]
    if isinstance(entry, Dataset):
        parts += _about_data(entry, chosen=index is not None)
        place = place_of_data(document)[1]
        if index is not None and place:
            parts += [("path     ", "$foreground 65%"), place]
        for note in outlook.notes if outlook is not None and index is not None else ():
            parts.append(f"\n{note}")
        return Content.assemble(*parts)
    probe = document if index is not None else {**document, part.name: [_bare(part, name)]}
    options = settings(probe, part.name, index if index is not None else 0)
    if options:
        told = [f"{option.name} {option.text(probe) or option.default_text() or '–'}" for option in options]
        parts += [("options  ", "$foreground 65%"), " · ".join(told)]
        parts.append(("\no edits them, + adds one more with others" if index is not None else "", "$foreground 65%"))
    else:
        parts.append(("no options", "$foreground 65%"))
    return Content.assemble(*parts)


def _bare(part: Part, name: str) -> Any:
    return {"name": name} if part.name == "attacks" else name


def _about_data(entry: Dataset, *, chosen: bool) -> _Told:
    if entry.shape is None:
        options = " edits its options" if chosen and entry.parameters else " asks for its path"
        return [(f"⏎{options}\n", "$foreground 65%")]
    channels, height, width = entry.shape
    return [
        ("images   ", "$foreground 65%"),
        f"{height}×{width}, {'grey' if channels == 1 else 'colour'}, {len(entry.classes or ())} classes, "
        f"{entry.train_size:,} to train on, {entry.test_size:,} to test\n",
    ]


def about_setting(document: Document, setting: Setting, mistake: Mistake | None) -> Content:
    """A value in full: what it means, what it may be."""
    parts: _Told = []
    if mistake is not None:
        parts.append((f"✗ {mistake.text}\n", "$error"))
    parts += [(setting.name, "bold"), f"  {setting.summary}\n", (setting.about(), "$foreground 65%")]
    if setting.text(document):
        parts.append(("\n⏎ edits it, - goes back to the default", "$foreground 65%"))
    else:
        parts.append(("\n⏎ edits it", "$foreground 65%"))
    return Content.assemble(*parts)


def about_cursor(model: Composition) -> Content:
    """What is under the cursor, in full."""
    if model.setting is not None:
        return about_setting(model.document, model.setting, model.mistake)
    if model.offer is not None:
        return about_choice(model.document, model.part, model.offer, model.mistake, model.outlook)
    if model.words:
        return Content(f"No choice here has “{model.words}” in its name, summary or source; esc shows all.")
    return Content("")


def foretold(model: Composition, width: int) -> Content:
    """What submitting would bring, or what is wrong, in lines of `width` columns; dim while it is of an earlier draft."""
    wrong = list(model.mistakes.values())
    if wrong:
        others = ", ".join(BY_NAME[mistake.part].title for mistake in wrong[1:])
        return Content.assemble(
            (fitted(f"✗ {wrong[0].text}", width).rstrip(), "$error"), f"\nalso wrong: {others}" if others else ""
        )
    if model.foretold is None:
        return Content.styled("counting …", "$foreground 65%")
    outlook = model.foretold[1]
    lines = in_lines([*counts(outlook), *remarks(outlook)], width)
    colour = "$foreground" if model.outlook is not None else "$foreground 65%"
    return Content.assemble((lines[0], f"bold {colour}"), ("\n" + "\n".join(lines[1:]), colour))


def toml_content(text: str) -> Content:
    """A study file with its headings and keys set off."""
    parts: _Told = []
    for line in text.splitlines():
        key, equals, value = line.partition(" = ")
        if line.startswith("["):
            parts.append((f"{line}\n", "bold $accent"))
        elif equals and not line.startswith(" "):
            parts += [(key, "$primary"), f" = {value}\n"]
        else:
            parts.append(f"{line}\n")
    return Content.assemble(*parts)
