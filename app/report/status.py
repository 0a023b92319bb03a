"""What the worker does and why each trial waits, put together from lock, heartbeat and queue: `status` and the screens."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.report.variants import FACTORS, short
from app.worker.owner import holder, told_of
from core.errors import NotFound
from storage import queries, queue, studies, worker_state
from storage.home import Home
from storage.rows import as_json

if TYPE_CHECKING:
    from sqlite_utils import Database

Row = dict[str, Any]

STATES = ("running", "queued", "failed")
"""What is not settled, in the order in which it is told."""
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
    """none, starting, working, idle, paused, draining, stopping, silent (alive without a heartbeat), or blocked (none, and
    none can start: a program that is none of innate's, or that cannot be seen from here, holds the lock)."""
    reason: str | None
    pid: int | None = None
    role: str | None = None
    started_at: float | None = None
    heartbeat_at: float | None = None
    study: str | None = None
    slots: Sequence[Mapping[str, Any]] = ()
    finished: int = 0
    beat_age: float | None = None
    """Seconds since the heartbeat, by a clock that nobody sets."""

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
    row = worker_state.worker_row(db) if who is not None else None
    mine = row is not None and who is not None and row["pid"] == who.pid
    # Of a worker that cannot be seen from here, as in another container, only a heartbeat can tell that it lives.
    beating = row is not None and mine and row["beat_age"] <= _SILENT_BEATS
    if who is not None and (who.role is None or not (who.proven or beating)):
        return WorkerView(alive=False, state="blocked", reason=told_of(home, who))
    if who is None or not who.works:
        reason = f"the queue is paused: {paused}" if paused is not None else None
        return WorkerView(alive=False, state="none", reason=reason)
    if row is None or not mine:
        return WorkerView(alive=True, state="starting", reason=None, pid=who.pid, role=who.role)
    silent = row["beat_age"] > _SILENT_BEATS
    return WorkerView(
        alive=True,
        state="silent" if silent else row["state"],
        reason=f"no heartbeat for {row['beat_age']:.0f} s: stopped or hung" if silent else row["reason"],
        pid=who.pid,
        role=row["role"],
        started_at=row["started_at"],
        heartbeat_at=row["heartbeat_at"],
        study=row["study"],
        slots=row["slots"],
        finished=row["finished"],
        beat_age=row["beat_age"],
    )


def unfinished(
    db: Database, worker: WorkerView, study: str | None = None, stalled_after: float = STALLED_SECONDS
) -> list[Row]:
    """Every row of v_trials that is running, queued or failed, in that order, each with what `status` says of it.

    Added columns: `label` (what differs within its study), `waits_for` (queued: why), `stalled`, `silent_for`, `phase`,
    `share`, `detail`, `rate` (images per second), `seconds_left` (of the phase), `device`, `pid`, `memory` (bytes).
    Running trials of a dead worker count as queued.
    """
    rows = [as_json(row) for row in queries.unfinished(db, study)]
    _tell(db, rows, worker, stalled_after, ahead=0)
    order = {state: place for place, state in enumerate(STATES)}
    # Queued trials stand in the order in which they will be claimed.
    return sorted(rows, key=lambda row: (order[row["state"]], -row["priority"], row["study"], row["position"]))


def totals(db: Database, worker: WorkerView, study: str | None = None) -> dict[str, int]:
    """How many rows `unfinished` has in each of STATES, without reading them."""
    found = queries.unfinished_rows(db, study)
    counts = {state: found.get(state, 0) for state in STATES}
    if not worker.alive:
        counts |= {"running": 0, "queued": counts["running"] + counts["queued"]}
    return counts


def page(
    db: Database,
    worker: WorkerView,
    counts: Mapping[str, int],
    offset: int,
    limit: int,
    *,
    states: Sequence[str] = STATES,
    study: str | None = None,
    stalled_after: float = STALLED_SECONDS,
) -> list[Row]:
    """Rows `offset` … of those of `unfinished` that are in `states`; as many are read as are returned.

    `counts` are the `totals` of the moment.
    """
    found: list[Row] = []
    for state in states:
        if offset >= counts[state]:
            offset -= counts[state]
            continue
        trials = queries.in_line(db, _stored(state, worker), study, offset, limit - len(found))
        rows = [as_json(row) for row in trials]
        # Read on its own the page would not know of the trials in front of it.
        ahead = 0
        if state == "queued" and offset and rows and _common_reason(worker) is None:
            ahead = queries.before_in_line(db, ("queued",), trials[0], study or worker.study, claimable=True)
        _tell(db, rows, worker, stalled_after, ahead)
        found += rows
        offset = 0
        if len(found) >= limit:
            break
    return found


def place(
    db: Database,
    worker: WorkerView,
    counts: Mapping[str, int],
    study: str,
    trial_id: str,
    *,
    states: Sequence[str] = STATES,
) -> tuple[int, str] | None:
    """Where among the rows of `page` a trial of a study stands now, and its state; None if it is not among them."""
    row = queries.place_in_line(db, study, trial_id)
    if row is None:
        return None
    state = "queued" if row.state == "running" and not worker.alive else row.state
    if state not in states:
        return None
    before = sum(counts[other] for other in states[: list(states).index(state)])
    return before + queries.before_in_line(db, _stored(state, worker), row), state


def _stored(state: str, worker: WorkerView) -> Sequence[str]:
    """The states under which the database keeps what is told as `state`."""
    return ("running", "queued") if state == "queued" and not worker.alive else (state,)


def _tell(db: Database, rows: Sequence[Row], worker: WorkerView, stalled_after: float, ahead: int) -> None:
    """Add to each row what `unfinished` says of it."""
    live = worker_state.live_progress(db) if worker.alive else {}
    for row in rows:
        progress = live.get(row["trial_id"], {}) if row["state"] == "running" else {}
        row |= {
            "waits_for": None,
            "stalled": progress.get("silent_for", 0.0) > stalled_after,
            **{
                key: progress.get(key)
                for key in (
                    "silent_for", "phase", "share", "detail", "rate", "seconds_left", "device", "pid", "memory",
                )
            },
        }  # fmt: skip
    _label(db, rows)
    _explain(db, rows, worker, ahead)


def _explain(db: Database, rows: Sequence[Row], worker: WorkerView, ahead: int) -> None:
    """Fill in `waits_for` of what is queued; `ahead` of the first of them so many are to be claimed."""
    everybody = _common_reason(worker)
    queued = [row for row in rows if row["state"] == "queued"]
    under_way = queue.under_way(db) if worker.alive and queued else set()
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


def _label(db: Database, rows: Sequence[Row]) -> None:
    """Fill in `label`: the axes of a trial's study with more than one level, and the seed where there are several.

    It is the study that decides, not the rows at hand: a page must not call a trial otherwise than the next one does.
    """
    axes: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if row["study"] not in axes:
            try:
                axes[row["study"]] = studies.document(db, row["study"])
            except NotFound:  # deleted since the row was read
                axes[row["study"]] = {}
        row["label"] = _label_of(row, axes[row["study"]])


def _label_of(row: Row, document: Mapping[str, Any]) -> str:
    if row["training"] is None:
        return f"imported {row['architecture']} {row['trial_id'][:6]}"
    parts = []
    for factor, axis in zip(FACTORS, ("architectures", "optimizers", "activations", "defenses"), strict=True):
        levels = [level if isinstance(level, dict) else {"name": level} for level in document.get(axis, ["none"])]
        name = row[factor] or "unknown"
        if len(levels) > 1 or name != levels[0]["name"]:
            namesakes = [level for level in levels if level["name"] == name]
            named = sorted({key for level in namesakes for key in level} - {"name"}) if len(namesakes) > 1 else []
            options = row[f"{factor}_options"] or {}
            parts += [name, *(f"{key}={short(options[key])}" for key in named if key in options)]
    seeds = document.get("seeds", 1)
    if (len(seeds) if isinstance(seeds, list) else seeds) > 1:
        parts.append(f"s{row['seed']}")
    return " ".join(parts) or row["architecture"] or "unknown"


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


def seconds_left(db: Database, worker: WorkerView, study: str | None = None) -> float | None:
    """Until the queue (of `study`, if named) is empty; None without a worker, or before anything tells how long a trial takes.

    A study's trials take as long as its own ended ones did. Of a study that has none yet, what all others took is known,
    and how long its running ones will have taken at least.
    """
    if not worker.alive or not worker.slots:
        return None
    everybody, by_study = queue.seconds_per_trial(db), queue.seconds_by_study(db)
    now = time.time()
    live = worker_state.live_progress(db)
    seconds = 0.0
    for name, counts in queue.unfinished_by_study(db, study).items():
        each = by_study.get(name)
        if each is None:
            least = [
                now - progress["began_at"] + (progress["seconds_left"] or 0.0)
                for trial, progress in live.items()
                if trial in counts.running
            ]
            each = max([*([] if everybody is None else [everybody]), *least], default=None)
        if each is None:
            return None
        # What runs is on average half done.
        seconds += each * (counts.queued + len(counts.running) / 2)
    return seconds / len(worker.slots)
