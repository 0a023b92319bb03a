"""Whether the difference between levels of one factor depends on another: what each cell has beyond its row and its column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.verdict.findings.contrast import Contrast, Group, Value, contrast
from core.verdict.findings.models import Model

Cell = tuple[str, str]


@dataclass(frozen=True)
class Residuals:
    """Of two factors: a cell's mean less those of its row and its column, plus the mean of all; 0 everywhere where neither factor
    changes what the other does. Cells are taken from the same seeds of the same other choices throughout."""

    factors: tuple[str, str]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[Cell, Contrast]
    models: Mapping[Cell, tuple[Model, ...]]
    """All that a cell has, also those that are in no complete table."""
    empty: tuple[Cell, ...]
    """Cells without any model, for which levels had to be left out."""
    left_out: tuple[tuple[str, str], ...]
    """(factor, level)."""

    @property
    def tables(self) -> int:
        """Complete ones that were averaged over: a seed of a combination of the other choices each."""
        return max((found.pairs for found in self.cells.values()), default=0)


def residuals(models: Sequence[Model], factors: tuple[str, str], value: Value) -> Residuals:
    """Over the largest table without empty cells: as long as there is one, the level that lacks most goes. Without two levels
    of each factor there are no cells."""
    there: dict[Cell, list[Model]] = {}
    for model in models:
        if value(model) is not None:
            there.setdefault((model.levels[factors[0]], model.levels[factors[1]]), []).append(model)
    axes = [sorted({cell[place] for cell in there}) for place in (0, 1)]
    empty = tuple((row, column) for row in axes[0] for column in axes[1] if (row, column) not in there)
    left_out: list[tuple[str, str]] = []
    while True:
        lacking = [(row, column) for row in axes[0] for column in axes[1] if (row, column) not in there]
        if not lacking:
            break
        place, name = _worst(axes, lacking)
        axes[place].remove(name)
        left_out.append((factors[place], name))
    rows, columns = axes
    cells = {}
    if len(rows) > 1 and len(columns) > 1:
        for row in rows:
            for column in columns:
                cells[row, column] = contrast(_weighed(there, rows, columns, (row, column)), factors, value)
    return Residuals(
        factors,
        tuple(rows),
        tuple(columns),
        cells,
        {cell: tuple(found) for cell, found in there.items()},
        empty,
        tuple(left_out),
    )


def _worst(axes: Sequence[Sequence[str]], lacking: Sequence[Cell]) -> tuple[int, str]:
    """(axis, level) with the largest share of empty cells; of equal ones, of the axis that has more levels."""

    def share(place: int, name: str) -> tuple[float, int]:
        return sum(cell[place] == name for cell in lacking) / len(axes[1 - place]), len(axes[place])

    return max(((place, name) for place in (0, 1) for name in axes[place]), key=lambda one: share(*one))


def _weighed(
    there: Mapping[Cell, Sequence[Model]], rows: Sequence[str], columns: Sequence[str], wanted: Cell
) -> list[Group]:
    """All cells with what each counts for in the residual of `wanted`."""
    return [
        Group(
            ((row == wanted[0]) - 1.0 / len(rows)) * ((column == wanted[1]) - 1.0 / len(columns)),
            tuple(there[row, column]),
        )
        for row in rows
        for column in columns
    ]
