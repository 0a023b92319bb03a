"""What moves with an effect, and whether the effect is left at equal traits: beside a finding, never deciding.

Both rest on the pairs of the comparison that decides a finding, as it pairs them: the same seed of the same block of all
other choices. A point is a block, the mean of its pairs; of a single block, a seed. Seeds of one block share what the block
does, so they would count as more than they are.

The effect at equal trait is where the least-squares line of the score's differences against the trait's meets a difference of
0. It supposes that what the trait does is linear and the same in every block, that points scatter about the line alike and
independently, and that nothing else that differs moves with the trait. Where the trait itself is measured with error, the line
is too flat and takes away too little.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from core.traits import TRAITS
from core.verdict.decisions import Doubt, holm
from core.verdict.findings.contrast import Contrast
from core.verdict.findings.models import Model
from core.verdict.statistics import t_quantile
from core.verdict.student import two_sided

LEAST_POINTS = 5
"""Fewer say nothing: the rarest order of four has p 0.08, and a line through them three or fewer degrees of freedom."""
_EXACT_POINTS = 7
_MOST_SHUFFLED = 200
_SHUFFLES = 4_999
_SEED = 0
_ROUNDING = 1e-9

Floats = NDArray[np.float64]


class Left(Enum):
    """What is left of an effect at equal trait."""

    SURVIVES = "survives"
    """The interval keeps to the effect's side of 0."""
    VANISHES = "vanishes"
    """It holds 0, and not the effect as it was."""
    REVERSES = "reverses"
    OPEN = "open"
    """It holds both."""


@dataclass(frozen=True)
class AtEqual:
    """The effect at no difference in a trait; fractions, 95 % t interval of `freedom` degrees. `extrapolated`: no pair comes near
    such a difference, all of them lie on one side, farther from it than they scatter."""

    effect: float
    low: float
    high: float
    freedom: int
    left: Left
    extrapolated: bool


@dataclass(frozen=True)
class Cause:
    """One trait beside one finding. `rho` and what follows are None of fewer than LEAST_POINTS points, and where a trait differs
    everywhere as much."""

    trait: str
    difference: float
    """The level's less the others', in the trait's unit: mean over points."""
    points: int
    """Blocks in which every model of some pair has the trait, or seeds of a single block."""
    rho: float | None
    """Spearman's rank correlation of the trait's differences and the score's."""
    p: float | None
    """Two-sided, by shuffling the points; exact up to 7, of more than 200 by Student's t."""
    adjusted: float | None
    """Over the traits of the finding (Holm)."""
    at_equal: AtEqual | None


@dataclass(frozen=True)
class Known:
    """The traits of some models, [models, traits], NaN where unknown."""

    values: Floats
    places: Mapping[str, int]
    """Trial id → row."""


def known(models: Sequence[Model]) -> Known:
    table = [[model.traits.get(name, math.nan) for name in TRAITS] for model in models]
    return Known(
        np.array(table, np.float64).reshape(len(models), len(TRAITS)),
        {model.trial_id: place for place, model in enumerate(models)},
    )


def causes(found: Contrast, weights: Sequence[float], traits: Known) -> tuple[Cause, ...]:
    """Every trait that differs between the groups of a comparison, whose weights these are; in the order of the registry."""
    if not found.pairs:
        return ()
    differences, scores = _points(found, weights, traits)
    alone = [
        cause
        for place, name in enumerate(TRAITS)
        for cause in [_cause(name, differences[:, place], scores[:, place])]
        if cause is not None
    ]
    tested = [cause.p for cause in alone if cause.p is not None]
    adjusted = iter(holm([Doubt(p, 1.0) for p in tested]))
    return tuple(cause if cause.p is None else replace(cause, adjusted=next(adjusted).p) for cause in alone)


def _points(found: Contrast, weights: Sequence[float], traits: Known) -> tuple[Floats, Floats]:
    """[points, traits] twice: the differences of the traits, NaN where unknown, and of the score over the same pairs."""
    rows, points, factors = [], [], []
    pairs = iter(range(found.pairs))
    point_of: list[int] = []
    single = len(found.blocks) == 1
    for block, cells in enumerate(found.blocks):
        for seed, cell in enumerate(cells):
            pair = next(pairs)
            point_of.append(seed if single else block)
            for weight, models in zip(weights, cell, strict=True):
                for model in models:
                    rows.append(traits.places[model.trial_id])
                    points.append(pair)
                    factors.append(weight / len(models))
    weighted = np.array(factors)[:, None] * traits.values[rows]
    each, size = np.zeros((found.pairs, len(TRAITS))), np.zeros((found.pairs, len(TRAITS)))
    np.add.at(each, points, weighted)
    np.add.at(size, points, np.abs(weighted))
    each[np.abs(each) <= _ROUNDING * size] = 0.0  # a third of a sum of three is not quite what they are
    scores = np.where(np.isnan(each), np.nan, np.array(found.differences)[:, None])
    return _means(each, point_of), _means(scores, point_of)


