"""How long a plan may take, learned from what this database has measured; no measurement, no forecast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.worker.devices import cores
from core.records.choice import Choice
from core.records.study import Plan
from core.training.defenses import DEFENSES
from core.verdict.audited import wanted_audits
from storage import queries
from storage.queries import AttackTime, TrainingTime

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.studies import Submission


def forecast(db: Database, plan: Plan, submission: Submission) -> float | None:
    """Seconds for what is known to be missing of `plan`, its tuning included, spread over the machine's cores; None if nothing
    alike has been measured.

    Training: seconds per epoch and training image of trained trials with the same data set and architecture; what a defense that
    was not trained before takes follows from the slopes that it needs for each step. Attacks: seconds per image of the same
    attack (name, norm, steps) on the same architecture. Audits: what the same one took, else the share of the model's own time
    that it may spend. Of trials that are missing each architecture and defense is taken to have its part.
    """
    study, tuning = plan.study, plan.study.tuning
    rate = per_attack = 0.0
    if submission.new or submission.audits_missing or submission.tuning_missing:
        rates = [
            _rate(db, plan, architecture, defense) for architecture in study.architectures for defense in study.defenses
        ]
        known = [one for one in rates if one is not None]
        if len(known) < len(rates):
            return None
        rate = sum(known) / len(known)
    for attack in study.attacks:
        seconds = _over(
            study.architectures, [queries.attack_times(db, attack, one.name) for one in study.architectures]
        )
        if seconds is None:
            return None
        per_attack += (study.test_samples or plan.info.test_size) * seconds
    per_trial = study.training.epochs * (study.train_samples or plan.info.train_size) * rate
    per_candidate = 0.0
    if tuning is not None:
        per_candidate = tuning.epochs * (tuning.train_samples or plan.info.train_size) * rate
    missing = submission.evaluations_missing / max(1, len(study.attacks))
    seconds = submission.new * per_trial + submission.tuning_missing * per_candidate + missing * per_attack
    audits = wanted_audits(study.attacks, study.threat, study.audit)
    for spec in audits if submission.audits_missing else ():
        measured = _over(study.architectures, [queries.audit_times(db, spec, one.name) for one in study.architectures])
        if measured is None:
            if spec.depth == "full":
                return None
            measured = spec.share * (per_trial + per_attack)
        seconds += submission.audits_missing / len(audits) * measured
    return seconds / cores()


def _rate(db: Database, plan: Plan, architecture: Choice, defense: Choice) -> float | None:
    """Seconds per epoch and training image; None if no trial of the architecture was trained on the data set."""
    times = queries.training_times(db, plan.info.source.name, architecture.name)
    alike = [one for one in times if one.architecture_options == architecture.options] or times
    same = [one for one in alike if (one.defense, one.defense_options) == (defense.name, defense.options)]
    if not alike:
        return None

    def rate(one: TrainingTime) -> float:
        return one.seconds / one.epochs / (one.train_samples or plan.info.train_size)

    if same:
        return sum(map(rate, same)) / len(same)
    slopes = 1 + DEFENSES[defense.name].gradients(defense.options)
    return (
        slopes
        * sum(rate(one) / (1 + DEFENSES[one.defense].gradients(one.defense_options)) for one in alike)
        / len(alike)
    )


def _over(architectures: Sequence[Choice], found: Sequence[Sequence[AttackTime]]) -> float | None:
    """The mean over architectures, of each that with the same options if there is one; None if one is not known."""
    means = []
    for architecture, times in zip(architectures, found, strict=True):
        alike = [one for one in times if one.architecture_options == architecture.options] or times
        if not alike:
            return None
        means.append(sum(one.seconds for one in alike) / len(alike))
    return sum(means) / len(means) if means else None
