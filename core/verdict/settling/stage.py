"""Seeds where they matter, group-sequentially: a stage decides what can be decided, gives up what cannot, and says what needs how
many seeds next. Whoever calls it trains exactly those, keeps the looks and what was decided, and comes again.

Why no more than ERROR of the studies get any wrong verdict, however often they are looked at. A look at which nothing is new has
no error and decides nothing. At any other, Holm's procedure (`decisions.holm`) over the claims still undecided errs with
probability `error_now` at most; that family counts those given up too, whose silence depends on the data. Claims decided before
leave it, as a claim does that Holm's procedure has decided: if no verdict so far is wrong they have no more to err by, and the
first wrong verdict of a study is one of some look. The errors of the looks add up to ERROR at most (`settling.spending`). The
next look is always at the next number of seeds, or there is none: outcomes choose what is trained for it, and not its error.
Giving up decides nothing, so that its rules need no error (non-binding), and anyone may go on nevertheless.

Intervals are repeated confidence intervals (Jennison, Turnbull 1989) at the error that the claim was tested at, hence wider than
the plain ones, and right whenever one stops. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from core.verdict.decisions import Outcome, holm
from core.verdict.settling.claim import Claim, Difference
from core.verdict.settling.prospects import Prospect, images_wanted, prospect
from core.verdict.settling.spending import LOOKS, Look, error_now, errors_ahead

FUTILE = 0.15
"""A claim less likely than this to be decided by the last look gets no more seeds."""
EVEN = 0.5
"""Where images limit a claim it is asked for images if it is less likely than this to be decided without."""
WORTH = 0.8
"""The chance that images asked for are to give."""


class Limit(StrEnum):
    """Why more seeds would not decide a claim."""

    SEEDS = "seeds"
    """It lies too near to the margin for the seeds of the last look."""
    IMAGES = "images"
    """The test images say too little of it, however many seeds there are."""
    ATTACKS = "attacks"
    """Its models were attacked unequally, or too little to tell so small an effect (`Claim.barred`)."""


@dataclass(frozen=True)
class Decided:
    """A verdict for good."""

    key: str
    verdict: Outcome
    look: int
    """Counted from 1."""
    error: float
    """That it was tested at."""
    interval: tuple[float, float] | None
    """At that error, in points."""
    p: float
    """Adjusted for its family at that look; to be compared with the error of that look."""


@dataclass(frozen=True)
class Undecided:
    """A claim that stays inconclusive for now."""

    key: str
    error: float
    """Of its interval: its share of the last look's."""
    interval: tuple[float, float] | None
    p: float
    chance: float
    """That it is decided by the last look, in [0, 1], as things look now."""
    limit: Limit | None = None
    """Why it gets no more seeds; None while it is open."""
    images: int | None = None
    """Test images that would do, where they limit it."""
    variants: frozenset[str] = frozenset()
    """That are to get seeds for its sake; none where it gets no more."""


@dataclass(frozen=True)
class Stage:
    """What one look says, and what is to be trained before the next."""

    looks: tuple[Look, ...]
    """All that were had, with this one if it is new: what storage keeps."""
    decided: tuple[Decided, ...]
    """Those of former looks as they were, then those of this one."""
    undecided: tuple[Undecided, ...]
    """In the order of the claims."""
    wanted: Mapping[str, int]
    """Seeds that each variant of an open claim is to have at the next look; variants that have them are left out."""
    expected: Mapping[str, float]
    """Seeds that each variant of an open claim will have in the end, by what is seen now: rather too many than too few."""
    trials: int
    """To queue now."""
    expected_trials: float
    """From now on in all."""

    @property
    def open(self) -> tuple[str, ...]:
        return tuple(one.key for one in self.undecided if one.limit is None)

    def within(self, budget: float, costs: Mapping[str, float]) -> dict[str, int]:
        """What of `wanted` to train where all that it costs is to stay within the budget, `costs` being those of bringing each
        variant to the next look. Claims are served whole, those first that are likeliest to be decided for what they cost."""
        served: dict[str, int] = {}

        def cost(of: Undecided) -> float:
            return math.fsum(
                costs[variant] for variant in of.variants if variant in self.wanted and variant not in served
            )

        waiting = [one for one in self.undecided if one.variants & self.wanted.keys()]
        left = budget
        while waiting:
            best = max(waiting, key=lambda one: (one.chance / max(cost(one), 1e-9), one.chance))
            waiting.remove(best)
            if cost(best) <= left:
                left -= cost(best)
                served |= {variant: self.wanted[variant] for variant in best.variants & self.wanted.keys()}
        return dict(sorted(served.items()))


