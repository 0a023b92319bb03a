"""How a study's learning rates are chosen: which values are tried, when more are, and which is best.

Random or adaptive search would spend another budget on each cell; an even grid on a logarithmic scale spends the same on all, and
what it tried can be read off. Pure functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.records.study import Search


@dataclass(frozen=True)
class More:
    """Values that are to be tried, or whose trials have not ended."""

    values: tuple[float, ...]


@dataclass(frozen=True)
class Chosen:
    """The best value. `edge`: it still lies on the edge of all that was tried, after the range was widened."""

    value: float
    accuracy: float
    edge: bool


@dataclass(frozen=True)
class Hopeless:
    """None of so many values could be trained with."""

    tried: int


Step = More | Chosen | Hopeless


def candidates(search: Search, count: int) -> tuple[float, ...]:
    """`count` (2 at least) values from `low` to `high`, ascending, those between the ends to four digits."""
    between = [_step(search.low, search.high, place / (count - 1)) for place in range(1, count - 1)]
    return (search.low, *between, search.high)


def beyond(values: Sequence[float], *, above: bool) -> tuple[float, ...]:
    """What is tried where the best of ascending `values` is the last (`above`) or the first: half as many more on that side, in
    the same steps, ascending."""
    share = 1 / (len(values) - 1)
    places = range(1, len(values) // 2 + 1)
    if above:
        return tuple(_step(values[0], values[-1], 1 + place * share) for place in places)
    return tuple(_step(values[0], values[-1], -place * share) for place in reversed(places))


def next_step(first: Sequence[float], tried: Mapping[float, float | None]) -> Step:
    """What is to be done where the values `first` (ascending) are tried first. `tried` holds the validation accuracy of each
    whose trial has ended, None where it failed.

    The highest accuracy wins, of several the smallest value. Where that is at an end of `first`, more is tried beyond it, once.
    """
    missing = tuple(value for value in first if value not in tried)
    if missing:
        return More(missing)
    best = _best(first, tried)
    if best is None:
        return Hopeless(len(first))
    wider: tuple[float, ...] = ()
    if best in (first[0], first[-1]):
        wider = beyond(first, above=best == first[-1])
        missing = tuple(value for value in wider if value not in tried)
        if missing:
            return More(missing)
        best = _best([*first, *wider], tried)
    assert best is not None
    accuracy = tried[best]
    assert accuracy is not None
    every = [*first, *wider]
    return Chosen(best, accuracy, edge=best in (min(every), max(every)))


def _best(values: Sequence[float], tried: Mapping[float, float | None]) -> float | None:
    trained = [(-accuracy, value) for value in values if (accuracy := tried[value]) is not None]
    return min(trained)[1] if trained else None


def _step(low: float, high: float, share: float) -> float:
    """The value that far from `low` to `high` on a logarithmic scale, to four digits; `share` may lie outside [0, 1]."""
    return float(f"{math.exp(math.log(low) + share * (math.log(high) - math.log(low))):.4g}")
