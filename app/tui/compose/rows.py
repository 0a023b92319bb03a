"""What the panes of Compose show: the parts, the choices of an axis, the values of a part, and about each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from textual.content import Content

from app.tui.compose.draft import BY_NAME, PARTS, Document, Part, choice_rows, dotted, entry_of, items
from app.tui.compose.list import Line, Row, fitted
from app.tui.compose.mistakes import Mistake
from app.tui.compose.settings import Setting, settings
from app.tui.compose.words import attack_label, label, seeds_text, summary

_LONGEST_NAME = 26
_BELOW = ("samples", "training")
"""Parts whose summary needs a line of its own, beside the axes."""


def part_rows(document: Document, mistakes: Mapping[str, Mistake], width: int) -> list[Row]:
    """Every part with a summary: behind its title where it is a value or two, below it where it is a list."""
    rows = []
    for part in PARTS:
        wrong = part.name in mistakes
        mark = ("✗ ", "bad") if wrong else ("  ", "")
        words = summary(document, part)
        colour = "bad" if wrong else "strong"
        if (part.registry is not None and part.several) or part.title in _BELOW:
            count = f"{len(items(document, part.name)):>3} " if part.registry is not None else "    "
            lines: tuple[Line, ...] = (
                (mark, (fitted(part.title, width - 6), colour), (count, "dim")),
                (("    ", ""), (fitted(words, width - 5), "dim")),
            )
        else:
            lines = ((mark, (fitted(part.title, 10), colour), (fitted(words, width - 13), "dim")),)
        rows.append(Row(part.name, lines))
    return rows


def axis_rows(
    document: Document, part: Part, mistake: Mistake | None, width: int, words: Sequence[str] = ()
) -> list[Row]:
    """The choices of an axis, a tick before those made; keys are (name, position chosen)."""
    found = choice_rows(document, part, words)
    chosen = items(document, part.name)
    labels = [_label(part, name, index, chosen) for name, index in found]
    longest = min(_LONGEST_NAME, max((cell_len(text) for text in labels), default=0))
    rows = []
    for (name, index), text in zip(found, labels, strict=True):
        entry = part.registry.get(name) if part.registry else None
        wrong = mistake is not None and index is not None and mistake.concerns(dotted((part.name, index)))
        if part.name == "dataset":
            wrong = mistake is not None and index is not None
        tick = _tick(part, chosen=index is not None)
        colour = "bad" if wrong else "good" if index is not None else ""
        note = entry.summary if entry else f"no such {part.registry.noun}" if part.registry else ""
        if part.name == "attacks" and index is not None:
            note = attack_label(chosen[index])
        # A choice with many options may take the room of what it means, which is told below anyway.
        room = width - 6
        name_width = room if cell_len(text) > longest else longest
        line: Line = ((tick, colour), (fitted(text, name_width), colour))
        if name_width == longest:
            line = (*line, ("  ", ""), (fitted(note, room - longest), "" if index is not None else "dim"))
        rows.append(Row((name, index), (line,)))
    return rows


def _label(part: Part, name: str, index: int | None, chosen: Sequence[Any]) -> str:
    if index is None or part.name == "attacks":
        return name
    return label(chosen[index])


def _tick(part: Part, *, chosen: bool) -> str:
    if not part.several:
        return "(•) " if chosen else "( ) "
    return "[x] " if chosen else "[ ] "


def setting_rows(document: Document, found: Sequence[Setting], mistake: Mistake | None, width: int) -> list[Row]:
    """Values to edit, each with its default where it is not given; keys are their paths."""
    longest = max((len(setting.name) for setting in found), default=0)
    rows = []
    for setting in found:
        text, usual = setting.text(document), setting.default_text()
        table = dotted(setting.path[:-1])
        wrong = mistake is not None and (
            mistake.concerns(dotted(setting.path)) or (table != "training" and mistake.lies_at(table))
        )
        room = width - longest - 4
        if text:
            value: Line = ((fitted(text, room), "bad" if wrong else "good"),)
            if usual and usual != text and room > 24 and cell_len(text) < room - 18:
                value = (
                    (fitted(text, room - 18), "bad" if wrong else "good"),
                    (fitted(f"default {usual}", 18), "dim"),
                )
        else:
            value = ((fitted(usual, room), "bad" if wrong else "dim"),)
        rows.append(
            Row(
                setting.path,
                ((("  ", ""), (fitted(setting.name, longest), "bad" if wrong else ""), ("  ", ""), *value),),
            )
        )
    return rows


def heading(document: Document, part: Part, index: int | None, words: str) -> Content:
    """What the right pane shows."""
    if index is not None:
        return Content.assemble(
            (f" {label_of(document, part, index)}", "bold $primary"), ("  options   esc goes back", "$foreground 65%")
        )
    if part.registry is None:
        return Content.assemble((f" {part.title}", "bold $primary"), (f"  {part.help}", "$foreground 65%"))
    chosen = len(items(document, part.name))
    told = part.help if not part.several else f"{part.help} · {chosen} chosen"
    searched = f" · matching “{words}”" if words else ""
    return Content.assemble((f" {part.title}", "bold $primary"), (f"  {told}{searched}", "$foreground 65%"))


def label_of(document: Document, part: Part, index: int) -> str:
    """What stands at `index`, by name."""
    item = items(document, part.name)[index]
    return str(item["name"]) if part.name == "attacks" else label(item)


def about_choice(
    document: Document, part: Part, choice: tuple[str, int | None], mistake: Mistake | None, absent: str | None = None
) -> Content:
    """A choice (name, position chosen) in full: what it is, where it comes from, its options. `absent` says why the
    chosen data set is not at hand.
    """
    name, index = choice
    chosen = items(document, part.name)
    entry = entry_of(part.name, chosen[index] if index is not None else name)
    parts: list[Any] = []
    if mistake is not None:
        parts.append((f"✗ {mistake.text}\n", "$error"))
    if entry is None:
        return Content.assemble(*parts, f"{name} is not known here; - removes it")
    parts += [(entry.name, "bold"), f"  {entry.summary}\n"]
    if absent is not None and part.name == "dataset" and index is not None:
        parts.append((f"{absent}\n", "$warning"))
    if entry.source not in ("-", ""):
        parts += [("source   ", "$foreground 65%"), f"{entry.source}\n"]
    if part.name == "dataset":
        parts += _about_data(entry)
        if index is not None and ":" in str(chosen[0]):
            parts += [("path     ", "$foreground 65%"), str(chosen[0]).partition(":")[2]]
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


def _about_data(entry: Any) -> list[Any]:
    if entry.shape is None:
        return [("⏎ asks for its path\n", "$foreground 65%")]
    channels, height, width = entry.shape
    return [
        ("images   ", "$foreground 65%"),
        f"{height}×{width}, {'grey' if channels == 1 else 'colour'}, {len(entry.classes or ())} classes, "
        f"{entry.train_size:,} to train on, {entry.test_size:,} to test\n",
    ]


def about_setting(document: Document, setting: Setting, mistake: Mistake | None) -> Content:
    """A value in full: what it means, what it may be."""
    parts: list[Any] = []
    if mistake is not None:
        parts.append((f"✗ {mistake.text}\n", "$error"))
    parts += [(setting.name, "bold"), f"  {setting.summary}\n", (setting.about(), "$foreground 65%")]
    if setting.text(document):
        parts.append(("\n⏎ edits it, - goes back to the default", "$foreground 65%"))
    else:
        parts.append(("\n⏎ edits it", "$foreground 65%"))
    return Content.assemble(*parts)


def study_text(document: Document) -> str:
    """A study in a few words, for a list of them: "7 optimizers × 5 activations × 3 seeds on mnist"."""
    axes = [f"{len(items(document, axis))} {axis}" for axis in ("optimizers", "activations")]
    return f"{' × '.join(axes)} × {seeds_text(document)} on {summary(document, BY_NAME['dataset'])}"


def toml_content(text: str) -> Content:
    """A study file with its headings and keys set off."""
    parts: list[Any] = []
    for line in text.splitlines():
        key, equals, value = line.partition(" = ")
        if line.startswith("["):
            parts.append((f"{line}\n", "bold $accent"))
        elif equals and not line.startswith(" "):
            parts += [(key, "$primary"), f" = {value}\n"]
        else:
            parts.append(f"{line}\n")
    return Content.assemble(*parts)
