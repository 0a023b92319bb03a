"""What describes a study beside its verdicts: ranks of each factor's levels, and where the variance of the worst case goes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.names import FACTORS
from core.verdict.described.ranks import Ranking, complete_blocks, ranking
from core.verdict.described.variance import Analysis, analysis_of_variance
from core.verdict.findings.models import Model, varying
from core.verdict.findings.questions import worst_case

_DECIMALS = 12
"""Means that differ by rounding alone tie."""


@dataclass(frozen=True)
class FactorRanks:
    """The levels of one factor ranked in each block of the others, by their means over seeds."""

    factor: str
    levels: tuple[str, ...]
    """As `ranking` has them, column by column."""
    ranking: Ranking
    dropped: int
    """Blocks that lack a level."""


@dataclass(frozen=True)
class Description:
    ranks: tuple[FactorRanks, ...]
    variance: Analysis | None
    """None where no factor varies, or nothing was attacked."""


def describe(models: Sequence[Model]) -> Description:
    """Of the worst case at the score's ε, over every model that has one."""
    scored = [(model, float(found.mean())) for model in models for found in [worst_case(model)] if found is not None]
    factors = varying([model for model, _ in scored])
    if not factors:
        return Description((), None)
    variance = analysis_of_variance(
        [value for _, value in scored], {factor: [model.levels[factor] for model, _ in scored] for factor in factors}
    )
    return Description(tuple(found for factor in factors if (found := _ranks(scored, factor))), variance)


def _ranks(scored: Sequence[tuple[Model, float]], factor: str) -> FactorRanks | None:
    cells: dict[tuple[tuple[str, ...], str], list[float]] = {}
    for model, value in scored:
        block = tuple(model.levels[other] for other in FACTORS if other != factor)
        cells.setdefault((block, model.levels[factor]), []).append(value)
    means = {cell: round(math.fsum(values) / len(values), _DECIMALS) for cell, values in cells.items()}
    whole = complete_blocks(means)
    if not whole.blocks:
        return None
    return FactorRanks(factor, tuple(whole.levels), ranking(whole.scores), whole.dropped)
