"""Batches have few shapes: every new one costs the kernels a set-up, and a recording where work is recorded. Imports torch: for
children only."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

_ROWS = 16
_LEAST = 8
_SPARE = 1.25


def whole_buckets(alive: Tensor, left: int) -> Tensor | None:
    """The positions [k] of the `left` rows that are `alive` [m], in order, filled up to a whole bucket with ones that are
    not; None where no whole bucket can go."""
    wanted = -(-left // _ROWS) * _ROWS
    if wanted >= len(alive):
        return None
    return first(alive, wanted).sort().values


def first(marked: Tensor, count: int) -> Tensor:
    """The positions [count] of the rows that are `marked` [m], in order, then those of rows that are not. Waits for nothing."""
    return marked.int().argsort(descending=True, stable=True)[:count]


def power_of_two(rows: int) -> int:
    """The power of two at or above `rows`."""
    return max(_LEAST, 1 << (rows - 1).bit_length())


def sized(rows: int) -> int:
    """The least of {4, 5, 6, 7} × 2^k at or above `rows`: at most a quarter more, but for the fewest."""
    unit = max(_LEAST, 1 << (rows - 1).bit_length()) // 8
    return max(_LEAST, -(-rows // unit) * unit)


def fitting(rows: int, known: Iterable[int]) -> int:
    """The size that a batch of `rows` is padded to: one that is `known` already if it is at most a quarter more."""
    return min((size for size in known if rows <= size <= _SPARE * rows), default=sized(rows))
