"""How long a plan may take, learned from what this database has measured; no measurement, no forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.worker.devices import cores
from core.records.study import Plan
from core.verdict.audited import wanted_audits
from storage import queries

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.studies import Submission


def forecast(db: Database, plan: Plan, submission: Submission) -> float | None:
    """Seconds for what is known to be missing of `plan`, its tuning included, spread over the machine's cores; None if nothing
    alike has been measured.

    Training: seconds per epoch and training image of finished trials with the same data set, architecture and defense.
    Attacks: seconds per image of the same attack (name, norm, parameters aside from ε) on the same architecture. Audits: what
    the same one took, else the share of the model's own time that it may spend.
    """
    images = plan.study.train_samples or plan.info.train_size
    tested = plan.study.test_samples or plan.info.test_size
    tuning = plan.study.tuning
    per_trial = per_candidate = 0.0
    if submission.new or submission.audits_missing or submission.tuning_missing:
        trained = queries.training_times(
            db, plan.info.source.name, plan.study.architectures[0].name, plan.study.defenses[0].name
        )
        if not trained:
            return None
        rates = [one.seconds / one.epochs / (one.train_samples or plan.info.train_size) for one in trained]
        rate = sum(rates) / len(rates)
        per_trial = plan.study.training.epochs * images * rate
        if tuning is not None:
            per_candidate = tuning.epochs * (tuning.train_samples or plan.info.train_size) * rate
    per_attack = 0.0
    for attack in plan.study.attacks:
        seconds = queries.attack_seconds(db, attack, plan.study.architectures[0].name)
        if seconds is None:
            return None
        per_attack += tested * seconds
    missing = submission.evaluations_missing / max(1, len(plan.study.attacks))
    seconds = submission.new * per_trial + submission.tuning_missing * per_candidate + missing * per_attack
    audits = wanted_audits(plan.study.attacks, plan.study.threat, plan.study.audit)
    for spec in audits if submission.audits_missing else ():
        measured = queries.audit_seconds(db, spec, plan.study.architectures[0].name)
        if measured is None:
            if spec.depth == "full":
                return None
            measured = spec.share * (per_trial + per_attack)
        seconds += submission.audits_missing / len(audits) * measured
    return seconds / cores()
