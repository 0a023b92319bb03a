"""Grids of trials made up for the simulations of `innate findings --settle`: what is true of them is known.

An outcome is level effects + what its seed moves all trials by + what its seed moves it by + the test images' error, in points.
Spreads come from `crossed` over the trials' means; what the images add, which a single column of means cannot show, is added to
its fields as `crossed` would find it on average, with the chi-square error of as many images.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.verdict.crossed import Block, Spread, crossed
from core.verdict.decisions import holm
from core.verdict.pooled import at_least_pooled
from core.verdict.settling.claim import Claim, Difference
from core.verdict.settling.spending import Look
from core.verdict.settling.stage import Decided, Stage, stage

CHANCE_DROP = 50.0
"""Points that a trial which learned nothing is below the others."""


@dataclass(frozen=True)
class Case:
    """What a simulated grid is like."""

    name: str
    effects: tuple[tuple[float, ...], ...] = ((0.0,) * 7, (0.0,) * 5)
    """Points of each level, by factor."""
    family: str = "levels"
    """"levels": each against the mean of the others; "pairs": each two; "best": each above every other (intersection-union)."""
    factors: tuple[int, ...] = (0, 1)
    """Those asked about."""
    margin: float = 0.0
    deviation: tuple[float, float] = (2.0, 2.0)
    """Of a variant over seeds, in points: log-uniform between these, by block of the first factor asked about."""
    shared: float = 1.0
    """Deviation of what a seed does to all trials alike."""
    collapse: float = 0.0
    """Chance that a trial learned nothing."""
    images: int = 10_000
    by_image: float = 20.0
    """Deviation over images of what a variant does to them of its own, in points; and half of that for each of its levels."""
    residual: float = 15.0
    """Over images, of one trial."""


@dataclass
class Grid:
    """One draw of a case: trials as they would come out, for as many seeds as are asked for."""

    case: Case
    rng: np.random.Generator
    most: int = 40

    def __post_init__(self) -> None:
        shape = tuple(len(levels) for levels in self.case.effects)
        self.shape = shape
        case, rng = self.case, self.rng
        truth = np.zeros(shape)
        for factor, levels in enumerate(case.effects):
            truth = truth + np.reshape(levels, [-1 if factor == axis else 1 for axis in range(len(shape))])
        low, high = np.log(case.deviation)
        sigma = np.exp(rng.uniform(low, high, size=shape))
        trials = rng.normal(size=(*shape, self.most)) * sigma[..., None]
        trials += rng.normal(size=self.most) * case.shared
        trials += rng.normal(size=(*shape, self.most)) * case.residual / np.sqrt(case.images)
        trials -= CHANCE_DROP * (rng.random(trials.shape) < case.collapse)
        per_level = case.by_image / 2
        error = rng.normal(size=shape) * case.by_image
        for factor, size in enumerate(shape):
            error = error + rng.normal(size=[size if factor == axis else 1 for axis in range(len(shape))]) * per_level
        self.means = truth[..., None] + trials + error[..., None] / np.sqrt(case.images)
        self.names = np.array(["/".join(map(str, cell)) for cell in np.ndindex(shape)]).reshape(shape)
        self.chi = float(rng.chisquare(case.images - 1) / (case.images - 1))

    def spread(self, factor: int, weights: np.ndarray, held: np.ndarray) -> Spread:
        """Of Σ weights · level over the blocks of the other factors, over the seeds that all levels with a weight have."""
        used = np.flatnonzero(weights)
        means = np.moveaxis(self.means, factor, 0)[used].reshape(len(used), -1, self.most)
        seeds = np.moveaxis(held, factor, 0)[used].reshape(len(used), -1)
        seeds = seeds.min(axis=0)
        values = np.tensordot(weights[used], means, 1)
        bare = crossed(Block(tuple(range(n)), values[b, :n, None]) for b, n in enumerate(seeds))
        if self.case.collapse and len(used) > 2:
            tables = [means[:, b, :n] for b, n in enumerate(seeds)]
            bare = at_least_pooled(bare, tables, weights[used].tolist())
        blocks, case, norm = len(seeds), self.case, float(weights @ weights)
        rest = norm * case.residual**2 / case.images * float((1 / seeds).sum()) / blocks**2
        own = norm * case.by_image**2 * (1 / blocks + 0.25) / case.images
        return replace(
            bare,
            images=(own + rest) * self.chi,
            rest=rest,
            test_images=case.images,
            df_rest=float(case.images * blocks),
        )

    def claims(self, held: np.ndarray) -> tuple[list[Claim], list[tuple[float, ...]]]:
        """With the true effects of each one's differences."""
        found, truths = [], []
        for factor in self.case.factors:
            levels = np.array(self.case.effects[factor])
            count = len(levels)
            names = np.moveaxis(self.names, factor, 0)
            if self.case.family == "pairs":
                for a, b in itertools.combinations(range(count), 2):
                    weights = np.zeros(count)
                    weights[a], weights[b] = 1, -1
                    spread = self.spread(factor, weights, held)
                    where = frozenset(names[[a, b]].ravel().tolist())
                    found.append(Claim(f"{factor}:{a}-{b}", (Difference(spread, where),), self.case.margin, "differs"))
                    truths.append((levels[a] - levels[b],))
            elif self.case.family == "levels":
                for a in range(count):
                    weights = np.full(count, -1 / (count - 1))
                    weights[a] = 1
                    spread = self.spread(factor, weights, held)
                    where = frozenset(names.ravel().tolist())
                    found.append(Claim(f"{factor}:{a}", (Difference(spread, where),), self.case.margin))
                    truths.append((float(weights @ levels),))
            else:
                pair = {}
                for a, b in itertools.combinations(range(count), 2):
                    weights = np.zeros(count)
                    weights[a], weights[b] = 1, -1
                    pair[a, b] = self.spread(factor, weights, held)
                    pair[b, a] = replace(pair[a, b], mean=-pair[a, b].mean)
                for a in range(count):
                    others = [b for b in range(count) if b != a]
                    differences = [Difference(pair[a, b], frozenset(names[[a, b]].ravel().tolist())) for b in others]
                    found.append(Claim(f"{factor}:{a}", tuple(differences), self.case.margin))
                    truths.append(tuple(levels[a] - levels[b] for b in others))
        return found, truths


