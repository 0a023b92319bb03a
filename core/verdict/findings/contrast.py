"""Groups of models held against each other, paired by seed and image within blocks of all other factors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from core.names import FACTORS
from core.verdict.crossed import Block, Spread, crossed
from core.verdict.findings.models import Model
from core.verdict.pooled import at_least_pooled

Cell = Sequence[list[Model]]
"""Of one seed of one block, the models of each group."""
Value = Callable[[Model], NDArray[np.bool_] | NDArray[np.float32] | None]
"""[n] of a model: who stands, image by image, or influence values; None where it has no such value."""


@dataclass(frozen=True)
class Group:
    """Models that count with a weight; a contrast's weights sum to 0. Where several share a cell, their mean counts."""

    weight: float
    models: tuple[Model, ...]


@dataclass(frozen=True)
class Contrast:
    """A paired difference, in the unit of its values. A pair is a cell, a seed of a block, that every group has a model in."""

    spread: Spread | None
    """None where there is no pair."""
    differences: tuple[float, ...]
    """Of each pair, over its images."""
    missing: int
    """Cells that some group has a model in, and another has not."""
    blocks: tuple[tuple[Cell, ...], ...]
    """Of each block its pairs, in the order of `differences`."""
    weights: tuple[float, ...]
    """Of the groups."""
    value: Value = field(compare=False, repr=False)
    """What was compared of each model."""
    seeds: int = 0
    """Of the block that has most."""

    @property
    def pairs(self) -> int:
        return len(self.differences)

    @cached_property
    def used(self) -> tuple[tuple[Model, ...], ...]:
        """Of each group, the models of all pairs."""
        return tuple(
            tuple(model for block in self.blocks for cell in block for model in cell[place])
            for place in range(len(self.weights))
        )

    @property
    def won(self) -> int:
        """Pairs whose difference is above 0."""
        return sum(difference > 0 for difference in self.differences)

    @property
    def lost(self) -> int:
        return sum(difference < 0 for difference in self.differences)


def contrast(
    groups: Sequence[Group],
    over: Sequence[str],
    value: Value,
    keep: Callable[[Cell], bool] | None = None,
    *,
    pooled: bool = False,
) -> Contrast:
    """The groups' weighted sum over the blocks of the factors that are not in `over`; `keep` may leave pairs out by their models,
    a list for each group. `pooled`: no group's seeds are surer than the others' (`core.verdict.pooled`)."""
    cells: dict[tuple[str, ...], dict[int, Cell]] = {}
    fixed = [factor for factor in FACTORS if factor not in over]
    for place, group in enumerate(groups):
        for model in group.models:
            if value(model) is not None:
                by_seed = cells.setdefault(tuple([model.levels[factor] for factor in fixed]), {})
                by_seed.setdefault(model.seed, [[] for _ in groups])[place].append(model)
    whole = [
        {
            seed: by_seed[seed]
            for seed in sorted(by_seed)
            if all(by_seed[seed]) and (keep is None or keep(by_seed[seed]))
        }
        for by_seed in cells.values()
    ]
    blocks = [by_seed for by_seed in whole if by_seed]
    missing = sum(not all(cell) for by_seed in cells.values() for cell in by_seed.values())
    weights = tuple(group.weight for group in groups)
    if not blocks:
        return Contrast(None, (), missing, (), weights, value)
    differences: list[float] = []
    tables: list[NDArray[np.float64]] = []

    def drawn(by_seed: Mapping[int, Cell]) -> Block:
        found = [_values(list(by_seed.values()), place, value) for place in range(len(groups))]
        if pooled:
            tables.append(np.array([one.mean(axis=1) for one in found]))
        values = _difference(groups, found)
        differences.extend(values.mean(axis=1).tolist())
        return Block(tuple(by_seed), values)

    spread = crossed(drawn(by_seed) for by_seed in blocks)
    if pooled:
        spread = at_least_pooled(spread, tables, weights)
    return Contrast(
        spread,
        tuple(differences),
        missing,
        tuple(tuple(by_seed.values()) for by_seed in blocks),
        weights,
        value,
        max(len(by_seed) for by_seed in blocks),
    )


def _values(cells: Sequence[Cell], place: int, value: Value) -> NDArray[np.bool_] | NDArray[np.float32]:
    """[S, n] of one group: a row for each cell of a block."""
    if all(len(cell[place]) == 1 for cell in cells):
        return np.array([value(cell[place][0]) for cell in cells])
    return np.array([np.array([value(model) for model in cell[place]]).mean(axis=0) for cell in cells])


def _difference(
    groups: Sequence[Group], found: Sequence[NDArray[np.bool_] | NDArray[np.float32]]
) -> NDArray[np.float32]:
    """[S, n]: the groups' weighted sum."""
    total: NDArray[np.float32] | None = None
    for group, values in zip(groups, found, strict=True):
        weighted = np.multiply(values, np.float32(group.weight), dtype=np.float32)
        total = weighted if total is None else np.add(total, weighted, out=total)
    assert total is not None, "a contrast has groups"
    return total


def at_level(models: Sequence[Model], factor: str, level: str, *, by_name: bool = False) -> tuple[Model, ...]:
    """Those at a level of a factor; `by_name`: by the registry's name, whatever its options."""
    return tuple(model for model in models if (model.names if by_name else model.levels)[factor] == level)


def against(
    models: Sequence[Model], factor: str, level: str, others: Sequence[str], *, by_name: bool = False
) -> list[Group]:
    """A level less the mean of others."""
    return [
        Group(1.0, at_level(models, factor, level, by_name=by_name)),
        *(Group(-1.0 / len(others), at_level(models, factor, other, by_name=by_name)) for other in others),
    ]


def interaction(
    models: Sequence[Model], factors: tuple[str, str], first: tuple[str, str], second: tuple[str, str]
) -> list[Group]:
    """How much more the first factor's two levels differ at one level of the second than at the other."""

    def cell(one: str, other: str, weight: float) -> Group:
        there = tuple(
            model for model in models if model.levels[factors[0]] == one and model.levels[factors[1]] == other
        )
        return Group(weight, there)

    (a, b), (c, d) = first, second
    return [cell(a, c, 1.0), cell(b, c, -1.0), cell(a, d, -1.0), cell(b, d, 1.0)]
