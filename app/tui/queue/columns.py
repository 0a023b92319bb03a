"""The columns of the queue's table. To add a column: a Column here, and its value in QueueLine."""

from __future__ import annotations

from dataclasses import dataclass

from app.report.progress import phase_name
from app.report.status import UnfinishedTrial
from app.tui.widgets.grid import Cell, Column
from core.names import short_id


@dataclass(frozen=True)
class QueueLine:
    """A trial of a study that is not at its end; `told`: what it does, why it waits, or why it failed."""

    study: str
    trial_id: str
    state: str
    label: str
    priority: int
    attempts: int
    stalled: bool
    told: str

    @property
    def key(self) -> tuple[str, str]:
        """Under which it is marked."""
        return self.study, self.trial_id


def listed(trial: UnfinishedTrial) -> QueueLine:
    """What the table shows of a trial. What moves each second (share, pace) is the panels' to show: a line of the table is
    drawn again only when it says something else."""
    if trial.state == "running":
        told = "STALLED in " if trial.stalled else ""
        told += phase_name(None if trial.running is None else trial.running.phase)
    else:
        told = trial.waits_for or trial.reason or ""
    return QueueLine(
        trial.study,
        trial.trial_id,
        trial.state,
        trial.label,
        trial.priority,
        trial.attempts,
        trial.stalled,
        " ".join(told.split()),
    )


def _state(line: QueueLine) -> Cell:
    return ("stalled", "failed") if line.stalled else (line.state, line.state)


def _told(line: QueueLine) -> Cell:
    return line.told, "failed" if line.state == "failed" or line.stalled else ""


def _number(value: int) -> Cell:
    return str(value) if value else "", ""


_ID = Column[QueueLine]("id", "trial", 10, lambda line: (short_id(line.trial_id), "dim"))
_STATE = Column("state", "state", 8, _state)
_STUDY = Column[QueueLine]("study", "study", 9, lambda line: (line.study, "dim"))
_WHAT = Column[QueueLine]("what", "what", 21, lambda line: (line.label, ""))
_WIDE_WHAT = Column[QueueLine]("wide what", "what", 34, lambda line: (line.label, ""))
_PRIORITY = Column[QueueLine]("priority", "prio", 5, lambda line: _number(line.priority), right=True)
_TRIES = Column[QueueLine]("tries", "tries", 6, lambda line: _number(line.attempts), right=True)
_REASON = Column("reason", "why it waits or failed", 200, _told)
COLUMNS = [_STATE, _STUDY, _WHAT, _PRIORITY, _REASON]
WIDE_COLUMNS = [_ID, _STATE, _STUDY, _WIDE_WHAT, _PRIORITY, _TRIES, _REASON]
