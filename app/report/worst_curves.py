"""The worst case against ε, sample by sample as scores take it, with intervals over seeds and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.report.aggregate import Estimate
from core.records.outcome import Bools
from core.verdict.crossed import Block, crossed
from core.verdict.scoring import SCORES
from core.verdict.scoring.trial_scores import interval_of
from storage.image_outcomes import stored

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import ScoreRow


@dataclass(frozen=True)
class WorstCurve:
    """Of a variant: `points` are shares that stand at each of `eps`, which begin with 0, the clean accuracy. At the score's ε
    the point is the score `worst_case`."""

    variant_id: str
    eps: tuple[float, ...]
    points: tuple[Estimate, ...]


def worst_curves(db: Database, study: str, rows: Sequence[ScoreRow]) -> list[WorstCurve]:
    """Of the variants of these trials, in their order; those whose trials were attacked at no common ε have only the first."""
    members: dict[str, list[str]] = {}
    for row in rows:
        members.setdefault(row.variant_id, []).append(row.trial_id)
    curves = []
    for variant, trials in members.items():
        found = list(stored(db, study, trials))
        if not found:
            continue
        seeds = tuple(place if one.seed is None else one.seed for place, one in enumerate(found))
        bound = any(one.bound for one in found)
        grid = [eps for eps in found[0].found.eps if all(eps in one.found.eps for one in found)]
        points = [_estimate("clean_accuracy", seeds, [one.found.clean for one in found], bound=False)]
        for eps in grid:
            standing = [one.found.robust[one.found.eps.index(eps)] for one in found]
            points.append(_estimate("worst_case", seeds, standing, bound=bound))
        curves.append(WorstCurve(variant, (0.0, *grid), tuple(points)))
    return curves


def _estimate(score: str, seeds: tuple[int, ...], bits: Sequence[Bools], *, bound: bool) -> Estimate:
    spread = crossed([Block(seeds, np.stack(bits).astype(np.float32))])
    one = interval_of(SCORES[score], spread.mean, spread, bound=bound)
    return Estimate(one.value, one.low, one.high, len(seeds), "images" if spread.seeds is None else "seeds", bound)
