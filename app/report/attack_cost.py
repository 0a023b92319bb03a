"""How long more attacks on trained models may take, by what was measured of models alike; no measurement, no forecast."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.worker.narration import in_words
from core.attacks import ATTACKS
from core.attacks.price import price
from core.audit import AuditSpec
from core.records.attack import AttackSpec, Threat
from core.verdict.trust.ladder import rungs
from storage import queries, rates, studies
from storage.rates import Tested

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class Models:
    """Trained models of a study, by what their time hangs on."""

    study: str
    dataset: str
    architectures: Mapping[str, str | None]
    """Trial id → its architecture."""
    tested: Tested


@dataclass(frozen=True)
class Cost:
    """Of `trials` models one after another. `seconds` is None where nothing alike was measured; `at_most`: a bound, as if no
    image fell before the last step."""

    trials: int
    seconds: float | None
    at_most: bool


def cost_text(cost: Cost, slots: int) -> str:
    """In words, spread over the slots: "about 4 min on 2 slots"."""
    if cost.trials == 0:
        return "nothing is missing"
    if cost.seconds is None:
        return "time unknown"
    used = min(slots, cost.trials)
    seconds, room = cost.seconds / used, f"on {used} slot{'s' if used > 1 else ''}"
    if seconds < 1:
        return f"less than 1 s {room}"
    return f"{'at most' if cost.at_most else 'about'} {in_words(seconds)} {room}"


def models_of(db: Database, study: str, trials: Sequence[str]) -> Models:
    """Of these trials of a study that is there."""
    known = rates.architectures(db, study)
    chosen = {trial: known[trial] for trial in trials}
    return Models(study, studies.study_row(db, study).dataset, chosen, rates.tested(db, study))


def cost_of_attacks(db: Database, models: Models, attacks: Iterable[AttackSpec]) -> Cost:
    """Every one of `attacks` on those of the models that have not had it: as long as the same attack took on models alike, else
    as all its passes would take."""
    parts = [
        _cost_of(db, models, attack, rates.untried(db, models.study, list(models.architectures), attack.id))
        for attack in attacks
    ]
    known = [one.seconds for one in parts if one.trials]
    total = None if any(seconds is None for seconds in known) else sum(seconds or 0.0 for seconds in known)
    return Cost(max((one.trials for one in parts), default=0), total, any(one.at_most for one in parts))


def cost_of_climb(db: Database, models: Models, threat: Threat) -> Cost:
    """Every rung of the ladder on what is known to stand of each model, as if no rung broke anything."""
    standing = {row.trial_id: row.robust_accuracy for row in queries.audited(db, models.study, threat)}
    passes = sum(price(rung, models.tested.classes) for rung in rungs(threat))
    seconds = 0.0
    for trial, architecture in models.architectures.items():
        pace = rates.seconds_per_pass(db, models.dataset, architecture)
        if pace is None or models.tested.images is None:
            return Cost(len(models.architectures), None, at_most=True)
        seconds += pace * passes * models.tested.images * standing.get(trial, 1.0)
    return Cost(len(models.architectures), seconds, at_most=True)


def cost_of_audits(db: Database, models: Models, specs: Sequence[AuditSpec], members: Mapping[str, AttackSpec]) -> Cost:
    """Audits of those of the models that lack them: as long as the same one took, else as one round of `members` (norm → what an
    audit tries on each image that it draws) would take."""
    trials, seconds = 0, 0.0
    for spec in specs:
        missing = rates.unaudited(db, models.study, list(models.architectures), spec.id)
        trials = max(trials, len(missing))
        for architecture, count in Counter(models.architectures[trial] for trial in missing).items():
            times = [] if architecture is None else queries.audit_times(db, spec, architecture)
            if times:
                measured = sum(one.seconds for one in times) / len(times)
            else:
                pace = rates.seconds_per_pass(db, models.dataset, architecture)
                if pace is None:
                    return Cost(trials, None, at_most=False)
                drawn = min(spec.samples, models.tested.images or spec.samples) * len(spec.eps)
                measured = pace * price(members[spec.norm], models.tested.classes) * drawn
            seconds += count * measured
    return Cost(trials, seconds, at_most=False)


def _cost_of(db: Database, models: Models, attack: AttackSpec, trials: Sequence[str]) -> Cost:
    if models.tested.images is None:
        return Cost(len(trials), None, at_most=False)
    radii = 1 if ATTACKS[attack.name].minimum_norm else len(attack.eps)
    seconds, at_most = 0.0, False
    for architecture, count in Counter(models.architectures[trial] for trial in trials).items():
        each = rates.seconds_per_radius(db, attack, models.dataset, architecture)
        if each is None:
            pace = rates.seconds_per_pass(db, models.dataset, architecture)
            if pace is None:
                return Cost(len(trials), None, at_most=False)
            each, at_most = pace * price(attack, models.tested.classes), True
        seconds += count * each * radii * models.tested.images
    return Cost(len(trials), seconds, at_most)
