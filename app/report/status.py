"""What the worker does and why each trial waits, put together from lock, heartbeat and queue: `status` and the screens."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.report.labels import Made, trial_label
from app.report.progress import learns_nothing, phase_figures, phase_name
from app.worker.owner import holder, told_of
from core.errors import NotFound
from storage import queries, queue, studies, worker_state
from storage.home import Home
from storage.reading import Options, as_json
from storage.rows import TrialRow
from storage.tuning import companion, is_companion, stages, study_of
from storage.worker_state import LaneRow, RunningRow, SlotRow

if TYPE_CHECKING:
    from sqlite_utils import Database

STATES = ("running", "queued", "failed")
"""What is not settled, in the order in which it is told."""
STALLED_SECONDS = 180.0
"""Silence after which a trial counts as stalled. It tells something at every batch, which under an attack of very many
steps can take minutes; most take seconds."""
_SILENT_BEATS = 20.0
"""Age of the heartbeat after which a worker does not answer; the idle one beats every 5 seconds."""


@dataclass(frozen=True)
class DeviceLanes:
    """A device whose trials share a process: how many it runs at once, and which are there."""

    device: str
    lanes: LaneRow
    trials: tuple[str, ...]
    waits: str | None
    """For what it keeps trials waiting."""

    @property
    def told(self) -> str:
        """How many lanes are busy, and how their number came about."""
        allowed, asked = self.lanes.allowed, self.lanes.asked
        busy = f"lanes {len(self.trials)} of {allowed} busy"
        if self.lanes.alone:
            return f"{busy}, one trial alone: its process died before, beside others"
        if asked is None:
            return f"{busy} (auto, {'settled' if self.lanes.settled else 'trying how many pay'})"
        return busy if allowed >= asked else f"{busy}; it holds {allowed} at once, not {asked}"

    def as_row(self) -> Options:
        return {"device": self.device, "busy": len(self.trials), **as_json(self.lanes), "waits": self.waits}


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
    slots: tuple[SlotRow, ...] = ()
    finished: int = 0
    beat_age: float | None = None
    """Seconds since the heartbeat, by a clock that nobody sets."""

    @property
    def lanes(self) -> Sequence[DeviceLanes]:
        """The devices among the slots that have lanes."""
        found = []
        for device in dict.fromkeys(slot.device for slot in self.slots if slot.lanes is not None):
            rows = [slot for slot in self.slots if slot.device == device]
            trials = tuple(slot.trial_id for slot in rows if slot.trial_id is not None)
            waits = next((slot.waits for slot in rows if slot.waits is not None), None)
            lanes = next(slot.lanes for slot in rows if slot.lanes is not None)
            found.append(DeviceLanes(device, lanes, trials, waits))
        return found

    def as_row(self) -> Options:
        return {
            "alive": self.alive,
            "state": self.state,
            "reason": self.reason,
            "pid": self.pid,
            "role": self.role,
            "started_at": self.started_at,
            "heartbeat_at": self.heartbeat_at,
            "study": self.study,
            "slots": [as_json(slot) for slot in self.slots],
            "lanes": [lanes.as_row() for lanes in self.lanes],
            "finished": self.finished,
        }


@dataclass(frozen=True)
class UnfinishedTrial:
    """A trial of a study that runs, waits or has failed; one that a dead worker left running counts as queued."""

    study: str
    trial_id: str
    state: str
    """One of STATES."""
    reason: str | None
    """Why it failed."""
    priority: int
    position: int
    """In its study."""
    attempts: int
    clean_accuracy: float | None
    label: str
    """What differs within its study."""
    waits_for: str | None
    """Why it is queued and not running."""
    stalled: bool
    silent_for: float | None
    """Seconds since its child told anything."""
    running: RunningRow | None
    """How far it is; None unless it runs, and before its worker has told of it."""
    row: TrialRow
    learns_nothing: bool = False
    """Whether it still guesses after epochs enough to have learned something."""

    def as_row(self) -> Options:
        """Its row of v_trials, and what `status` says of it beside."""
        now = self.running
        return {
            **as_json(self.row),
            "state": self.state,
            "waits_for": self.waits_for,
            "stalled": self.stalled,
            "silent_for": self.silent_for,
            "learns_nothing": self.learns_nothing,
            "phase": None if now is None else phase_name(now.phase),
            "share": None if now is None else now.share,
            "detail": None if now is None else phase_figures(now.phase),
            "rate": None if now is None else now.rate,
            "seconds_left": None if now is None else now.seconds_left,
            "device": None if now is None else now.device,
            "pid": None if now is None else now.pid,
            "memory": None if now is None else now.memory,
            "label": self.label,
        }


def worker_view(db: Database, home: Home) -> WorkerView:
    """Whether a worker lives is the lock's to say, what it does the heartbeat's."""
    who = holder(home)
    paused = worker_state.paused(db)
    beat = worker_state.last_heartbeat(db) if who is not None else None
    mine = beat is not None and who is not None and beat.pid == who.pid
    # Of a worker that cannot be seen from here, as in another container, only a heartbeat can tell that it lives.
    beating = beat is not None and mine and beat.age <= _SILENT_BEATS
    if who is not None and (who.role is None or not (who.proven or beating)):
        return WorkerView(alive=False, state="blocked", reason=told_of(home, who))
    if who is None or not who.works:
        reason = f"the queue is paused: {paused}" if paused is not None else None
        return WorkerView(alive=False, state="none", reason=reason)
    if beat is None or not mine:
        return WorkerView(alive=True, state="starting", reason=None, pid=who.pid, role=who.role)
    silent, told = beat.age > _SILENT_BEATS, beat.worker
    return WorkerView(
        alive=True,
        state="silent" if silent else told.state,
        reason=f"no heartbeat for {beat.age:.0f} s: stopped or hung" if silent else told.reason,
        pid=who.pid,
        role=told.role,
        started_at=told.started_at,
        heartbeat_at=beat.at,
        study=told.study,
        slots=told.slots,
        finished=told.finished,
        beat_age=beat.age,
    )


def unfinished(
    db: Database, worker: WorkerView, study: str | None = None, stalled_after: float = STALLED_SECONDS
) -> list[UnfinishedTrial]:
    """Every trial of a study that is running, queued or failed, in that order; with `study`, of that one."""
    found = _told(db, queries.unfinished(db, study), worker, stalled_after, ahead=0)
    order = {state: place for place, state in enumerate(STATES)}
    # Queued trials stand in the order in which they will be claimed.
    return sorted(found, key=lambda one: (order[one.state], *_turn(one)))


def _turn(one: UnfinishedTrial) -> tuple[int, str, int]:
    """The order in which trials are claimed."""
    return -one.priority, one.study, one.position


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
) -> list[UnfinishedTrial]:
    """Rows `offset` … of those of `unfinished` that are in `states`; as many are read as are returned.

    `counts` are the `totals` of the moment.
    """
    found: list[UnfinishedTrial] = []
    for state in states:
        if offset >= counts[state]:
            offset -= counts[state]
            continue
        rows = queries.in_line(db, _stored(state, worker), study, offset, limit - len(found))
        # Read on its own the page would not know of the trials in front of it.
        ahead = 0
        if state == "queued" and offset and rows and _common_reason(worker) is None:
            ahead = queries.before_in_line(db, ("queued",), rows[0], study or worker.study, claimable=True)
        found += _told(db, rows, worker, stalled_after, ahead)
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


def _told(
    db: Database, rows: Sequence[TrialRow], worker: WorkerView, stalled_after: float, ahead: int
) -> list[UnfinishedTrial]:
    """What there is to say of these rows of v_trials, in their order; `ahead` of the first queued one so many are to be
    claimed."""
    live = worker_state.running_rows(db) if worker.alive else {}
    labels = _labels(db, rows)
    now = time.monotonic()
    found = []
    for row, label in zip(rows, labels, strict=True):
        running = live.get(row.trial_id) if row.state == "running" else None
        silent_for = None if running is None else max(0.0, now - running.progress_mark)
        orphaned = row.state == "running" and not worker.alive
        found.append(
            UnfinishedTrial(
                study=row.study,
                trial_id=row.trial_id,
                state="queued" if orphaned else row.state,
                reason=row.reason,
                priority=row.priority,
                position=row.position,
                attempts=row.attempts,
                clean_accuracy=row.clean_accuracy,
                label=label,
                waits_for="its worker has ended; innate worker start resumes it" if orphaned else None,
                stalled=(silent_for or 0.0) > stalled_after,
                silent_for=silent_for,
                running=running,
                row=row,
                learns_nothing=running is not None and _learns_nothing(db, row),
            )
        )
    waits = _waits(db, [one for one in found if one.state == "queued" and one.waits_for is None], worker, ahead)
    return [replace(one, waits_for=waits.get((one.study, one.trial_id), one.waits_for)) for one in found]


def _learns_nothing(db: Database, row: TrialRow) -> bool:
    classes = queries.classes(db, row.study)
    return classes > 0 and learns_nothing([epoch.accuracy for epoch in queries.trial_epochs(db, row.trial_id)], classes)


def _waits(
    db: Database, queued: Sequence[UnfinishedTrial], worker: WorkerView, ahead: int
) -> Mapping[tuple[str, str], str]:
    """(study, trial id) → why each of these is not running; `ahead` of the first of them so many are to be claimed."""
    everybody = _common_reason(worker)
    under_way = queue.under_way(db) if worker.alive and queued else set()
    reasons = {}
    for one in sorted(queued, key=_turn):
        if everybody is not None:
            reason = everybody
        elif worker.study is not None and one.study not in (worker.study, companion(worker.study)):
            reason = f"innate run works on {worker.study} only; then: innate worker start"
        elif one.trial_id in under_way:
            reason = "it runs for another study, or is still stopping"
        else:
            busy = _all_busy(worker)
            reason = f"{busy}, {ahead} before it" if ahead else f"{busy}, next in line"
            ahead += 1
        reasons[one.study, one.trial_id] = reason
    return reasons


def _all_busy(worker: WorkerView) -> str:
    rooms, devices = len(worker.slots), [lanes.device for lanes in worker.lanes]
    if any(lanes.lanes.alone for lanes in worker.lanes):
        return "a trial whose process died beside others runs alone"
    if devices and all(slot.lanes is not None for slot in worker.slots):
        where = " and ".join(devices)
        return f"all {rooms} lanes of {where} are busy" if rooms > 1 else f"the only lane of {where} is busy"
    return f"all {rooms} slots are busy" if rooms > 1 else "the slot is busy"


def _labels(db: Database, rows: Sequence[TrialRow]) -> list[str]:
    """What to call each of them within its study."""
    documents: dict[str, Options] = {}
    for row in rows:
        if row.study not in documents:
            try:
                documents[row.study] = studies.document(db, row.study)
            except NotFound:  # deleted since the row was read
                documents[row.study] = {}
    return [
        ("tuning " if is_companion(row.study) else "") + trial_label(Made.of_row(row), documents[row.study])
        for row in rows
    ]


def _common_reason(worker: WorkerView) -> str | None:
    """What holds up every trial alike."""
    if not worker.alive:
        return worker.reason or "no worker is running: innate worker start"
    if worker.state in ("paused", "draining", "stopping", "silent"):
        return f"the worker is {worker.state}: {worker.reason}"
    if worker.state == "starting":
        return "the worker is starting"
    waits = [slot.waits for slot in worker.slots if slot.trial_id is None]
    return waits[0] if waits and all(waits) else None


def seconds_left(db: Database, worker: WorkerView, study: str | None = None) -> float | None:
    """Until the queue (of `study`, if named) is empty; None without a worker, or before anything tells how long a trial takes.
    Never less than what a running trial's own phase still takes.

    A study's trials take as long as its own ended ones did. Of a study that has none yet, what all others took is known,
    and how long its running ones will have taken at least. Trials whose learning rates are still being chosen count too.
    """
    if not worker.alive or not worker.slots:
        return None
    everybody, by_study = queue.seconds_per_trial(db), queue.seconds_by_study(db)
    now, live = time.time(), worker_state.running_rows(db)
    seconds = longest = 0.0
    for name, counts in queue.unfinished_by_study(db, study).items():
        here = [live[trial] for trial in counts.running if trial in live]
        least = [now - running.began_at + (running.seconds_left or 0.0) for running in here]
        each = by_study.get(name) or max([*([] if everybody is None else [everybody]), *least], default=None)
        if each is None:
            return None
        left = [max(each - (now - running.began_at), running.seconds_left or 0.0) for running in here]
        # Of one that its worker has not told of yet, all is left.
        seconds += each * (counts.queued + len(counts.running) - len(here)) + sum(left)
        longest = max(longest, *left, 0.0)
        if is_companion(name):
            compared = by_study.get(study_of(name)) or everybody or each
            seconds += stages(db, study_of(name)).to_come * compared
    return max(seconds / len(worker.slots), longest)
