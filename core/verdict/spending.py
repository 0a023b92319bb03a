"""What looking more than once may cost: a study's error is spent over the looks at it, and never more than all of it.

Every look has an error of its own, and the errors add up (Bonferroni over looks: P(any look errs) ≤ Σ errors ≤ ERROR, however the
looks depend on each other). Looks planned take what a spending function leaves them (Lan, DeMets 1983; the power family of Kim,
DeMets 1987, over the seeds' share of the last look's); looks beyond the plan, with more test images or after the last, take half
of what such a look would, so that there is always something left. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.verdict.decisions import ERROR

LOOKS = (3, 5, 8, 12, 20)
"""Seeds of a variant at which a study is looked at. The first look is at however many there are; the last is the design's."""
LEAST_SEEDS = 2
"""One seed says nothing of others: no look."""
POWER = 1.5
"""Of the spending function: 1 spends early and lacks it late, 3 keeps it for claims that few grids have (simulated)."""
PLANNED = 0.95
"""Share of the error that the planned looks spend; the rest is for looks at more test images and beyond the last."""


@dataclass(frozen=True)
class Look:
    """A look at a study and the error that was spent on it; a study's looks are kept for good."""

    seeds: int
    """Of the question that had most."""
    error: float
    images: int = 0
    """Test images; 0 where it is not known."""


def error_now(spent: Sequence[Look], seeds: int, images: int = 0) -> float:
    """Error of a look at `seeds` seeds and `images` test images after the looks `spent`: 0 for one that was had before, or with
    fewer seeds than a former one. Σ of all looks' errors stays within ERROR, whatever is asked in which order."""
    left = ERROR - math.fsum(look.error for look in spent)
    if left <= 0.0 or seeds < LEAST_SEEDS:
        return 0.0
    most = max((look.seeds for look in spent), default=0)
    if seeds > most:
        return left * (_share(most, seeds) if most < LOOKS[-1] else 0.5)
    if seeds == most and images > max(look.images for look in spent):
        return left * _share(most, next_seeds(most)) / 2
    return 0.0


def next_seeds(seeds: int) -> int | None:
    """Seeds of the next planned look; None after the last."""
    return next((planned for planned in LOOKS if planned > seeds), None)


def errors_ahead(spent: Sequence[Look], seeds: int) -> list[Look]:
    """The planned looks after one at `seeds`, as they would be if all were had. Empty after the last."""
    looks, ahead = list(spent), []
    while (following := next_seeds(seeds)) is not None:
        seeds = following
        ahead.append(Look(seeds, error_now(looks, seeds)))
        looks.append(ahead[-1])
    return ahead


def _share(before: int, now: int | None) -> float:
    """Of the error that is left after a look at `before`."""
    if now is None:
        return 1.0
    spent = _spent_by(before)
    return (_spent_by(now) - spent) / (1.0 - spent)


def _spent_by(seeds: int) -> float:
    return PLANNED * float(min(1.0, seeds / LOOKS[-1]) ** POWER)
