"""How long a plan may take, learned from what this database has measured; no measurement, no forecast."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from app.worker.devices import cores
from core.records import Plan

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.studies import Submission


def forecast(db: Database, plan: Plan, submission: Submission) -> float | None:
    """Seconds for what is missing of `plan`, spread over the machine's cores; None if nothing alike has been measured.

    Training: seconds per epoch and training image of finished trials with the same data set, architecture and defense.
    Attacks: seconds per image of the same attack (name, norm, parameters aside from ε) on the same architecture.
    """
    images = plan.study.train_samples or plan.info.train_size
    tested = plan.study.test_samples or plan.info.test_size
    per_trial = 0.0
    if submission.new:
        rows = db.execute(
            "SELECT training, train_samples, train_seconds FROM trial WHERE train_seconds > 0 AND dataset = ? "
            "AND architecture = ? AND defense = ? ORDER BY created_at DESC LIMIT 200",
            (plan.info.source.name, plan.study.architectures[0].name, plan.study.defenses[0].name),
        ).fetchall()
        if not rows:
            return None
        rates = [
            seconds / json.loads(training)["epochs"] / (used or plan.info.train_size)
            for training, used, seconds in rows
        ]
        per_trial = plan.study.training.epochs * images * sum(rates) / len(rates)
    per_attack = 0.0
    for attack in plan.study.attacks:
        row = db.execute(
            "SELECT avg(e.seconds / e.count) FROM evaluation e JOIN attack a ON a.id = e.attack_id "
            "JOIN trial t ON t.id = e.trial_id WHERE e.state = 'done' AND a.name = ? AND a.norm = ? "
            "AND t.architecture = ? AND json_extract(a.spec, '$.params.steps') IS ?",
            (attack.name, attack.norm, plan.study.architectures[0].name, attack.params.get("steps")),
        ).fetchone()
        if row[0] is None:
            return None
        per_attack += tested * float(row[0])
    missing = submission.evaluations_missing / max(1, len(plan.study.attacks))
    return (submission.new * per_trial + missing * per_attack) / cores()
