"""The columns of the table of runs, and its preview in words. To add a column: an entry in COLUMNS (and the value in
`storage.listing`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from textual.content import Content

from app.report.variants import level, options, seed_text, short, told
from app.tui.shell.themes import STATE_COLOURS
from app.tui.widgets.grid import Cell, Column
from core.names import FACTORS, short_id
from storage.rows import ListedTrial

Part = str | tuple[str, str]


@dataclass(frozen=True)
class RunLine:
    """A row of the table: a run, and by how much its scores are above the baseline's (None: unknown), if there is one."""

    trial: ListedTrial
    delta: Mapping[str, float | None] | None = None


@dataclass(frozen=True)
class RunColumn:
    """What one column shows, how wide, and whether the baseline is subtracted from it."""

    key: str
    title: str
    width: int
    help: str
    cell: Callable[[ListedTrial], Cell]
    numeric: bool = False
    delta: bool = False
    sortable: bool = True

    def grid_column(self) -> Column[RunLine]:
        return Column(self.key, self.title, self.width, lambda line: self.cell(line.trial), self.numeric)


@dataclass(frozen=True)
class Delta:
    """The difference of a column to the baseline's value, in the column's own unit."""

    of: RunColumn

    def grid_column(self) -> Column[RunLine]:
        return Column(f"Δ{self.of.key}", "Δ", 5, self._cell, right=True)

    def _cell(self, line: RunLine) -> Cell:
        difference = (line.delta or {}).get(self.of.key)
        if difference is None:
            return "", "dim"
        scale = 1.0 if self.of.key == "innate" else 100.0
        text = f"{scale * difference:+.1f}"
        return text, "dim" if difference == 0 else "done" if difference > 0 else "failed"


VALUES: Mapping[str, Callable[[ListedTrial], float | None]] = {
    "clean": lambda trial: trial.clean_accuracy,
    "worst": lambda trial: trial.worst_case,
    "kept": lambda trial: trial.retention,
    "area": lambda trial: trial.curve_area,
    "innate": lambda trial: trial.innate,
}
"""Score columns → their value in a run."""


def _text(value: Callable[[ListedTrial], object]) -> Callable[[ListedTrial], Cell]:
    def cell(trial: ListedTrial) -> Cell:
        found = value(trial)
        return "" if found is None else str(found), ""

    return cell


def _score(key: str, scale: float = 100.0) -> Callable[[ListedTrial], Cell]:
    def cell(trial: ListedTrial) -> Cell:
        value = VALUES[key](trial)
        return "" if value is None else f"{scale * value:.1f}", ""

    return cell


def _trust(trial: ListedTrial) -> Cell:
    return (trial.trust, trial.trust) if trial.trust else ("", "")


def _choice(factor: str, *quiet: str) -> Callable[[ListedTrial], Cell]:
    """A factor by name with its learning rate, if it has one."""

    def cell(trial: ListedTrial) -> Cell:
        name, given = level(trial, factor), options(trial, factor)
        if given.get("lr") is None:
            return name or "unknown", "dim" if name in quiet else ""
        return f"{name or 'unknown'} {short(given['lr'])}", "dim" if name in quiet else ""

    return cell


def _seconds(trial: ListedTrial) -> Cell:
    return ("" if trial.train_seconds is None else f"{trial.train_seconds:.1f}"), ""


COLUMNS: dict[str, RunColumn] = {
    column.key: column
    for column in (
        RunColumn("id", "run", 10, "the beginning of its id", lambda trial: (short_id(trial.trial_id), "dim")),
        RunColumn("study", "study", 11, "the study it belongs to", _text(lambda trial: trial.study)),
        RunColumn("dataset", "data", 10, "the data set", _text(lambda trial: trial.dataset)),
        RunColumn("architecture", "architecture", 13, "the architecture", _text(lambda trial: trial.architecture)),
        RunColumn("optimizer", "optimizer", 14, "the optimizer and its learning rate", _choice("optimizer")),
        RunColumn("activation", "activation", 11, "the activation", _text(lambda trial: trial.activation)),
        RunColumn("defense", "defense", 8, "the defense", _choice("defense", "none")),
        RunColumn("seed", "seed", 5, "the seed", _text(lambda trial: trial.seed), numeric=True),
        RunColumn(
            "state", "state", 9, "queued, running, done, failed or cancelled",
            lambda trial: (trial.state, trial.state),
        ),
        RunColumn("clean", "clean", 6, "clean accuracy, %", _score("clean"), numeric=True, delta=True),
        RunColumn("worst", "worst", 6, "survives every attack at the study's ε, %", _score("worst"), numeric=True, delta=True),
        RunColumn("kept", "kept", 6, "worst / clean, %", _score("kept"), numeric=True, delta=True),
        RunColumn("area", "area", 6, "chance-corrected area under the curve, %", _score("area"), numeric=True, delta=True),
        RunColumn(
            "innate", "innate", 7, "the headline score, 0 to 100",
            _score("innate", 1.0), numeric=True, delta=True,
        ),
        RunColumn("trust", "trust", 8, "ok, suspect or invalid", _trust),
        RunColumn("attempts", "tries", 5, "how often it was started", _text(lambda trial: trial.attempts), numeric=True),
        RunColumn("seconds", "seconds", 8, "training time", _seconds, numeric=True),
        RunColumn("priority", "prio", 5, "priority in the queue", _text(lambda trial: trial.priority), numeric=True),
        RunColumn("reason", "reason", 30, "why it failed", _text(lambda trial: trial.reason)),
    )
}  # fmt: skip


def with_deltas(trials: Sequence[ListedTrial], baseline: ListedTrial | None) -> list[RunLine]:
    """The rows of the table, with their differences to the baseline if there is one."""
    if baseline is None:
        return [RunLine(trial) for trial in trials]
    return [
        RunLine(trial, {key: _difference(value(trial), value(baseline)) for key, value in VALUES.items()})
        for trial in trials
    ]


def _difference(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def preview_text(trial: ListedTrial, *, wide: bool) -> Content:
    """A run in a few lines: what it is, its scores, whether they can be trusted and why not."""
    factors = [
        _named(trial, factor) for factor in FACTORS if factor != "defense" or trial.defense not in (None, "none")
    ]
    parts: list[Part] = [
        (short_id(trial.trial_id), "bold $primary"), f"  {trial.study}  seed {seed_text(trial)}\n",
        ("\n" if wide else " · ").join(factors), "\n",
    ]  # fmt: skip
    if wide:
        parts.append("\n")
    parts += [("state ", "$foreground 65%"), (trial.state, STATE_COLOURS[trial.state])]
    if trial.reason:
        parts.append(f": {trial.reason}")
    parts.append("\n")
    scores = [(key, COLUMNS[key].cell(trial)[0]) for key in VALUES]
    shown = [f"{key} {value}" for key, value in scores if value]
    if wide:
        parts += [
            part for key, value in scores if value for part in ((f"{key:<8}", "$foreground 65%"), f"{value:>6}\n")
        ]
    elif shown:
        parts += ["  ".join(shown[:3]), "\n", "  ".join(shown[3:]), "\n"]
    if trial.trust:
        parts += [("trust ", "$foreground 65%"), (trial.trust, STATE_COLOURS[trial.trust]), "\n"]
        parts += [f"- {reason}\n" for reason in trial.trust_reasons or ()]
    return Content.assemble(*parts)


def _named(trial: ListedTrial, factor: str) -> str:
    """A factor's name and its options, the defaults too: nothing about a run is left to guess."""
    given = options(trial, factor)
    return told(level(trial, factor), given, ["lr"] if factor == "optimizer" else list(given))
