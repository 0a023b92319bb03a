"""The rows of the lists in Compose: the parts, the choices of an axis, the values of a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from app.terminal.cells import fitted
from app.tui.compose.draft import PARTS, Document, Offer, Part, choice_rows, dotted, items
from app.tui.compose.mistakes import Mistake
from app.tui.compose.settings import Setting
from app.tui.compose.words import attack_label, label_at, summary
from app.tui.widgets.rows import Line, Row

_LONGEST_NAME = 26
_TABLES = ("training", "tuning", "dataset")
"""Where a mistake of the table as a whole is none of each value."""
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
    """The choices of an axis, a tick before those made; keys are what is offered."""
    found = choice_rows(document, part, words)
    chosen = items(document, part.name)
    labels = [_label(document, part, offer) for offer in found]
    longest = min(_LONGEST_NAME, max((cell_len(text) for text in labels), default=0))
    rows = []
    for offer, text in zip(found, labels, strict=True):
        name, index = offer
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
        rows.append(Row(offer, (line,)))
    return rows


def _label(document: Document, part: Part, offer: Offer) -> str:
    return offer.name if offer.place is None else label_at(document, part, offer.place)


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
            mistake.concerns(dotted(setting.path)) or (table not in _TABLES and mistake.lies_at(table))
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
