"""How long a plan may take, learned from what this database has measured, else from what was timed just now; without either no
forecast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import starmap
from typing import TYPE_CHECKING

from app.worker.devices import cores
from app.worker.timing import Timings, Wanted
from core.audit import AuditSpec
from core.records.attack import AttackSpec
from core.records.choice import Choice
from core.records.study import Plan
from core.records.trial import TrialSpec
from core.training.defenses import DEFENSES
from core.verdict.audited import wanted_audits
from storage import queries
from storage.queries import AttackTime, TrainingTime

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.submitting import Submission

NOTHING = Timings()
SPREAD = 50
"""Per cent that a forecast from a few batches may be off: the cores share their memory, images fall sooner or later, activations
differ."""


class _Seen:
    """What was measured here, each asked for once: a hundred networks of a study have one architecture between them."""

    def __init__(self, db: Database) -> None:
        self.training_times = cache(partial(queries.training_times, db))
        self._db = db
        self._attacks: dict[tuple[str, str], list[AttackTime]] = {}

    def attack_times(self, attack: AttackSpec, architecture: str) -> list[AttackTime]:
        key = attack.id, architecture
        if key not in self._attacks:
            self._attacks[key] = queries.attack_times(self._db, attack, architecture)
        return self._attacks[key]

    def audit_times(self, spec: AuditSpec, architecture: str) -> list[AttackTime]:
        key = spec.id, architecture
        if key not in self._attacks:
            self._attacks[key] = queries.audit_times(self._db, spec, architecture)
        return self._attacks[key]


def forecast(db: Database, plan: Plan, submission: Submission, timed: Timings = NOTHING) -> float | None:
    """Seconds for what is known to be missing of `plan`, its tuning included, spread over the machine's cores; None if nothing
    alike has been measured, nor `timed`.

    Training: seconds per epoch and training image of trained trials with the same data set and architecture; what a defense that
    was not trained before takes follows from the slopes that it needs for each step. Attacks: seconds per image of the same
    attack (name, norm, steps) on the same architecture. Audits: what the same one took, else the share of the model's own time
    that it may spend. Of trials that are missing each architecture and defense is taken to have its part.
    """
    seen, study, tuning = _Seen(db), plan.study, plan.study.tuning
    rate = per_attack = 0.0
    if _trains(submission):
        rates = [
            _rate(seen, plan, architecture, defense, timed)
            for architecture in study.architectures
            for defense in study.defenses
        ]
        known = [one for one in rates if one is not None]
        if len(known) < len(rates):
            return None
        rate = sum(known) / len(known)
    for attack in study.attacks:
        seconds = _over(study.architectures, partial(_attack_rate, seen, plan, attack=attack, timed=timed))
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
        measured = _over(study.architectures, partial(_audit_seconds, seen, spec))
        if measured is None:
            if spec.depth == "full":
                return None
            measured = spec.share * (per_trial + per_attack)
        seconds += submission.audits_missing / len(audits) * measured
    return seconds / (timed.rooms if wanted(db, plan, submission) else cores())


def wanted(db: Database, plan: Plan, submission: Submission) -> Wanted:
    """What a forecast lacks here, and a look at a few batches tells: training on an architecture that was never trained on the
    data set, with each of the defenses; attacks on an architecture that never had them."""
    seen, study = _Seen(db), plan.study
    trainings = [
        _example(plan, architecture, defense)
        for defense in sorted(study.defenses, key=_slopes)
        for architecture in study.architectures
        if _trains(submission) and not seen.training_times(plan.info.source.name, architecture.name, 1)
    ]
    attacks = [
        (_example(plan, architecture, study.defenses[0]), attack)
        for architecture in study.architectures
        for attack in study.attacks
        if not seen.attack_times(attack, architecture.name)
    ]
    # One training of each architecture and the attacks must be known; other defenses follow from the slopes that they need.
    first = len(trainings) // len(study.defenses)
    asked = [(trial, None) for trial in trainings]
    return Wanted((*asked[:first], *attacks, *asked[first:]))


def measured_on(lacking: Wanted, timed: Timings) -> list[str]:
    """What the times of what was lacking were seen on, at least: "4 batches", "32 images"."""
    batches = [one.batches for one in map(timed.training, lacking.trainings) if one is not None]
    images = [one.images for one in starmap(timed.attack, lacking.attacks) if one is not None]
    counts = (batches, "batches"), (images, "images")
    return [f"{min(seen)} {noun}" for seen, noun in counts if seen]


def why_not_timed(lacking: Wanted, timed: Timings) -> str | None:
    """Of what was lacking, the first that could not be timed, and why; None where all was, or nobody tried."""
    one = next((found for found in starmap(timed.failure, lacking.asked) if found is not None), None)
    if one is None:
        return None
    defense = "none" if one.trial.defense is None else one.trial.defense.name
    training = "training" if defense == "none" else f"training with {defense}"
    return f"{one.trial.architecture.name}, {training if one.attack is None else one.attack.name}: {one.reason}"


def _slopes(defense: Choice | None) -> int:
    """That a step of training needs for each image."""
    return 1 if defense is None else 1 + DEFENSES[defense.name].gradients(defense.options)


def _trains(submission: Submission) -> bool:
    """Whether how long a training takes counts."""
    return bool(submission.new or submission.audits_missing or submission.tuning_missing)


def _example(plan: Plan, architecture: Choice, defense: Choice) -> TrialSpec:
    """One of the plan's trials with these two."""
    tuned = (cell.comparing(cell.values[0])[0][1] for cell in plan.cells)
    return next(one for one in (*plan.trials, *tuned) if (one.architecture, one.defense) == (architecture, defense))


