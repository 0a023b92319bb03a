"""What some trials have together of a score, at any ε that all of them were attacked at: means with intervals over seeds and
images, from each image's outcome."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from app.report.aggregate import Estimate
from core.records.outcome import Floats
from core.verdict.crossed import Block, crossed
from core.verdict.scoring import SCORES
from core.verdict.scoring.trial_scores import interval_of, linear
from storage.image_outcomes import StoredOutcomes, alone, stored

if TYPE_CHECKING:
    from sqlite_utils import Database

MOST_MODELS = 600
"""Whose outcomes a view reads at once: of more it shows means alone, and says so."""


@dataclass(frozen=True)
class At:
    """A score, and the ε that it is read at where that is not the study's own."""

    score: str
    eps: float | None = None


@dataclass(frozen=True)
class Alone:
    """One attack of a study by itself, at each of `eps`."""

    attack_id: str
    eps: Sequence[float]


class Outcomes:
    """Of some trials, in blocks over whose means the means are (the trials of a variant each). `under`: as if the study had that
    attack alone."""

    def __init__(self, db: Database, study: str, blocks: Sequence[Sequence[str]], under: Alone | None = None) -> None:
        def outcomes(block: Sequence[str]) -> list[StoredOutcomes]:
            if under is None:
                return list(stored(db, study, block))
            return list(alone(db, study, block, under.attack_id, under.eps))

        self._found = [found for block in blocks if (found := outcomes(block))]

    @property
    def eps(self) -> tuple[float, ...]:
        """That all of them were attacked at, ascending without 0."""
        grids = [one.found.eps for found in self._found for one in found]
        return tuple(eps for eps in grids[0] if all(eps in grid for grid in grids)) if grids else ()

    def estimate(self, at: At) -> Estimate | None:
        """None where no trial has a value, or some were not attacked at that ε."""
        if at.eps is not None and at.eps not in self.eps:
            return None
        blocks = [block for found in self._found if (block := list(_valued(found, at)))]
        if not blocks:
            return None
        spread = crossed(
            Block(tuple(seed for seed, _, _ in block), np.stack([images for _, _, images in block])) for block in blocks
        )
        means = [math.fsum(value for _, value, _ in block) / len(block) for block in blocks]
        entry = SCORES[at.score]
        bound = entry.attacked and any(one.bound for found in self._found for one in found)
        one = interval_of(entry, math.fsum(means) / len(means), spread, bound=bound)
        basis = "images" if spread.seeds is None else "seeds"
        return Estimate(one.value, one.low, one.high, spread.trials, basis, bound)


def _valued(found: Sequence[StoredOutcomes], at: At) -> Iterator[tuple[int, float, Floats]]:
    """Seed, value as a fraction of the largest, and each image's influence on it."""
    for place, one in enumerate(found):
        outcomes = one.found if at.eps is None else one.found.at(at.eps)
        near = linear(SCORES[at.score], outcomes)
        if near is not None:
            yield place if one.seed is None else one.seed, near.value, near.influence(outcomes)
