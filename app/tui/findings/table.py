"""The findings as lines of a table: the paper's claims, then each factor's levels, effects on one axis around 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.report import finding_words as words
from app.report.findings import Findings
from app.report.signed import axis, reach, whisker
from app.report.text import distinct
from app.report.whiskers import Whisker
from app.tui.widgets.grid import Cell, Column, Line, named_cell
from core.names import FACTORS
from core.verdict.findings import Finding
from core.verdict.findings.finding import Kind

CLAIMS, SILENT = "claims", "silent"
"""Keys of the lines above the paper's claims, those that the study can answer and, last of all, the others. The factor's name is
the key of that above its levels."""
_HEADINGS = {CLAIMS: "The paper's claims", SILENT: "Claims beyond this study"}
_LEAST_AXIS = 11
"""Characters that the axis keeps: other columns give way."""
_MOST_AXIS = 61
_WIDE = 100
"""Characters from which on there is room to say how far settling is in words."""
_COLOURS = {"supported": "done", "contradicted": "failed"}


@dataclass(frozen=True)
class Table:
    """What the list is filled with."""

    columns: tuple[Column[Line], ...]
    lines: tuple[Line, ...]


def groups(found: Findings) -> list[tuple[str, list[Finding]]]:
    """(key of the heading, its findings): the claims, each factor's levels, the best first, and the claims without an answer."""
    claims = [one for one in found.found if one.kind is not Kind.EFFECT]
    several = [(CLAIMS, [one for one in claims if one.effect is not None])]
    for factor in FACTORS:
        levels = [one for one in found.found if one.kind is Kind.EFFECT and one.factor == factor]
        if levels:
            several.append((factor, sorted(levels, key=lambda one: (one.effect is None, -(one.effect or 0.0)))))
    several.append((SILENT, [one for one in claims if one.effect is None]))
    return [(heading, members) for heading, members in several if members]


def verdict(one: Finding, settling: Mapping[str, tuple[int, int]], *, wide: bool) -> str:
    """In a word; of what is being settled how far that is."""
    if one.effect is None:
        return "cannot say"
    if one.key in settling:
        ended, count = settling[one.key]
        return f"settling, {ended} of {count}" if wide else f"settling {ended}/{count}"
    return one.verdict.upper() if one.verdict == "supported" else one.verdict


def table(found: Findings, settling: Mapping[str, tuple[int, int]], width: int) -> Table:
    """In `width` characters. Columns that have no room are left out whole; verdicts, claims and differences always stand."""
    grouped = groups(found)
    everything = [one for _, several in grouped for one in several]
    verdicts = {one.key: verdict(one, settling, wide=width >= _WIDE) for one in everything}
    bars = {one.key: _whisker(one) for one in everything}
    judged = any(one.trust != "ok" for one in everything)
    tail = [
        Column("findings n", "n", max(3, len(str(max(one.pairs for one in everything)))), named_cell("n"), right=True)
    ]
    tail += [Column("findings trust", "trust", 7, named_cell("trust"))] if judged else []
    front = max(len("verdict"), *(len(word) for word in verdicts.values()))
    longest = max(len(words.short(one)) for one in everything)
    while tail and _left(width, front, longest, tail) < _LEAST_AXIS:
        tail.pop(0)
    name = min(longest, max(12, longest + _left(width, front, longest, tail) - _LEAST_AXIS))
    room = min(_MOST_AXIS, max(9, _left(width, front, name, tail)))
    room -= 1 - room % 2  # odd, so that 0 has the middle
    labels = dict(zip(verdicts, distinct([words.short(one) for one in everything], name), strict=True))
    limit = reach(list(bars.values()))
    # Columns of a Grid never get narrower; another width is another column.
    columns = (
        Column(f"findings verdict {front}", "verdict", front, named_cell("verdict")),
        Column(f"findings claim {name}", "claim", name, named_cell("claim")),
        Column("findings points", "points", 6, named_cell("points"), right=True),
        Column(f"findings axis {room}", axis(limit, room), room, named_cell("axis")),
        *tail,
    )
    lines = []
    for heading, several in grouped:
        lines.append(Line(heading, {"claim": (_HEADINGS.get(heading, heading), "title")}))
        lines += [
            Line(
                one.key, {"claim": (labels[one.key], ""), **_cells(one, verdicts[one.key], bars[one.key], limit, room)}
            )
            for one in several
        ]
    return Table(columns, tuple(lines))


def _left(width: int, front: int, name: int, tail: Sequence[Column[Line]]) -> int:
    """Characters that are left for the axis; each column has a gap behind it, the first one the marks' place before it."""
    return width - 2 - (front + 1) - (name + 1) - 7 - 1 - sum(column.width + 1 for column in tail)


def _cells(one: Finding, word: str, bar: Whisker, limit: float, room: int) -> dict[str, Cell]:
    colour = (
        "running"
        if word.startswith("settling")
        else _COLOURS.get(one.verdict, "dim")
        if one.effect is not None
        else "dim"
    )
    if one.effect is None:
        return {"verdict": (word, colour)}
    return {
        "verdict": (word, colour),
        "points": (words.points(one.effect), ""),
        "axis": (whisker(bar, limit, room), colour if one.verdict != "inconclusive" else ""),
        "n": (str(one.pairs), ""),
        "trust": (one.trust, one.trust),
    }


def _whisker(one: Finding) -> Whisker:
    if one.effect is None or one.interval is None:
        return Whisker("", None, None, None)
    return Whisker("", 100.0 * one.effect, 100.0 * one.interval[0], 100.0 * one.interval[1])
