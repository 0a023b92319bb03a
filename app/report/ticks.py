"""Round numbers along an axis: where to mark it, and which marks have room. Pure functions, for every way to draw."""

from __future__ import annotations

import math
from collections.abc import Sequence


def step(span: float, most: int) -> float:
    """A round step (1, 2, 2.5 or 5 times a power of ten) that goes into `span` (> 0) at most `most` times."""
    unit = 10.0 ** math.floor(math.log10(span / most))
    return next(size * unit for size in (1, 2, 2.5, 5, 10, 20) if span / (size * unit) <= most)


def ticks(low: float, high: float, most: int = 8) -> list[float]:
    """Round numbers from `low` to `high`, both ends where they are round; one more than `most` at the most."""
    return _multiples(low, high, step(high - low, most))


def around(values: Sequence[float], most: int = 8) -> list[float]:
    """Round numbers, the first below all of `values` and the last above, in at most `most` + 2 steps. What is no finite number,
    as the loss of a training that diverged, does not count."""
    finite = [value for value in values if math.isfinite(value)] or [0.5]
    low, high = min(finite), max(finite)
    if low == high:
        low, high = low - 0.5, high + 0.5
    size = step(high - low, most)
    return _multiples(size * math.floor(low / size + 1e-9), size * math.ceil(high / size - 1e-9), size)


def _multiples(low: float, high: float, size: float) -> list[float]:
    first = math.ceil(low / size - 1e-9)
    return [round(size * number, 10) for number in range(first, math.floor(high / size + 1e-9) + 1)]


def rounded(places: Sequence[int], most: int = 10) -> list[int]:
    """Of whole numbers (ascending, such as epochs) the first and those at round steps, so that about `most` are left."""
    size = max(1.0, step(places[-1] - places[0], most)) if len(places) > 1 else 1.0
    return [place for place in places if place == places[0] or place % size == 0]


def label(place: float) -> str:
    """What stands at a mark."""
    return f"{place:.4g}"


def apart(places: Sequence[float], low: float, high: float, room: int) -> list[float]:
    """Those of `places` (ascending) whose labels have room on an axis of `room` characters from `low` to `high`: the last in any
    case, the others from the first on."""
    if len(places) < 2 or high <= low:
        return list(places)

    def middle(place: float) -> float:
        return (place - low) / (high - low) * room

    def clear(one: float, other: float) -> bool:
        return middle(other) - middle(one) >= (len(label(one)) + len(label(other))) / 2 + 2

    kept = [places[0]]
    for place in places[1:-1]:
        if clear(kept[-1], place) and clear(place, places[-1]):
            kept.append(place)
    return [*kept, places[-1]] if clear(kept[-1], places[-1]) else [*kept[:-1], places[-1]]
