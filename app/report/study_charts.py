"""The charts of one study as text: which labels, which axes. `study_numbers` says what they show, `charts` draws."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from app.report import charts, transfer_matrix
from app.report.cells import heatmap
from app.report.charts import Canvas
from app.report.grid import integrated
from app.report.leaders import ties, ties_line
from app.report.missing import missing_notes
from app.report.scope import Scope
from app.report.study_numbers import (
    Point,
    Robustness,
    heat_table,
    mean_curve,
    points,
    ranking,
    robustness,
    scale_of,
    unit_of,
)
from app.report.text import wrapped
from app.report.ticks import around, rounded
from app.report.whiskers import estimates
from storage import queries, transfers

if TYPE_CHECKING:
    from storage.rows import TrainingRow

__all__ = [
    "SIGNS", "Canvas", "Scope", "drawn_curves", "drawn_tradeoff", "robustness_curves", "score_estimates", "score_heatmap",
    "tradeoff", "training_curves", "transfer_heatmap",
]  # fmt: skip

_LEAST_HEIGHT = 12
"""Lines of one of two charts, however low the terminal is."""
_MARKS = 4
"""That the end of an axis of estimates is rounded to."""
SIGNS = {"ok": "", "suspect": "?", "invalid": "!"}
"""A verdict where there is room for one character."""


def score_estimates(scope: Scope, canvas: Canvas, score: str) -> str:
    """One line per variant, best first; those that cannot be told from the first are marked, and named below."""
    found = ranking(scope, score)
    if not found:
        return scope.nothing()
    radii = integrated(scope.db, scope.study, score)
    over = "" if radii is None else f" over {radii}"
    title = f"{scope.study}: {score}{unit_of(score)}{over}, with 95 % intervals"
    rows = scope.kept(queries.scores(scope.db, scope.study, score))
    told = ties(scope.db, scope.study, score, rows, {one.variant_id: one.estimate for one in found}, most=None)
    tied = frozenset(told.tied) if told is not None else frozenset()
    lines = [
        replace(one.whisker, note=f"= {one.note}".rstrip()) if one.variant_id in tied else one.whisker for one in found
    ]
    full = around([0.0, *(end for one in lines for end in (one.value, one.high) if end is not None)], _MARKS)[-1]
    text = estimates(title, lines, full, canvas.columns)
    if told is not None:
        line = ties_line(told, {one.variant_id: one.label for one in found}, score)
        text = "\n".join(
            [
                text,
                *wrapped([f"= {line}" if tied else line], canvas.columns, 2),
            ]
        )
    return with_notes(scope, canvas, text)


def with_notes(scope: Scope, canvas: Canvas, text: str) -> str:
    """The chart, and below it what its numbers lack, if anything."""
    return "\n".join([text, *wrapped(missing_notes(scope.db, scope.study), canvas.columns)])


def robustness_curves(scope: Scope, canvas: Canvas, attack: str | None, by: Sequence[str] = ()) -> str:
    """The lines of `robustness`, drawn."""
    found = robustness(scope, attack, by)
    return with_notes(scope, canvas, drawn_curves(found, canvas)) if found.lines else scope.nothing()


def drawn_curves(found: Robustness, canvas: Canvas, *, legend: bool = True, band: charts.Band | None = None) -> str:
    """Touches no database: the screens hold the lines already, and say elsewhere what they are (`legend` False)."""
    return charts.curves(
        found.title if legend else "",
        [charts.Curve(_judged(line.curve.label, line.group.trust), line.curve.x, line.curve.y) for line in found.lines],
        x_label=found.x_label,
        y_label="%",
        y_limits=(0.0, 100.0),
        x_ticks=sorted({eps for line in found.lines for eps in line.curve.x}),
        canvas=canvas,
        legend=legend,
        band=band,
    )


def score_heatmap(scope: Scope, canvas: Canvas, score: str, factors: tuple[str, str] | None) -> str:
    """The table of `heat_table`, drawn."""
    found = heat_table(scope, score, factors)
    if found is None:
        return scope.nothing()
    signs = {key: SIGNS[trust] for key, trust in found.trust.items()}
    text = heatmap(found.title, found.rows, found.columns, found.values, canvas.columns, full=found.full, signs=signs)
    return with_notes(scope, canvas, "\n".join([text, *verdict_signs(found.trust.values())]))


def verdict_signs(trust: Iterable[str]) -> list[str]:
    """The signs that stand in a table, explained."""
    there = set(trust)
    words = [f"{SIGNS[one]} {one}" for one in SIGNS if SIGNS[one] and one in there]
    return ["   ".join(words)] if words else []


def tradeoff(scope: Scope, canvas: Canvas, score: str, by: Sequence[str] = ()) -> str:
    """The points of `points`, drawn: one letter per group, a line through the Pareto front, which is named below."""
    found = points(scope, score, by)
    if not found:
        return scope.nothing()
    best = ", ".join(point.group.label for point in found if point.front)
    text = drawn_tradeoff(scope.study, score, found, canvas)
    named = textwrap.wrap(f"* Pareto front, no other is better in both: {best}", canvas.columns, subsequent_indent="  ")
    return with_notes(scope, canvas, "\n".join([text, *named]))


def drawn_tradeoff(study: str, score: str, found: Sequence[Point], canvas: Canvas, *, legend: bool = True) -> str:
    """Touches no database: the screens hold the points already, and say elsewhere what they are (`legend` False)."""
    front = [index for index, point in enumerate(found) if point.front]
    return charts.scatter(
        f"{study}: clean accuracy against {score}" if legend else "",
        [charts.Curve(_judged(point.group.label, point.group.trust), [point.clean], [point.robust]) for point in found],
        x_label="clean accuracy, %",
        y_label=f"{score}{', %' if scale_of(score) == 100.0 else ''}",
        canvas=canvas,
        front=sorted(front, key=lambda index: found[index].clean),
        legend=legend,
    )


def training_curves(scope: Scope, canvas: Canvas) -> str:
    """Training loss against epoch, means over seeds; below it, what the probe saw of the variants with a defense."""
    everything = queries.training(scope.db, scope.study)
    rows, names = scope.kept(everything), scope.names(everything)
    if not rows:
        return scope.nothing()
    probed = {(row.epoch, row.trial_id): 100.0 * row.probe_accuracy for row in rows if row.probe_accuracy is not None}
    part = replace(canvas, lines=max(_LEAST_HEIGHT, canvas.lines // 2)) if probed else canvas
    lost = {(row.epoch, row.trial_id): row.loss for row in rows}
    loss = _by_epoch(f"{scope.study}: training loss", rows, names, lost, "loss", part)
    if not probed:
        return loss
    robust = f"{scope.study}: accuracy on held-out images under PGD at the defense's own ε"
    return f"{loss}\n{_by_epoch(robust, rows, names, probed, '%', part)}"


def _by_epoch(
    title: str,
    rows: Sequence[TrainingRow],
    names: Mapping[str, str],
    values: Mapping[tuple[int, str], float],
    unit: str,
    canvas: Canvas,
) -> str:
    """`values` by (epoch, trial), as means over the trials of each variant; those without any are left out."""
    lines: dict[str, dict[tuple[float, str], float]] = {}
    for row in rows:
        key = row.epoch, row.trial_id
        if key in values:
            lines.setdefault(row.variant_id, {})[key] = values[key]
    return charts.curves(
        title,
        [mean_curve(names[variant], points) for variant, points in lines.items()],
        x_label="epoch",
        y_label=unit,
        y_limits=(0.0, 100.0) if unit == "%" else None,
        x_ticks=rounded(sorted({epoch for epoch, _ in values})),
        canvas=canvas,
    )


def transfer_heatmap(scope: Scope, canvas: Canvas, attack: str | None) -> str:
    """Whose adversarial images fool whom, of the attack that `innate transfer` tried last (or of that name)."""
    last = transfers.made_last(scope.db, scope.study, attack)
    if last is None:
        what = f" with {attack}" if attack else ""
        return f"{scope.study}: no transfer tried{what} yet; innate transfer --study {scope.study}"
    trials = scope.kept(queries.trials(scope.db, scope.study))
    rows = transfers.rows(scope.db, scope.study, *last, [trial.trial_id for trial in trials])
    tried = {row.source_id for row in rows} | {row.target_id for row in rows}
    matrix = transfer_matrix.of_trials([trial for trial in trials if trial.trial_id in tried], rows)
    if not rows:
        return scope.nothing()
    columns = [str(number) for number, _ in enumerate(matrix.names, 1)]
    names = [f"{number} {name}" for number, name in zip(columns, matrix.names, strict=True)]
    signs = [SIGNS[trust] for trust in matrix.trust]
    text = heatmap(
        "\n".join(textwrap.wrap(transfer_matrix.title(scope.study, rows), canvas.columns)),
        [f"{name}{sign}" for name, sign in zip(names, signs, strict=True)],
        columns,
        {
            (f"{names[source]}{signs[source]}", columns[target]): value
            for (source, target), value in matrix.values.items()
        },
        canvas.columns,
        full=100.0,
    )
    return "\n".join([text, *textwrap.wrap(transfer_matrix.reading(matrix), canvas.columns, subsequent_indent="    ")])


def _judged(label: str, trust: str) -> str:
    return label if trust == "ok" else f"{label} ({trust})"
