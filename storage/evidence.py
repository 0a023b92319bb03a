"""All that is stored of one trial that speaks for or against its numbers in a study."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from core.audit import AuditSpec
from core.records.attack import AttackSpec, Threat
from core.records.outcome import Bools, Diagnosis, Trace
from core.verdict.ledgers import least_radii
from core.verdict.trust.entry import EpochAccuracy, Evaluated, Evidence, Further
from core.verdict.trust.known import known_standing
from core.verdict.trust.ladder import standing_before
from core.verdict.trust.looks import radii_to_look_at
from storage import audits
from storage.import_records import guesses
from storage.outcomes import clean_outcome, ledgers, unpacked

if TYPE_CHECKING:
    from sqlite_utils import Database

_OWN = """
    SELECT e.id, a.spec, e.traces FROM study_attack sa JOIN attack a ON a.id = sa.attack_id
    JOIN evaluation e ON e.attack_id = a.id AND e.trial_id = :trial AND e.samples = :samples AND e.state = 'done'
    WHERE sa.study = :study ORDER BY sa.position
"""
_ADDED = """
    SELECT e.id, a.spec, e.traces FROM trial_attack ta JOIN attack a ON a.id = ta.attack_id
    JOIN evaluation e ON e.attack_id = a.id AND e.trial_id = :trial AND e.samples = :samples AND e.state = 'done'
    WHERE ta.study = :study AND ta.trial_id = :trial
        AND ta.attack_id NOT IN (SELECT attack_id FROM study_attack WHERE study = :study)
    ORDER BY e.finished_at, e.id
"""


_ELSEWHERE = """
    SELECT e.id, a.spec FROM evaluation e JOIN attack a ON a.id = e.attack_id
    WHERE e.trial_id = :trial AND e.samples = :samples AND e.state = 'done'
        AND e.attack_id NOT IN (SELECT attack_id FROM study_attack WHERE study = :study)
        AND e.attack_id NOT IN (SELECT attack_id FROM trial_attack WHERE study = :study AND trial_id = :trial)
"""


def wanted_looks(db: Database, study: str) -> dict[str, tuple[float, ...]]:
    """Norm → the radii at which the study's models are to be looked at themselves."""
    norm, eps = db.execute("SELECT threat_norm, threat_eps FROM study WHERE name = ?", (study,)).fetchone()
    rows = db.execute(
        "SELECT a.spec FROM study_attack sa JOIN attack a ON a.id = sa.attack_id WHERE sa.study = ? ORDER BY sa.position",
        (study,),
    )
    attacks = [AttackSpec.from_json(json.loads(spec)) for (spec,) in rows.fetchall()]
    return radii_to_look_at(attacks, None if norm is None else Threat(norm, eps))


def looks(db: Database, study: str, trial_id: str) -> list[Diagnosis]:
    """Those of the wanted looks at a trial's model that there have been."""
    found = []
    for norm, radii in wanted_looks(db, study).items():
        for eps in radii:
            row = db.execute(
                "SELECT content FROM diagnosis WHERE trial_id = ? AND norm = ? AND eps = ? "
                "AND samples = (SELECT samples FROM study WHERE name = ?)",
                (trial_id, norm, eps, study),
            ).fetchone()
            if row is not None:
                found.append(Diagnosis.from_json(json.loads(row[0])))
    return found


def evidence(db: Database, study: str, trial_id: str) -> Evidence:
    """All that is stored of one trial in one study; its clean outcome must exist."""
    norm, eps, samples = db.execute(
        "SELECT threat_norm, threat_eps, samples FROM study WHERE name = ?", (study,)
    ).fetchone()
    key = {"study": study, "trial": trial_id, "samples": samples}
    (defense,) = db.execute("SELECT defense_options FROM trial WHERE id = ?", (trial_id,)).fetchone()
    epochs = db.execute(
        "SELECT epoch, accuracy, probe_accuracy FROM epoch WHERE trial_id = ? ORDER BY epoch", (trial_id,)
    )
    return Evidence(
        clean=clean_outcome(db, trial_id, samples),
        results=_evaluated(db, _OWN, key),
        threat=None if norm is None else Threat(norm, eps),
        looks=looks(db, study, trial_id),
        epochs=[EpochAccuracy(*row) for row in epochs],
        clean_share=float((json.loads(defense) if defense else {}).get("clean_share", 0.0)),
        added=_evaluated(db, _ADDED, key),
        guesses=guesses(db, trial_id),
        common=frozenset(common_attacks(db, study)),
        further=[
            *_elsewhere(db, key),
            *audits.broken(db, trial_id, samples),
            *_fooled_by_others(db, trial_id, samples),
        ],
        audits=tuple(audits.found(db, study, trial_id).values()),
    )


def _elsewhere(db: Database, key: dict[str, str]) -> list[Further]:
    """What attacks of other studies, and those that the study has no more, found on the same samples."""
    found = []
    for evaluation, text in db.execute(_ELSEWHERE, key).fetchall():
        spec = AttackSpec.from_json(json.loads(text))
        fell_at = least_radii(spec, ledgers(db, evaluation))
        if fell_at is not None:
            found.append(Further(spec.norm, fell_at))
    return found


def _evaluated(db: Database, sql: str, key: dict[str, str]) -> list[Evaluated]:
    return [
        Evaluated(
            AttackSpec.from_json(json.loads(spec)),
            ledgers(db, evaluation),
            [Trace.from_json(trace) for trace in json.loads(traces or "[]")],
        )
        for evaluation, spec, traces in db.execute(sql, key).fetchall()
    ]


def _fooled_by_others(db: Database, trial_id: str, samples: str) -> list[Further]:
    """What the images of other models broke of this one."""
    rows = db.execute(
        "SELECT k.norm, x.eps, x.count, x.fooled_bitmap FROM transfer x JOIN attack k ON k.id = x.attack_id "
        "JOIN trial t ON t.id = x.target_id AND t.final_digest = x.target_digest "
        "WHERE x.target_id = ? AND x.samples = ? AND x.fooled_bitmap IS NOT NULL",
        (trial_id, samples),
    )
    return [
        Further(str(norm), np.where(unpacked(bitmap, count), np.float32(eps), np.float32(np.inf)))
        for norm, eps, count, bitmap in rows.fetchall()
    ]


def common_attacks(db: Database, study: str) -> list[str]:
    """Ids of the added attacks that every scored trial of the study has had, as of the last scoring."""
    rows = db.execute("SELECT attack_id FROM study_common WHERE study = ? ORDER BY attack_id", (study,))
    return [str(attack_id) for (attack_id,) in rows.fetchall()]


def left_standing(db: Database, study: str, trial_id: str, attack: AttackSpec) -> Bools | None:
    """[n]: whom the attacks that `attack` comes after left standing; None for an attack that comes after none."""
    if not attack.params.get("after"):
        return None
    known = evidence(db, study, trial_id)
    return standing_before(attack, known.clean, [*known.results, *known.added])


def standing_for(db: Database, study: str, trial_id: str, spec: AuditSpec) -> tuple[Bools, ...] | None:
    """[n] for each ε of an audit: who stands against everything known of the trial; None before its clean outcome is."""
    known = db.execute(
        "SELECT 1 FROM clean WHERE trial_id = ? AND samples = (SELECT samples FROM study WHERE name = ?)",
        (trial_id, study),
    ).fetchone()
    if known is None:
        return None
    all_known = evidence(db, study, trial_id)
    return tuple(known_standing(all_known, spec.norm, eps) for eps in spec.eps)
