"""What a worker tells of itself, once a second at most, and the settings that outlive it.

The lock says whether a worker lives; these rows say what it does. The heartbeat moves while the worker's loop turns, a
trial's progress mark while its child sends events: a beating worker whose trial is silent has a stalled trial. Both
marks are monotonic clock readings, the same for every process of a machine and blind to a clock that is set back.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from storage.database import transaction

if TYPE_CHECKING:
    from sqlite_utils import Database

RETENTIONS = ("all", "last", "none")
"""Which checkpoints stay: every attempt's; the trained weights only; nothing once every evaluation is in."""


@dataclass(frozen=True)
class LoadingPhase:
    """The child has been started and has told nothing yet."""


@dataclass(frozen=True)
class TrainingPhase:
    """Within an epoch: the means over its batches so far."""

    epoch: int
    """Of `epochs`, counted from 1."""
    epochs: int
    loss: float
    """NaN and infinite where training went astray."""
    accuracy: float
    """A fraction in [0, 1]."""


@dataclass(frozen=True)
class TrainedPhase:
    """Training has ended and no attack has begun."""


@dataclass(frozen=True)
class AttackPhase:
    """Within an attack at one ε."""

    attack_id: str
    attack: str
    """Its name in the registry."""
    eps: float | None
    """None for an attack that measures distances."""
    survivors: int
    """Of the `total` test samples, those that still stand."""
    total: int


Phase = LoadingPhase | TrainingPhase | TrainedPhase | AttackPhase

_PHASES: dict[type[Phase], str] = {
    LoadingPhase: "loading",
    TrainingPhase: "training",
    TrainedPhase: "trained",
    AttackPhase: "attack",
}
_COLUMNS = (
    "trial_id", "slot", "device", "pid", "phase", "epoch", "epochs", "loss", "accuracy", "attack_id", "attack", "eps",
    "survivors", "total", "share", "rate", "memory", "seconds_left", "began_at", "progress_mark",
)  # fmt: skip


@dataclass(frozen=True)
class RunningRow:
    """One trial at work: where, at what, how far, how fast."""

    trial_id: str
    slot: int
    """Its number, from 0."""
    device: str
    pid: int | None
    phase: Phase
    share: float | None
    """Of the phase, in [0, 1]: of all epochs, or of one attack at one ε."""
    rate: float | None
    """Images per second."""
    memory: int | None
    """Bytes, of the process or on its device."""
    seconds_left: float | None
    """Of the phase."""
    began_at: float
    progress_mark: float


@dataclass(frozen=True)
class LaneRow:
    """How a device stands whose trials share a process."""

    allowed: int
    """Trials that it runs at once."""
    asked: int | None
    """How many were asked for; None: `allowed` is found by measuring."""
    settled: bool
    """Whether that search is over."""
    alone: bool = False
    """Whether a trial runs alone that may have taken others along when its process died."""


@dataclass(frozen=True)
class SlotRow:
    """A slot as the worker tells it: what is on it, or for what its device keeps trials waiting."""

    number: int
    """From 0."""
    device: str
    threads: int
    trial_id: str | None
    waits: str | None
    lanes: LaneRow | None = None
    """Of the device, where its trials share a process: the slot is one of its lanes."""
    node: str | None = None
    """The machine of a cluster that has it; None: the worker's own."""

    @property
    def where(self) -> str:
        """Its device, and the machine where that is another."""
        return self.device if self.node is None else f"{self.device} of {self.node}"


@dataclass(frozen=True)
class WorkerState:
    """What the worker tells of itself; `study` is the only one it works on (None: all)."""

    role: str
    started_at: float
    state: str
    reason: str | None
    study: str | None
    slots: tuple[SlotRow, ...]
    finished: int
    """Trials that it has brought to an end."""


@dataclass(frozen=True)
class Heartbeat:
    """The last sign of life of a worker, which process gave it, and what it told."""

    pid: int
    at: float
    """Unix seconds."""
    age: float
    """Seconds, by a clock that nobody sets."""
    worker: WorkerState


def beat(db: Database, worker: WorkerState, running: Sequence[RunningRow]) -> None:
    """Write the worker's row and its trials' progress, in one transaction."""
    with transaction(db):
        db.execute(
            "INSERT OR REPLACE INTO worker (id, pid, role, started_at, heartbeat_at, beat_mark, state, reason, study, "
            "slots, finished) VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                os.getpid(), worker.role, worker.started_at, time.time(), time.monotonic(), worker.state, worker.reason,
                worker.study, json.dumps([asdict(slot) for slot in worker.slots]), worker.finished,
            ),
        )  # fmt: skip
        db.execute("DELETE FROM progress")
        # A trial may have been deleted between its last event and this beat.
        db.conn.executemany(
            f"INSERT INTO progress ({', '.join(_COLUMNS)}) SELECT {', '.join(f':{column}' for column in _COLUMNS)} "
            "WHERE EXISTS (SELECT 1 FROM trial WHERE id = :trial_id)",
            [
                {**dict.fromkeys(_COLUMNS), **asdict(row), **asdict(row.phase), "phase": _PHASES[type(row.phase)]}
                for row in running
            ],
        )


def sign_off(db: Database) -> None:
    """The worker leaves in good order: its row and progress go."""
    with transaction(db):
        db.execute("DELETE FROM worker")
        db.execute("DELETE FROM progress")


def last_heartbeat(db: Database) -> Heartbeat | None:
    """What the last worker told of itself, None after it has signed off; whether it still lives is the lock's to say."""
    for row in db.query("SELECT * FROM worker"):
        slots = tuple(_slot(slot) for slot in json.loads(row["slots"]))
        told = WorkerState(
            row["role"], row["started_at"], row["state"], row["reason"], row["study"], slots, row["finished"]
        )
        return Heartbeat(row["pid"], row["heartbeat_at"], max(0.0, time.monotonic() - row["beat_mark"]), told)
    return None


def _slot(told: dict[str, Any]) -> SlotRow:
    lanes = told.pop("lanes", None)
    return SlotRow(**told, lanes=None if lanes is None else LaneRow(**lanes))


def running_rows(db: Database) -> dict[str, RunningRow]:
    """Trial id → its progress, in the order of the slots. Only worth something while a worker lives."""
    return {
        row["trial_id"]: RunningRow(
            trial_id=row["trial_id"],
            slot=row["slot"],
            device=row["device"],
            pid=row["pid"],
            phase=_phase(row),
            share=row["share"],
            rate=row["rate"],
            memory=row["memory"],
            seconds_left=row["seconds_left"],
            began_at=row["began_at"],
            progress_mark=row["progress_mark"],
        )
        for row in db.query("SELECT * FROM progress ORDER BY slot")
    }


def _phase(row: dict[str, Any]) -> Phase:
    match row["phase"]:
        case "training":
            # SQLite keeps a NaN as NULL.
            loss, accuracy = (math.nan if row[key] is None else row[key] for key in ("loss", "accuracy"))
            return TrainingPhase(row["epoch"], row["epochs"], loss, accuracy)
        case "trained":
            return TrainedPhase()
        case "attack":
            return AttackPhase(row["attack_id"], row["attack"], row["eps"], row["survivors"], row["total"])
    return LoadingPhase()


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
