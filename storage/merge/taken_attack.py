"""Evaluations and audits of a trial from another home, brought into this one. Inside the caller's transaction.

An evaluation that failed here gives way to one that was carried out; where both were, this home's stays. Shares, bounds and
trust are worked out from the ledgers.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from core.records.outcome import Trace
from core.verdict.audited import overstated_at_most
from core.verdict.trust import trust_of_evaluation
from core.verdict.trust.entry import Evaluated
from storage.merge.checked_attack import attack_of
from storage.merge.checked_audit import AuditTold
from storage.merge.checked_trial import EvaluationTold, TrialTold
from storage.merge.opened import Other
from storage.merge.tally import Differing, Tally
from storage.merge.values import Unsound
from storage.outcomes import clean_outcome, ledgers, unpacked
from storage.specs import store_attack

if TYPE_CHECKING:
    from sqlite_utils import Database


def take_evaluation(
    db: Database, other: Other, told: TrialTold, found: EvaluationTold, attempts: Mapping[int, int], tally: Tally
) -> bool:
    trial_id, row = told.row["id"], found.row
    key = (trial_id, row["attack_id"], row["samples"])
    own = db.execute(
        "SELECT id, state FROM evaluation WHERE trial_id = ? AND attack_id = ? AND samples = ?", key
    ).fetchone()
    if own is not None:
        if own[1] == "failed" and row["state"] == "done":
            db.execute("DELETE FROM evaluation WHERE id = ?", (own[0],))
        else:
            if own[1] == row["state"] == "done":
                _compare(db, other, told, found, own[0], tally)
            return False
    attack = attack_of(other, row["attack_id"])
    store_attack(db, attack)
    columns = [name for name in row if name not in ("id", "attempt_id")]
    cursor = db.execute(
        f"INSERT INTO evaluation (trial_id, attempt_id, {', '.join(columns)}) VALUES (?, ?{', ?' * len(columns)})",
        (trial_id, attempts.get(row["attempt_id"]), *(row[name] for name in columns)),
    )
    evaluation = cursor.lastrowid
    assert evaluation is not None
    for one in found.ledgers:
        survived = unpacked(one.bitmap, row["count"])
        position = one.row["position"]
        db.execute(
            "INSERT INTO ledger (evaluation_id, position, eps, survived, robust_accuracy, adversarial_accuracy) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (
                evaluation,
                position,
                one.row["eps"],
                int(survived.sum()),
                float(survived.mean()),
                one.row["adversarial_accuracy"],
            ),
        )
        db.execute(
            "INSERT INTO ledger_content (evaluation_id, position, bitmap, distances) VALUES (?, ?, ?, ?)",
            (evaluation, position, one.bitmap, one.distances),
        )
    for example in found.examples:
        db.execute(
            f"INSERT INTO example (evaluation_id, {', '.join(example)}) VALUES (?{', ?' * len(example)})",
            (evaluation, *example.values()),
        )
    if row["state"] == "done":
        clean = clean_outcome(db, trial_id, row["samples"])
        if len(clean.correct) != row["count"]:
            raise Unsound(f"evaluation by {attack.name}: it counts other samples than this home's clean outcome")
        traces = [Trace.from_json(trace) for trace in json.loads(row["traces"] or "[]")]
        trust, reasons = trust_of_evaluation(clean, Evaluated(attack, ledgers(db, evaluation), traces))
        db.execute(
            "UPDATE evaluation SET trust = ?, trust_reasons = ? WHERE id = ?",
            (trust, json.dumps([reason.text for reason in reasons]), evaluation),
        )
    tally.evaluations += 1
    return True


def _compare(db: Database, other: Other, told: TrialTold, found: EvaluationTold, own: int, tally: Tally) -> None:
    """Note on how many samples both outcomes of one attack differ."""
    count = found.row["count"]
    differs = np.zeros(count, np.bool_)
    for here, there in zip(ledgers(db, own), found.ledgers, strict=False):
        if len(here.survived) != count:
            raise Unsound("table evaluation: it counts other samples than this home's")
        differs |= here.survived != unpacked(there.bitmap, count)
        if here.distances is not None and there.distances is not None:
            differs |= here.distances != np.frombuffer(there.distances, "<f4")
    if differs.any():
        attack = attack_of(other, found.row["attack_id"])
        tally.differing.append(Differing(told.row["id"], attack.id, attack.name, int(differs.sum()), count))


def take_audit(db: Database, trial_id: str, found: AuditTold, attempts: Mapping[int, int], tally: Tally) -> bool:
    row = found.row
    key = (trial_id, row["spec_id"], row["samples"])
    own = db.execute("SELECT id, state FROM audit WHERE trial_id = ? AND spec_id = ? AND samples = ?", key).fetchone()
    if own is not None:
        if own[1] == "done" or row["state"] == "failed":
            return False
        db.execute("DELETE FROM audit WHERE id = ?", (own[0],))
    columns = [name for name in row if name not in ("id", "attempt_id")]
    audit = db.execute(
        f"INSERT INTO audit (trial_id, attempt_id, {', '.join(columns)}) VALUES (?, ?{', ?' * len(columns)})",
        (trial_id, attempts.get(row["attempt_id"]), *(row[name] for name in columns)),
    ).lastrowid
    if found.fell_at is not None:
        db.execute("INSERT INTO audit_content (audit_id, fell_at) VALUES (?, ?)", (audit, found.fell_at))
    for one in found.radii:
        told = {**one.as_json(), "attacks": json.dumps(one.attacks), "felled_by": json.dumps(one.felled_by)}
        db.execute(
            f"INSERT INTO audit_radius (audit_id, overstated_at_most, {', '.join(told)}) VALUES (?, ?{', ?' * len(told)})",
            (audit, overstated_at_most(one, row["count"]), *told.values()),
        )
    tally.audits += 1
    return True
