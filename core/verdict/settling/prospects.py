"""What more seeds, or more test images, promise for an open claim: the chance that it will be decided, given what is seen now.

Predictive (Spiegelhalter, Freedman, Blackburn 1986): the mean after n' seeds, given the mean m after n, is normal about m with
variance S · (1 - n/n'), what the seeds to come are to move it by; the images are the same, so their error stays where it is. It
is decided where it is far enough from the margin for the error of that look. Approximate; no error control rests on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from core.verdict.crossed import Spread
from core.verdict.settling.claim import Claim, Difference
from core.verdict.settling.spending import Look
from core.verdict.statistics import t_quantile

MOST_IMAGES = 1e6
"""That are worth asking for."""


@dataclass(frozen=True)
class Prospect:
    """Of one open claim."""

    chances: tuple[float, ...]
    """That it is decided at each look to come, in [0, 1]."""
    with_images: float
    """That it would be at the last look if there were as many test images as one likes."""
    seeds_limit: bool
    """Whether at the last look seeds would still be the greater part of its variance."""
    seeds: float
    """Expected in the end: those of the next look, and of each later one as likely as it is not decided before."""

    @property
    def last(self) -> float:
        """The best chance of any look to come; 0 without any."""
        return max(self.chances, default=0.0)


def prospect(claim: Claim, held: Mapping[str, int], ahead: Sequence[Look], family: int, last: Look) -> Prospect:
    """Of a claim whose variants hold that many seeds and that shares each error with `family` claims. `ahead` are the looks to
    come, `last` the one at which images are judged: the last of them or, after it, what still can be had."""
    if not claim.measured:
        return Prospect(tuple(1.0 for _ in ahead), 1.0, True, float(ahead[0].seeds if ahead else 0))
    chances = tuple(chance(claim, held, look.seeds, look.error / family) for look in ahead)
    at_last = [_later(difference, held, last.seeds, 1.0) for difference in claim.differences]
    return Prospect(
        chances,
        chance(claim, held, last.seeds, last.error / family, math.inf),
        math.fsum((one.seeds or 0.0) - one.rest for one in at_last)
        > math.fsum(one.images - one.rest for one in at_last),
        _seeds(chances, ahead),
    )


def images_wanted(claim: Claim, held: Mapping[str, int], last: Look, family: int, least_chance: float) -> int | None:
    """The fewest test images, to two digits, with which the claim would be decided at the last look with `least_chance`;
    None where none would do."""
    now, error = max(1, claim.images), last.error / family
    low, high = 0.0, math.log(MOST_IMAGES / now)
    if high <= 0 or chance(claim, held, last.seeds, error, math.exp(high)) < least_chance:
        return None
    while high - low > 0.005:
        middle = (low + high) / 2
        if chance(claim, held, last.seeds, error, math.exp(middle)) < least_chance:
            low = middle
        else:
            high = middle
    return _two_digits(now * math.exp(high))


def chance(claim: Claim, held: Mapping[str, int], then: int, error: float, more: float = 1.0) -> float:
    """That the claim is decided at `then` seeds with an error of its own, and `more` times the images.

    Of several differences the least likely that is needed counts: an upper bound, so that nothing is given up for others' sake.
    """
    if not 0.0 < error < 1.0:
        return 0.0
    count, needed = len(claim.differences), claim.needed
    up, down = [], []
    for difference in claim.differences:
        spread, later = difference.spread, _later(difference, held, then, more)
        moves = math.sqrt(_moves(spread, _fewer(difference, held, then), more))
        width, freedom = math.sqrt(later.variance), later.freedom
        level = error / (count - needed + 1)
        out = t_quantile(1 - (level / 2 if claim.sided == "differs" else level), freedom) * width
        within = t_quantile(1 - error / needed, freedom) * width
        over = _beyond(spread.mean - claim.margin - out, moves)
        if claim.sided == "above":
            up.append(over)
            down.append(_beyond(claim.margin - within - spread.mean, moves))
        else:
            up.append(min(1.0, over + _beyond(-spread.mean - claim.margin - out, moves)))
            room = claim.margin - within
            inside = _beyond(room - spread.mean, moves) + _beyond(room + spread.mean, moves) - 1.0
            down.append(max(0.0, inside) if room > 0 else 0.0)
    return min(1.0, sorted(up, reverse=True)[needed - 1] + sorted(down, reverse=True)[count - needed])


def _seeds(chances: Sequence[float], ahead: Sequence[Look]) -> float:
    total, reached, before = 0.0, 0.0, 0
    for look, decided in zip(ahead, chances, strict=True):
        total += (look.seeds - before) * (1.0 - reached)
        reached, before = max(reached, decided), look.seeds
    return total


def _fewer(difference: Difference, held: Mapping[str, int], then: int) -> float:
    """Seeds' variance then as a share of what it is."""
    now = max(1, difference.seeds(held))
    return now / max(now, then)


def _later(difference: Difference, held: Mapping[str, int], then: int, more: float) -> Spread:
    """As the difference's spread would be expected with `then` seeds, and `more` times the images."""
    spread, fewer = difference.spread, _fewer(difference, held, then)
    of_seeds, rest_then = spread.seeds or 0.0, spread.rest * fewer / more
    trials, floor = max(0.0, of_seeds - spread.rest), max(0.0, spread.images - spread.rest)
    # Freedom grows about as the variance falls, and faster from few seeds.
    return replace(
        spread,
        seeds=trials * fewer + rest_then,
        images=floor / more + rest_then,
        rest=rest_then,
        df=None if spread.df is None else spread.df / fewer,
        df_rest=spread.df_rest / fewer,
        test_images=int(min(MOST_IMAGES, spread.test_images * more)),
    )


def _moves(spread: Spread, fewer: float, more: float) -> float:
    """Variance of the mean to come about the mean as it is."""
    return (spread.seeds or 0.0) * (1 - fewer) + max(0.0, spread.images - spread.rest) * (1 - 1 / more)


def _beyond(distance: float, deviation: float) -> float:
    """P(normal(distance, deviation) > 0)."""
    if deviation <= 0.0:
        return 1.0 if distance > 0 else 0.0
    return 0.5 * math.erfc(-distance / deviation / math.sqrt(2))


def _two_digits(count: float) -> int:
    step = int(10 ** max(0, math.floor(math.log10(count)) - 1))
    return math.ceil(count / step) * step
