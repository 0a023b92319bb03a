"""Keeping what was specified: studies, attacks and trials, each under its name or address. Inside the caller's transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.records.attack import AttackSpec
from core.records.choice import Choice
from core.records.data import DatasetInfo
from core.records.study import Study
from core.records.trial import TrialSpec
from storage import content

if TYPE_CHECKING:
    from sqlite_utils import Database


def store_study(db: Database, study: Study, info: DatasetInfo, samples: str, data_root: Path | None) -> None:
    """The study's own row, new or in place of the one of that name; it is then the study run last. In a transaction."""
    source = info.source
    content.remember(db, info.identity, info.digest)
    now = next_run(db)
    db.execute(
        "INSERT INTO study (name, description, document, dataset, source_kind, source_path, dataset_identity, shape, "
        "class_names, test_samples, samples, threat_norm, threat_eps, data_root, created_at, run_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
        "description = excluded.description, document = excluded.document, dataset = excluded.dataset, "
        "source_kind = excluded.source_kind, source_path = excluded.source_path, "
        "dataset_identity = excluded.dataset_identity, shape = excluded.shape, class_names = excluded.class_names, "
        "test_samples = excluded.test_samples, samples = excluded.samples, threat_norm = excluded.threat_norm, "
        "threat_eps = excluded.threat_eps, data_root = excluded.data_root, run_at = excluded.run_at",
        (
            study.name,
            study.description,
            json.dumps(study.document),
            source.name,
            source.kind,
            None if source.path is None else str(source.path),
            info.identity,
            json.dumps(info.shape),
            json.dumps(info.classes),
            study.test_samples,
            samples,
            study.threat.norm if study.threat else None,
            study.threat.eps if study.threat else None,
            None if data_root is None else str(data_root),
            now,
            now,
        ),
    )


def next_run(db: Database) -> float:
    """The time of a run that begins now: the study run last has the greatest, also after the clock was set back."""
    latest = db.execute("SELECT max(run_at) FROM study").fetchone()[0] or 0.0
    return max(time.time(), latest + 1e-3)


def store_attack(db: Database, attack: AttackSpec) -> None:
    """Keep the specification under its id. Inside the caller's transaction."""
    db.execute(
        "INSERT OR IGNORE INTO attack (id, name, norm, spec) VALUES (?, ?, ?, ?)",
        (attack.id, attack.name, attack.norm, json.dumps(attack.as_json())),
    )


def store_trials(db: Database, dataset: str, trials: Sequence[TrialSpec]) -> None:
    """Those that are not there yet; `dataset` is what results show. Inside the caller's transaction."""
    now = time.time()
    db.conn.executemany(
        "INSERT OR IGNORE INTO trial (id, variant_id, spec, dataset, train_samples, architecture, architecture_options, "
        "optimizer, optimizer_options, activation, activation_options, defense, defense_options, training, seed, "
        "created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [_trial_row(trial, dataset, now) for trial in trials],
    )


def store_imported(db: Database, dataset: str, trial: TrialSpec, seed: int | None, label: str) -> None:
    """A trial whose weights were trained elsewhere, unless it is there. Inside the caller's transaction."""
    db.execute(
        "INSERT OR IGNORE INTO trial (id, variant_id, spec, dataset, architecture, architecture_options, activation, "
        "activation_options, seed, imported, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            trial.id,
            trial.variant_id,
            json.dumps(trial.as_json()),
            dataset,
            trial.architecture.name,
            json.dumps(dict(trial.architecture.options)),
            trial.activation.name,
            json.dumps(dict(trial.activation.options)),
            seed,
            label,
            time.time(),
        ),
    )


def _trial_row(trial: TrialSpec, dataset: str, now: float) -> tuple[str | int | float | None, ...]:
    assert trial.optimizer is not None
    assert trial.defense is not None
    assert trial.training is not None

    def options(choice: Choice) -> tuple[str, str]:
        return choice.name, json.dumps(dict(choice.options))

    return (
        trial.id,
        trial.variant_id,
        json.dumps(trial.as_json()),
        dataset,
        trial.train_samples,
        *options(trial.architecture),
        *options(trial.optimizer),
        *options(trial.activation),
        *options(trial.defense),
        json.dumps(trial.training.as_json()),
        trial.seed,
        now,
    )
