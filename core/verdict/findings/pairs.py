"""The pairs that a comparison rests on, one by one: worked out when somebody looks at them, from what the comparison keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.names import FACTORS
from core.verdict.findings.contrast import Cell, Contrast
from core.verdict.findings.models import Model


@dataclass(frozen=True)
class Pair:
    """One seed of one block. Values are in the unit of the comparison: shares of all images where who stands is compared."""

    levels: Mapping[str, str]
    """The choices that its models share, by factor; those that are always the same are left out."""
    seed: int
    level: float
    """Of the level; where two differences are held against each other, the first of them."""
    other: float
    """Of what it is held against: of several levels their mean, of two differences the second."""
    difference: float
    models: tuple[Model, ...]
    """All that take part, the level's first."""


def pairs(found: Contrast) -> list[Pair]:
    """In the order of `found.differences`."""
    cells = [cell for block in found.blocks for cell in block]
    shared = [_shared(cell) for cell in cells]
    varying = [factor for factor in FACTORS if len({levels.get(factor) for levels in shared}) > 1]
    return [
        Pair(
            {factor: levels[factor] for factor in varying if factor in levels},
            cell[0][0].seed,
            *_sides(found, cell),
            difference,
            tuple(model for group in cell for model in group),
        )
        for cell, levels, difference in zip(cells, shared, found.differences, strict=True)
    ]


def _shared(cell: Cell) -> dict[str, str]:
    """The levels that all models of a pair have."""
    models = [model for group in cell for model in group]
    return {
        factor: models[0].levels[factor]
        for factor in FACTORS
        if all(model.levels[factor] == models[0].levels[factor] for model in models)
    }


def _sides(found: Contrast, cell: Cell) -> tuple[float, float]:
    """What is held against what: one group against the others, or (two weigh in favour) a difference against another."""
    means = [_mean(found, group) for group in cell]
    if sum(weight > 0 for weight in found.weights) == 1:
        rest = zip(found.weights[1:], means[1:], strict=True)
        return means[0], -math.fsum(weight * mean for weight, mean in rest)
    first, second, third, fourth = means
    return first - second, third - fourth


def _mean(found: Contrast, models: Sequence[Model]) -> float:
    values = [found.value(model) for model in models]
    return float(np.mean([value.mean() for value in values if value is not None]))
