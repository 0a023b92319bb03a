"""How imported weights were read, kept among the events of their trial: each import leaves one, and proof outlasts a guess."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING

from core.records.trial import ImportRecord
from storage.codec import Misfit, decoded, encoded

if TYPE_CHECKING:
    from sqlite_utils import Database

KIND = "Imported"
"""Of those events."""


def write_import_record(db: Database, trial_id: str, record: ImportRecord) -> None:
    """Within the transaction of the import."""
    db.execute(
        "INSERT INTO event (at, kind, trial_id, content) VALUES (?, ?, ?, ?)",
        (time.time(), KIND, trial_id, json.dumps(encoded(record))),
    )


def import_record(db: Database, trial_id: str) -> ImportRecord | None:
    """The last one that rests on no guess, else the last; None where none was kept.

    What was written of an earlier trial of the same address, which has been deleted since, is left out, and so is what another
    version wrote in a way that is not understood.
    """
    found = None
    for (content,) in db.execute(
        "SELECT e.content FROM event e JOIN trial t ON t.id = e.trial_id "
        "WHERE e.trial_id = ? AND e.kind = ? AND e.at >= t.created_at ORDER BY e.id",
        (trial_id, KIND),
    ).fetchall():
        with contextlib.suppress(Misfit):
            record = decoded(ImportRecord, json.loads(content))
            if found is None or not record.guesses or found.guesses:
                found = record
    return found


def guesses(db: Database, trial_id: str) -> tuple[str, ...]:
    """What nothing proves of how a trial's imported weights were read."""
    record = import_record(db, trial_id)
    return () if record is None else record.guesses
