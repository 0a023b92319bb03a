"""The paper's claims and every factor's levels, each with its verdict and what that rests on."""

from __future__ import annotations

from collections.abc import Sequence

from app.report import cause_words
from app.report import finding_words as words
from app.report.described import ranks_text
from app.report.document.material import Material
from app.report.document.record import Block, Heading, Items, Points, Section, Table, Text
from app.report.text import percent
from app.report.whiskers import Whisker
from core.names import FACTORS
from core.verdict.described.variance import Analysis
from core.verdict.findings import Finding
from core.verdict.findings.finding import Kind

_HEADINGS = ("verdict", "points", "95 % CI", "won", "n", "adjusted p", "audit bound", "trust")


def verdicts(of: Material) -> Section:
    """Claims, then effects of levels, then what merely describes."""
    found = of.found.found
    blocks: list[Block] = [
        Text(
            "Differences are in points of accuracy, paired by seed, image and every other choice. n: pairs; won: pairs in which "
            "the level is above the others; audit bound: so much of the difference the audits leave open, in points."
        ),
        *_claims(of, [one for one in found if one.kind is not Kind.EFFECT]),
    ]
    for factor in FACTORS:
        of_factor = [one for one in found if one.kind is Kind.EFFECT and one.factor == factor]
        if of_factor:
            blocks += _effects(of, factor, of_factor)
    supposed = cause_words.assumptions(found)
    if supposed is not None:
        blocks += [Heading("What causes rest on"), Text(f"{supposed}.")]
    if of.found.described.variance is not None:
        blocks += [Heading("Where the variance goes"), _variance(of.found.described.variance)]
    return Section("Findings", tuple(blocks))


def _claims(of: Material, claims: Sequence[Finding]) -> list[Block]:
    asked = [one for one in claims if one.parts]
    blocks: list[Block] = [Heading("The paper's claims")]
    if asked:
        rows = tuple((words.claim(one.key), *_cells(one)) for one in asked)
        blocks.append(Table("", ("claim", *_HEADINGS), rows, frozenset(range(2, 8))))
        for one in asked:
            blocks += [Text(f"{words.claim(one.key)}: {one.verdict}."), Items(tuple(_beside(of, one)))]
    unasked = [f"{'; '.join([words.claim(one.key), *_ways(of, one)])}" for one in claims if not one.parts]
    if unasked:
        blocks += [Text("Of these claims the study cannot say anything:"), Items(tuple(unasked))]
    return blocks


def _cells(one: Finding) -> tuple[str, ...]:
    """The columns of _HEADINGS."""
    return (
        one.verdict,
        "-" if one.effect is None else words.points(one.effect),
        "-" if one.interval is None else words.interval(one.interval),
        f"{one.won}/{one.pairs}",
        str(one.pairs),
        "-" if one.p is None else f"{one.p:.2g}",
        percent(one.audit_bound),
        one.trust,
    )


def _beside(of: Material, one: Finding) -> list[str]:
    """What the deciding comparison was, how it stands without doubted models and at equal traits, what hinders."""
    said = (words.numbers(one), *words.beside(one), *words.flipped(one), *cause_words.lines(one), *_ways(of, one))
    return [part for part in said if part]


def _ways(of: Material, one: Finding) -> list[str]:
    ways = [words.way(obstacle, one, of.name) for obstacle in one.obstacles]
    return [way.what if way.command is None else f"{way.what} ({way.command})" for way in ways]


def _effects(of: Material, factor: str, found: Sequence[Finding]) -> list[Block]:
    """Levels of one factor, best first, each against the mean of the others; drawn, and in numbers."""
    ordered = sorted(found, key=lambda one: -(one.effect if one.effect is not None else -9.0))
    against = found[0].levels[1] if len(found) == 1 else "the mean of the other levels"
    caption = f"{factor}: worst case against {against}"
    bars = tuple(_bar(one) for one in ordered)
    rows = tuple((one.levels[0], *_cells(one)) for one in ordered)
    blocks: list[Block] = [
        Heading(f"Effects: {factor}"),
        Points(f"{caption}, with 95 % intervals.", (("", bars),), "difference, points", signed=True),
        Table(f"{caption}; supported: it differs.", (factor, *_HEADINGS), rows, frozenset(range(2, 8))),
    ]
    hindered = list(dict.fromkeys(line for one in found for line in _ways(of, one)))
    ranks = [ranks_text(one) for one in of.found.described.ranks if one.factor == factor]
    alike: dict[str, list[str]] = {}
    for one in ordered:
        alike.setdefault("; ".join(cause_words.lines(one)), []).append(one.levels[0])
    causes = [f"{', '.join(levels)}: {told}" for told, levels in alike.items() if told]
    below = (*hindered, *causes, *ranks)
    return [*blocks, *([Items(below)] if below else [])]


def _bar(one: Finding) -> Whisker:
    low, high = one.interval if one.interval is not None else (None, None)
    effect, low, high = (None if end is None else 100 * end for end in (one.effect, low, high))
    return Whisker(one.levels[0], effect, low, high, one.verdict)


def _variance(found: Analysis) -> Table:
    rows = [
        (
            " × ".join(term.factors),
            str(term.df),
            "-" if term.f is None else f"{term.f:.1f}",
            "-" if term.p is None else f"{term.p:.2g}",
            percent(term.eta2),
        )
        for term in found.terms
    ]
    rest = found.residual
    rows.append(("rest", str(rest.df), "", "", percent(rest.share)))
    unequal = (
        "" if found.balanced else " Cells are missing or unequal: least squares, type II; shares would not add up."
    )
    return Table(
        f"Described, deciding nothing: variance of the worst case over {found.trials} models.{unequal}",
        ("", "df", "F", "p", "share, %"),
        tuple(rows),
        frozenset({1, 2, 3, 4}),
    )
