"""Traits of trained models: what has been measured, and of which models it is still to be."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import TYPE_CHECKING

from core.events import TraitsMeasured
from core.traits import TRAITS, Measured, Traits
from storage.database import transaction

if TYPE_CHECKING:
    from sqlite_utils import Database

_LACKING = (
    "SELECT DISTINCT d.trial_id FROM json_each(?) wanted CROSS JOIN diagnosis d ON d.trial_id = wanted.value "
    "CROSS JOIN trial t ON t.id = d.trial_id "
    "WHERE d.samples = ? AND t.weights IS NOT NULL AND NOT t.weights_removed AND t.failure IS NULL "
    "AND NOT EXISTS (SELECT 1 FROM traits m WHERE m.trial_id = d.trial_id AND m.samples = d.samples)"
)


def record(db: Database, trial_id: str, event: TraitsMeasured) -> None:
    """In place of what was known."""
    names = [one.name for one in fields(Measured)]
    with transaction(db):
        db.execute(
            f"INSERT OR REPLACE INTO traits (trial_id, samples, {', '.join(names)}, made_at) "
            f"VALUES (?, ?, {', '.join('?' * len(names))}, ?)",
            (trial_id, event.samples, *asdict(event.traits).values(), time.time()),
        )


def missing(db: Database, study: str, trial_id: str) -> bool:
    """Whether the trial's traits have not been measured on the study's samples."""
    found = db.execute(
        "SELECT 1 FROM traits WHERE trial_id = ? AND samples = (SELECT samples FROM study WHERE name = ?)",
        (trial_id, study),
    ).fetchone()
    return found is None


def lacking(db: Database, samples: str, trials: Iterable[str]) -> set[str]:
    """Those of `trials` that an earlier version looked at on these samples, without measuring this, and whose weights are kept: a
    pass away from being complete, without any training."""
    return {str(trial_id) for (trial_id,) in db.execute(_LACKING, (json.dumps(list(trials)), samples)).fetchall()}


def known(db: Database, study: str) -> dict[str, Traits]:
    """Trial id → what is known of it, of every trial of `study` that has a clean accuracy."""
    return _read(db, "trial_id", "study", study)


def of_trial(db: Database, trial_id: str) -> dict[str, Traits]:
    """Study → what is known of the trial on that study's samples."""
    return _read(db, "study", "trial_id", trial_id)


def _read(db: Database, key: str, column: str, value: str) -> dict[str, Traits]:
    rows = db.execute(f"SELECT {key}, {', '.join(TRAITS)} FROM v_traits WHERE {column} = ?", (value,))
    return {
        str(name): {trait: float(one) for trait, one in zip(TRAITS, values, strict=True) if one is not None}
        for name, *values in rows
    }
