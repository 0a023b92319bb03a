"""Which variants are as good as the best one, as far as can be told: in pairs of the same seed and images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.report.aggregate import Estimate
from core.records.outcome import Floats
from core.verdict.crossed import Block, Spread, crossed
from core.verdict.scoring import SCORES
from core.verdict.scoring.trial_scores import linear
from core.verdict.statistics import CONFIDENCE
from core.verdict.student import two_sided
from storage.image_outcomes import stored

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import ScoreRow

MOST_NAMES = 12
_PART = 500
"""Trials that are read at once."""
MOST_MODELS = 600
"""That a listing may look at: of more, the best are paired, and how many were not is said."""


@dataclass(frozen=True)
class Ties:
    """Of a score: `tied` are the variants whose paired difference from `leader` has 0 in its 95 % interval, the best first."""

    leader: str
    tied: tuple[str, ...]
    untried: tuple[str, ...]
    """Whose own interval reaches the leader's, but which have no seed in common with it, or would be too many models."""
    over_images: bool
    """One seed each: other seeds may tell them apart, or not."""
    paired: int
    """Variants that were held against the leader."""
    cut: bool
    """There were more models than may be looked at."""


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
    paired = {leader: trials[leader]}
    count = len(trials[leader])
    for variant in near:
        count += len(trials[variant])
        if most is None or count <= most:
            paired[variant] = trials[variant]
    cut = most is not None and count > most
    tied, tried, seeds = [], set(), 0
    best: Mapping[int, Floats] = {}
    for variant, found in _by_seed(db, study, score, paired if len(paired) > 1 else {}):
        if variant == leader:
            best = found
            continue
        shared = tuple(sorted(best.keys() & found.keys()))
        if not shared:
            continue
        tried.add(variant)
        seeds = max(seeds, len(shared))
        spread = crossed([Block(shared, np.stack([best[seed] - found[seed] for seed in shared]))])
        if _may_be_zero(spread):
            tied.append(variant)
    return Ties(
        leader,
        tuple(tied),
        tuple(variant for variant in near if variant not in tried),
        seeds == 1,
        len(tried),
        cut,
    )


def _may_be_zero(spread: Spread) -> bool:
    """Whether the 95 % interval holds 0."""
    if spread.variance <= 0.0:
        return spread.mean == 0.0
    return two_sided(spread.mean / math.sqrt(spread.variance), spread.freedom) >= 1.0 - CONFIDENCE


def ties_line(found: Ties, names: Mapping[str, str], score: str) -> str:
    """In a sentence, with as many names as one reads."""
    over = "over images only, one seed" if found.over_images else "in pairs of seed and image"
    leader, count = names[found.leader], len(found.untried)
    shown = [names[variant] for variant in found.tied[:MOST_NAMES]]
    more = len(found.tied) - len(shown)
    said = []
    if shown:
        said.append(f"Cannot be told from {leader}: {', '.join(shown)}{f' and {more} more' if more else ''}")
    elif found.paired:
        said.append(f"None of {found.paired} near enough to be paired is as good as {leader}")
    elif not count:
        said.append(f"None is as good as {leader}: no interval reaches its")
    if found.paired:
        said[0] += f" ({score}, {over}, 95 % each)"
    if count:
        why = "too many models; innate chart scores pairs all" if found.cut else "no seed in common"
        said.append(
            f"{count} whose own interval reaches that of {leader} {'was' if count == 1 else 'were'} not paired: {why}"
        )
    return "".join(f"{sentence}. " for sentence in said).rstrip()


def _by_seed(
    db: Database, study: str, score: str, trials: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, dict[int, Floats]]]:
    """(variant, seed → influence values [n]) in the order of `trials`, of which few are in memory at a time."""
    part: list[str] = []
    for variant in trials:
        part.append(variant)
        if sum(len(trials[one]) for one in part) >= _PART:
            yield from _read(db, study, score, {one: trials[one] for one in part})
            part = []
    yield from _read(db, study, score, {one: trials[one] for one in part})


def _read(
    db: Database, study: str, score: str, trials: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, dict[int, Floats]]]:
    variant_of = {trial: variant for variant, members in trials.items() for trial in members}
    values: dict[str, dict[int, Floats]] = {variant: {} for variant in trials}
    for one in stored(db, study, list(variant_of)):
        near = linear(SCORES[score], one.found)
        if near is not None and one.seed is not None:
            values[variant_of[one.trial_id]][one.seed] = near.influence(one.found)
    yield from values.items()


def _low(estimate: Estimate) -> float:
    """Where nothing is said of it (an upper bound has no lower end) as far below as the upper end is above."""
    value = estimate.value or 0.0
    if estimate.low is None or estimate.high is None:
        return value
    return 2 * value - estimate.high if estimate.bound else estimate.low


def _high(estimate: Estimate) -> float:
    return (estimate.value or 0.0) if estimate.high is None else estimate.high
