"""Learning rates that a study chooses: its cells, their candidates, and what follows once those have been trained.

The candidates are the trials of a companion study, so that they are queued, shared, cancelled and resumed as all others. What is
chosen is a function of the trials that are stored (`core.study.tuning`), so a worker that dies between two steps loses nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.records.attack import AuditSettings
from core.records.choice import Choice
from core.records.data import DatasetInfo
from core.records.study import TUNING_SEED, Cell, Plan, Study
from core.records.trial import TrialSpec
from core.study.tuning import Chosen, Hopeless, More, Step, next_step
from storage.database import transaction
from storage.reading import columns, read
from storage.rows import TuningRow
from storage.specs import store_study, store_trials
from storage.states import settle_in

if TYPE_CHECKING:
    from sqlite_utils import Database

_SUFFIX = "~tuning"
_MOST = 1000
"""Places in the companion study that a cell takes: more than it has candidates."""


def companion(study: str) -> str:
    """The study of the candidates of `study`. No study that a user names is called so."""
    return f"{study}{_SUFFIX}"


def is_companion(study: str) -> bool:
    """Whether a study of that name holds candidates alone."""
    return study.endswith(_SUFFIX)


def study_of(name: str) -> str:
    """The study that a companion belongs to; of any other study itself."""
    return name.removesuffix(_SUFFIX)


@dataclass(frozen=True)
class Judged:
    """Where a cell stands: the values that its candidates try, and what is next."""

    cell: Cell
    wanted: tuple[float, ...]
    step: Step

    @property
    def compared(self) -> list[tuple[int, TrialSpec]]:
        """(place, trial) of what the study compares; none before a value is chosen."""
        return self.cell.comparing(self.step.value) if isinstance(self.step, Chosen) else []

    @property
    def mark(self) -> str:
        """What `study_trial.tuned` says of those."""
        return json.dumps({self.cell.search.option: "tuned"})

    @property
    def reason(self) -> str | None:
        """Why nothing can be chosen."""
        if not isinstance(self.step, Hopeless):
            return None
        return f"tuning: none of {self.step.tried} values of {self.cell.search.option} could be trained with"


def cells_of(db: Database, study: str) -> set[int]:
    """Positions of the cells that a study has."""
    return {int(position) for (position,) in db.execute("SELECT position FROM tuning_cell WHERE study = ?", (study,))}


def judge(db: Database, cell: Cell) -> Judged:
    """Where `cell` stands by the trials that are stored."""
    wanted: dict[float, None] = {}
    tried: dict[float, float | None] = {}
    while isinstance(step := next_step(cell.values, tried), More):
        wanted |= dict.fromkeys(step.values)
        ended = _ended(db, cell, step.values)
        if not ended:
            break
        tried |= ended
    return Judged(cell, tuple(wanted), step)


def _ended(db: Database, cell: Cell, values: Sequence[float]) -> dict[float, float | None]:
    """The validation accuracy after the last epoch of those candidates that were trained, None of those that failed."""
    found: dict[float, float | None] = {}
    for value in values:
        trial = cell.trying(value)
        assert trial.training is not None
        row = db.execute(
            "SELECT t.failure IS NOT NULL, e.validation_accuracy FROM trial t "
            "LEFT JOIN epoch e ON e.trial_id = t.id AND e.epoch = ? "
            "WHERE t.id = ? AND (t.weights IS NOT NULL OR t.failure IS NOT NULL)",
            (trial.training.epochs, trial.id),
        ).fetchone()
        if row is not None:
            failed, accuracy = row
            found[value] = None if failed else accuracy
    return found


def arrange(db: Database, plan: Plan, samples: str, data_root: Path | None) -> list[Judged]:
    """Keep the cells of a study that was just stored, queue the candidates that they lack, and return where each stands. Inside
    the caller's transaction."""
    name, judged = plan.study.name, [judge(db, cell) for cell in plan.cells]
    db.execute("DELETE FROM tuning_cell WHERE study = ?", (name,))
    if not judged:
        db.execute("DELETE FROM study WHERE tuning_of = ?", (name,))
        return []
    _store_companion(db, plan.study, plan.info, judged, samples, data_root)
    for one in judged:
        db.execute(
            "INSERT INTO tuning_cell (study, position, cell) VALUES (?, ?, ?)",
            (name, one.cell.position, json.dumps(one.cell.as_json())),
        )
        _store_candidates(db, name, plan.info.source.name, one)
        _store_step(db, name, one)
    db.execute(
        "DELETE FROM study_trial WHERE study = ? AND trial_id NOT IN (SELECT trial_id FROM tuning_candidate WHERE study = ?)",
        (companion(name), name),
    )
    return judged


