"""Which levels rank best over many blocks, and which cannot be told apart by their ranks."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

ALPHA = 0.05
"""Of the critical difference."""

Block = TypeVar("Block", bound=Hashable)
Level = TypeVar("Level", bound=Hashable)


@dataclass(frozen=True)
class CompleteBlocks(Generic[Block, Level]):
    """The blocks in which every level has a value."""

    blocks: tuple[Block, ...]
    levels: tuple[Level, ...]
    scores: npt.NDArray[np.float64]
    """[blocks, levels], without NaN."""
    dropped: int
    """Blocks that lack a level."""


@dataclass(frozen=True)
class Friedman:
    """Whether the levels differ at all. `f` is None where all blocks rank alike: it would be infinite, and p is exact."""

    chi2: float
    """Friedman's statistic, corrected for ties; its own degrees of freedom are `df_levels`."""
    f: float | None
    """Iman and Davenport's, from `chi2`."""
    df_levels: int
    df_rest: int
    p: float
    """Of `f`."""


@dataclass(frozen=True)
class Ranking:
    """Levels are told by their column. `alike` are the longest runs of two or more levels, neighbours by average rank and
    best first, whose ranks lie closer than the critical difference; a level in no run can be told from all others."""

    blocks: int
    average_ranks: tuple[float, ...]
    """Of each column, 1 = best = the largest score."""
    friedman: Friedman | None
    """None where it is not defined: one level, one block, or ties throughout."""
    critical_difference: float | None
    """Nemenyi's at 0.05, in ranks; None for a single level."""
    alike: tuple[tuple[int, ...], ...]


def complete_blocks(
    values: Mapping[tuple[Block, Level], float], levels: Sequence[Level] | None = None
) -> CompleteBlocks[Block, Level]:
    """The table of (block, level) → score without the blocks that lack one of `levels`, by default all that occur.

    Blocks and levels keep the order in which they first occur. NaN counts as absent; values of other levels are passed over.
    """
    known = dict.fromkeys(level for _, level in values) if levels is None else dict.fromkeys(levels)
    blocks = dict.fromkeys(block for block, level in values if level in known)
    table = {block: [values.get((block, level), math.nan) for level in known] for block in blocks}
    rows = {block: row for block, row in table.items() if not any(map(math.isnan, row))}
    scores = np.array(list(rows.values()), np.float64).reshape(len(rows), len(known))
    return CompleteBlocks(tuple(rows), tuple(known), scores, len(blocks) - len(rows))


def ranking(scores: npt.ArrayLike) -> Ranking:
    """Average ranks of the levels of [blocks, levels] scores, Friedman's test, and what Nemenyi's cannot tell apart.

    Only equal scores tie: round what is equal up to rounding. The critical difference is given whatever Friedman's test
    says; it is meant for where that rejects. Raises ValueError unless there is a block and a level, and for NaN.

    Source: Demšar 2006, section 3.2.2; ties as in Conover 1999, section 5.8.
    """
    table = np.asarray(scores, np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"ranking takes a table of blocks and levels, not one of shape {table.shape}")
    if np.isnan(table).any():
        raise ValueError("a score is NaN: rank complete blocks only")
    blocks, levels = table.shape
    ranks = _ranks(table)
    average = tuple(float(rank) for rank in ranks.mean(axis=0))
    # Doubled ranks are whole numbers, so that this is 0 exactly where all is tied.
    spread = float(((2 * ranks - levels - 1) ** 2).sum()) / 4
    critical = critical_difference(levels, blocks) if levels > 1 else None
    return Ranking(
        blocks,
        average,
        friedman(average, blocks, spread, _arrangements(ranks[0])),
        critical,
        () if critical is None else told_together(average, critical),
    )


def friedman(
    average_ranks: Sequence[float], blocks: int, spread: float | None = None, arrangements: int | None = None
) -> Friedman | None:
    """The test from average ranks alone: [levels], each in 1 to levels; None where it is not defined.

    `spread` is the sum over blocks and levels of (rank - mean rank)², without ties blocks · k (k² - 1) / 12.
    `arrangements` is in how many ways one block's ranks can be dealt to the levels, without ties k!: where all blocks
    rank alike, p is the chance that the other blocks do as the first did.

    Source: Friedman 1937; Iman and Davenport 1980; Conover 1999, section 5.8.
    """
    levels = len(average_ranks)
    spread = blocks * levels * (levels**2 - 1) / 12 if spread is None else spread
    if levels < 2 or blocks < 2 or spread == 0:
        return None
    from scipy.special import fdtrc

    between = blocks**2 * math.fsum((rank - (levels + 1) / 2) ** 2 for rank in average_ranks)
    chi2 = (levels - 1) * between / spread
    df_levels, df_rest = levels - 1, (levels - 1) * (blocks - 1)
    left = blocks * (levels - 1) - chi2
    if left <= 1e-13 * blocks * (levels - 1):
        ways = math.factorial(levels) if arrangements is None else arrangements
        return Friedman(chi2, None, df_levels, df_rest, math.exp((1 - blocks) * math.log(ways)))
    f = (blocks - 1) * chi2 / left
    return Friedman(chi2, f, df_levels, df_rest, float(fdtrc(df_levels, df_rest, f)))


def critical_difference(levels: int, blocks: int) -> float:
    """The least difference of two average ranks that Nemenyi's test tells apart at 0.05, two-sided, all pairs counted.

    Raises ValueError for fewer than two levels or no block. Source: Nemenyi 1963; Demšar 2006, section 3.2.2.
    """
    if levels < 2 or blocks < 1:
        raise ValueError(f"no critical difference of {levels} levels over {blocks} blocks")
    return _studentized_range(levels) / math.sqrt(2) * math.sqrt(levels * (levels + 1) / (6 * blocks))


def told_together(average_ranks: Sequence[float], critical: float) -> tuple[tuple[int, ...], ...]:
    """The longest runs of two or more columns, best first, whose average ranks lie closer than `critical`."""
    order = sorted(range(len(average_ranks)), key=lambda column: average_ranks[column])
    runs: list[tuple[int, ...]] = []
    reached = 0
    for first, best in enumerate(order):
        end = first + 1
        while end < len(order) and average_ranks[order[end]] - average_ranks[best] < critical:
            end += 1
        # A run that ends where an earlier one did lies inside it.
        if end > reached and end - first > 1:
            runs.append(tuple(order[first:end]))
        reached = max(reached, end)
    return tuple(runs)


@cache
def _studentized_range(levels: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.ppf(1 - ALPHA, levels, math.inf))


def _ranks(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Within each row, 1 for the largest; ties get the mean of their places."""
    ranks = np.empty_like(table)
    for column in range(table.shape[1]):
        own = table[:, [column]]
        ranks[:, column] = (table > own).sum(axis=1) + ((table == own).sum(axis=1) + 1) / 2
    return ranks


def _arrangements(ranks: npt.NDArray[np.float64]) -> int:
    """In how many ways one block's ranks can be dealt to its levels."""
    ways = math.factorial(len(ranks))
    for tied in np.unique(ranks, return_counts=True)[1].tolist():
        ways //= math.factorial(tied)
    return ways
