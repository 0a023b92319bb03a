"""From ledgers to scores with intervals and a verdict. numpy only.

A score's interval within one checkpoint is a percentile bootstrap over test samples; samples with the same outcomes under
every attack are interchangeable, so a resample is one draw from a multinomial over the distinct outcomes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.records import AttackSpec, CleanOutcome, Ledger, Threat
from core.scoring.entry import Readings, ScoreEntry
from core.scoring.scores import SCORES
from core.scoring.trust import Result, degenerate, trust_of_evaluation, weaker_than_single_step
from core.statistics import CONFIDENCE

__all__ = ["SCORES", "Score", "ScoreEntry", "Scored", "score_trial", "survived_at", "trust_of_evaluation"]

_RESAMPLES = 1_000
_BOOTSTRAP_SEED = 0


@dataclass(frozen=True)
class Score:
    """A score of one model with its 95 % bootstrap interval over test samples; None where undefined."""

    name: str
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Scored:
    """Every score of one model in one study, and whether they can be trusted: "ok", "suspect" or "invalid"."""

    scores: tuple[Score, ...]
    trust: str
    reasons: tuple[str, ...]


def score_trial(
    clean: CleanOutcome, results: Sequence[tuple[AttackSpec, Sequence[Ledger]]], threat: Threat | None
) -> Scored:
    """All scores of DESIGN section 10 for one model from its ledgers over one set of test samples."""
    readings = _readings(clean, results, threat)
    worthless = degenerate(clean)
    scores = tuple(_score(entry, readings, degenerate_model=bool(worthless)) for entry in SCORES.values())
    if worthless:
        return Scored(scores, "invalid", worthless)
    suspicions = weaker_than_single_step(results) + tuple(
        reason for attack, ledgers in results for reason in trust_of_evaluation(clean, attack, ledgers)[1]
    )
    return Scored(scores, "suspect" if suspicions else "ok", suspicions)


def survived_at(ledgers: Sequence[Ledger], eps: float) -> NDArray[np.bool_] | None:
    """Who stands at `eps` under one attack: by distance, else by the ledger of the largest ε not above it.

    None where the attack has no ledger at or below `eps`.
    """
    standing = None
    for ledger in ledgers:
        if ledger.distances is not None:
            return ledger.survived & (ledger.distances > eps)
        if ledger.eps is not None and ledger.eps <= eps:
            standing = ledger.survived
    return standing


def _readings(clean: CleanOutcome, results: Sequence[Result], threat: Threat | None) -> Readings:
    norm = threat.norm if threat else None
    within = [ledgers for attack, ledgers in results if attack.norm == norm]
    grid = sorted({ledger.eps for ledgers in within for ledger in ledgers if ledger.eps is not None})
    if threat and within and not grid:
        grid = [threat.eps]
    columns = [clean.correct]
    columns += [_minimum_over_attacks(clean, within, eps) for eps in grid]
    if threat and within:
        columns.append(_minimum_over_attacks(clean, within, threat.eps))
    means = _resampled_means(np.column_stack(columns))
    return Readings(
        clean=means[:, 0],
        eps=np.array(grid),
        robust=means[:, 1 : 1 + len(grid)],
        worst=means[:, -1] if threat and within else None,
        classes=clean.classes,
    )


def _minimum_over_attacks(clean: CleanOutcome, attacks: Sequence[Sequence[Ledger]], eps: float) -> NDArray[np.bool_]:
    """Who stands at `eps` whatever the attack."""
    standing = clean.correct.copy()
    for ledgers in attacks:
        survived = survived_at(ledgers, eps)
        if survived is not None:
            standing &= survived
    return standing


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