def advance(db: Database) -> list[tuple[str, Judged]]:
    """(study, cell) of every cell that went on: whose candidates have all ended, so that its trials are queued now, or more
    candidates are. Only the owner of a home calls this."""
    if not _ready(db):  # asked before the write lock is taken
        return []
    with transaction(db):
        went_on = []
        for study, dataset, content in _ready(db):
            judged = judge(db, Cell.from_json(json.loads(content)))
            _store_candidates(db, study, dataset, judged)
            _store_step(db, study, judged)
            _store_compared(db, study, dataset, judged)
            went_on.append((study, judged))
        return went_on


def _ready(db: Database) -> list[tuple[str, str, str]]:
    """(study, its data set, cell) of the cells that are open though all their candidates have ended."""
    rows = db.execute(
        "SELECT c.study, s.dataset, c.cell FROM tuning_cell c JOIN study s ON s.name = c.study "
        "WHERE c.chosen IS NULL AND c.reason IS NULL AND NOT EXISTS (SELECT 1 FROM tuning_candidate k "
        "JOIN trial t ON t.id = k.trial_id WHERE k.study = c.study AND k.position = c.position "
        "AND t.weights IS NULL AND t.failure IS NULL) ORDER BY c.study, c.position"
    )
    return [(str(study), str(dataset), str(content)) for study, dataset, content in rows.fetchall()]


def _store_candidates(db: Database, study: str, dataset: str, judged: Judged) -> None:
    """Each is queued in the companion study unless it has ended, or runs there."""
    cell = judged.cell
    for place, value in enumerate(sorted(judged.wanted)):
        trial = cell.trying(value)
        store_trials(db, dataset, [trial])
        db.execute(
            "INSERT OR IGNORE INTO tuning_candidate (study, position, value, widened, trial_id) VALUES (?, ?, ?, ?, ?)",
            (study, cell.position, value, value not in cell.values, trial.id),
        )
        db.execute(
            "INSERT INTO study_trial (study, trial_id, position, state) VALUES (?, ?, ?, 'queued') "
            "ON CONFLICT (study, trial_id) DO UPDATE SET position = excluded.position",
            (companion(study), trial.id, cell.position * _MOST + place),
        )
        if not db.execute(
            "SELECT 1 FROM study_trial WHERE study = ? AND trial_id = ? AND state = 'running'",
            (companion(study), trial.id),
        ).fetchone():
            settle_in(db, companion(study), trial.id)


def _store_step(db: Database, study: str, judged: Judged) -> None:
    step = judged.step
    chosen, edge = (step.value, step.edge) if isinstance(step, Chosen) else (None, None)
    db.execute(
        "UPDATE tuning_cell SET chosen = ?, edge = ?, reason = ? WHERE study = ? AND position = ?",
        (chosen, edge, judged.reason, study, judged.cell.position),
    )


def _store_compared(db: Database, study: str, dataset: str, judged: Judged) -> None:
    for place, trial in judged.compared:
        store_trials(db, dataset, [trial])
        db.execute(
            "INSERT INTO study_trial (study, trial_id, position, state, tuned) VALUES (?, ?, ?, 'queued', ?) "
            "ON CONFLICT (study, trial_id) DO UPDATE SET position = excluded.position, tuned = excluded.tuned",
            (study, trial.id, place, judged.mark),
        )
        settle_in(db, study, trial.id)


