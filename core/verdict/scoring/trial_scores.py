"""From outcomes to scores with intervals; whether they can be believed is `core.verdict.trust`'s to say.

A score is a smooth function of a few means over images. Near its value it is a mean itself: each image's share in it, its
influence value, takes the place of a 0 or 1 (Efron, Tibshirani 1993, An introduction to the bootstrap, chapter 21), so that one
theory of intervals and comparisons (`core.verdict.crossed`) serves every score.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.records.attack import Threat
from core.records.outcome import CleanOutcome, Floats
from core.verdict.crossed import Block, Spread, crossed
from core.verdict.scoring.entry import Readings, ScoreEntry, Values
from core.verdict.scoring.outcomes import Outcomes, Result, outcomes_of
from core.verdict.scoring.scores import SCORES
from core.verdict.statistics import unit_interval, upper_bound

_STEP = 1e-5
"""In accuracy, to take a score's slope over: far below a sample's share, far above rounding."""


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval; None where undefined. `bound`: it is an upper bound, and `low` is 0 for that."""

    name: str
    value: float | None
    low: float | None
    high: float | None
    bound: bool = False


@dataclass(frozen=True)
class Linear:
    """A score near its value, as fractions of its largest: value + weights · (bits - means), bits being `Outcomes.rows`."""

    value: float
    weights: Values

    def influence(self, found: Outcomes) -> Floats:
        """[n] float32: each image's; their mean is the score."""
        if not self.weights.any():
            return np.full(len(found.clean), self.value, np.float32)
        rows = found.rows.astype(np.float32)
        weights = self.weights.astype(np.float32)
        offset = np.float32(self.value - float(weights @ rows.mean(axis=1)))
        return np.asarray(weights @ rows + offset, np.float32)


def score_trial(
    clean: CleanOutcome, results: Sequence[Result], threat: Threat | None, added: Sequence[Result] = ()
) -> tuple[Score, ...]:
    """All scores of one model from its ledgers (`outcomes_of`), none of them taken for an upper bound."""
    return scores_of(outcomes_of(clean, results, threat, added), bound=False)


def scores_of(found: Outcomes, *, bound: bool) -> tuple[Score, ...]:
    """All scores of one model, with intervals over images: of this model, not of others that were trained like it. `bound`: what
    attacks left standing is an upper bound."""
    return tuple(score_of(entry, found, bound=bound) for entry in SCORES.values())


def linear(entry: ScoreEntry, found: Outcomes) -> Linear | None:
    """A score of one model with its slope; None where it is undefined."""
    rows = found.rows
    means = rows.mean(axis=1)
    count = len(means)
    # Central differences, all at once: the means as they are, then each of them moved up, then down.
    shifted = np.vstack([means, means + _STEP * np.eye(count), means - _STEP * np.eye(count)])
    radii = len(found.eps)
    readings = Readings(
        clean=shifted[:, 0],
        eps=np.array(found.eps),
        robust=shifted[:, 1 : 1 + radii],
        worst=None if found.worst is None else shifted[:, -1],
        classes=found.classes,
    )
    values = entry.compute(readings)
    if values is None:
        return None
    if found.worthless and (entry.degenerate is not None or not entry.keep_when_degenerate):
        return None if entry.degenerate is None else Linear(entry.degenerate / entry.full, np.zeros(count))
    if not np.isfinite(values).all():
        return None
    slope = (values[1 : count + 1] - values[count + 1 :]) / (2 * _STEP)
    return Linear(float(values[0]) / entry.full, np.asarray(slope / entry.full, np.float64))


def interval_of(entry: ScoreEntry, value: float, spread: Spread, *, bound: bool) -> Score:
    """A score of several trials together, their mean `value` (a fraction of the largest), with the spread of its influence values
    around it."""
    low, high = (0.0, upper_bound(spread)) if bound else unit_interval(spread)
    return Score(entry.name, entry.full * value, entry.full * low, entry.full * high, bound)


def score_of(entry: ScoreEntry, found: Outcomes, *, bound: bool) -> Score:
    """One of them."""
    bound = bound and entry.attacked
    near = linear(entry, found)
    if near is None:
        return Score(entry.name, None, None, None, bound)
    if found.worthless and entry.degenerate is not None:
        return Score(entry.name, entry.degenerate, None, None, bound)
    spread = crossed([Block((0,), near.influence(found)[None, :])])
    assert math.isclose(near.value, spread.mean, abs_tol=1e-4), "the influence values' mean is the score"
    return interval_of(entry, near.value, spread, bound=bound)
