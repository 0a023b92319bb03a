"""Bringing all models of a study to the same: audited, or attacked with all that any of them was attacked with. For the owner
of the home."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from core.attacks import ATTACKS
from core.errors import BadInput
from core.study.resolve import audit_settings
from core.verdict.audited import wanted_audits
from storage import audits, studies
from storage.changes import Audit, Level, Queued
from storage.home import Home

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.records.attack import AttackSpec


def add_audits(db: Database, _home: Home, asked: Audit) -> Queued:
    """Queue the audits that the study's models lack. Raises BadInput where nothing was attacked, or for wrong options."""
    study = studies.stored_study(db, asked.study)
    settings = audit_settings(asked.options, study.audit, "audit")
    attacks = studies.attacks_tried(db, asked.study)
    if not attacks:
        raise BadInput(f"study {asked.study} has no attacks to audit; add one first: innate attack TRIAL --attack pgd")
    specs = wanted_audits(attacks, study.threat, settings)
    if not specs:
        raise BadInput(f"audit.samples: study {asked.study} asks for no audit; say how many: --set samples=64")
    return Queued(studies.add_audits(db, asked.study, specs), ("audit",))


def add_what_some_lack(db: Database, _home: Home, asked: Level) -> Queued:
    """Queue, for every model, the attacks that any other has had beside the study's own."""
    studies.study_row(db, asked.study)
    wanted = lacking_attacks(db, asked.study)
    trials, missing = studies.trained_trials(db, asked.study), 0
    for attack in wanted:
        missing = max(missing, studies.add_attack(db, asked.study, trials, attack))
    return Queued(missing, tuple(dict.fromkeys(attack.name for attack in wanted)))


def lacking_attacks(db: Database, study: str) -> list[AttackSpec]:
    """What any model of a study was attacked with beside the study's own attacks, and what broke one in an audit, each once."""
    some_had = [*studies.added_attacks(db, study), *audits.breaking_attacks(db, study)]
    some_had = [attack for attack in some_had if attack.name in ATTACKS]  # a plugin's may be gone
    return list({attack.id: attack for attack in map(_of_today, some_had)}.values())


def _of_today(attack: AttackSpec) -> AttackSpec:
    """The attack as the running program makes it: one of an earlier engine can no longer be carried out."""
    return replace(attack, engine=ATTACKS[attack.name].engine)
