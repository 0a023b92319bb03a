"""Training of the marked runs, or of those under the cursor, overlaid: loss, accuracies, the probe."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report import charts
from app.report.charts import MARKERS, MOST_CURVES, Canvas
from app.report.text import distinct
from app.report.ticks import rounded
from app.report.variants import labels, trial_labels
from app.tui.lab.views.sight import MEASURES, Knobs, Sight
from app.tui.lab.views.table import Table, View, number, series, value_cell
from app.tui.widgets.grid import Column, Line, named_cell
from core.names import short_id
from storage import queries

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import EpochRow, TrialRow

MOST_LINES = 40
"""Runs or variants at most; of more the first."""
_NAMES = {
    "loss": "training loss", "accuracy": "training accuracy, %", "validation": "accuracy on held-out training images, %",
    "probe": "accuracy on held-out images under PGD at the defense's own ε, %",
}  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """A run, or the mean over some runs of a variant at each epoch that all of them have ended. `values` are the curves of
    MEASURES that are known, accuracies in %."""

    key: str
    label: str
    trial_ids: tuple[str, ...]
    state: str
    epochs: tuple[int, ...]
    values: Mapping[str, tuple[float, ...]]
    seconds: float | None


@dataclass(frozen=True)
class Training:
    """`measure` is what is drawn, of those that are `known` of any."""

    measure: str
    known: tuple[str, ...]
    lines: tuple[Trained, ...]
    of: str
    left_out: int


def load(db: Database, sight: Sight, knobs: Knobs) -> Training | None:
    rows = queries.trials(db, sight.study)
    wanted, of = _chosen(sight, rows)
    if not wanted:
        return None
    names, several = trial_labels(rows), labels(rows)
    groups = [(row.trial_id, names[row.trial_id], [row]) for row in wanted]
    if len(wanted) > MOST_CURVES:
        members: dict[str, list[TrialRow]] = {}
        for row in wanted:
            members.setdefault(row.variant_id, []).append(row)
        groups = [(variant, several[variant], own) for variant, own in members.items()]
    lines = [_trained(db, *group) for group in groups[:MOST_LINES]]
    known = tuple(measure for measure in MEASURES if any(measure in line.values for line in lines))
    if not known:
        return None
    measure = knobs.measure if knobs.measure in known else known[0]
    return Training(measure, known, tuple(lines), of, max(0, len(groups) - MOST_LINES))


def _chosen(sight: Sight, rows: Sequence[TrialRow]) -> tuple[list[TrialRow], str]:
    for trials, of in ((sight.marked, "marked"), (sight.asked.current, "under the cursor")):
        found = [row for row in rows if row.trial_id in set(trials)]
        if found:
            return found, of
    return sight.scope.kept(rows), "in sight"


def _trained(db: Database, key: str, label: str, rows: Sequence[TrialRow]) -> Trained:
    runs = [{row.epoch: row for row in queries.trial_epochs(db, one.trial_id)} for one in rows]
    begun = [run for run in runs if run]
    epochs = sorted(set.intersection(*(set(run) for run in begun))) if begun else []
    values = {}
    for measure in MEASURES:
        columns = [[_value(run[epoch], measure) for run in begun] for epoch in epochs]
        if columns and all(value is not None for column in columns for value in column):
            values[measure] = tuple(sum(value or 0.0 for value in column) / len(column) for column in columns)
    states = {row.state for row in rows}
    seconds = [row.train_seconds for row in rows if row.train_seconds is not None]
    return Trained(
        key,
        label,
        tuple(row.trial_id for row in rows),
        states.pop() if len(states) == 1 else "mixed",
        tuple(epochs),
        values,
        sum(seconds) / len(seconds) if seconds else None,
    )


def _value(row: EpochRow, measure: str) -> float | None:
    match measure:
        case "loss":
            return row.loss
        case "accuracy":
            return 100.0 * row.accuracy
        case "validation":
            return None if row.validation_accuracy is None else 100.0 * row.validation_accuracy
    return None if row.probe_accuracy is None else 100.0 * row.probe_accuracy


def table(content: Training, width: int, wide: bool) -> Table:
    numbers = [
        *([Column("training epochs", "epoch", 5, named_cell("epochs"), right=True)] if wide else []),
        *(
            Column(f"training {measure}", measure, max(6, len(measure)), named_cell(measure), right=True)
            for measure in content.known
            if wide or measure == content.measure
        ),
        *([Column("training seconds", "s", 6, named_cell("seconds"), right=True)] if wide else []),
        Column("training state", "state", max(5, *(len(line.state) for line in content.lines)), named_cell("state")),
    ]
    longest = max(8, *(len(line.label) for line in content.lines))
    name = max(12, min(longest, 36, width - 5 - sum(column.width + 1 for column in numbers)))
    shown = distinct([line.label for line in content.lines], name)
    lines = [
        Line(
            line.key,
            {
                "mark": (MARKERS[index] if index < MOST_CURVES else "", series(index, MOST_CURVES)),
                "label": (label, ""),
                "epochs": (str(line.epochs[-1]) if line.epochs else "-", ""),
                "seconds": (number(line.seconds), ""),
                "state": value_cell(line.state),
                **{measure: (_last(line, measure), "") for measure in MEASURES},
            },
            _in_words(line),
            line.trial_ids,
        )
        for index, (line, label) in enumerate(zip(content.lines, shown, strict=True))
    ]
    mark = Column("training mark", "", 1, named_cell("mark"))
    return Table((mark, Column(f"training run {name}", "run", name, named_cell("label")), *numbers), tuple(lines))


def _last(line: Trained, measure: str) -> str:
    found = line.values.get(measure)
    return "-" if not found else f"{found[-1]:.3f}" if measure == "loss" else f"{found[-1]:.1f}"


def _in_words(line: Trained) -> str:
    count = len(line.trial_ids)
    who = f"{line.label} ({short_id(line.trial_ids[0])})" if count == 1 else f"{line.label}, mean of {count} runs"
    known = " · ".join(f"{measure} {_last(line, measure)}" for measure in MEASURES if measure in line.values)
    return (
        f"{who}: {line.state}, {len(line.epochs)} epochs · {known}" if known else f"{who}: {line.state}, no epoch yet"
    )


def about(sight: Sight, content: Training) -> tuple[str, ...]:  # noqa: ARG001 - whose they are stands in the content
    count = len(content.lines)
    parts = [_NAMES[content.measure], f"{count} {content.of}"]
    if count > MOST_CURVES:
        parts.append(f"{MOST_CURVES} drawn")
    if content.left_out:
        parts.append(f"{content.left_out} more left out")
    if len(content.known) > 1:
        parts.append(f"v next of {', '.join(content.known)}")
    return tuple(parts)


def command(sight: Sight, content: Training | None) -> str:
    text = sight.command("chart training", eps=False)
    if content is None or sight.marked:
        return text
    return text + "".join(f" --trial {short_id(line.trial_ids[0])}" for line in content.lines[:MOST_CURVES])


def draw(content: Training, canvas: Canvas, row: Hashable) -> str:  # noqa: ARG001 - every run has its marker
    curves = [
        # One without this curve keeps its place, and with it its marker and colour.
        charts.Curve(
            line.label, line.epochs if line.values.get(content.measure) else (), line.values.get(content.measure, ())
        )
        for line in content.lines[:MOST_CURVES]
    ]
    epochs = sorted({epoch for curve in curves for epoch in curve.x})
    return charts.curves(
        "",
        curves,
        x_label="epoch",
        y_label=content.measure if content.measure == "loss" else "%",
        y_limits=None if content.measure == "loss" else (0.0, 100.0),
        x_ticks=rounded([round(epoch) for epoch in epochs]),
        canvas=canvas,
        legend=False,
    )


VIEW = View("Training", load, table, about, command, "None of these runs has ended an epoch yet.", draw)
