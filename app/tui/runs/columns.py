"""The columns of the table of runs, and its preview in words. To add a column: an entry in COLUMNS (and the value in
`storage.listing`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from textual.content import Content

from app.report.variants import seed_text, short
from app.tui.shell.themes import STATE_COLOURS
from app.tui.widgets.grid import Cell, Column, Row


@dataclass(frozen=True)
class RunColumn:
    """What one column shows, how wide, and whether the baseline is subtracted from it."""

    key: str
    title: str
    width: int
    help: str
    cell: Callable[[Row], Cell]
    numeric: bool = False
    delta: bool = False
    sortable: bool = True

    def grid_column(self) -> Column:
        return Column(self.key, self.title, self.width, self.cell, self.numeric)


@dataclass(frozen=True)
class Delta:
    """The difference of a column to the baseline's value, in the column's own unit."""

    of: RunColumn

    def grid_column(self) -> Column:
        return Column(f"Δ{self.of.key}", "Δ", 5, self._cell, right=True)

    def _cell(self, row: Row) -> Cell:
        difference = (row.get("delta") or {}).get(self.of.key)
        if difference is None:
            return "", "dim"
        scale = 1.0 if self.of.key == "innate" else 100.0
        text = f"{scale * difference:+.1f}"
        return text, "dim" if difference == 0 else "done" if difference > 0 else "failed"


def _text(key: str) -> Callable[[Row], Cell]:
    return lambda row: (str(row[key]) if row[key] is not None else "", "")


VALUES = {
    "clean": "clean_accuracy",
    "worst": "worst_case",
    "kept": "retention",
    "area": "curve_area",
    "innate": "innate",
}
"""Score columns → where their value is in a row."""


def _share(key: str) -> Callable[[Row], Cell]:
    name = VALUES[key]
    return lambda row: ("" if row[name] is None else f"{100 * row[name]:.1f}", "")


def _state(row: Row) -> Cell:
    return row["state"], row["state"]


def _trust(row: Row) -> Cell:
    return (row["trust"], row["trust"]) if row["trust"] else ("", "")


def _choice(factor: str, *quiet: str) -> Callable[[Row], Cell]:
    """A factor by name, with the options that were not the usual ones known from its row."""

    def cell(row: Row) -> Cell:
        name = row[factor] or "unknown"
        rate = (row.get(f"{factor}_options") or {}).get("lr")
        return (f"{name} {short(rate)}" if rate is not None else name), "dim" if name in quiet else ""

    return cell


def _seconds(row: Row) -> Cell:
    return ("" if row["train_seconds"] is None else f"{row['train_seconds']:.1f}"), ""


COLUMNS: dict[str, RunColumn] = {
    column.key: column
    for column in (
        RunColumn("id", "run", 10, "the beginning of its id", lambda row: (row["trial_id"][:10], "dim")),
        RunColumn("study", "study", 11, "the study it belongs to", _text("study")),
        RunColumn("dataset", "data", 10, "the data set", _text("dataset")),
        RunColumn("architecture", "architecture", 13, "the architecture", _text("architecture")),
        RunColumn("optimizer", "optimizer", 14, "the optimizer and its learning rate", _choice("optimizer")),
        RunColumn("activation", "activation", 11, "the activation", _text("activation")),
        RunColumn("defense", "defense", 8, "the defense", _choice("defense", "none")),
        RunColumn("seed", "seed", 5, "the seed", _text("seed"), numeric=True),
        RunColumn("state", "state", 9, "queued, running, done, failed or cancelled", _state),
        RunColumn("clean", "clean", 6, "clean accuracy, %", _share("clean"), numeric=True, delta=True),
        RunColumn("worst", "worst", 6, "survives every attack at the study's ε, %", _share("worst"), numeric=True, delta=True),
        RunColumn("kept", "kept", 6, "worst / clean, %", _share("kept"), numeric=True, delta=True),
        RunColumn("area", "area", 6, "chance-corrected area under the curve, %", _share("area"), numeric=True, delta=True),
        RunColumn(
            "innate", "innate", 7, "the headline score, 0 to 100",
            lambda row: ("" if row["innate"] is None else f"{row['innate']:.1f}", ""), numeric=True, delta=True,
        ),
        RunColumn("trust", "trust", 8, "ok, suspect or invalid", _trust),
        RunColumn("attempts", "tries", 5, "how often it was started", _text("attempts"), numeric=True),
        RunColumn("seconds", "seconds", 8, "training time", _seconds, numeric=True),
        RunColumn("priority", "prio", 5, "priority in the queue", _text("priority"), numeric=True),
        RunColumn("reason", "reason", 30, "why it failed", _text("reason")),
    )
}  # fmt: skip


def with_deltas(rows: Sequence[Row], baseline: Row | None) -> list[Row]:
    """The rows, each with its differences to the baseline under "delta"."""
    if baseline is None:
        return list(rows)
    return [
        {
            **row,
            "delta": {
                key: row[name] - baseline[name] if row[name] is not None and baseline[name] is not None else None
                for key, name in VALUES.items()
            },
        }
        for row in rows
    ]


def preview_text(row: Row, *, wide: bool) -> Content:
    """A run in a few lines: what it is, its scores, whether they can be trusted and why not."""
    factors = [_named(row, factor) for factor in ("architecture", "optimizer", "activation")]
    if row["defense"] not in (None, "none"):
        factors.append(_named(row, "defense"))
    parts: list[Any] = [
        (f"{row['trial_id'][:10]}", "bold $primary"), f"  {row['study']}  seed {seed_text(row)}\n",
        ("\n" if wide else " · ").join(factors), "\n",
    ]  # fmt: skip
    if wide:
        parts.append("\n")
    parts += [("state ", "$foreground 65%"), (row["state"], STATE_COLOURS[row["state"]])]
    if row["reason"]:
        parts.append(f": {row['reason']}")
    parts.append("\n")
    scores = [(key, COLUMNS[key].cell(row)[0]) for key in ("clean", "worst", "kept", "area", "innate")]
    shown = [f"{key} {value}" for key, value in scores if value]
    if wide:
        parts += [
            part for key, value in scores if value for part in ((f"{key:<8}", "$foreground 65%"), f"{value:>6}\n")
        ]
    elif shown:
        parts += ["  ".join(shown[:3]), "\n", "  ".join(shown[3:]), "\n"]
    if row["trust"]:
        parts += [("trust ", "$foreground 65%"), (row["trust"], STATE_COLOURS[row["trust"]]), "\n"]
        parts += [f"- {reason}\n" for reason in row["trust_reasons"] or ()]
    return Content.assemble(*parts)


def _named(row: Row, factor: str) -> str:
    """A factor's name and its options, the defaults too: nothing about a run is left to guess."""
    options = row[f"{factor}_options"] or {}
    rate = {key: value for key, value in options.items() if key == "lr"} if factor == "optimizer" else options
    return " ".join([row[factor] or "unknown", *(f"{key}={short(value)}" for key, value in rate.items())])
