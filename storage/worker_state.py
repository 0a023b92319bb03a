"""What a worker tells of itself, once a second at most, and the settings that outlive it.

The lock says whether a worker lives; these rows say what it does. The heartbeat moves while the worker's loop turns, a
trial's progress mark while its child sends events: a beating worker whose trial is silent has a stalled trial. Both
marks are monotonic clock readings, the same for every process of a machine and blind to a clock that is set back.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING, Any

from storage.database import transaction

if TYPE_CHECKING:
    from sqlite_utils import Database

RETENTIONS = ("all", "last", "none")
"""Which checkpoints stay: every attempt's; the trained weights only; nothing once every evaluation is in."""


@dataclass(frozen=True)
class Live:
    """One running trial as `status` shows it."""

    trial_id: str
    slot: int
    device: str
    pid: int | None
    phase: str
    """Such as "loading", "epoch 3/5" or "pgd ε=0.1"."""
    share: float | None
    """Of the phase, in [0, 1]: of all epochs, or of one attack at one ε."""
    detail: str
    """Where it stands, as `training_detail` or `attack_detail` puts it; `figures` reads it back."""
    rate: float | None
    """Images per second."""
    memory: int | None
    """Bytes, of the process or on its device."""
    seconds_left: float | None
    """Of the phase."""
    began_at: float
    progress_mark: float


@dataclass(frozen=True)
class Figures:
    """The numbers in a trial's `detail`; None where it tells of something else."""

    loss: float | None = None
    accuracy: float | None = None
    survivors: int | None = None
    total: int | None = None


_TRAINING = re.compile(r"loss (\S+) acc ([\d.]+|nan)%")
_ATTACK = re.compile(r"(\d+)/(\d+) survive")


def training_detail(loss: float, accuracy: float) -> str:
    return f"loss {loss:.3f} acc {accuracy:.1%}"


def attack_detail(survivors: int, total: int) -> str:
    return f"{survivors}/{total} survive"


def figures(detail: str | None) -> Figures:
    """What `training_detail` or `attack_detail` was given, as far as it was written down."""
    training = _TRAINING.fullmatch(detail or "")
    if training is not None:
        return Figures(loss=float(training[1]), accuracy=float(training[2]) / 100)
    attack = _ATTACK.fullmatch(detail or "")
    return Figures() if attack is None else Figures(survivors=int(attack[1]), total=int(attack[2]))


@dataclass(frozen=True)
class WorkerState:
    """The worker as `worker status` shows it; `study` is the only one it works on (None: all)."""

    role: str
    started_at: float
    state: str
    reason: str | None
    study: str | None
    slots: Sequence[Mapping[str, Any]]
    """{number, device, threads, trial_id, waits}."""
    finished: int
    """Trials that it has brought to an end."""


def beat(db: Database, worker: WorkerState, running: Sequence[Live]) -> None:
    """Write the worker's row and its trials' progress, in one transaction."""
    with transaction(db):
        db.execute(
            "INSERT OR REPLACE INTO worker (id, pid, role, started_at, heartbeat_at, beat_mark, state, reason, study, "
            "slots, finished) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                os.getpid(), worker.role, worker.started_at, time.time(), time.monotonic(), worker.state, worker.reason,
                worker.study, json.dumps(list(worker.slots)), worker.finished,
            ),
        )  # fmt: skip
        db.execute("DELETE FROM progress")
        columns = [column.name for column in fields(Live)]
        # A trial may have been deleted between its last event and this beat.
        db.conn.executemany(
            f"INSERT INTO progress ({', '.join(columns)}) SELECT {', '.join('?' * len(columns))} "
            "WHERE EXISTS (SELECT 1 FROM trial WHERE id = ?)",
            [(*astuple(live), live.trial_id) for live in running],
        )


def bow_out(db: Database) -> None:
    """The worker leaves in good order: its row and progress go."""
    with transaction(db):
        db.execute("DELETE FROM worker")
        db.execute("DELETE FROM progress")


def worker_row(db: Database) -> dict[str, Any] | None:
    """What the last worker wrote of itself, with `beat_age` in seconds; whether it still lives is the lock's to say."""
    for row in db.query("SELECT * FROM worker"):
        age = max(0.0, time.monotonic() - row.pop("beat_mark"))
        return {**row, "slots": json.loads(row["slots"]), "beat_age": age}
    return None


def live_progress(db: Database) -> dict[str, dict[str, Any]]:
    """Trial id → its row of progress, with `silent_for` in seconds. Only worth something while a worker lives."""
    now = time.monotonic()
    return {
        row["trial_id"]: {**row, "silent_for": max(0.0, now - row.pop("progress_mark"))}
        for row in db.query("SELECT * FROM progress ORDER BY slot")
    }


def paused(db: Database) -> str | None:
    """Why the queue is paused, None if it is not."""
    row = db.execute("SELECT value FROM setting WHERE name = 'paused'").fetchone()
    return None if row is None else str(row[0])


def pause(db: Database, reason: str) -> bool:
    """Claim nothing and hand back what runs, until `resume`, whoever owns the home by then; False if it was so already."""
    with transaction(db):
        before = paused(db)
        db.execute("INSERT OR REPLACE INTO setting (name, value) VALUES ('paused', ?)", (reason,))
        return before is None


def resume(db: Database) -> bool:
    """Undo `pause`; False if the queue was not paused."""
    with transaction(db):
        return bool(db.execute("DELETE FROM setting WHERE name = 'paused'").rowcount)


def retention(db: Database) -> str:
    """One of RETENTIONS; "last" until it is set."""
    row = db.execute("SELECT value FROM setting WHERE name = 'retention'").fetchone()
    return "last" if row is None else str(row[0])


def set_retention(db: Database, value: str) -> None:
    with transaction(db):
        db.execute("INSERT OR REPLACE INTO setting (name, value) VALUES ('retention', ?)", (value,))