def _means(values: Floats, point_of: Sequence[int]) -> Floats:
    """[points, k] of [pairs, k]: means over the pairs of each point that are known, NaN where none is."""
    count = max(point_of) + 1
    there = ~np.isnan(values)
    sums, counts = np.zeros((count, values.shape[1])), np.zeros((count, values.shape[1]))
    np.add.at(sums, point_of, np.where(there, values, 0.0))
    np.add.at(counts, point_of, there)
    means: Floats = sums / np.where(counts > 0, counts, np.nan)
    return means


def _cause(name: str, differences: Floats, scores: Floats) -> Cause | None:
    """One trait by itself; None where it is unknown, or the same on both sides everywhere."""
    there = ~np.isnan(differences)
    x, y = differences[there], scores[there]
    if not len(x) or np.abs(x).max() == 0.0:
        return None
    told = len(x) >= LEAST_POINTS and float(np.ptp(x)) > _ROUNDING * float(np.abs(x).max())
    rho, p = spearman(x, y) if told else (None, None)
    return Cause(name, float(x.mean()), len(x), rho, p, None, _at_equal(x, y) if told else None)


def _at_equal(x: Floats, y: Floats) -> AtEqual:
    """Where the line of y against x is at x = 0."""
    freedom, effect = len(x) - 2, float(y.mean())
    about = x - x.mean()
    spread = float((about**2).sum())
    slope = float((about * y).sum()) / spread
    intercept = effect - slope * float(x.mean())
    rest = float(((y - intercept - slope * x) ** 2).sum()) / freedom
    half = t_quantile(0.975, freedom) * math.sqrt(rest * (1.0 / len(x) + float(x.mean()) ** 2 / spread))
    low, high = intercept - half, intercept + half
    one_sided = bool((x > 0).all() or (x < 0).all())
    far = one_sided and float(np.abs(x).min()) > math.sqrt(spread / (len(x) - 1))
    return AtEqual(intercept, low, high, freedom, _left(effect, low, high), far)


def _left(effect: float, low: float, high: float) -> Left:
    if low > _ROUNDING or high < -_ROUNDING:
        return Left.SURVIVES if (low > 0) == (effect > 0) else Left.REVERSES
    return Left.OPEN if low <= effect <= high else Left.VANISHES


def spearman(x: Floats, y: Floats) -> tuple[float, float] | tuple[None, None]:
    """Rank correlation and its two-sided p; none where the scores all differ by as much."""
    first, second = _ranks(x), _ranks(y)
    size = math.sqrt(float((first**2).sum()) * float((second**2).sum()))
    if size == 0.0:
        return None, None
    rho = float(first @ second) / size
    count = len(x)
    if count > _MOST_SHUFFLED:
        left = max(1e-300, 1.0 - rho**2)
        return rho, two_sided(rho * math.sqrt((count - 2) / left), count - 2)
    shuffled = np.abs(second[_orders(count)] @ first) / size
    extreme = int((shuffled >= abs(rho) - _ROUNDING).sum())
    exact = count <= _EXACT_POINTS
    return rho, extreme / len(shuffled) if exact else (1 + extreme) / (1 + len(shuffled))


def _ranks(values: Floats) -> Floats:
    """About their mean; ties get the mean of their places."""
    order = np.argsort(values, kind="stable")
    _, first, inverse, counts = np.unique(values[order], return_index=True, return_inverse=True, return_counts=True)
    ranks = np.empty(len(values))
    ranks[order] = (first + (counts - 1) / 2.0)[inverse]
    ranks -= ranks.mean()
    return ranks


@lru_cache(maxsize=16)
def _orders(count: int) -> NDArray[np.int16]:
    """[orders, count]: every order of few points, else drawn ones, always the same."""
    if count <= _EXACT_POINTS:
        return np.array(list(itertools.permutations(range(count))), np.int16)
    orders = np.tile(np.arange(count, dtype=np.int16), (_SHUFFLES, 1))
    return np.random.default_rng(_SEED).permuted(orders, axis=1)