@dataclass
class Answered(Grid):
    """A small grid with each image's answer, right or wrong, and spreads as `crossed` finds them in these: nothing is added.

    All levels are alike: an image is answered if how easy it is, how this variant and this trial take it, and how good the trial
    is add up to more than nothing.
    """

    def __post_init__(self) -> None:
        case, rng = self.case, self.rng
        self.shape = shape = tuple(len(levels) for levels in case.effects)
        self.names = np.array(["/".join(map(str, cell)) for cell in np.ndindex(shape)]).reshape(shape)
        easy = rng.normal(0.3, 1.0, case.images) + 0.5 * rng.normal(size=(*shape, 1, case.images))
        trials = rng.normal(size=(*shape, self.most, 1)) * 0.1 + 0.3 * rng.normal(size=(*shape, self.most, case.images))
        self.answers = easy + trials > 0

    def spread(self, factor: int, weights: np.ndarray, held: np.ndarray) -> Spread:
        used = np.flatnonzero(weights)
        answers = np.moveaxis(self.answers, factor, 0)[used]
        answers = answers.reshape(len(used), -1, self.most, self.case.images)
        seeds = np.moveaxis(held, factor, 0)[used].reshape(len(used), -1).min(axis=0)
        return crossed(
            Block(tuple(range(n)), 100 * np.tensordot(weights[used], answers[:, b, :n].astype(float), 1))
            for b, n in enumerate(seeds)
        )


def right(claim: Claim, truths: Sequence[float], place: int) -> str:
    """The right verdict. Of effects exactly on the margin every other counts as just above it, so that either verdict may be
    wrong; but for two-sided claims about 0, of which nothing can be just within."""
    decisive = min(abs(one) if claim.sided == "differs" else one for one in truths) - claim.margin
    if abs(decisive) < 1e-9 and (claim.sided == "above" or claim.margin > 0):
        decisive = 1.0 if place % 2 else -1.0
    return "supported" if decisive > 1e-9 else "contradicted"


def correct(claims: Sequence[Claim], truths: Sequence[Sequence[float]]) -> dict[str, str]:
    pairs = zip(claims, truths, strict=True)
    return {one.key: right(one, truth, place) for place, (one, truth) in enumerate(pairs)}


@dataclass
class Outcome:
    """Of one grid: verdicts by key, trials trained, and the stages."""

    verdicts: Mapping[str, str]
    correct: Mapping[str, str]
    trials: int
    stages: list[Stage]

    @property
    def wrong(self) -> bool:
        return any(verdict != self.correct[key] for key, verdict in self.verdicts.items())

    def decided(self, keys: Sequence[str] | None = None) -> float:
        """Share of these claims, or of all, with the right verdict."""
        keys = list(self.correct) if keys is None else keys
        return sum(self.verdicts.get(key) == self.correct[key] for key in keys) / len(keys)


def settle(grid: Grid, start: int = 3) -> Outcome:
    """As a user would who calls --settle until nothing is wanted."""
    held = np.full(grid.shape, start)
    looks: tuple[Look, ...] = ()
    decided: tuple[Decided, ...] = ()
    stages = []
    while True:
        claims, truths = grid.claims(held)
        seen = stage(claims, looks, decided, dict(zip(grid.names.ravel(), held.ravel().tolist(), strict=True)))
        looks, decided = seen.looks, seen.decided
        stages.append(seen)
        if not seen.wanted:
            return Outcome({one.key: one.verdict for one in decided}, correct(claims, truths), int(held.sum()), stages)
        for name, count in seen.wanted.items():
            held[grid.names == name] = count


def fixed(grid: Grid, seeds: int) -> Outcome:
    """The whole grid with as many seeds, tested once."""
    held = np.full(grid.shape, seeds)
    claims, truths = grid.claims(held)
    found = holm([one.doubt for one in claims])
    verdicts = {
        one.key: decision.verdict
        for one, decision in zip(claims, found, strict=True)
        if decision.verdict != "inconclusive"
    }
    return Outcome(verdicts, correct(claims, truths), int(held.sum()), [])
