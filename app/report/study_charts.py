"""The charts of one study as text: which labels, which axes. `study_numbers` says what they show, `charts` draws."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from app.report import charts, transfer_matrix
from app.report.study_numbers import (
    Frame,
    Point,
    Robustness,
    heat_table,
    mean_curve,
    points,
    robustness,
    scale_of,
    standings,
    unit_of,
)
from storage import queries, transfers

__all__ = [
    "SIGNS", "Frame", "drawn_curves", "drawn_tradeoff", "robustness_curves", "score_bars", "score_heatmap", "tradeoff",
    "training_curves", "transfer_heatmap",
]  # fmt: skip

_LEAST_HEIGHT = 12
"""Lines of one of two charts, however low the terminal is."""
SIGNS = {"ok": "", "suspect": "?", "invalid": "!"}
"""A verdict where there is room for one character."""


def score_bars(frame: Frame, score: str) -> str:
    """One bar per variant, best first."""
    found = standings(frame, score)
    if not found:
        return frame.nothing()
    title = f"{frame.study}: {score}{unit_of(score)}, with 95 % intervals"
    return charts.bars(title, [one.bar for one in found], 100.0, frame.size[0])


def robustness_curves(frame: Frame, attack: str | None) -> str:
    """The lines of `robustness`, drawn."""
    found = robustness(frame, attack)
    return drawn_curves(found, frame.size, frame.colour) if found.lines else frame.nothing()


def drawn_curves(found: Robustness, size: tuple[int, int], colour: bool, *, legend: bool = True) -> str:
    """Touches no database: the screens hold the lines already, and say elsewhere what they are (`legend` False)."""
    return charts.curves(
        found.title if legend else "",
        [charts.Curve(_judged(line.curve.label, line.trust), line.curve.x, line.curve.y) for line in found.lines],
        x_label=found.x_label,
        y_label="%",
        y_limits=(0.0, 100.0),
        x_ticks=None,
        size=size,
        colour=colour,
        legend=legend,
    )


def score_heatmap(frame: Frame, score: str, factors: tuple[str, str] | None) -> str:
    """The table of `heat_table`, drawn."""
    found = heat_table(frame, score, factors)
    if found is None:
        return frame.nothing()
    signs = {key: SIGNS[trust] for key, trust in found.trust.items()}
    text = charts.heatmap(found.title, found.rows, found.columns, found.values, frame.size[0], full=100.0, signs=signs)
    verdicts = [f"{SIGNS[trust]} {trust}" for trust in SIGNS if SIGNS[trust] and trust in found.trust.values()]
    return "\n".join([text, *(["   ".join(verdicts)] if verdicts else [])])


def tradeoff(frame: Frame, score: str) -> str:
    """The points of `points`, drawn: one letter per variant, a line through the Pareto front, which is named below."""
    found = points(frame, score)
    if not found:
        return frame.nothing()
    best = ", ".join(point.label for point in found if point.front)
    text = drawn_tradeoff(frame.study, score, found, frame.size, frame.colour)
    named = textwrap.wrap(f"* Pareto front, no other is better in both: {best}", frame.size[0], subsequent_indent="  ")
    return "\n".join([text, *named])


def drawn_tradeoff(
    study: str, score: str, found: Sequence[Point], size: tuple[int, int], colour: bool, *, legend: bool = True
) -> str:
    """Touches no database: the screens hold the points already, and say elsewhere what they are (`legend` False)."""
    front = [index for index, point in enumerate(found) if point.front]
    return charts.scatter(
        f"{study}: clean accuracy against {score}" if legend else "",
        [charts.Curve(_judged(point.label, point.trust), [point.clean], [point.robust]) for point in found],
        x_label="clean accuracy, %",
        y_label=f"{score}{', %' if scale_of(score) == 100.0 else ''}",
        size=size,
        colour=colour,
        front=sorted(front, key=lambda index: found[index].clean),
        legend=legend,
    )


def training_curves(frame: Frame) -> str:
    """Training loss against epoch, means over seeds; below it, what the probe saw of the variants with a defense."""
    everything = queries.training(frame.db, frame.study)
    rows, names = frame.kept(everything), frame.names(everything)
    if not rows:
        return frame.nothing()
    probed = [row for row in rows if row["probe_accuracy"] is not None]
    width, height = frame.size
    size = (width, max(_LEAST_HEIGHT, height // 2) if probed else height)
    loss = _by_epoch(frame, "training loss", rows, names, "loss", "loss", size)
    if not probed:
        return loss
    robust = "accuracy on held-out images under PGD at the defense's own ε"
    return f"{loss}\n{_by_epoch(frame, robust, probed, names, 'probe_accuracy', '%', size)}"


def _by_epoch(
    frame: Frame,
    what: str,
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[str, str],
    column: str,
    unit: str,
    size: tuple[int, int],
) -> str:
    scale = 100.0 if unit == "%" else 1.0
    values: dict[str, dict[tuple[float, str], float]] = {row["variant_id"]: {} for row in rows}
    for row in rows:
        values[row["variant_id"]][row["epoch"], row["trial_id"]] = scale * row[column]
    return charts.curves(
        f"{frame.study}: {what}",
        [mean_curve(names[variant], points) for variant, points in values.items()],
        x_label="epoch",
        y_label=unit,
        y_limits=(0.0, 100.0) if unit == "%" else None,
        x_ticks=sorted({row["epoch"] for row in rows}),
        size=size,
        colour=frame.colour,
    )


def transfer_heatmap(frame: Frame, attack: str | None) -> str:
    """Whose adversarial images fool whom, of the attack that `innate transfer` tried last (or of that name)."""
    last = transfers.made_last(frame.db, frame.study, attack)
    if last is None:
        what = f" with {attack}" if attack else ""
        return f"{frame.study}: no transfer tried{what} yet; innate transfer --study {frame.study}"
    trials = frame.kept(queries.trials(frame.db, frame.study))
    rows = transfers.rows(frame.db, frame.study, *last, [trial["trial_id"] for trial in trials])
    tried = {row["source_id"] for row in rows} | {row["target_id"] for row in rows}
    matrix = transfer_matrix.of_trials([trial for trial in trials if trial["trial_id"] in tried], rows)
    if not rows:
        return frame.nothing()
    columns = [str(number) for number, _ in enumerate(matrix.names, 1)]
    names = [f"{number} {name}" for number, name in zip(columns, matrix.names, strict=True)]
    signs = [SIGNS[trust] for trust in matrix.trust]
    text = charts.heatmap(
        "\n".join(textwrap.wrap(transfer_matrix.title(frame.study, rows), frame.size[0])),
        [f"{name}{sign}" for name, sign in zip(names, signs, strict=True)],
        columns,
        {
            (f"{names[source]}{signs[source]}", columns[target]): value
            for (source, target), value in matrix.values.items()
        },
        frame.size[0],
        full=100.0,
    )
    return "\n".join([text, *textwrap.wrap(transfer_matrix.reading(matrix), frame.size[0], subsequent_indent="    ")])


def _judged(label: str, trust: str) -> str:
    return label if trust == "ok" else f"{label} ({trust})"
