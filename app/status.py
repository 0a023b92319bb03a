"""What the worker does and why each trial waits, put together from lock, heartbeat and queue: `status` and the screens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.worker.owner import DETACHED, FOREGROUND, holder
from storage import queries, queue, worker_state
from storage.home import Home

if TYPE_CHECKING:
    from sqlite_utils import Database

Row = dict[str, Any]

STALLED_SECONDS = 180.0
"""Silence after which a trial counts as stalled. It tells something at every batch, which under an attack of very many
steps can take minutes; most take seconds."""
_SILENT_BEATS = 20.0
"""Age of the heartbeat after which a worker does not answer; the idle one beats every 5 seconds."""


@dataclass(frozen=True)
class WorkerView:
    """The worker as others see it. `alive`: somebody who works on the queue holds the lock."""

    alive: bool
    state: str
    """none, starting, working, idle, paused, draining, stopping, or silent (alive without a heartbeat)."""
    reason: str | None
    pid: int | None = None
    role: str | None = None
    started_at: float | None = None
    heartbeat_at: float | None = None
    study: str | None = None
    slots: Sequence[Mapping[str, Any]] = ()
    finished: int = 0

    def as_row(self) -> Row:
        return {
            "alive": self.alive,
            "state": self.state,
            "reason": self.reason,
            "pid": self.pid,
            "role": self.role,
            "started_at": self.started_at,
            "heartbeat_at": self.heartbeat_at,
            "study": self.study,
            "slots": [dict(slot) for slot in self.slots],
            "finished": self.finished,
        }


def worker_view(db: Database, home: Home) -> WorkerView:
    """Whether a worker lives is the lock's to say, what it does the heartbeat's."""
    who = holder(home)
    paused = worker_state.paused(db)
    if who is None or who.get("role", DETACHED) not in (DETACHED, FOREGROUND):
        reason = f"the queue is paused: {paused}" if paused is not None else None
        return WorkerView(alive=False, state="none", reason=reason)
    row = worker_state.worker_row(db)
    pid = who.get("pid")
    if row is None or row["pid"] != pid:
        return WorkerView(alive=True, state="starting", reason=None, pid=pid, role=who.get("role"))
    silent = row["beat_age"] > _SILENT_BEATS
    return WorkerView(
        alive=True,
        state="silent" if silent else row["state"],
        reason=f"no heartbeat for {row['beat_age']:.0f} s: stopped or hung" if silent else row["reason"],
        pid=pid,
        role=row["role"],
        started_at=row["started_at"],
        heartbeat_at=row["heartbeat_at"],
        study=row["study"],
        slots=row["slots"],
        finished=row["finished"],
    )


def unfinished(
    db: Database, worker: WorkerView, study: str | None = None, stalled_after: float = STALLED_SECONDS
) -> list[Row]:
    """Rows of v_trials that are running, queued or failed, in that order, each with what `status` says of it.

    Added columns: `waits_for` (queued: why), `stalled`, `phase`, `share`, `detail`, `rate` (images per second),
    `seconds_left` (of the phase), `device`, `pid`, `memory` (bytes). Running trials of a dead worker count as queued.
    """
    live = worker_state.live_progress(db) if worker.alive else {}
    rows = []
    for row in queries.unfinished(db, study):
        progress = live.get(row["trial_id"], {}) if row["state"] == "running" else {}
        row |= {
            "waits_for": None,
            "stalled": progress.get("silent_for", 0.0) > stalled_after,
            **{
                key: progress.get(key)
                for key in ("phase", "share", "detail", "rate", "seconds_left", "device", "pid", "memory")
            },
        }
        rows.append(row)
    _explain(db, rows, worker)
    order = {"running": 0, "queued": 1, "failed": 2}
    # Queued trials stand in the order in which they will be claimed.
    return sorted(rows, key=lambda row: (order[row["state"]], -row["priority"], row["study"], row["position"]))


def _explain(db: Database, rows: Sequence[Row], worker: WorkerView) -> None:
    """Fill in `waits_for` of what is queued."""
    everybody = _common_reason(worker)
    ahead = 0
    queued = [row for row in rows if row["state"] == "queued"]
    under_way = queue.under_way(db) if worker.alive else set()
    for row in sorted(queued, key=lambda row: (-row["priority"], row["study"], row["position"])):
        if everybody is not None:
            row["waits_for"] = everybody
        elif worker.study is not None and row["study"] != worker.study:
            row["waits_for"] = f"innate run works on {worker.study} only; then: innate worker start"
        elif row["trial_id"] in under_way:
            row["waits_for"] = "it runs for another study, or is still stopping"
        else:
            busy = f"all {len(worker.slots)} slots are busy" if len(worker.slots) > 1 else "the slot is busy"
            row["waits_for"] = f"{busy}, {ahead} before it" if ahead else f"{busy}, next in line"
            ahead += 1
    for row in rows:
        if row["state"] == "running" and not worker.alive:
            row["state"], row["waits_for"] = "queued", "its worker has ended; innate worker start resumes it"


def _common_reason(worker: WorkerView) -> str | None:
    """What holds up every trial alike."""
    if not worker.alive:
        return worker.reason or "no worker is running: innate worker start"
    if worker.state in ("paused", "draining", "stopping", "silent"):
        return f"the worker is {worker.state}: {worker.reason}"
    if worker.state == "starting":
        return "the worker is starting"
    waits = [slot["waits"] for slot in worker.slots if slot["trial_id"] is None]
    if waits and all(waits):
        return str(waits[0])
    return None


def seconds_left(rows: Sequence[Row], worker: WorkerView, seconds_per_trial: float | None) -> float | None:
    """Until the queue is empty, from the mean wall time of trials that ended here; None without one, or a worker."""
    if not worker.alive or seconds_per_trial is None or not worker.slots:
        return None
    queued = len([row for row in rows if row["state"] == "queued"])
    # What runs is on average half done.
    running = len([row for row in rows if row["state"] == "running"])
    return seconds_per_trial * (queued + running / 2) / len(worker.slots)
