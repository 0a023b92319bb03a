"""What scored trials of a study still wait for: their numbers are those of before, and whoever shows them says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage import queries

if TYPE_CHECKING:
    from sqlite_utils import Database


def waiting_note(db: Database, study: str) -> str | None:
    """One sentence; None where every scored trial is done."""
    count = queries.waiting_trials(db, study)
    if count == 0:
        return None
    names = ", ".join(queries.waiting_attacks(db, study)) or "their turn"
    who = "1 of these trials waits" if count == 1 else f"{count} of these trials wait"
    return f"{who} for {names}; until then the numbers are those of before"
