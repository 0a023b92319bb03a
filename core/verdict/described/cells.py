"""Trials gathered into the cells of a grid: all that least squares needs of them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

_ROUNDING = 1e-12
"""Of the largest response: deviations below it are what rounding left of none."""


@dataclass(frozen=True)
class CellTable:
    """The cells that have trials, in the order of their codes, the last factor's changing first."""

    levels: tuple[int, ...]
    """How many each factor has."""
    codes: Codes
    """[cells, factors]: the place of the cell's level among the factor's."""
    counts: Floats
    """[cells]: trials."""
    means: Floats
    """[cells]: of the response, less the mean of all trials."""
    within: float
    """Sum of squares within cells."""
    between: float
    """Sum of squares of the cells' means, each by its count, about the mean of all trials."""
    nothing: float
    """A sum of squares up to which rounding may have made it."""

    @property
    def trials(self) -> int:
        """All of them."""
        return int(self.counts.sum())

    @property
    def balanced(self) -> bool:
        """Whether every combination of levels has the same number of trials."""
        return len(self.counts) == math.prod(self.levels) and bool((self.counts == self.counts[0]).all())

    def cleared(self, ss: float) -> float:
        """A sum of squares, 0 where rounding may have made it."""
        return ss if ss > self.nothing else 0.0


def cell_table(response: Floats, factors: Sequence[Sequence[Hashable]]) -> CellTable:
    """The cells of a [trials] response by its factors' [trials] levels; with no factor a single cell."""
    trials = len(response)
    coded = np.zeros((trials, len(factors)), np.int64)
    levels = []
    for column, factor in enumerate(factors):
        place = {level: code for code, level in enumerate(dict.fromkeys(factor))}
        coded[:, column] = [place[level] for level in factor]
        levels.append(len(place))
    # One factor after the other, so that the number of a cell never exceeds trials × levels.
    cell = np.zeros(trials, np.int64)
    for column, count in enumerate(levels):
        cell = np.unique(cell * count + coded[:, column], return_inverse=True)[1].reshape(-1)
    _, first = np.unique(cell, return_index=True)
    centred = response - response.mean()
    counts = np.bincount(cell).astype(np.float64)
    means = np.bincount(cell, weights=centred) / counts
    within = centred - means[cell]
    return CellTable(
        levels=tuple(levels),
        codes=coded[first],
        counts=counts,
        means=means,
        within=float(within @ within),
        between=float(counts @ means**2),
        nothing=trials * (_ROUNDING * float(np.abs(response).max())) ** 2,
    )
