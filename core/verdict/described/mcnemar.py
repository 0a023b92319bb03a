"""Two models on the same images: McNemar's exact test (McNemar 1947; the binomial one, Fagerland et al. 2013)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from core.records import Bools


@dataclass(frozen=True)
class McNemar:
    """Images by who is right on them. `p` is two-sided, of "neither is right more often": what both share says nothing of it."""

    first_only: int
    second_only: int
    both: int
    neither: int
    p: float


def mcnemar(first: Bools, second: Bools) -> McNemar:
    """Of who is right, [n] each, image by image. Raises ValueError for other images."""
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} and {len(second)} images cannot be paired")
    first_only, second_only = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    return McNemar(
        first_only,
        second_only,
        int(np.sum(first & second)),
        int(np.sum(~first & ~second)),
        _two_sided(first_only, second_only),
    )


def _two_sided(one: int, other: int) -> float:
    """Twice the tail of a fair coin thrown as often as the two differ."""
    from scipy.special import bdtr

    if one == other:
        return 1.0
    return min(1.0, 2.0 * float(bdtr(min(one, other), one + other, 0.5)))
