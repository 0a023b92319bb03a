"""The columns of the list of runs, and its preview in words. To add a column: an entry in COLUMNS (and the value in
`storage.listing`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from textual.content import Content

from app.report.variants import level, options, seed_text, told
from app.tui.lab.rows import Names
from app.tui.shell.themes import STATE_COLOURS
from app.tui.widgets.grid import Cell, Column
from core.names import FACTORS, short_id
from storage.rows import ListedTrial

Part = str | tuple[str, str]
_DELTA = 5


@dataclass(frozen=True)
class RunLine:
    """A row of the table: a run, and by how much its scores are above the baseline's (None: unknown), if there is one."""

    trial: ListedTrial
    delta: Mapping[str, float | None] | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    """Factor → what the run's choice is called among those of its study."""


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

    def of(self, line: RunLine) -> Cell:
        """A factor is called what tells it from its namesakes."""
        if self.key in FACTORS:
            name = line.names.get(self.key) or level(line.trial, self.key) or "unknown"
            return name, "dim" if name == "none" else ""
        return self.cell(line.trial)

    def grid_column(self) -> Column[RunLine]:
        return Column(self.key, self.title, self.width, self.of, self.numeric)


@dataclass(frozen=True)
class Delta:
    """The difference of a column to the baseline's value, in the column's own unit."""

    of: RunColumn

    def grid_column(self) -> Column[RunLine]:
        return Column(f"Δ{self.of.key}", "Δ", _DELTA, self._cell, right=True)

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


def _radius(trial: ListedTrial) -> Cell:
    return ("" if trial.threat_eps is None else f"{trial.threat_eps:.4g}"), "dim"


def _seconds(trial: ListedTrial) -> Cell:
    return ("" if trial.train_seconds is None else f"{trial.train_seconds:.1f}"), ""


COLUMNS: dict[str, RunColumn] = {
    column.key: column
    for column in (
        RunColumn("id", "run", 10, "the beginning of its id", lambda trial: (short_id(trial.trial_id), "dim")),
        RunColumn("study", "study", 11, "the study it belongs to", _text(lambda trial: trial.study)),
        RunColumn("dataset", "data", 10, "the data set", _text(lambda trial: trial.dataset)),
        RunColumn("architecture", "architecture", 24, "the architecture", _text(lambda trial: trial.architecture)),
        RunColumn("optimizer", "optimizer", 24, "the optimizer", _text(lambda trial: trial.optimizer)),
        RunColumn("activation", "activation", 16, "the activation", _text(lambda trial: trial.activation)),
        RunColumn("defense", "defense", 24, "the defense", _text(lambda trial: trial.defense)),
        RunColumn("seed", "seed", 5, "the seed", _text(lambda trial: trial.seed), numeric=True),
        RunColumn(
            "state", "state", 9, "queued, running, done, failed or cancelled",
            lambda trial: (trial.state, trial.state),
        ),
        RunColumn("eps", "ε", 6, "the study's ε, which worst and kept are at", _radius, numeric=True),
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


_MORE = ("kept", "area", "seconds", *FACTORS, "id")
"""Where there is still room, in this order."""


def fitting(
    lines: Sequence[RunLine], varying: Collection[str], width: int, *, order: str | None = None, deltas: bool
) -> list[str]:
    """The columns that tell these runs apart and what became of them, the most telling first, as many as have room whole; in the
    order of COLUMNS. `varying` are factors that their studies vary, `order` is what they are sorted by; `deltas`: scores have a
    difference beside them."""
    studies = len({line.trial.study for line in lines}) > 1
    apart = [
        factor for factor in FACTORS if factor in varying or len({COLUMNS[factor].of(line)[0] for line in lines}) > 1
    ]
    failed = any(line.trial.state == "failed" for line in lines)
    wanted = [
        *([order] if order is not None and order in COLUMNS else []), *(apart or FACTORS[1:3]), "state", "worst",
        *(["study", "eps"] if studies else []), "trust", "seed", "innate", "clean", *(["reason"] if failed else []),
        *([] if studies else ["study"]), *_MORE,
    ]  # fmt: skip
    kept: list[str] = []
    for key in dict.fromkeys(wanted):
        column = COLUMNS[key]
        wide = max([cell_len(column.title) + 1, *(cell_len(column.of(line)[0]) for line in lines)])
        needed = min(column.width, wide) + 1 + (_DELTA + 1 if deltas and column.delta else 0)
        if needed <= width + 1:  # the last one needs no gap after it
            kept.append(key)
            width -= needed
    return [key for key in COLUMNS if key in kept]


def lines_of(trials: Sequence[ListedTrial], baseline: ListedTrial | None, names: Mapping[str, Names]) -> list[RunLine]:
    """The rows of the table, with their differences to the baseline if there is one; `names` by study."""
    return [
        RunLine(
            trial,
            None
            if baseline is None
            else {key: _difference(value(trial), value(baseline)) for key, value in VALUES.items()},
            {factor: _called(trial, factor, names[trial.study]) for factor in FACTORS} if trial.study in names else {},
        )
        for trial in trials
    ]


def _called(trial: ListedTrial, factor: str, names: Names) -> str:
    return names.called(factor, level(trial, factor), options(trial, factor))


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
