"""What a study's numbers lack: attacks that scored trials still wait for, and trials that came to nothing. Whoever shows the
numbers says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.report.variants import trial_labels
from storage import queries

if TYPE_CHECKING:
    from sqlite_utils import Database

_MOST_NAMES = 3


def waiting_note(db: Database, study: str) -> str | None:
    """One sentence; None where every scored trial is done."""
    count = queries.waiting_trials(db, study)
    if count == 0:
        return None
    names = ", ".join(queries.waiting_attacks(db, study)) or "their turn"
    who = "1 of these trials waits" if count == 1 else f"{count} of these trials wait"
    return f"{who} for {names}; until then the numbers are those of before"


def missing_notes(db: Database, study: str) -> list[str]:
    """Both, a sentence each; none where nothing is missing."""
    return [note for note in (waiting_note(db, study), failed_note(db, study)) if note is not None]


def failed_note(db: Database, study: str) -> str | None:
    """Which trials failed or were cancelled and so stand nowhere; None where none did."""
    gone = [row for state in ("failed", "cancelled") for row in queries.trials(db, study, state=state)]
    if not gone:
        return None
    names = trial_labels(queries.trials(db, study))
    told = ", ".join(f"{names[row.trial_id]} {row.state}" for row in gone[:_MOST_NAMES])
    more = f" and {len(gone) - _MOST_NAMES} more" if len(gone) > _MOST_NAMES else ""
    state = gone[0].state if len({row.state for row in gone}) == 1 else "failed"
    return f"Without a result, so not here: {told}{more}; see innate trials --study {study} --state {state}"
