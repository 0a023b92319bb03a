"""What a study's numbers lack: attacks that scored trials still wait for, and trials that came to nothing. Whoever shows the
numbers says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.report.labels import Made, trial_label
from storage import queries, queue, studies

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
    counts = queue.remaining(db, study)
    states = [state for state in ("failed", "cancelled") if state in counts]
    if not states:
        return None
    shown = [row for state in states for row in queries.trials(db, study, state=state, limit=_MOST_NAMES)][:_MOST_NAMES]
    document = studies.document(db, study)
    told = ", ".join(f"{trial_label(Made.of_row(row), document)} {row.state}" for row in shown)
    left = sum(counts[state] for state in states) - len(shown)
    more = f" and {left} more" if left else ""
    state = states[0]
    return f"Without a result, so not here: {told}{more}; see innate trials --study {study} --state {state}"
