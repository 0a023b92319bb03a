"""Batches shrink by whole buckets: every new shape costs the kernels a set-up. Imports torch: for children only."""

from __future__ import annotations

from torch import Tensor

_ROWS = 16


def whole_buckets(alive: Tensor, left: int) -> Tensor | None:
    """The positions [k] of the `left` rows that are `alive` [m], in order, filled up to a whole bucket with ones that are
    not; None where no whole bucket can go."""
    wanted = -(-left // _ROWS) * _ROWS
    if wanted >= len(alive):
        return None
    return alive.int().argsort(descending=True, stable=True)[:wanted].sort().values
