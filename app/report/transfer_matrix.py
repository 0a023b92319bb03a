"""Whose adversarial images fool whom, as a matrix of percentages: of single models, or averaged over a factor's levels.

`app.cli.transfer` prints it as a table, `app.report.study_charts` as a heatmap.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.variants import grouped, trial_labels
from app.terminal.cells import cell_len, cut, padded
from core.names import NORM_SIGNS

if TYPE_CHECKING:
    from storage.rows import TransferResult, TrialRow

_MOST_SHOWN = 30
"""Models in a printed table; beyond that nobody reads it, and csv has all."""


@dataclass(frozen=True)
class Matrix:
    """`values` maps (source, target), as places in `names`, to the share of images fooled, in %; None: no image was shared.

    `by` is the factor that `names` are levels of, None where they are single models; `trust` has the models' verdicts.
    `pairs` counts the pairs of different models behind a cell of levels.
    """

    names: tuple[str, ...]
    values: Mapping[tuple[int, int], float | None]
    trust: tuple[str, ...]
    by: str | None = None
    pairs: Mapping[tuple[int, int], int] | None = None


def of_trials(trials: Sequence[TrialRow], rows: Sequence[TransferResult]) -> Matrix:
    """One row and column per trial of `trials`."""
    names = trial_labels(trials)
    place = {trial.trial_id: number for number, trial in enumerate(trials)}
    return Matrix(
        names=tuple(names[trial.trial_id] for trial in trials),
        values={
            (place[row.source_id], place[row.target_id]): _percent(row.transfer_rate)
            for row in rows
            if row.source_id in place and row.target_id in place
        },
        trust=tuple(trial.trust or "ok" for trial in trials),
    )


def title(study: str, rows: Sequence[TransferResult]) -> str:
    """What the numbers are; `rows` are all of one attack on the same images."""
    name = f"{study}: images of the row's model that fool the column's, in %"
    if not rows:
        return name
    one = rows[0]
    return f"{name}; {one.attack} {NORM_SIGNS[one.norm]} ε = {one.eps:g}, {one.samples:,} test images"


def by_factor(trials: Sequence[TrialRow], rows: Sequence[TransferResult], factor: str) -> Matrix:
    """Means over the pairs of different trials between two levels of `factor`; a model against itself never counts."""
    level = dict(zip((trial.trial_id for trial in trials), grouped(trials, factor), strict=True))
    names = tuple(dict.fromkeys(level.values()))
    found: dict[tuple[int, int], list[float]] = {}
    for row in rows:
        source, target, rate = row.source_id, row.target_id, _percent(row.transfer_rate)
        if source != target and rate is not None and source in level and target in level:
            found.setdefault((names.index(level[source]), names.index(level[target])), []).append(rate)
    return Matrix(
        names,
        {cell: sum(rates) / len(rates) for cell, rates in found.items()},
        trust=("ok",) * len(names),
        by=factor,
        pairs={cell: len(rates) for cell, rates in found.items()},
    )


def drawn(heading: str, matrix: Matrix, marks: Mapping[str, str], width: int) -> str:
    """A table with numbered columns in blocks that fit `width`, the legend, and what to take from it.

    `marks` has a character for each verdict.
    """
    names = matrix.names[:_MOST_SHOWN]
    signs = [marks[trust] for trust in matrix.trust]
    size = 1 + max(3, len(str(len(names))))
    room = min(max(map(cell_len, names)), max(12, width // 3 - 5))
    first = 3 + room + any(signs) + 1
    fitting = max(1, (width - first) // (size + 1))
    lines = textwrap.wrap(heading, width, subsequent_indent="    ")
    for start in range(0, len(names), fitting):
        shown = range(start, min(start + fitting, len(names)))
        lines.append(" " * first + " ".join(f"{one + 1:>{size}}" for one in shown))
        for row, name in enumerate(names):
            cells = [_cell(matrix, row, column) for column in shown]
            label = f"{row + 1:>2} {cut(name, room)}{signs[row]}"
            lines.append((padded(label, first) + "".join(f"{cell:>{size + 1}}" for cell in cells)).rstrip())
    notes = []
    if matrix.by is None:
        notes.append("* on the model that made them")
    else:
        notes.append(f"means over pairs of different models, by {matrix.by}")
    notes += [f"{marks[trust]} {trust}" for trust in marks if marks[trust] and trust in matrix.trust]
    lines += ["", *textwrap.wrap("   ".join(notes), width)]
    if len(matrix.names) > len(names):
        lines.append(f"the first {len(names)} of {len(matrix.names)} models; --format csv has all, --by averages")
    return "\n".join([*lines, *textwrap.wrap(reading(matrix), width, subsequent_indent="    ")])


def _cell(matrix: Matrix, row: int, column: int) -> str:
    """A number without decimals and its mark, or room for the mark."""
    value = matrix.values.get((row, column))
    mark = "*" if matrix.by is None and row == column else " "
    return f"{'-' if value is None else f'{value:.0f}'}{mark}"


def reading(matrix: Matrix) -> str:
    """What to take from it, in a line: the mean over different models, the best source, the most robust target.

    A model judged invalid is fooled by nothing, so it is no robust target.
    """
    own, others = _split(matrix)
    if not others:
        return "no two different models share an image that both classify rightly"
    parts = [f"mean over pairs of different models {_mean(others.values()):.1f} %"]
    if own and matrix.by is None:
        parts[0] += f" (on the source itself {_mean(own):.1f} %)"
    places = range(len(matrix.names))
    sound = [place for place in places if matrix.trust[place] != "invalid"]
    as_source = {
        one: _mean(rates)
        for one in places
        if (rates := [rate for (source, _), rate in others.items() if source == one])
    }
    as_target = {
        one: _mean(rates) for one in sound if (rates := [rate for (_, target), rate in others.items() if target == one])
    }
    best = max(as_source, key=lambda one: as_source[one])
    parts.append(f"best source: {matrix.names[best]} ({as_source[best]:.1f} %)")
    if as_target:
        hardest = min(as_target, key=lambda one: as_target[one])
        parts.append(f"most robust target: {matrix.names[hardest]} ({as_target[hardest]:.1f} %)")
    return "; ".join(parts)


def _split(matrix: Matrix) -> tuple[list[float], dict[tuple[int, int], float]]:
    """The values of models on themselves, and of all other cells."""
    there = {cell: value for cell, value in matrix.values.items() if value is not None}
    if matrix.by is not None:
        return [], there
    own = [value for (source, target), value in there.items() if source == target]
    return own, {cell: value for cell, value in there.items() if cell[0] != cell[1]}


def _percent(rate: float | None) -> float | None:
    return None if rate is None else 100.0 * rate


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)