def _store_companion(
    db: Database, study: Study, info: DatasetInfo, judged: Sequence[Judged], samples: str, data_root: Path | None
) -> None:
    """Its document says what the candidates are made of; no grid is made from it."""
    trials = [one.cell.trying(value) for one in judged for value in one.wanted]
    choices = list(dict.fromkeys(json.dumps(_table(trial.optimizer)) for trial in trials))
    training = {key: value for key, value in study.document.get("training", {}).items() if key != "hyperparameters"}
    kept = {
        key: study.document[key]
        for key in ("dataset", "architectures", "activations", "defenses")
        if key in study.document
    }
    first = trials[0].training
    assert first is not None
    document = {
        **kept,
        "name": study.name,
        "optimizers": [json.loads(choice) for choice in choices],
        "seeds": [TUNING_SEED],
        "training": {**training, "epochs": first.epochs, "validation": first.validation},
        "audit": {"samples": 0},
        **({} if trials[0].train_samples is None else {"train_samples": trials[0].train_samples}),
    }
    own = replace(
        study,
        name=companion(study.name),
        description=f"what the learning rates of {study.name} are chosen by",
        attacks=(),
        threat=None,
        audit=AuditSettings(samples=0),
        document=document,
    )
    store_study(db, own, info, samples, data_root)
    db.execute("UPDATE study SET tuning_of = ? WHERE name = ?", (study.name, own.name))


def _table(choice: Choice | None) -> dict[str, Any]:
    assert choice is not None
    return {"name": choice.name, **choice.options}


@dataclass(frozen=True)
class Stages:
    """Both stages of a study: its candidates and its own trials by state; what is to come once a cell has chosen."""

    tuning: Mapping[str, int]
    trials: Mapping[str, int]
    to_come: int
    """Trials whose learning rate is not chosen yet."""
    hopeless: int
    """Trials of cells in which no candidate could be trained."""
    ready: int
    """Cells that only wait for the owner of the home to choose."""

    @property
    def open(self) -> bool:
        """Whether anything is left that a worker can do."""
        states = (self.tuning, self.trials)
        return self.ready > 0 or any(counts.get("queued", 0) + counts.get("running", 0) for counts in states)

    @property
    def tuned(self) -> tuple[int, int]:
        """Candidates that are settled, and all of them."""
        return _settled(self.tuning), sum(self.tuning.values())

    @property
    def compared(self) -> tuple[int, int]:
        """The study's own trials that are settled, and all of them."""
        return _settled(self.trials) + self.hopeless, sum(self.trials.values()) + self.to_come + self.hopeless

    @property
    def settled(self) -> int:
        """Of both stages."""
        return self.tuned[0] + self.compared[0]

    @property
    def total(self) -> int:
        """Of both stages."""
        return self.tuned[1] + self.compared[1]

    @property
    def failed(self) -> int:
        """The study's own trials that failed, or could not be tuned."""
        return self.trials.get("failed", 0) + self.hopeless


def _settled(counts: Mapping[str, int]) -> int:
    return sum(counts.get(state, 0) for state in ("done", "failed", "cancelled"))


def stages(db: Database, study: str) -> Stages:
    """Where a study stands; `tuning` is empty where nothing is tuned."""

    def by_state(name: str) -> dict[str, int]:
        rows = db.execute("SELECT state, count(*) FROM study_trial WHERE study = ? GROUP BY state", (name,))
        return {str(state): int(count) for state, count in rows.fetchall()}

    to_come, hopeless = db.execute(
        "SELECT coalesce(sum(json_array_length(cell, '$.places')) FILTER (WHERE reason IS NULL), 0), "
        "coalesce(sum(json_array_length(cell, '$.places')) FILTER (WHERE reason IS NOT NULL), 0) "
        "FROM tuning_cell WHERE study = ? AND chosen IS NULL",
        (study,),
    ).fetchone()
    ready = sum(name == study for name, _, _ in _ready(db))
    return Stages(by_state(companion(study)), by_state(study), int(to_come), int(hopeless), ready)


def on_the_edge(db: Database, study: str) -> tuple[int, int]:
    """Cells whose best value is the outermost that was tried, and all cells that have chosen."""
    sql = "SELECT coalesce(sum(edge), 0), count(*) FROM tuning_cell WHERE study = ? AND chosen IS NOT NULL"
    edges, cells = db.execute(sql, (study,)).fetchone()
    return int(edges), int(cells)


def ledger(db: Database, study: str) -> list[TuningRow]:
    """Rows of v_tuning of a study, cell by cell, the smallest value first."""
    sql = (
        f"SELECT {columns(TuningRow)} FROM (SELECT v.*, json_array_length(s.class_names) AS classes FROM v_tuning v "
        "JOIN study s ON s.name = v.study WHERE v.study = ?) ORDER BY cell, value"
    )
    return read(db, TuningRow, sql, (study,))
