"""Sums of squares of main effects and two-way interactions over a table of cells, balanced or as it comes.

Cells weighted by their counts give the same estimates and sums of squares as the trials themselves; what lies within
cells is added by whoever asks. So no step looks at a trial.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.verdict.described.cells import CellTable, Codes, Floats

Which = tuple[int, ...]
"""The factors of a term, by their place."""

_DEPENDENT = 1e-9
"""A column of which a smaller share of its own square is left beside others is their combination: rounding leaves some
1e-13, one trial of 10,000 that parts two factors over 1e-5."""


@dataclass(frozen=True)
class Fit:
    """Of each term its degrees of freedom and its sum of squares."""

    terms: dict[Which, tuple[int, float]]
    rank: int
    """Degrees of freedom of all terms together, without the mean."""
    lack: float
    """Sum of squares of what the terms leave of the cells' means."""


def terms_of(factors: int) -> list[Which]:
    """Main effects, then pairs."""
    return [*((one,) for one in range(factors)), *itertools.combinations(range(factors), 2)]


def balanced_fit(table: CellTable) -> Fit:
    """The classical sums of squares; `table` must be balanced. Source: Montgomery 2017, section 5.4."""
    cell_means = table.means.reshape(table.levels)  # all cells are there, the last factor's levels following each other
    every = range(len(table.levels))
    effects: dict[Which, Floats] = {}
    fitted = np.zeros(table.levels)
    for which in terms_of(len(table.levels)):
        effect = cell_means.mean(axis=tuple(axis for axis in every if axis not in which), keepdims=True)
        for one in which if len(which) == 2 else ():
            effect = effect - effects[one,]
        effects[which] = effect
        fitted = fitted + effect
    df = {which: math.prod(table.levels[one] - 1 for one in which) for which in effects}
    terms = {which: (df[which], table.trials * float((effect**2).mean())) for which, effect in effects.items()}
    lack = table.trials * float(((cell_means - fitted) ** 2).mean())
    return Fit(terms, sum(df.values()), lack)


def type_two_fit(table: CellTable) -> Fit:
    """What each term adds to a model of all others that do not contain it, as far as the cells can tell. Source: Searle
    1987, section 9.3."""
    equations = _Equations(table)
    terms = terms_of(len(table.levels))
    added = {
        which: equations.added([other for other in terms if not set(which) <= set(other)], which) for which in terms
    }
    rank, lack = equations.left(terms)
    return Fit(added, rank, lack)


class _Equations:
    """The normal equations of indicator columns: one for the mean, one for each level and each pair of levels that occurs.

    Before they are scaled to a diagonal of 1 their entries are counts of trials, so that no rounding enters with them.
    """

    def __init__(self, table: CellTable) -> None:
        self.table = table
        mean = np.zeros(len(table.counts), np.int64)
        self.columns: dict[Which, Codes] = {(): mean}
        """[cells]: which column of a term each cell lies in."""
        self.sizes: dict[Which, int] = {(): 1}
        for which in terms_of(len(table.levels)):
            codes = mean
            for one in which:
                codes = codes * table.levels[one] + table.codes[:, one]
            present, column = np.unique(codes, return_inverse=True)
            self.columns[which], self.sizes[which] = column.reshape(-1), len(present)
        ends = np.cumsum(list(self.sizes.values())).tolist()
        self.places = {
            which: np.arange(end - size, end) for (which, size), end in zip(self.sizes.items(), ends, strict=True)
        }
        self.gram = self._gram(ends[-1])
        self.scale = 1 / np.sqrt(np.diag(self.gram))
        self.gram *= self.scale[:, None]
        self.gram *= self.scale
        self.right = self._right(table.means)

    def _gram(self, size: int) -> Floats:
        gram = np.empty((size, size))
        for one, other in itertools.combinations_with_replacement(self.columns, 2):
            shape = self.sizes[one], self.sizes[other]
            together = self.columns[one] * shape[1] + self.columns[other]
            block = np.bincount(together, weights=self.table.counts, minlength=shape[0] * shape[1]).reshape(shape)
            gram[np.ix_(self.places[one], self.places[other])] = block
            gram[np.ix_(self.places[other], self.places[one])] = block.T
        return gram

    def _right(self, means: Floats) -> Floats:
        """[columns]: the right side for these means of the cells."""
        weighted = self.table.counts * means
        sums = [
            np.bincount(column, weights=weighted, minlength=self.sizes[which]) for which, column in self.columns.items()
        ]
        right: Floats = np.concatenate(sums) * self.scale
        return right

    def _at(self, terms: Sequence[Which]) -> Codes:
        """The mean's column and those of these terms."""
        return np.concatenate([self.places[which] for which in ((), *terms)])

    def added(self, base: Sequence[Which], which: Which) -> tuple[int, float]:
        """Rank and sum of squares that a term adds to the terms of `base`."""
        from scipy.linalg import solve_triangular

        kept, root = _independent(self.gram, self._at(base))
        own = self.places[which]
        beside = np.column_stack([self.gram[np.ix_(kept, own)], self.right[kept]])
        explained = solve_triangular(root, beside, lower=True, check_finite=False)
        gram = self.gram[np.ix_(own, own)] - explained[:, :-1].T @ explained[:, :-1]
        right = self.right[own] - explained[:, :-1].T @ explained[:, -1]
        kept, root = _independent(gram, np.arange(len(own)))
        if not len(kept):
            return 0, 0.0
        found = solve_triangular(root, right[kept], lower=True, check_finite=False)
        return len(kept), float(found @ found)

    def left(self, terms: Sequence[Which]) -> tuple[int, float]:
        """Rank without the mean, and the sum of squares that all these terms leave of the cells' means."""
        from scipy.linalg import solve_triangular

        kept, root = _independent(self.gram, self._at(terms))
        left = self.table.means
        for _ in range(2):  # the second time takes off what rounding left of the first
            half = solve_triangular(root, self._right(left)[kept], lower=True, check_finite=False)
            solution = np.zeros(len(self.gram))
            solution[kept] = solve_triangular(root, half, lower=True, trans=1, check_finite=False)
            solution *= self.scale
            left = left - sum(solution[self.places[which]][self.columns[which]] for which in ((), *terms))
        return len(kept) - 1, float(self.table.counts @ left**2)


def _independent(gram: Floats, at: Codes) -> tuple[Codes, Floats]:
    """Of the columns `at` as many as do not depend on each other, and the lower Cholesky root of their part of `gram`."""
    from scipy.linalg.lapack import dpstrf

    part = gram[np.ix_(at, at)]
    if np.diag(part).max() <= _DEPENDENT:  # which dpstrf asks of every column but the first
        return at[:0], np.empty((0, 0))
    root, order, rank, _ = dpstrf(part, tol=_DEPENDENT, lower=1)
    return at[order[:rank] - 1], np.tril(root[:rank, :rank])
