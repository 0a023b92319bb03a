"""Trials whose weights were trained elsewhere: taken in whole, put into a study, and never trained."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core import datasets
from core.errors import BadInput
from core.identity import digest
from core.records.data import DatasetInfo, DatasetSource
from core.records.study import Study
from core.study.plan import tested_samples
from core.study.resolve import study_without_grid
from storage import content, queue, specs, studies
from storage.changes import Admission, Arrival
from storage.database import transaction
from storage.home import Home
from storage.import_records import write_import_record
from storage.states import settle_in
from storage.tuning import is_companion

if TYPE_CHECKING:
    from sqlite_utils import Database

_BEHIND_THE_GRID = 10**9
"""Position in its study of the first imported trial; the others follow in the order of their arrival."""


@dataclass(frozen=True)
class Joined:
    """The study that an import joins, which may not be stored yet, and its data set."""

    study: Study
    info: DatasetInfo


def study_to_join(db: Database, home: Home, source: DatasetSource, study: str | None, data_root: Path) -> Joined:
    """`study`, else the one called "imported-" and the data set.

    Raises NotFound for a study that is not there, BadInput for one on other data.
    """
    info = datasets.describe(source, data_root, home.cache, content.met(db))
    name = study or _name_for(db, info)
    if study is None and not _exists(db, name):
        description = f"weights that were trained elsewhere, on {source.name}"
        return Joined(study_without_grid(name, description, source), info)
    if is_companion(name):
        raise BadInput(f"--study {name}: only holds what learning rates are chosen by; name another")
    theirs = studies.stored_dataset(db, name, data_root, home.cache)
    if theirs.identity != info.identity:
        raise BadInput(f"--study {name}: it is on {theirs.source.name}, not on {source.name}; name another")
    return Joined(studies.stored_study(db, name), theirs)


def admit(db: Database, home: Home, joined: Joined, data_root: Path, arrival: Arrival) -> Admission:
    """Make the trial, move its weights to their place and queue it in the study `joined`, in one transaction.

    The same weights again are the same trial: it is left as it is unless its file is gone or of no use. Only the owner of
    the home may call this.
    """
    study, trial_id = joined.study.name, arrival.trial.id
    if arrival.trial.dataset != joined.info.identity:
        raise BadInput(f"{arrival.origin}: the content of {joined.info.source.kind} changed meanwhile; import it again")
    with transaction(db):
        content.remember(db, joined.info.identity, joined.info.digest)
        if _exists(db, study):
            db.execute("UPDATE study SET run_at = ? WHERE name = ?", (specs.next_run(db), study))
        else:
            samples = tested_samples(joined.study, joined.info, data_root, home.cache)
            assert samples is not None, "a study without a grid is tested on all images"
            specs.store_study(db, joined.study, joined.info, samples, data_root)
        _store_trial(db, joined.info, arrival)
        if arrival.record is not None:
            write_import_record(db, trial_id, arrival.record)
        known = _has_its_weights(db, home, trial_id, (home.root / arrival.weights).stat().st_size)
        if not known:
            _take_in(db, home, trial_id, arrival)
        db.execute(
            "INSERT OR IGNORE INTO study_trial (study, trial_id, position, state) "
            "SELECT ?, ?, max(?, coalesce(max(position) + 1, 0)), 'queued' FROM study_trial WHERE study = ?",
            (study, trial_id, _BEHIND_THE_GRID, study),
        )
        rows = db.execute("SELECT study FROM study_trial WHERE trial_id = ? AND state <> 'running'", (trial_id,))
        for (name,) in rows.fetchall():
            settle_in(db, name, trial_id)
    return Admission(study, trial_id, known)


def _exists(db: Database, study: str) -> bool:
    return bool(db.execute("SELECT 1 FROM study WHERE name = ?", (study,)).fetchone())


def _name_for(db: Database, info: DatasetInfo) -> str:
    """Addressable, and another one where the same name stands for other data."""
    name = "imported-" + re.sub(r"[^A-Za-z0-9._-]+", "-", info.source.name)[:70].strip("-")
    row = db.execute("SELECT dataset_identity FROM study WHERE name = ?", (name,)).fetchone()
    if row is None or row[0] == info.identity:
        return name
    return f"{name}-{digest(info.identity)[:8]}"


def _store_trial(db: Database, info: DatasetInfo, arrival: Arrival) -> None:
    """The trial's row. What is given of label and seed replaces what was known."""
    label = arrival.label
    specs.store_imported(db, info.source.name, arrival.trial, arrival.seed, label or arrival.origin.name)
    db.execute(
        "UPDATE trial SET seed = coalesce(?, seed), imported = coalesce(?, imported) WHERE id = ?",
        (arrival.seed, label, arrival.trial.id),
    )


def _has_its_weights(db: Database, home: Home, trial_id: str, size: int) -> bool:
    """Whether the trial's file is there and may be whole; one that an attempt found to be of no use has failed it."""
    weights = queue.weights_path(db, trial_id)
    failed = db.execute("SELECT failure IS NOT NULL FROM trial WHERE id = ?", (trial_id,)).fetchone()[0]
    if weights is None or failed:
        return False
    path = home.checkpoints / weights
    return path.is_file() and path.stat().st_size == size


def _take_in(db: Database, home: Home, trial_id: str, arrival: Arrival) -> None:
    """The import is an attempt of the trial: later ones find its weights in the folder as they do those of any other."""
    number = (db.execute("SELECT max(number) FROM attempt WHERE trial_id = ?", (trial_id,)).fetchone()[0] or 0) + 1
    folder, now = home.checkpoints / trial_id / str(number), time.time()
    environment = digest(dict(arrival.environment))
    db.execute(
        "INSERT OR IGNORE INTO environment (id, content) VALUES (?, ?)",
        (environment, json.dumps(dict(arrival.environment))),
    )
    db.execute(
        "INSERT INTO attempt (trial_id, number, started_at, ended_at, device, environment_id, exit_kind, reason, data) "
        "VALUES (?, ?, ?, ?, ?, ?, 'imported', ?, ?)",
        (
            trial_id,
            number,
            now,
            now,
            arrival.environment.get("device"),
            environment,
            f"from {arrival.origin}",
            arrival.data,
        ),
    )
    db.execute(
        "UPDATE trial SET weights = ?, weights_removed = 0, failure = NULL, crashes = 0, final_digest = ? WHERE id = ?",
        ((folder / arrival.weights.name).relative_to(home.checkpoints).as_posix(), arrival.final_digest, trial_id),
    )
    folder.mkdir(parents=True, exist_ok=True)
    (home.root / arrival.weights).rename(folder / arrival.weights.name)
