"""Climbing the ladder of `core.verdict.trust.ladder` on trials of a study, rung after rung, through the queue like any attack.

Whoever works on the queue goes on with a climb that was asked for, so that nobody has to wait for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.attacks import check_eps
from core.errors import BadInput
from core.names import NORM_SIGNS, short_id
from core.records.attack import AttackSpec, Threat
from core.registry import parse_number
from core.verdict.ledgers import survived_at, worst_case
from core.verdict.trust import is_masked, judge
from core.verdict.trust.entry import Evidence
from core.verdict.trust.ladder import climbed, full, is_quiet, is_whole, next_rung, rungs
from storage import escalations, studies
from storage.changes import Climb, Escalate, NextRung
from storage.database import transaction
from storage.escalations import UnderWay
from storage.evidence import evidence
from storage.home import Home
from storage.states import readiness
from storage.verdicts import verdict

if TYPE_CHECKING:
    from sqlite_utils import Database


def threat_of(db: Database, study: str, eps: str | None) -> Threat:
    """The study's norm at its score ε, or at `eps`; raises BadInput for a radius out of range, or none to be had."""
    stored = studies.study_row(db, study)
    norm = stored.threat_norm or "linf"
    if eps is None:
        if stored.threat_eps is None:
            raise BadInput(f"--eps: the study {study} scores at no radius; give one, such as --eps 0.1")
        return Threat(norm, stored.threat_eps)
    if "," in eps:
        raise BadInput(f"--eps {eps}: an escalation settles one radius at a time; give one")
    return Threat(norm, parse_number(eps.strip(), "--eps"))


def add_next_rungs(db: Database, home: Home, asked: Escalate) -> Climb:
    """Queue the next rung of each trial that has one, and have the others follow: for the owner of the home.

    Raises BadInput for a trial that the study's own attacks have not been tried on, NotFound for one outside the study.
    """
    study, threat = asked.study, asked.threat
    info = studies.stored_dataset(db, study, home.data_root, home.cache)
    for spec in rungs(threat):
        check_eps(spec, info.shape, "--eps")
    added = []
    with transaction(db):
        for trial_id in asked.trials:
            refuse_unready(db, study, trial_id)
            climb = UnderWay(study, trial_id, threat)
            rung = _add_next_rung(db, climb)
            if rung is not None:
                escalations.begin(db, climb)
                added.append(rung)
                go_on(db, trial_id)  # a study of the same attacks may have had the rung tried
    return Climb(tuple(added), len(rungs(threat)))


def go_on(db: Database, trial_id: str | None = None) -> None:
    """Queue the next rung of every climb (on one trial, if named) whose last one has been tried; forget those that have come to
    their end. For the owner of the home.

    Within the transaction that settles the trial, so that nobody sees it done between two rungs.
    """
    if not escalations.between_rungs(db, trial_id):  # asked before the write lock is taken
        return
    with transaction(db):
        while climbs := escalations.between_rungs(db, trial_id):
            for climb in climbs:
                if _add_next_rung(db, climb) is None:
                    escalations.end(db, climb)


def _add_next_rung(db: Database, climb: UnderWay) -> NextRung | None:
    """None at the end of the climb."""
    known = evidence(db, climb.study, climb.trial_id)
    rung = next_rung(known, climb.threat, masked=is_masked(judge(known)))
    if rung is None:
        return None
    studies.add_attack(db, climb.study, [climb.trial_id], rung)
    return NextRung(climb.trial_id, rung.id, len(climbed(known, climb.threat)) + 1)


def refuse_unready(db: Database, study: str, trial_id: str) -> None:
    """Raises BadInput unless everything but rungs has been tried on the trial."""
    found = readiness(db, study, trial_id)
    if found is None:
        raise BadInput(f"trial {short_id(trial_id)} is not in study {study}")
    if not found.trained:
        raise BadInput(f"trial {short_id(trial_id)} has no weights yet ({found.state}); train it first: innate run")
    missing = [attack.name for attack in found.missing if not attack.params.get("after")]
    if missing:
        yet = ", ".join(dict.fromkeys(missing))
        raise BadInput(f"trial {short_id(trial_id)} is yet to be attacked with {yet}; escalate after: innate run")
    broken = [attack.name for attack in found.broken if not attack.params.get("after")]
    if found.state == "failed" and (broken or found.failure is not None):
        what = found.failure or f"{broken[0]} could not be carried out"
        raise BadInput(f"trial {short_id(trial_id)} has failed: {what}; see innate show {short_id(trial_id)}")


@dataclass(frozen=True)
class Rung:
    """One attack of the ladder: the shares of the test samples that stood before and after it, and how many it broke."""

    attack: str
    attack_id: str
    before: float
    after: float
    broken: int


@dataclass(frozen=True)
class Escalation:
    """How far the ladder was climbed on a trial, what each rung broke, and what the verdict is now."""

    study: str
    trial_id: str
    norm: str
    eps: float
    samples: int
    worst_case: float
    """The share of the test samples that stands under the study's own attacks."""
    escalated: float
    """And under every rung."""
    settled: bool
    """Whether there is nothing left to climb."""
    top: bool
    """Whether every rung was climbed."""
    quiet: bool
    """Whether the last rungs broke nothing."""
    trust: str | None
    trust_reasons: tuple[str, ...]
    rungs: tuple[Rung, ...]


def summary(db: Database, study: str, trial_id: str, threat: Threat) -> Escalation:
    """What an escalation has come to so far."""
    known = evidence(db, study, trial_id)
    steps = climbed(known, threat)
    own = worst_case(known.clean, [one.ledgers for one in known.results if one.attack.norm == threat.norm], threat.eps)
    now = verdict(db, study, trial_id)
    return Escalation(
        study=study,
        trial_id=trial_id,
        norm=threat.norm,
        eps=threat.eps,
        samples=len(own),
        worst_case=float(own.mean()),
        escalated=steps[-1].after / steps[-1].total if steps else _full(known, threat),
        settled=next_rung(known, threat, masked=is_masked(judge(known))) is None,
        top=is_whole(steps, threat),
        quiet=is_quiet(steps),
        trust=now.trust,
        trust_reasons=now.reasons,
        rungs=tuple(
            Rung(title(rung.attack), rung.attack.id, rung.before / rung.total, rung.after / rung.total, rung.gain)
            for rung in steps
        ),
    )


def title(attack: AttackSpec) -> str:
    """A rung's name: "pgd-100", "apgd-targeted", "fmn"."""
    if attack.name == "pgd":
        return f"pgd-{attack.params['steps']}"
    loss = attack.params.get("loss")
    return attack.name if loss is None else f"{attack.name}-{loss}"


def in_lines(found: Escalation) -> list[str]:
    """A summary for a person."""
    how = "to the top of the ladder" if found.top else "until nothing more fell" if found.quiet else "so far"
    lines = [
        f"{short_id(found.trial_id)} {NORM_SIGNS[found.norm]} ε = {found.eps:g}: worst case {found.worst_case:.1%} → "
        f"{found.escalated:.1%} {how}; {found.trust}"
    ]
    lines += [
        f"  {rung.attack:<14} {rung.before:.1%} → {rung.after:.1%} ({rung.broken} broken)" for rung in found.rungs
    ]
    return [*lines, *(f"  {reason}" for reason in found.trust_reasons)]


def _full(known: Evidence, threat: Threat) -> float:
    everything = [one.ledgers for one in full(known, threat) if survived_at(one.ledgers, threat.eps) is not None]
    return float(worst_case(known.clean, everything, threat.eps).mean())
