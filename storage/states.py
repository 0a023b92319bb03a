"""Where a trial stands in a study, worked out from what is stored: shared by submitting, settling and deleting.

A trial is done when its weights exist and every attack of the study has been evaluated on the study's samples.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from core.records import AttackSpec, Bools, CleanOutcome, Ledger, Threat
from core.scoring import score_trial

if TYPE_CHECKING:
    from sqlite_utils import Database

_WANTED = """
    SELECT a.id, a.spec, e.state, e.reason FROM (
        SELECT attack_id, position FROM study_attack WHERE study = :study
        UNION
        SELECT attack_id, 1000000 FROM trial_attack WHERE study = :study AND trial_id = :trial
            AND attack_id NOT IN (SELECT attack_id FROM study_attack WHERE study = :study)
    ) w
    JOIN attack a ON a.id = w.attack_id
    LEFT JOIN evaluation e ON e.trial_id = :trial AND e.attack_id = a.id
        AND e.samples = (SELECT samples FROM study WHERE name = :study)
    ORDER BY w.position
"""


def missing_attacks(db: Database, study: str, trial_id: str) -> list[AttackSpec]:
    """The attacks of the study, extra ones of this trial included, that have not been tried on it."""
    rows = db.query(_WANTED, {"study": study, "trial": trial_id})
    return [AttackSpec.from_json(json.loads(row["spec"])) for row in rows if row["state"] is None]


def lacks_clean(db: Database, study: str, trial_id: str) -> bool:
    """Whether the clean outcome on the study's samples is still wanted."""
    return not db.execute(
        "SELECT 1 FROM clean WHERE trial_id = ? AND samples = (SELECT samples FROM study WHERE name = ?)",
        (trial_id, study),
    ).fetchone()


def standing(db: Database, study: str, trial_id: str) -> tuple[str, str | None]:
    """(state, reason): done, failed, or queued while anything is missing."""
    trial = db.execute("SELECT weights, failure FROM trial WHERE id = ?", (trial_id,)).fetchone()
    weights, failure = trial
    if failure is not None:
        return "failed", failure
    if weights is None or lacks_clean(db, study, trial_id):
        return "queued", None
    rows = list(db.query(_WANTED, {"study": study, "trial": trial_id}))
    if any(row["state"] is None for row in rows):
        return "queued", None
    failed = next((row for row in rows if row["state"] == "failed"), None)
    if failed is not None:
        attack = json.loads(failed["spec"])["name"]
        return "failed", f"{attack}: {failed['reason']}"
    return "done", None


def settle_in(db: Database, study: str, trial_id: str) -> str:
    """Write where the trial stands in the study, with its scores if it is done. Inside the caller's transaction."""
    state, reason = standing(db, study, trial_id)
    db.execute(
        "UPDATE study_trial SET state = ?, reason = ? WHERE study = ? AND trial_id = ?",
        (state, reason, study, trial_id),
    )
    if state == "done":
        rescore(db, study, trial_id)
    return state


def rescore(db: Database, study: str, trial_id: str) -> None:
    """Scores and verdict of one trial in one study, from its ledgers under the study's own attacks."""
    (norm, eps, samples) = db.execute(
        "SELECT threat_norm, threat_eps, samples FROM study WHERE name = ?", (study,)
    ).fetchone()
    results = []
    rows = list(
        db.query(
            "SELECT e.id, a.spec FROM study_attack sa JOIN attack a ON a.id = sa.attack_id "
            "JOIN evaluation e ON e.attack_id = a.id AND e.trial_id = ? AND e.samples = ? AND e.state = 'done' "
            "WHERE sa.study = ? ORDER BY sa.position",
            (trial_id, samples, study),
        )
    )
    for row in rows:
        results.append((AttackSpec.from_json(json.loads(row["spec"])), ledgers(db, row["id"])))
    scored = score_trial(clean_outcome(db, trial_id, samples), results, Threat(norm, eps) if norm is not None else None)
    db.execute("DELETE FROM score WHERE study = ? AND trial_id = ?", (study, trial_id))
    db.conn.executemany(
        "INSERT INTO score (study, trial_id, name, value, low, high) VALUES (?, ?, ?, ?, ?, ?)",
        [(study, trial_id, score.name, score.value, score.low, score.high) for score in scored.scores],
    )
    db.execute(
        "UPDATE study_trial SET trust = ?, trust_reasons = ? WHERE study = ? AND trial_id = ?",
        (scored.trust, json.dumps(scored.reasons), study, trial_id),
    )


def clean_outcome(db: Database, trial_id: str, samples: str) -> CleanOutcome:
    """The stored clean outcome; it must exist."""
    row = db.execute(
        "SELECT count, classes, majority_share, top_prediction_share, correct FROM clean "
        "WHERE trial_id = ? AND samples = ?",
        (trial_id, samples),
    ).fetchone()
    count, classes, majority, top, correct = row
    return CleanOutcome(unpacked(correct, count), classes, majority, top)


def ledgers(db: Database, evaluation_id: int) -> list[Ledger]:
    """The ledgers of one evaluation, upwards in ε."""
    rows: list[dict[str, Any]] = list(
        db.query(
            "SELECT l.eps, l.adversarial_accuracy, c.bitmap, c.distances, e.count FROM ledger l "
            "JOIN ledger_content c USING (evaluation_id, position) JOIN evaluation e ON e.id = l.evaluation_id "
            "WHERE l.evaluation_id = ? ORDER BY l.position",
            (evaluation_id,),
        )
    )
    return [
        Ledger(
            eps=row["eps"],
            survived=unpacked(row["bitmap"], row["count"]),
            distances=None if row["distances"] is None else np.frombuffer(row["distances"], "<f4"),
            adversarial_accuracy=row["adversarial_accuracy"],
        )
        for row in rows
    ]


def packed(bits: Bools) -> bytes:
    """One bit per sample, the first sample highest."""
    return np.packbits(bits).tobytes()


def unpacked(data: bytes, count: int) -> Bools:
    """The inverse of `packed` for `count` samples."""
    return np.unpackbits(np.frombuffer(data, np.uint8), count=count).astype(np.bool_)