def stage(
    claims: Sequence[Claim], spent: Sequence[Look], decided: Sequence[Decided], seeds: Mapping[str, int]
) -> Stage:
    """One look at a study's claims. `seeds` are those that each variant has, `spent` and `decided` what the last stage left.

    A study that has grown has its further claims in the family from then on. Raises ValueError for two claims of one key.
    """
    if len({one.key for one in claims}) < len(claims):
        raise ValueError("two claims of one key")
    before = {one.key for one in decided}
    family = [one for one in claims if one.key not in before]
    held = max((difference.seeds(seeds) for one in family for difference in one.differences), default=0)
    images = max((one.images for one in family), default=0)
    error = error_now(spent, held, images) if family else 0.0
    looks = (*spent, Look(held, error, images)) if error > 0.0 else tuple(spent)
    now, left = [], []
    for one, decision in zip(family, holm([one.doubt for one in family], error), strict=True):
        if error > 0.0 and decision.verdict != "inconclusive":
            interval = one.interval(decision.error, decision.verdict == "contradicted")
            now.append(Decided(one.key, decision.verdict, len(looks), decision.error, interval, decision.p))
        else:
            left.append((one, decision.p))
    most = max((look.seeds for look in looks), default=held)
    ahead = errors_ahead(looks, most)
    share = (looks[-1].error if looks else 0.0) / max(1, len(left))
    undecided, expected = [], dict[str, float]()
    for one, p in left:
        seen, limit, enough = _outlook(one, seeds, looks, ahead, len(left))
        variants = frozenset[str]()
        if limit is None and ahead:
            variants = variants.union(*(difference.variants for difference in contested(one, share)))
        undecided.append(Undecided(one.key, share, one.interval(share), p, seen.last, limit, enough, variants))
        expected |= {variant: max(seen.seeds, expected.get(variant, 0.0)) for variant in variants}
    following = ahead[0].seeds if ahead else 0
    return Stage(
        looks,
        (*decided, *now),
        tuple(undecided),
        {variant: following for variant in sorted(expected) if seeds.get(variant, 0) < following},
        {variant: expected[variant] for variant in sorted(expected)},
        sum(max(0, following - seeds.get(variant, 0)) for variant in expected),
        math.fsum(max(0.0, count - seeds.get(variant, 0)) for variant, count in expected.items()),
    )


def contested(claim: Claim, share: float) -> list[Difference]:
    """The differences that more seeds are for: not those of several which hold by themselves at the error of the last look."""
    if not claim.measured:
        return list(claim.differences)
    level = share / (len(claim.differences) - claim.needed + 1)
    return [one for one in claim.differences if claim.doubt_of(one.spread).for_ > level] or list(claim.differences)


def _outlook(
    claim: Claim, seeds: Mapping[str, int], looks: Sequence[Look], ahead: Sequence[Look], family: int
) -> tuple[Prospect, Limit | None, int | None]:
    """What more seeds promise, why the claim gets none, and the images that would do."""
    if claim.barred:
        return Prospect((), 0.0, False, 0.0), Limit.ATTACKS, None
    if ahead:
        last = ahead[-1]
    else:
        # The plan is through; more images at as many seeds would still be a look.
        most = max((look.seeds for look in looks), default=LOOKS[-1])
        last = Look(most, error_now(looks, most, 1 + max((look.images for look in looks), default=0)))
    seen = prospect(claim, seeds, ahead, family, last)
    if seen.last < EVEN and not seen.seeds_limit and seen.with_images >= WORTH:
        enough = images_wanted(claim, seeds, last, family, WORTH)
        if enough is not None:
            return seen, Limit.IMAGES, enough
    return seen, Limit.SEEDS if seen.last < FUTILE else None, None
