"""Two factors against each other: values of the score, or what a cell has beyond its row and its column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report import cells
from app.report.effects import Interactions, interactions
from app.report.pooled import MOST_MODELS
from app.report.study_numbers import HeatTable, heat_table
from app.tui.lab.views.sight import Knobs, Sight
from app.tui.lab.views.table import Table, View, number
from app.tui.widgets.grid import Cell, Column, Line, named_cell
from core.names import FACTORS
from core.verdict.scoring import SCORES

if TYPE_CHECKING:
    from sqlite_utils import Database

_FAINT = 5.0
"""Points up to which the largest effect is not in the warmest colour: small ones stay pale."""


@dataclass(frozen=True)
class Effects:
    """What each cell has beyond its row and its column, in points; instead of them a sentence where there are none."""

    factors: tuple[str, str]
    found: Interactions | None
    score: str
    why_none: str = ""


def load(db: Database, sight: Sight, knobs: Knobs) -> HeatTable | Effects | None:  # noqa: ARG001 - the scope has it
    scope, score = sight.scope, sight.score
    grouped = tuple(factor for factor in sight.asked.by if factor in FACTORS)
    factors = knobs.factors or ((grouped[0], grouped[1]) if len(grouped) == 2 else None)
    values = heat_table(scope, score, factors)
    if values is None or not knobs.effects:
        return values
    if not set(values.factors) <= set(FACTORS):
        why = f"Effects are of two factors, and {' × '.join(values.factors)} is not: f chooses others, e shows values."
        return Effects(values.factors, None, score, why)
    models = sum(len(trials) for trials in values.trials.values())
    if models > MOST_MODELS:
        why = f"{models:,} models are too many to pair here: / narrows them down to {MOST_MODELS}, e shows values."
        return Effects(values.factors, None, score, why)
    found = interactions(scope, score, values.factors)
    if isinstance(found, Interactions) and any(found.differences.values()):
        return Effects(found.found.factors, found, score)
    why = found if isinstance(found, str) else "no seed of the other choices has all cells, so there is nothing to pair"
    return Effects(values.factors, None, score, f"{why[:1].upper()}{why[1:]}: e shows values.")


def table(content: HeatTable | Effects, width: int, wide: bool) -> Table:  # noqa: ARG001 - what does not fit moves
    if isinstance(content, HeatTable):
        names, across = content.rows, content.columns
        made = {(row, column): _value(content, row, column) for row in names for column in across}
        trials = content.trials
    elif content.found is not None:
        names, across = content.found.found.rows, content.found.found.columns
        made = {(row, column): _effect(content, row, column) for row in names for column in across}
        trials = {cell: tuple(one.trial_id for one in models) for cell, models in content.found.found.models.items()}
    else:
        return Table((), ())
    first = max(len(name) for name in (*names, content.factors[0]))
    sizes = {name: max(9, len(name), *(len(made[row, name][0]) for row in names)) for name in across}
    columns = [Column("heat row", content.factors[0], first + 1, named_cell("label"))]
    columns += [
        Column(
            f"heat {content.factors[1]} {name} {sizes[name]}", name, sizes[name], named_cell(f"at {name}"), right=True
        )
        for name in across
    ]
    lines = tuple(
        Line(
            name,
            {"label": (name, ""), **{f"at {other}": made[name, other] for other in across}},
            f"{name}: " + " · ".join(f"{other} {_in_words(content, name, other)}" for other in across),
            tuple(trial for other in across for trial in trials.get((name, other), ())),
        )
        for name in names
    )
    return Table(tuple(columns), lines)


def _value(content: HeatTable, row: str, column: str) -> Cell:
    value, trust = content.values.get((row, column)), content.trust.get((row, column), "ok")
    if value is None:
        return "-", "dim"
    word = "" if trust == "ok" else f" {trust}"
    return f"{cells.shade(value, content.full)}{value:5.1f}{word}", f"heat{cells.heat(value, content.full)}"


def _effect(content: Effects, row: str, column: str) -> Cell:
    assert content.found is not None
    apart, trust = content.found.differences.get((row, column)), content.found.trust.get((row, column), "ok")
    if apart is None:
        return "-", "dim"
    scale = _scale(content)
    full = max(_FAINT, *(scale * abs(one.value) for one in content.found.differences.values() if one is not None))
    word = "" if trust == "ok" else f" {trust}"
    shade = cells.shade(scale * abs(apart.value), full)
    mark = "*" if apart.apart else " "
    return f"{shade}{scale * apart.value:+6.1f}{mark}{word}", f"heat{cells.heat(scale * abs(apart.value), full)}"


def _in_words(content: HeatTable | Effects, row: str, column: str) -> str:
    if isinstance(content, HeatTable):
        trust = content.trust.get((row, column), "ok")
        return number(content.values.get((row, column))) + ("" if trust == "ok" else f" {trust}")
    apart = content.found.differences.get((row, column)) if content.found is not None else None
    if apart is None:
        return "-"
    scale = _scale(content)
    return f"{scale * apart.value:+.1f} (95 %: {scale * apart.low:+.1f} to {scale * apart.high:+.1f})"


def _scale(content: Effects) -> float:
    return 100.0 / SCORES[content.score].full


def about(sight: Sight, content: HeatTable | Effects) -> tuple[str, ...]:
    pair = " × ".join(content.factors)
    if isinstance(content, HeatTable):
        return f"{sight.told}, {pair}", "means over everything else", "e effects"
    if content.found is None:
        return (content.why_none,)
    return f"{sight.told}, {pair}: beyond row and column, points, paired", "* 95 % leaves out 0", "e values"


def command(sight: Sight, content: HeatTable | Effects | None) -> str:
    kind = "interactions" if isinstance(content, Effects) and content.found is not None else "heatmap"
    text = f"chart {kind} --score {sight.score}"
    if content is not None:
        text += f" --by {','.join(content.factors)}"
    return sight.command(text)


VIEW = View("Heatmap", load, table, about, command, "No model in sight has this score yet.")
