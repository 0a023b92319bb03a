"""Analysis of variance of a grid of trials: which factors, and which pairs of them, go with the response."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.verdict.described.cells import CellTable, cell_table
from core.verdict.described.least_squares import Fit, balanced_fit, type_two_fit

_LARGEST = 1e150


@dataclass(frozen=True)
class Term:
    """A main effect (one factor) or an interaction (two). What is not defined is None."""

    factors: tuple[str, ...]
    df: int
    """Of the effect, as far as the trials that there are can tell it from the other terms."""
    missing_df: int
    """What they cannot: of the product of (levels - 1) over its factors. `df` 0: nothing is known of this term."""
    ss: float
    f: float | None
    """None without df here or in the residual, and where the residual is 0."""
    p: float | None
    eta2: float | None
    """ss / total ss. None unless balanced: shares would not add up."""
    omega2: float | None
    """Like eta2 without what noise alone would give, so that it may be a little below 0; None also without a residual."""


@dataclass(frozen=True)
class Spread:
    """A sum of squares that is no term's."""

    df: int
    ss: float
    ms: float | None
    """ss / df; None for no df."""
    share: float | None
    """ss / total ss; None unless balanced."""


@dataclass(frozen=True)
class Analysis:
    """Main effects in the order of the factors, then interactions. In units of the response, squared."""

    trials: int
    cells: int
    """Combinations of levels with at least one trial."""
    possible_cells: int
    """All combinations of the levels that occur."""
    balanced: bool
    """Every possible cell has as many trials: classical sums of squares, which add up. Otherwise Type II, which do not."""
    terms: tuple[Term, ...]
    residual: Spread
    """Interactions of three factors and more, and the spread within cells."""
    pure_error: Spread | None
    """The spread within cells alone (over seeds); None where no cell has two trials. Part of the residual."""
    total: Spread
    constant: tuple[str, ...]
    """Factors with a single level, which are left out."""

    @property
    def incomplete(self) -> tuple[Term, ...]:
        """Terms that the trials cannot tell, or not all of."""
        return tuple(term for term in self.terms if term.missing_df)


def analysis_of_variance(response: npt.ArrayLike, factors: Mapping[str, Sequence[Hashable]]) -> Analysis:
    """All main effects and two-way interactions of `factors`, name → [trials] levels, on the [trials] response.

    Trials that share all levels are replicates. F tests are against the residual, which also holds what three factors
    make of each other; with two factors and one trial in each cell there is none, and no test. Balanced: classical.
    Otherwise a term's sum of squares is by how much it lowers the residual of a model of all other terms that do not
    contain it (Type II), for what is estimable.

    Work grows with the cube of the number of pairs of levels where unbalanced, hardly with the number of trials.
    Raises ValueError for no factor, no trial, unequal lengths or a response that is not finite or over 1e150.

    Source: Montgomery 2017, chapter 5; Yates 1934 and Searle 1987 for Type II; Olejnik and Algina 2003 for ω².
    """
    values = np.asarray(response, np.float64)
    if not factors:
        raise ValueError("no factor to analyse by")
    if values.ndim != 1 or not values.size:
        raise ValueError("no trials to analyse")
    if not (np.abs(values) < _LARGEST).all():
        raise ValueError("a response is not finite, or too large to square")
    for name, levels in factors.items():
        if len(levels) != len(values):
            raise ValueError(f"factor {name}: {len(levels)} levels for {len(values)} trials")
    constant = tuple(name for name, levels in factors.items() if len(set(levels)) == 1)
    names = [name for name in factors if name not in constant]
    table = cell_table(values, [factors[name] for name in names])
    fit = balanced_fit(table) if table.balanced else type_two_fit(table)
    return _analysis(table, fit, names, constant)


def _analysis(table: CellTable, fit: Fit, names: Sequence[str], constant: tuple[str, ...]) -> Analysis:
    trials = table.trials
    total = table.cleared(table.between + table.within)
    within = table.cleared(table.within)
    residual_df = trials - 1 - fit.rank
    residual = table.cleared(fit.lack + table.within) if residual_df else 0.0
    noise = residual / residual_df if residual_df else None

    def spread(df: int, ss: float) -> Spread:
        return Spread(df, ss, ss / df if df else None, ss / total if table.balanced and total else None)

    def term(which: tuple[int, ...], df: int, ss: float) -> Term:
        ss = table.cleared(ss) if df else 0.0
        f = ss / df / noise if noise and df else None
        shared = table.balanced and total > 0
        return Term(
            factors=tuple(names[index] for index in which),
            df=df,
            missing_df=math.prod(table.levels[index] - 1 for index in which) - df,
            ss=ss,
            f=f,
            p=None if f is None else _upper_tail(df, residual_df, f),
            eta2=ss / total if shared else None,
            omega2=(ss - df * noise) / (total + noise) if shared and noise is not None else None,
        )

    return Analysis(
        trials=trials,
        cells=len(table.counts),
        possible_cells=math.prod(table.levels),
        balanced=table.balanced,
        terms=tuple(term(which, df, ss) for which, (df, ss) in fit.terms.items()),
        residual=spread(residual_df, residual),
        pure_error=spread(trials - len(table.counts), within) if trials > len(table.counts) else None,
        total=spread(trials - 1, total),
        constant=constant,
    )


def _upper_tail(df: int, df_rest: int, f: float) -> float:
    from scipy.special import fdtrc

    return float(fdtrc(df, df_rest, f))
