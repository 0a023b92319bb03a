"""From p values to verdicts: one test decides, Holm's over a family of claims. Pure functions, no scipy.

A claim is that an effect lies above the margin. Of its two nulls, "not above" and "above", exactly one is true, so a family of
m claims has m true nulls at most, and Holm divides by m and not by 2 m. A right decision on a claim that lies exactly on the
margin makes room for others, which costs error² / 2 where claims are independent (0.1 points at 5 %).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from core.verdict.crossed import Spread
from core.verdict.statistics import p_above

Outcome = Literal["supported", "contradicted", "inconclusive"]

ERROR = 0.05
"""Of a family: that any of its verdicts is wrong."""
MARGIN = 0.5
"""Points that a difference must exceed to matter, unless a study is told otherwise."""


@dataclass(frozen=True)
class Doubt:
    """What the data leave of "not so" and of "so": `for_` is the p value of the claim's denial, `against` of the claim itself."""

    for_: float
    against: float


@dataclass(frozen=True)
class Decision:
    """`p` is adjusted for the family; `error` is what this claim was allowed to err by, so that its interval at that level and
    the verdict say the same."""

    verdict: Outcome
    p: float
    error: float


NOTHING = Doubt(1.0, 1.0)
"""Of a claim that nothing was measured for."""


def above(spread: Spread, margin: float) -> Doubt:
    """ "The effect is above the margin"."""
    return Doubt(p_above(spread, margin), p_above(mirrored(spread), -margin))


def differs(spread: Spread, margin: float) -> Doubt:
    """ "The effect is above the margin in one direction or the other"; denied where the whole interval lies within both."""
    up, down = above(spread, margin), above(mirrored(spread), margin)
    return Doubt(min(1.0, 2 * min(up.for_, down.for_)), max(up.against, down.against))


def all_of(doubts: Sequence[Doubt]) -> Doubt:
    """That each of several claims holds (intersection–union, Berger 1982)."""
    return at_least(len(doubts), doubts)


def at_least(least: int, doubts: Sequence[Doubt]) -> Doubt:
    """That `least` at least of several claims hold: partial conjunction (Benjamini, Heller 2008).

    That r of n hold is n - r + 1 times as doubtful as the r-th surest of them: for all it is the least sure, for one n times the
    surest, and in between Holm's step at which r are rejected. That they do not, the same the other way.
    """
    if not 0 < least <= len(doubts):
        return NOTHING
    spare = len(doubts) - least
    held = sorted(one.for_ for one in doubts)[least - 1] * (spare + 1)
    denied = sorted(one.against for one in doubts)[spare] * least
    return Doubt(min(1.0, held), min(1.0, denied))


def holm(family: Sequence[Doubt], error: float = ERROR) -> list[Decision]:
    """Verdicts on a family of claims that err in any with probability `error` at most."""
    order = sorted(range(len(family)), key=lambda place: _least(family[place]))
    found: dict[int, Decision] = {}
    adjusted, stopped = 0.0, 0
    for rank, place in enumerate(order):
        doubt, left = family[place], len(family) - rank
        adjusted = max(adjusted, min(1.0, left * _least(doubt)))
        if adjusted > error and not stopped:
            stopped = left  # all that are left share the error: none of them was rejected to make room for another
        left = stopped or left
        verdict: Outcome = "inconclusive" if stopped else "supported" if doubt.for_ <= doubt.against else "contradicted"
        found[place] = Decision(verdict, adjusted, error / left)
    return [found[place] for place in range(len(family))]


def _least(doubt: Doubt) -> float:
    return min(doubt.for_, doubt.against)


def mirrored(spread: Spread) -> Spread:
    return replace(spread, mean=-spread.mean)
