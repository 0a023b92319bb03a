"""What looking more than once may cost: a study's error is spent over the looks at it, and never more than all of it.

Every look has an error of its own, and the errors add up (Bonferroni over looks: P(any look errs) ≤ Σ errors ≤ ERROR, however the
looks depend on each other). A look at more seeds takes what a spending function leaves between those of the look before and its
own (Lan, DeMets 1983; the power family of Kim, DeMets 1987, over the seeds' share of the last look's). Looks beyond the plan, at
more test images or at more seeds than the last, halve a reserve, so that there is always something left and what is planned does
not hang on whether they were had. Exact as long as the outcomes choose whether to go on but not at how many seeds to look next:
`core.verdict.settling.stage` always asks for the next of LOOKS. Pure functions.
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
POWER = 2.0
"""Of the spending function: 1 spends early and lacks it late, 3 keeps it for looks that few claims come to (simulated)."""
PLANNED = 0.9
"""Share of the error that the planned looks spend; the rest is the reserve."""


@dataclass(frozen=True)
class Look:
    """A look at a study and the error that was spent on it; a study's looks are kept for good."""

    seeds: int
    """Of the claim that had most."""
    error: float
    images: int = 0
    """Test images; 0 where it is not known."""


def error_now(spent: Sequence[Look], seeds: int, images: int = 0) -> float:
    """Error of a look at `seeds` seeds and `images` test images after the looks `spent`: 0 for one that was had before, or with
    fewer seeds than a former one. Σ of all looks' errors stays within ERROR, whatever is asked in which order."""
    total = math.fsum(look.error for look in spent)
    most = max((look.seeds for look in spent), default=0)
    if seeds < LEAST_SEEDS or seeds < most:
        return 0.0
    if min(seeds, LOOKS[-1]) > most:
        error = _planned(seeds) - _planned(most)
    elif seeds > most or images > max(look.images for look in spent):
        error = (ERROR - _planned(LOOKS[-1]) - (total - _planned(most))) / 2
    else:
        return 0.0
    return max(0.0, min(error, ERROR - total))


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


def _planned(seeds: int) -> float:
    """What looks up to these seeds spend, however many they are."""
    return PLANNED * ERROR * float(min(1.0, seeds / LOOKS[-1]) ** POWER)
