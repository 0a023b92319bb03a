"""How fast attacks went on models alike, as far as it was measured here: what a forecast is made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.records.attack import AttackSpec

if TYPE_CHECKING:
    from sqlite_utils import Database

_RECENT = 50
"""Evaluations, the last ones, that a rate is a mean over: the machine may have been another before."""


def seconds_per_pass(db: Database, dataset: str, architecture: str | None) -> float | None:
    """Mean seconds for an image through a model of an architecture, forward or backward; None where none was attacked."""
    row = db.execute(
        "SELECT sum(seconds) / sum(passes) FROM (SELECT e.seconds, e.forward_passes + e.backward_passes AS passes "
        "FROM evaluation e JOIN trial t ON t.id = e.trial_id WHERE e.state = 'done' AND t.dataset = ? AND t.architecture IS ? "
        "AND e.forward_passes > 0 ORDER BY e.id DESC LIMIT ?)",
        (dataset, architecture, _RECENT),
    ).fetchone()
    return None if row[0] is None else float(row[0])


def seconds_per_radius(db: Database, attack: AttackSpec, dataset: str, architecture: str | None) -> float | None:
    """Mean seconds per test image and ε (of a minimum-norm attack: per image) of attacks alike but for ε and seed; None where
    none was carried out."""
    row = db.execute(
        "SELECT avg(each) FROM (SELECT e.seconds / e.count / max(1, json_array_length(a.spec, '$.eps')) AS each "
        "FROM evaluation e JOIN attack a ON a.id = e.attack_id JOIN trial t ON t.id = e.trial_id WHERE e.state = 'done' "
        "AND e.count > 0 AND a.name = ? AND a.norm = ? AND json_extract(a.spec, '$.params') = json(?) AND t.dataset = ? "
        "AND t.architecture IS ? ORDER BY e.id DESC LIMIT ?)",
        (attack.name, attack.norm, json.dumps(dict(attack.params)), dataset, architecture, _RECENT),
    ).fetchone()
    return None if row[0] is None else float(row[0])


@dataclass(frozen=True)
class Tested:
    """What a study attacks its models on: so many classes, so many test images; None before any was looked at."""

    classes: int
    images: int | None


def tested(db: Database, study: str) -> Tested:
    """Of a study that is there."""
    row = db.execute(
        "SELECT json_array_length(s.class_names), (SELECT max(c.count) FROM clean c "
        "JOIN study_trial st ON st.trial_id = c.trial_id WHERE c.samples = s.samples AND st.study = s.name) "
        "FROM study s WHERE s.name = ?",
        (study,),
    ).fetchone()
    return Tested(int(row[0]), row[1])


def architectures(db: Database, study: str) -> dict[str, str | None]:
    """Trial id → its architecture, of every trial of a study."""
    rows = db.execute(
        "SELECT t.id, t.architecture FROM study_trial st JOIN trial t ON t.id = st.trial_id WHERE st.study = ?",
        (study,),
    )
    return dict(rows.fetchall())


def untried(db: Database, study: str, trials: Sequence[str], attack_id: str) -> list[str]:
    """Those of `trials` that have not had an attack on the study's test images, or on which it failed."""
    rows = db.execute(
        "SELECT trial_id FROM evaluation WHERE attack_id = ? AND state = 'done' "
        "AND samples = (SELECT samples FROM study WHERE name = ?)",
        (attack_id, study),
    )
    had = {str(trial_id) for (trial_id,) in rows.fetchall()}
    return [trial_id for trial_id in trials if trial_id not in had]


def unaudited(db: Database, study: str, trials: Sequence[str], spec_id: str) -> list[str]:
    """Those of `trials` of which an audit has not been made."""
    rows = db.execute(
        "SELECT trial_id FROM audit WHERE spec_id = ? AND state = 'done' "
        "AND samples = (SELECT samples FROM study WHERE name = ?)",
        (spec_id, study),
    )
    had = {str(trial_id) for (trial_id,) in rows.fetchall()}
    return [trial_id for trial_id in trials if trial_id not in had]
