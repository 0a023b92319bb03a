"""What seeds can do that a level was spared so far: variance over seeds as the levels of a block show it together.

Where some seeds collapse, a level whose few seeds all came through looks surer than it is, and better than the others by what
they lost: a t interval from its own seeds then errs in a third of the studies (simulated: 5 % of seeds at chance, each level
against the mean of six). Nothing in its own seeds can tell; the other levels' can. Pairs of levels need no such care.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from core.verdict.crossed import Spread


def at_least_pooled(spread: Spread, tables: Sequence[NDArray[np.floating]], weights: Sequence[float]) -> Spread:
    """The spread of Σ weights · level, its variance over seeds no less than if the levels of each block varied alike.

    `tables` hold the trials' means of each block, [levels, seeds], paired by seed, in the spread's unit. For grids in which some
    model learned nothing; elsewhere a steady level would be charged what its unsteady neighbours vary. Raises ValueError for
    tables of other levels than weights.
    """
    if spread.seeds is None:
        return spread
    if any(len(table) != len(weights) for table in tables):
        raise ValueError(f"tables of other levels than {len(weights)} weights")
    squares = [_apart(table) for table in tables]
    known = [one for one in squares if one is not None]
    if not known:
        return spread
    usual = sum(known) / len(known)
    of_blocks = [(usual if one is None else one) / table.shape[1] for one, table in zip(squares, tables, strict=True)]
    total = float(np.dot(weights, weights)) * sum(of_blocks) / len(tables) ** 2
    return replace(spread, seeds=max(spread.seeds, total))


def _apart(table: NDArray[np.floating]) -> float | None:
    """Mean square of what neither level nor seed explains; None for a single level or seed. What seeds do to all levels alike
    cancels, as it does in the contrast."""
    levels, seeds = table.shape
    if levels < 2 or seeds < 2:
        return None
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    return float((rest**2).sum() / ((levels - 1) * (seeds - 1)))
