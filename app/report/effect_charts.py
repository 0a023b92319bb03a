"""Effects of levels and interactions of two factors as text: `effects` says what they show, `signed` draws."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from app.report.aggregate import Difference
from app.report.charts import Canvas
from app.report.effects import Effect, Effects, Interactions, effects, interactions
from app.report.scope import Scope
from app.report.signed import Residue, residues, whiskers
from app.report.study_charts import SIGNS, verdict_signs, with_notes
from app.report.text import wrapped
from app.report.whiskers import Whisker
from core.verdict.scoring import SCORES

_FAINT = 5.0
"""Points up to which the largest residual is not drawn in the darkest shade: small ones stay pale."""
_NARROW = 60
"""Columns below which verdicts are signs."""
_MOST_CELLS = 6
"""That are named where results are missing."""


def level_effects(scope: Scope, canvas: Canvas, score: str, factor: str | None) -> str:
    """What each level does, against the mean of the others."""
    found = effects(scope, score, factor)
    if found is None:
        return scope.nothing()
    if not found.factors:
        what = f"{factor} is always {found.single}" if found.single is not None else "no factor varies"
        return f"{scope.study}: {what}, so there is nothing to hold against each other"
    scale = 100.0 / SCORES[score].full
    only = found.factors[0][0] if len(found.factors) == 1 else None
    narrow = canvas.columns < _NARROW
    groups = [
        ("" if only else name, [_whisker(one, scale, narrow=narrow) for one in levels])
        for name, levels in found.factors
    ]
    title = f"{scope.study}: {score} by {only or 'level'}, each against the mean of the others, in points"
    text = whiskers("\n".join(textwrap.wrap(title, canvas.columns)), groups, canvas.columns)
    return with_notes(
        scope, canvas, "\n".join([text, *wrapped(_about_effects(scope, found, narrow=narrow), canvas.columns)])
    )


def _whisker(one: Effect, scale: float, *, narrow: bool) -> Whisker:
    trust = SIGNS[one.trust] if narrow or one.trust == "ok" else one.trust
    apart = one.difference
    if apart is None:
        return Whisker(one.level, None, None, None, f"no pairs {trust}".rstrip())
    return Whisker(
        one.level,
        scale * apart.value,
        scale * apart.low,
        scale * apart.high,
        f"{apart.won}/{apart.pairs} {trust}".rstrip(),
    )


def _about_effects(scope: Scope, found: Effects, *, narrow: bool) -> list[str]:
    levels = [one for _, several in found.factors for one in several]
    text = [
        "├──┤: 95 %, each by itself, paired by seed, image and every other choice; behind it in how many pairs it is above 0"
    ]
    text += _limits(scope, [one.difference for one in levels], bound=found.bound, imported=found.imported)
    missing = max(one.missing for one in levels)
    if missing:
        lack = "1 pair lacks a level and is" if missing == 1 else f"{missing} pairs lack a level and are"
        text.append(f"{lack} left out; innate trials --study {scope.study}")
    return [*text, *(verdict_signs(one.trust for one in levels) if narrow else [])]


def factor_interactions(scope: Scope, canvas: Canvas, score: str, factors: tuple[str, str] | None) -> str:
    """Whether the difference between levels of one factor depends on the other."""
    found = interactions(scope, score, factors)
    if found is None:
        return scope.nothing()
    if isinstance(found, str):
        return f"{scope.study}: {found}"
    table, scale = found.found, 100.0 / SCORES[score].full
    cells = {
        cell: Residue(scale * apart.value, apart.apart, SIGNS[found.trust[cell]])
        for cell, apart in found.differences.items()
        if apart is not None
    }
    first, second = table.factors
    title = f"{scope.study}: {score}, {first} × {second}: what a cell has beyond its row and its column, in points"
    about = wrapped(_about_interactions(scope, found), canvas.columns)
    if not cells:
        return "\n".join([*textwrap.wrap(title, canvas.columns), *about])
    full = max(_FAINT, *(abs(cell.value) for cell in cells.values()))
    drawn = residues(
        "\n".join(textwrap.wrap(title, canvas.columns)), table.rows, table.columns, cells, canvas.columns, full
    )
    return with_notes(scope, canvas, "\n".join([drawn, *about]))


def _about_interactions(scope: Scope, found: Interactions) -> list[str]:
    table = found.found
    apart = [one for one in found.differences.values() if one is not None]
    text = []
    if apart:
        marked = sum(one.apart for one in apart)
        said = "* its 95 % interval leaves out 0" if marked else "No cell's 95 % interval leaves out 0"
        text.append(
            f"{said}; {0.05 * len(apart):.2g} of {len(apart)} would by chance. Averaged over {table.tables} complete "
            f"table{'' if table.tables == 1 else 's'} (seeds of the other choices), paired by seed and image"
        )
        text += _limits(scope, apart, bound=found.bound, imported=found.imported)
    elif table.cells:
        text.append(
            "No seed of the other choices has all cells, so there is nothing to pair; what is missing may still be trained"
        )
    else:
        text.append("Without the levels that lack results there are not two of each left")
    if table.left_out:
        lacking = ", ".join(f"{row} × {column}" for row, column in table.empty[:_MOST_CELLS])
        more = len(table.empty) - _MOST_CELLS
        gone = ", ".join(name for _, name in table.left_out)
        text.append(f"Without results: {lacking}{f' and {more} more' if more > 0 else ''}; so left out: {gone}")
    incomplete = max((one.missing for one in table.cells.values()), default=0)
    if apart and incomplete:
        lack = "1 table lacks cells and is" if incomplete == 1 else f"{incomplete} tables lack cells and are"
        text.append(f"{lack} left out; innate trials --study {scope.study}")
    return [*text, *verdict_signs(found.trust.values())]


def _limits(scope: Scope, apart: Sequence[Difference | None], *, bound: bool, imported: int) -> list[str]:
    """What differences do not say."""
    text = []
    if any(one is not None and one.over_images for one in apart):
        text.append(
            "One seed: over images only, which says nothing of other seeds; more: innate run FILE --set seeds=5"
        )
    if bound:
        text.append(f"Upper bounds: not all is audited; innate attack --study {scope.study} --audit")
    if imported:
        text.append(f"{imported} imported model{'' if imported == 1 else 's'} left out: no seed to pair by")
    return text
