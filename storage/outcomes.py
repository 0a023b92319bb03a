"""Clean outcomes and ledgers as they are stored, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from core.records.outcome import Bools, CleanOutcome, Ledger

if TYPE_CHECKING:
    from sqlite_utils import Database


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
    rows = db.execute(
        "SELECT l.eps, l.adversarial_accuracy, c.bitmap, c.distances, e.count FROM ledger l "
        "JOIN ledger_content c USING (evaluation_id, position) JOIN evaluation e ON e.id = l.evaluation_id "
        "WHERE l.evaluation_id = ? ORDER BY l.position",
        (evaluation_id,),
    ).fetchall()
    return [
        Ledger(
            eps=eps,
            survived=unpacked(bitmap, count),
            distances=None if distances is None else np.frombuffer(distances, "<f4"),
            adversarial_accuracy=accuracy,
        )
        for eps, accuracy, bitmap, distances, count in rows
    ]


def packed(bits: Bools) -> bytes:
    """One bit per sample, the first sample highest."""
    return np.packbits(bits).tobytes()


def unpacked(data: bytes, count: int) -> Bools:
    """The inverse of `packed` for `count` samples."""
    return np.unpackbits(np.frombuffer(data, np.uint8), count=count).astype(np.bool_)
