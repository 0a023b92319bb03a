"""Audits of trained models: which a study wants, which are missing, what they found."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from core.audit import AuditedRadius, AuditRun, AuditSpec
from core.events import Audited, AuditFailed
from core.records.attack import AttackSpec
from core.verdict.audited import overstated_at_most
from core.verdict.trust.entry import AuditFound, Further

if TYPE_CHECKING:
    from sqlite_utils import Database

_WANTED = (
    "SELECT sa.spec, a.state, a.reason FROM study_audit sa LEFT JOIN audit a ON a.trial_id = ? AND a.spec_id = sa.spec_id "
    "AND a.samples = (SELECT samples FROM study WHERE name = sa.study) WHERE sa.study = ? ORDER BY sa.position"
)


def want(db: Database, study: str, specs: Sequence[AuditSpec]) -> None:
    """From now on these are the study's audits. Inside the caller's transaction."""
    db.execute("DELETE FROM study_audit WHERE study = ?", (study,))
    db.conn.executemany(
        "INSERT INTO study_audit (study, spec_id, norm, spec, position) VALUES (?, ?, ?, ?, ?)",
        [(study, spec.id, spec.norm, json.dumps(spec.as_json()), position) for position, spec in enumerate(specs)],
    )


def wanted(db: Database, study: str) -> tuple[AuditSpec, ...]:
    """The audits that a study wants of each of its models."""
    rows = db.execute("SELECT spec FROM study_audit WHERE study = ? ORDER BY position", (study,))
    return tuple(AuditSpec.from_json(json.loads(spec)) for (spec,) in rows.fetchall())


def missing(db: Database, study: str, trial_id: str) -> list[AuditSpec]:
    """Those of them that have not been made of one trial."""
    rows = db.execute(_WANTED, (trial_id, study)).fetchall()
    return [AuditSpec.from_json(json.loads(spec)) for spec, state, _ in rows if state is None]


def failure(db: Database, study: str, trial_id: str) -> str | None:
    """Why an audit that the study wants of the trial could not be made; None where none failed."""
    rows = db.execute(_WANTED, (trial_id, study)).fetchall()
    return next((str(reason) for _, state, reason in rows if state == "failed"), None)


def passes_so_far(db: Database, trial_id: str, samples: str) -> int:
    """Images that went through the model in the attacks stored of these samples, forward and backward."""
    row = db.execute(
        "SELECT sum(forward_passes + backward_passes) FROM evaluation WHERE trial_id = ? AND samples = ? AND state = 'done'",
        (trial_id, samples),
    ).fetchone()
    return int(row[0] or 0)


def record(db: Database, trial_id: str, attempt_id: int, event: Audited) -> None:
    """One audit, whole, in place of an earlier one of the same kind. Inside the caller's transaction."""
    audit = _insert(
        db,
        event,
        trial_id,
        attempt_id,
        state="done",
        count=len(event.fell_at),
        forward_passes=event.forward_passes,
        backward_passes=event.backward_passes,
        seconds=event.seconds,
        batch_size=event.batch_size,
        notes=json.dumps(event.notes),
        runs=json.dumps([{**asdict(run), "attack": run.attack.as_json()} for run in event.runs]),
    )
    db.execute(
        "INSERT INTO audit_content (audit_id, fell_at) VALUES (?, ?)", (audit, event.fell_at.astype("<f4").tobytes())
    )
    db.conn.executemany(
        "INSERT INTO audit_radius (audit_id, eps, standing, audited, fell, broken, rounds, attacks, felled_by, "
        "overstated_at_most) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                audit,
                one.eps,
                one.standing,
                one.audited,
                one.fell,
                one.broken,
                one.rounds,
                json.dumps(one.attacks),
                json.dumps(one.felled_by),
                overstated_at_most(one, len(event.fell_at)),
            )
            for one in event.radii
        ],
    )


def record_failed(db: Database, trial_id: str, attempt_id: int, event: AuditFailed) -> None:
    """An audit that could not be carried out, with the reason. Inside the caller's transaction."""
    _insert(db, event, trial_id, attempt_id, state="failed", reason=event.reason, traceback=event.traceback)


def _insert(db: Database, event: Audited | AuditFailed, trial_id: str, attempt_id: int, **columns: Any) -> int:
    key = (trial_id, event.spec.id, event.samples)
    db.execute("DELETE FROM audit WHERE trial_id = ? AND spec_id = ? AND samples = ?", key)
    names = ["trial_id", "spec_id", "samples", "norm", "spec", "attempt_id", "finished_at", *columns]
    cursor = db.execute(
        f"INSERT INTO audit ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        (*key, event.spec.norm, json.dumps(event.spec.as_json()), attempt_id, time.time(), *columns.values()),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def found(db: Database, study: str, trial_id: str) -> dict[int, AuditFound]:
    """Audit id → what it came to: those that the study wants and has of the trial."""
    rows = db.execute(
        "SELECT a.id, a.norm FROM study_audit sa JOIN audit a ON a.spec_id = sa.spec_id AND a.trial_id = ? "
        "AND a.samples = (SELECT samples FROM study WHERE name = sa.study) AND a.state = 'done' "
        "WHERE sa.study = ? ORDER BY sa.position",
        (trial_id, study),
    ).fetchall()
    return {int(audit): AuditFound(str(norm), radii(db, int(audit))) for audit, norm in rows}


def radii(db: Database, audit_id: int) -> tuple[AuditedRadius, ...]:
    """What one audit came to at each of its ε, upwards."""
    rows = db.query(
        "SELECT eps, standing, audited, fell, broken, rounds, attacks, felled_by FROM audit_radius WHERE audit_id = ? "
        "ORDER BY eps",
        (audit_id,),
    )
    return tuple(
        AuditedRadius.from_json(
            {**row, "attacks": json.loads(row["attacks"]), "felled_by": json.loads(row["felled_by"])}
        )
        for row in rows
    )


def broken(db: Database, trial_id: str, samples: str) -> list[Further]:
    """The images that audits of a trial found, whatever study wanted them."""
    rows = db.execute(
        "SELECT a.norm, c.fell_at FROM audit a JOIN audit_content c ON c.audit_id = a.id "
        "WHERE a.trial_id = ? AND a.samples = ? AND a.state = 'done'",
        (trial_id, samples),
    )
    return [Further(str(norm), np.frombuffer(fell_at, "<f4")) for norm, fell_at in rows.fetchall()]


def breaking_attacks(db: Database, study: str) -> list[AttackSpec]:
    """The attacks of audits that broke some model of the study, each once."""
    rows = db.execute(
        "SELECT a.runs FROM study_audit sa JOIN audit a ON a.spec_id = sa.spec_id AND a.state = 'done' "
        "JOIN study_trial st ON st.study = sa.study AND st.trial_id = a.trial_id WHERE sa.study = ? ORDER BY a.id",
        (study,),
    )
    runs = [
        AuditRun(AttackSpec.from_json(run["attack"]), run["tried"], run["broke"])
        for (text,) in rows.fetchall()
        for run in json.loads(text)
    ]
    return list({run.attack.id: run.attack for run in runs if run.broke}.values())