def _rate(seen: _Seen, plan: Plan, architecture: Choice, defense: Choice, timed: Timings) -> float | None:
    """Seconds per epoch and training image; None if no trial of the architecture was trained on the data set, nor timed."""
    known = _known_rate(seen, plan, architecture, defense)
    if known is not None:
        return known
    like = _example(plan, architecture, defense)
    found = timed.training(like)
    if found is not None:
        return found.seconds
    alike = [one.seconds / _slopes(one.trial.defense) for one in timed.trainings_like(like)]
    return _slopes(defense) * sum(alike) / len(alike) if alike else None


def _attack_rate(seen: _Seen, plan: Plan, architecture: Choice, attack: AttackSpec, timed: Timings) -> float | None:
    """Seconds per test image; None if no such attack was carried out on the architecture, nor timed."""
    known = _mean(architecture, seen.attack_times(attack, architecture.name))
    if known is not None:
        return known
    found = timed.attack(_example(plan, architecture, plan.study.defenses[0]), attack)
    return None if found is None else found.seconds


def _audit_seconds(seen: _Seen, spec: AuditSpec, architecture: Choice) -> float | None:
    return _mean(architecture, seen.audit_times(spec, architecture.name))


def _known_rate(seen: _Seen, plan: Plan, architecture: Choice, defense: Choice) -> float | None:
    times = seen.training_times(plan.info.source.name, architecture.name)
    alike = [one for one in times if one.architecture_options == architecture.options] or times
    same = [one for one in alike if (one.defense, one.defense_options) == (defense.name, defense.options)]
    if not alike:
        return None

    def rate(one: TrainingTime) -> float:
        return one.seconds / one.epochs / (one.train_samples or plan.info.train_size)

    if same:
        return sum(map(rate, same)) / len(same)
    each = [rate(one) / _slopes(Choice(one.defense, one.defense_options)) for one in alike]
    return _slopes(defense) * sum(each) / len(each)


def _over(architectures: Sequence[Choice], rate: Callable[[Choice], float | None]) -> float | None:
    """The mean over architectures; None if that of one is not known."""
    found = [rate(one) for one in architectures]
    known = [one for one in found if one is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None


def _mean(architecture: Choice, times: Sequence[AttackTime]) -> float | None:
    """Of those of the architecture with the same options, if there are any."""
    alike = [one for one in times if one.architecture_options == architecture.options] or times
    return sum(one.seconds for one in alike) / len(alike) if alike else None
