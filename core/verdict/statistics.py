"""Intervals. The seed is the replicate: over variants a t interval over seeds, never a bootstrap of three numbers.

With 3 seeds nominal 95 % bootstrap intervals cover 74 %, t intervals 96 % (simulated).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CONFIDENCE = 0.95


def t_interval(values: Sequence[float], confidence: float = CONFIDENCE) -> tuple[float, float | None, float | None]:
    """Mean and two-sided t interval; the bounds are None for a single value, which tells nothing of its own spread.

    Raises ValueError for no values.
    """
    if not values:
        raise ValueError("no values to average")
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return mean, None, None
    from scipy.special import stdtrit

    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    half = float(stdtrit(count - 1, (1 + confidence) / 2)) * math.sqrt(variance / count)
    return mean, mean - half, mean + half
