"""Which variants are as good as the best one, as far as can be told: in pairs of the same seed and images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.report.aggregate import Estimate
from core.records import Floats
from core.verdict.crossed import Block, crossed
from core.verdict.scoring import SCORES
from core.verdict.scoring.trial_scores import linear
from core.verdict.statistics import t_interval
from storage.image_outcomes import stored

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import ScoreRow

MOST_NAMES = 12
MOST_MODELS = 1500
"""That a listing may look at: of more, the best are paired, and how many were not is said."""


@dataclass(frozen=True)
class Ties:
    """Of a score: `tied` are the variants whose paired difference from `leader` has 0 in its 95 % interval, the best first."""

    leader: str
    tied: tuple[str, ...]
    untried: tuple[str, ...]
    """Whose own interval reaches the leader's, but which have no seed in common with it, or came after MOST_MODELS."""
    over_images: bool
    """One seed each: other seeds may tell them apart, or not."""


def ties(
    db: Database,
    study: str,
    score: str,
    rows: Sequence[ScoreRow],
    estimates: Mapping[str, Estimate],
    most: int | None = MOST_MODELS,
) -> Ties | None:
    """From the rows of all trials and the variants' estimates; None where fewer than two variants have a value. Only those
    are paired whose own interval reaches the leader's, which rules out the rest."""
    valued = sorted(
        ((estimate.value, variant) for variant, estimate in estimates.items() if estimate.value is not None),
        key=lambda one: -one[0],
    )
    if len(valued) < 2:
        return None
    leader = valued[0][1]
    floor = _low(estimates[leader])
    near = [variant for _, variant in valued[1:] if _high(estimates[variant]) >= floor]
    trials: dict[str, list[str]] = {variant: [] for variant in (leader, *near)}
    for row in rows:
        if row.variant_id in trials and row.seed is not None:
            trials[row.variant_id].append(row.trial_id)
    best = _by_seed(db, study, score, trials[leader])
    left = None if most is None else most - len(best)
    tied, untried, seeds = [], [], 0
    for variant in near:
        count = len(trials[variant])
        if left is not None:
            left -= count
        found = {} if left is not None and left < 0 else _by_seed(db, study, score, trials[variant])
        shared = tuple(sorted(best.keys() & found.keys()))
        if not shared:
            untried.append(variant)
            continue
        spread = crossed([Block(shared, np.stack([best[seed] - found[seed] for seed in shared]))])
        low, high = t_interval(spread)
        seeds = max(seeds, len(shared))
        if low <= 0.0 <= high:
            tied.append(variant)
    return Ties(leader, tuple(tied), tuple(untried), seeds == 1)


def ties_line(found: Ties, names: Mapping[str, str], score: str) -> str:
    """In a sentence, with as many names as one reads."""
    shown = [names[variant] for variant in found.tied[:MOST_NAMES]]
    over = "over images only, one seed" if found.over_images else "in pairs of seed and image"
    if not shown:
        said = f"Every other one that was paired with {names[found.leader]} can be told from it"
    else:
        more = len(found.tied) - len(shown)
        said = f"Cannot be told from {names[found.leader]}: {', '.join(shown)}" + (f" and {more} more" if more else "")
    text = f"{said} ({score} {over}, 95 % each)."
    if found.untried:
        count = len(found.untried)
        text += f" {count} more {'was' if count == 1 else 'were'} not paired: no seed in common, or too many models."
    return text


def _by_seed(db: Database, study: str, score: str, trial_ids: Sequence[str]) -> dict[int, Floats]:
    """Seed → influence values [n] of trials that have them."""
    found = {}
    for one in stored(db, study, trial_ids):
        near = linear(SCORES[score], one.found)
        if near is not None and one.seed is not None:
            found[one.seed] = near.influence(one.found)
    return found


def _low(estimate: Estimate) -> float:
    """Where nothing is said of it (an upper bound has no lower end) as far below as the upper end is above."""
    value = estimate.value or 0.0
    if estimate.low is None or estimate.high is None:
        return value
    return 2 * value - estimate.high if estimate.bound else estimate.low


def _high(estimate: Estimate) -> float:
    return (estimate.value or 0.0) if estimate.high is None else estimate.high
