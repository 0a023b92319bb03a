"""The charts of one trial: accuracy against ε under each attack, and its training. `app.report.charts` draws."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from app.report import charts
from app.report.charts import Canvas
from app.report.ticks import rounded
from core.names import NORM_SIGNS
from storage import queries

if TYPE_CHECKING:
    from sqlite_utils import Database

_LITTLE_ROOM = 12
"""Rows under which a legend of several lines would leave nothing of the figure."""


def attack_curves(db: Database, study: str, trial_id: str, canvas: Canvas) -> str:
    """One line per attack of the study, from the clean accuracy at ε = 0; rungs of an escalation, with a star, have one ε.

    Where there is little room, the attacks that leave least standing, as many as one line of legend names.
    """
    points: dict[tuple[str, str, str], list[tuple[float, float]]] = {}
    for row in queries.results(db, study, trial_id):
        if row.eps is not None:
            name = row.attack + ("*" if row.is_rung else "")
            line = points.setdefault((name, row.norm, row.attack_id), [(0.0, 100.0 * row.clean_accuracy)])
            line.append((row.eps, 100.0 * row.robust_accuracy))
    if not points:
        return "not attacked yet"
    lines = [
        charts.Curve(f"{attack} {NORM_SIGNS[norm]}", [eps for eps, _ in line], [share for _, share in line])
        for (attack, norm, _), line in points.items()
    ]
    if canvas.lines < _LITTLE_ROOM:
        lines = _strongest(lines, canvas.columns)
    return charts.curves(
        "",
        lines,
        x_label="ε",
        y_label="%",
        y_limits=(0.0, 100.0),
        x_ticks=sorted({eps for curve in lines for eps in curve.x}),
        canvas=_above_legend(canvas, [curve.label for curve in lines]),
    )


def training_curves(db: Database, trial_id: str, canvas: Canvas) -> str:
    """Loss, and accuracies as fractions, against the epoch; "probe" is that under PGD at the defense's own radius."""
    rows = queries.trial_epochs(db, trial_id)
    if not rows:
        return "no epoch is finished yet"
    epochs = [row.epoch for row in rows]
    lines = [
        charts.Curve("loss", epochs, [row.loss for row in rows]),
        charts.Curve("accuracy", epochs, [row.accuracy for row in rows]),
    ]
    measured = {
        "validation": [(row.epoch, row.validation_accuracy) for row in rows if row.validation_accuracy is not None],
        "probe": [(row.epoch, row.probe_accuracy) for row in rows if row.probe_accuracy is not None],
    }
    for label, known in measured.items():
        if known:
            lines.append(charts.Curve(label, [epoch for epoch, _ in known], [share for _, share in known]))
    return charts.curves(
        "",
        lines,
        x_label="epoch",
        y_label="",
        y_limits=None,
        x_ticks=rounded(epochs),
        canvas=_above_legend(canvas, [curve.label for curve in lines]),
    )


def _strongest(lines: list[charts.Curve], columns: int) -> list[charts.Curve]:
    """The curves that end lowest, as many as fit in one line of legend, one at the least."""
    ranked = sorted(lines, key=lambda curve: curve.y[-1])
    while len(ranked) > 1 and sum(len(curve.label) + 5 for curve in ranked) >= columns:
        ranked.pop()
    return ranked


def _above_legend(canvas: Canvas, labels: list[str]) -> Canvas:
    """What is left for the figure when its legend stands below it."""
    legend = 1 + sum(len(label) + 5 for label in labels) // max(1, canvas.columns)
    return replace(canvas, lines=max(5, canvas.lines - legend))
