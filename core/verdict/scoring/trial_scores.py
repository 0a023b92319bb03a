"""From ledgers to scores with intervals. numpy only; whether they can be believed is `core.verdict.trust`'s to say.

A score's interval within one checkpoint is a percentile bootstrap over test samples; samples with the same outcomes under
every attack are interchangeable, so a resample is one draw from a multinomial over the distinct outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.records import AttackSpec, Bools, CleanOutcome, Ledger, Threat
from core.verdict.ledgers import speaks_at, worst_case
from core.verdict.scoring.entry import Readings, ScoreEntry
from core.verdict.scoring.scores import SCORES
from core.verdict.statistics import CONFIDENCE
from core.verdict.trust.model import degenerate

Result = tuple[AttackSpec, Sequence[Ledger]]

_RESAMPLES = 1_000
_BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Score:
    """A score of one model with its 95 % bootstrap interval over test samples; None where undefined."""

    name: str
    value: float | None
    low: float | None
    high: float | None


def score_trial(
    clean: CleanOutcome,
    results: Sequence[Result],
    threat: Threat | None,
    added: Sequence[Result] = (),
) -> tuple[Score, ...]:
    """All scores for one model from its ledgers over one set of test samples. `results` are the study's own attacks, whose
    radii a score is read at; `added` ones, which every model compared has had, count there too."""
    readings = _readings(clean, results, threat, added)
    worthless = degenerate(clean).trust != "ok"
    return tuple(_score(entry, readings, degenerate_model=worthless) for entry in SCORES.values())


def _readings(
    clean: CleanOutcome,
    results: Sequence[Result],
    threat: Threat | None,
    added: Sequence[Result],
) -> Readings:
    norm = threat.norm if threat else None
    within = [ledgers for attack, ledgers in results if attack.norm == norm]

    def standing(eps: float) -> Bools:
        more = [ledgers for attack, ledgers in added if attack.norm == norm and speaks_at(attack, eps)]
        return worst_case(clean, [*within, *more], eps)

    grid = sorted({ledger.eps for ledgers in within for ledger in ledgers if ledger.eps is not None})
    if threat and within and not grid:
        grid = [threat.eps]
    columns = [clean.correct]
    columns += [standing(eps) for eps in grid]
    if threat and within:
        columns.append(standing(threat.eps))
    means = _resampled_means(np.column_stack(columns))
    return Readings(
        clean=means[:, 0],
        eps=np.array(grid),
        robust=means[:, 1 : 1 + len(grid)],
        worst=means[:, -1] if threat and within else None,
        classes=clean.classes,
    )


def _resampled_means(outcomes: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Column means of `outcomes` [n, c]: of the samples themselves in row 0, of bootstrap resamples below."""
    patterns, counts = np.unique(outcomes, axis=0, return_counts=True)
    total = len(outcomes)
    rng = np.random.default_rng(_BOOTSTRAP_SEED)
    draws = rng.multinomial(total, counts / total, size=_RESAMPLES)
    means: NDArray[np.float64] = np.vstack([counts, draws]) @ patterns.astype(np.float64) / total
    return means


def _score(entry: ScoreEntry, readings: Readings, *, degenerate_model: bool) -> Score:
    values = entry.compute(readings)
    if values is None:
        return Score(entry.name, None, None, None)
    if degenerate_model and (entry.degenerate is not None or not entry.keep_when_degenerate):
        return Score(entry.name, entry.degenerate, None, None)
    value = float(values[0])
    resampled = values[1:][np.isfinite(values[1:])]
    if not math.isfinite(value) or resampled.size == 0:
        return Score(entry.name, None, None, None)
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(resampled, [tail, 100 - tail])
    return Score(entry.name, value, float(low), float(high))
