"""A claim while it is being settled: the differences that it rests on, what they leave of doubt, its interval at any error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from core.verdict.crossed import Spread
from core.verdict.decisions import NOTHING, Doubt, above, at_least, differs
from core.verdict.statistics import t_interval

Sided = Literal["above", "differs"]


@dataclass(frozen=True)
class Difference:
    """A paired difference, in points, and the variants on both its sides.

    It is as good as the seeds that all its variants have: they are paired by seed, for what a seed moves in all of them cancels
    in no other way. Of a level against the mean of the others these are all variants, of a pair of levels those of the two.
    """

    spread: Spread
    variants: frozenset[str]

    def seeds(self, held: Mapping[str, int]) -> int:
        """That all its variants have."""
        return min((held.get(variant, 0) for variant in self.variants), default=0)


@dataclass(frozen=True)
class Claim:
    """ "`least` of these effects are above the margin", in points; by default all of them, and mostly there is one."""

    key: str
    """What it is called from one look to the next."""
    differences: tuple[Difference, ...]
    """Empty where nothing was measured."""
    margin: float
    sided: Sided = "above"
    """"differs": above the margin in one direction or the other."""
    least: int | None = None
    """None: all."""
    barred: bool = False
    """No number of seeds can support it: the models were attacked unequally, or the effect is within what audits leave open."""

    @property
    def needed(self) -> int:
        return len(self.differences) if self.least is None else self.least

    @property
    def spreads(self) -> list[Spread]:
        return [difference.spread for difference in self.differences]

    @property
    def measured(self) -> bool:
        """False while some difference has a single seed, which tells nothing of others."""
        return bool(self.differences) and all(spread.seeds is not None for spread in self.spreads)

    @property
    def doubt(self) -> Doubt:
        if not self.measured:
            return NOTHING
        found = at_least(self.needed, [self.doubt_of(spread) for spread in self.spreads])
        return replace(found, for_=1.0) if self.barred else found

    def doubt_of(self, spread: Spread) -> Doubt:
        """Of one difference by itself."""
        return (above if self.sided == "above" else differs)(spread, self.margin)

    @property
    def images(self) -> int:
        return min((spread.test_images for spread in self.spreads), default=0)

    def interval(self, error: float, denied: bool = False) -> tuple[float, float] | None:
        """Of the effect that decides it, the `least`-th largest, so that it says what the verdict at that error says.

        Each end is wrong with probability `error` at most, and both together where the claim is two-sided and not denied. With
        several differences a lower end holds for the count - least + 1 smallest effects and an upper end for the `least` largest,
        Bonferroni over each; of a two-sided claim with several it is the size of the effect. None without differences or error.
        """
        count, needed = len(self.differences), self.needed
        if not self.measured or not 0.0 < error < 1.0:
            return None
        if self.sided == "differs" and not denied:
            error /= 2
        size = self.sided == "differs" and count > 1
        lows = [_ends(spread, error / (count - needed + 1), size)[0] for spread in self.spreads]
        highs = [_ends(spread, error / needed, size)[1] for spread in self.spreads]
        return _largest(lows, needed), _largest(highs, needed)


def _ends(spread: Spread, error: float, size: bool) -> tuple[float, float]:
    low, high = t_interval(spread, 1 - 2 * error)
    return (max(0.0, low, -high), max(abs(low), abs(high))) if size else (low, high)


def _largest(values: Iterable[float], rank: int) -> float:
    return sorted(values, reverse=True)[rank - 1]
