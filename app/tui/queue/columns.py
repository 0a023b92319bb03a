"""The columns of the queue's table. To add a column: a Column here, and its value in `listed`."""

from __future__ import annotations

from collections.abc import Callable

from app.report.progress import phase_name
from app.report.status import UnfinishedTrial
from app.tui.widgets.grid import Cell, Column, Row


def key_of(row: Row) -> tuple[str, str]:
    """Under which a row is marked: (study, trial id)."""
    return row["study"], row["trial_id"]


def listed(trial: UnfinishedTrial) -> Row:
    """What the table shows of a trial. What moves each second (share, pace) is the panels' to show: a line of the table is
    drawn again only when it says something else."""
    if trial.state == "running":
        told = "STALLED in " if trial.stalled else ""
        told += phase_name(None if trial.running is None else trial.running.phase)
    else:
        told = trial.waits_for or trial.reason or ""
    return {
        "study": trial.study,
        "trial_id": trial.trial_id,
        "state": trial.state,
        "label": trial.label,
        "priority": trial.priority,
        "attempts": trial.attempts,
        "stalled": trial.stalled,
        "told": " ".join(told.split()),
    }


def _state(row: Row) -> Cell:
    return ("stalled", "failed") if row["stalled"] else (row["state"], row["state"])


def _told(row: Row) -> Cell:
    return row["told"], "failed" if row["state"] == "failed" or row["stalled"] else ""


def _text(key: str, colour: str = "") -> Callable[[Row], Cell]:
    return lambda row: (str(row[key]), colour)


def _number(key: str) -> Callable[[Row], Cell]:
    return lambda row: (str(row[key]) if row[key] else "", "")


_ID = Column("id", "trial", 10, lambda row: (row["trial_id"][:10], "dim"))
_STATE = Column("state", "state", 8, _state)
_STUDY = Column("study", "study", 9, _text("study", "dim"))
_WHAT = Column("what", "what", 21, _text("label"))
_WIDE_WHAT = Column("wide what", "what", 34, _text("label"))
_PRIORITY = Column("priority", "prio", 5, _number("priority"), right=True)
_TRIES = Column("tries", "tries", 6, _number("attempts"), right=True)
_REASON = Column("reason", "why it waits or failed", 200, _told)
COLUMNS = [_STATE, _STUDY, _WHAT, _PRIORITY, _REASON]
WIDE_COLUMNS = [_ID, _STATE, _STUDY, _WIDE_WHAT, _PRIORITY, _TRIES, _REASON]
