"""What moves with a finding's effect, and what is left of it at equal traits: in words, and as rows for programs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from app.report.finding_words import interval, points
from app.report.traits import words
from core.traits import TRAITS
from core.verdict.findings.causes import LEAST_POINTS, AtEqual, Cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from core.verdict.findings import Finding
    from storage.reading import Options

EQUALISED = ("clean_accuracy", "training_loss", "margin")
"""Told of every effect: was one side worse, less trained, or less sure?"""
SURE = 0.05
"""Adjusted p up to which a trait is said to move with an effect."""
_MOST = 3
"""Of those that move, the strongest are named."""


def lines(found: Finding) -> list[str]:
    """What there is to say of an effect that stands by itself; nothing of one whose interval holds 0."""
    if not found.causes or found.interval is None or found.interval[0] <= 0.0 <= found.interval[1]:
        return []
    count = max(cause.points for cause in found.causes)
    if count < LEAST_POINTS:
        return [f"causes: not enough pairs: {LEAST_POINTS} {_of(found)} are needed, there are {count}"]
    equal = [
        f"{words(cause.trait)} {_left(cause.at_equal)}"
        for cause in found.causes
        if cause.trait in EQUALISED and cause.at_equal is not None
    ]
    sure = moves(found)
    named = [cause for cause in sure if not any(TRAITS[cause.trait].like == other.trait for other in sure)]
    moving = [f"{words(cause.trait)} (ρ {cause.rho:+.2f})" for cause in named[:_MOST]]
    moved = [f"moves with {', '.join(moving)} over {count} {_of(found)}"] if moving else _doubted(found, count)
    return [*moved, *([f"at equal {'; at equal '.join(equal)}"] if equal else [])]


def _doubted(found: Finding, count: int) -> list[str]:
    """What moves most with an effect where no trait surely does; and whether any could, were its order perfect."""
    tested = [cause for cause in found.causes if cause.rho is not None]
    if not tested:
        return []
    most = max(tested, key=lambda cause: abs(cause.rho or 0.0))
    can = 2 * len(tested) / math.factorial(min(count, 9)) <= SURE
    why = f"no trait surely moves with it over {count}" if can else f"too few to be sure what moves with it, {count}"
    return [f"{why} {_of(found)}; most {words(most.trait)} (ρ {most.rho:+.2f}, adjusted p {most.adjusted:.2g})"]


def moves(found: Finding) -> list[Cause]:
    """The traits that move with the effect beyond what shuffling gives, the strongest first."""
    sure = [cause for cause in found.causes if cause.adjusted is not None and cause.adjusted <= SURE]
    return sorted(sure, key=lambda cause: -abs(cause.rho or 0.0))


def _of(found: Finding) -> str:
    """What the points are."""
    return "seeds" if found.blocks == 1 else "blocks"


def _left(one: AtEqual) -> str:
    far = ", extrapolated" if one.extrapolated else ""
    return f"{points(one.effect)} ({interval((one.low, one.high))}): {one.left.value}{far}"


def rows(found: Finding) -> list[Options]:
    """The field `causes` of a finding; differences of traits in their own units, effects as fractions."""
    return [
        {
            "trait": cause.trait,
            "unit": TRAITS[cause.trait].unit,
            "difference": cause.difference,
            "n": cause.points,
            "of": _of(found),
            "rank_correlation": cause.rho,
            "p": cause.p,
            "adjusted_p": cause.adjusted,
            "at_equal": None if cause.at_equal is None else _equal(cause.at_equal),
        }
        for cause in found.causes
    ]


def _equal(one: AtEqual) -> Options:
    return {
        "effect": one.effect,
        "interval": [one.low, one.high],
        "freedom": one.freedom,
        "left": one.left.value,
        "extrapolated": one.extrapolated,
    }


def assumptions(found: Sequence[Finding]) -> str | None:
    """What the lines suppose, once for a page; None where none says anything."""
    if not any(cause.at_equal for one in found if lines(one) for cause in one.causes):
        return None
    return (
        "Causes: rank correlations ρ of paired differences, means over seeds, adjusted for the number of traits (Holm); at equal "
        "trait: where the least-squares line of the score's differences against the trait's meets 0, if what the trait does is "
        "linear and the same everywhere. survives: keeps its side of 0; vanishes: holds 0, and not the effect as it was; open: "
        "holds both. What the traits are: innate traits"
    )
