"""Which trials the ladder of attacks is being climbed on. What the next rung is says `app.worker.escalation`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.records.attack import Threat

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class UnderWay:
    """A climb that was asked for and has not come to its end."""

    study: str
    trial_id: str
    threat: Threat


def begin(db: Database, climb: UnderWay) -> None:
    """From now on a rung follows on the other. Inside the caller's transaction."""
    db.execute(
        "INSERT OR IGNORE INTO escalation (study, trial_id, norm, eps, asked_at) VALUES (?, ?, ?, ?, ?)",
        (climb.study, climb.trial_id, climb.threat.norm, climb.threat.eps, time.time()),
    )


def end(db: Database, climb: UnderWay) -> None:
    """Nothing follows any more. Inside the caller's transaction."""
    db.execute(
        "DELETE FROM escalation WHERE study = ? AND trial_id = ? AND norm = ? AND eps = ?",
        (climb.study, climb.trial_id, climb.threat.norm, climb.threat.eps),
    )


def between_rungs(db: Database, trial_id: str | None = None) -> list[UnderWay]:
    """Climbs (on one trial, if named) whose last rung has been tried. One that failed or was cancelled waits for a retry.

    It is asked after each evaluation, so what is climbed on is passed, and not what is done.
    """
    rows = db.execute(
        "SELECT x.study, x.trial_id, x.norm, x.eps FROM escalation x CROSS JOIN study_trial st ON st.study = x.study "
        f"AND st.trial_id = x.trial_id WHERE st.state = 'done' {'' if trial_id is None else 'AND x.trial_id = ?'} "
        "ORDER BY x.asked_at, x.study, x.trial_id, x.eps",
        () if trial_id is None else (trial_id,),
    )
    return [UnderWay(study, trial, Threat(norm, eps)) for study, trial, norm, eps in rows.fetchall()]
