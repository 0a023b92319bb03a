"""The paper's claims asked of several studies, such as one under an optimizer's defaults and one tuned: answers side by side."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from app.report import cause_words
from app.report import finding_words as words
from app.report.findings import Findings
from app.report.text import table
from core.names import NORM_SIGNS
from core.verdict.findings import Finding
from core.verdict.findings.finding import Kind

_Answers = Sequence[tuple[str, Finding | None]]
"""Each study's name, and what it says of one question."""
_HEADINGS = ("study", "verdict", "points", "95 %", "won", "trusted", "equal clean")


def side_by_side(asked: Sequence[Findings], width: int) -> str:
    """The claims that some study can answer, as a table of what every study says; what that rests on; those that none can."""
    claims = {one.key: words.claim(one.key) for study in asked for one in study.found if one.kind is not Kind.EFFECT}
    answered = {
        key: told
        for key in claims
        for told in [_asked(asked, key)]
        if any(one is not None and one.effect is not None for _, one in told)
    }
    lines = textwrap.wrap(_head(asked), width)
    if answered:
        lines += ["", *_table({claims[key]: told for key, told in answered.items()}, width), "", "What it rests on"]
    for key, told in answered.items():
        lines += ["", *textwrap.wrap(claims[key], width), *_told(told, width)]
    silent = [claims[key] for key in claims if key not in answered]
    if silent:
        lines += ["", *textwrap.wrap(f"No study can say: {'; '.join(silent)}.", width, subsequent_indent="    ")]
    supposed = cause_words.assumptions([one for study in asked for one in study.found if one.kind is not Kind.EFFECT])
    if supposed is not None:
        lines += ["", *textwrap.wrap(supposed, width)]
    return "\n".join(lines)


def answers(asked: Sequence[Findings], key: str, width: int) -> list[str]:
    """What every study says of one question, an effect too."""
    return _told(_asked(asked, key), width)


def _table(answered: Mapping[str, _Answers], width: int) -> list[str]:
    """One line of numbers for each study that has an answer, below the claim that it is about."""
    rows = {claim: [cells for one in told for cells in _cells(*one)] for claim, told in answered.items()}
    shown = iter(
        table(
            _HEADINGS, [row for told in rows.values() for row in told], width - 2, right=(2, 3, 4, 5, 6), fill=0
        ).splitlines()
    )
    lines = [f"  {next(shown)}", f"  {next(shown)}"]
    for claim, told in rows.items():
        lines += [*textwrap.wrap(claim, width), *(f"  {next(shown)}" for _ in told)]
    notes = [
        "won: pairs above the others; trusted: points without invalid and suspect models; equal clean: points among pairs of "
        "equal clean accuracy"
    ]
    if any(one is not None and one.over_images for told in answered.values() for _, one in told):
        notes.append("*: one seed, the interval is over images only")
    return [*lines, *(line for note in notes for line in textwrap.wrap(note, width, subsequent_indent="    "))]


def _cells(study: str, one: Finding | None) -> list[tuple[str, ...]]:
    """One row, or none."""
    if one is None or one.effect is None or one.interval is None:
        return []
    cells = (
        study,
        one.verdict,
        f"{words.points(one.effect)}{'*' if one.over_images else ''}",
        words.interval(one.interval),
        f"{one.won}/{one.pairs}",
        *("" if beside is None else words.points(beside.effect) for beside in (one.trusted, one.matched)),
    )
    return [cells]


def _asked(asked: Sequence[Findings], key: str) -> list[tuple[str, Finding | None]]:
    return [(study.study, next((one for one in study.found if one.key == key), None)) for study in asked]


def _told(answered: _Answers, width: int) -> list[str]:
    names = max(len(study) for study, _ in answered)
    return [line for study, one in answered for line in _answer(study.ljust(names), one, width)]


def _head(asked: Sequence[Findings]) -> str:
    studies = "; ".join(
        f"{one.study} ({len(one.models):,} models"
        + (")" if one.threat is None else f", {NORM_SIGNS[one.threat.norm]} ε = {one.threat.eps:g})")
        for one in asked
    )
    return f"The paper's claims, asked of {studies}. Of each answer: the comparison that decides, points, 95 %."


def _answer(study: str, found: Finding | None, width: int) -> list[str]:
    """A study's line, and below it what it rests on."""
    indent = " " * (len(study) + 4)
    if found is None or found.effect is None:
        return textwrap.wrap(f"  {study}  cannot say", width, subsequent_indent=indent)
    said = [f"  {study}  {found.verdict}: {words.numbers(found)}"]
    matched = found.matched
    if matched is not None:
        said.append(
            f"{indent}at equal clean accuracy {words.points(matched.effect)} ({words.interval((matched.low, matched.high))})"
        )
    said += [f"{indent}{line}" for line in cause_words.lines(found)]
    return [part for line in said for part in textwrap.wrap(line, width, subsequent_indent=indent)]
