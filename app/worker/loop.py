"""The worker's loop: claim a trial, give it a slot, record what comes back, carry out what clients ask.

The only writer of results. Imports no torch: trials run in the executor's children.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from app.worker import changes, conditions, escalation, pulse, retention
from app.worker.crashes import BlamelessCrashes
from app.worker.driver import Gpu
from app.worker.narration import chosen
from app.worker.owner import Ownership
from app.worker.pulse import Pulse
from app.worker.recorder import Recorder
from app.worker.rooms import FewerLanes, Rooms
from app.worker.visible import visible_gpus
from core.errors import BadInput, InnateError, Unavailable
from core.events import LAST_EVENTS, Audited, Crashed, EpochFinished, EvaluationFinished, Event, Finished, TrialFailed
from core.executors.protocol import Executor, Slot
from core.jobs.orders import Job
from core.records.trial import TrialSpec
from storage import commands, queue, tuning, worker_state
from storage.changes import Drain, Draining, Resume
from storage.home import Home
from storage.one_file import OpenedFile, checkpoint
from storage.worker_state import LaneRow, SlotRow, WorkerState

if TYPE_CHECKING:
    from sqlite_utils import Database

_POLL_SECONDS = 0.2
_IDLE_BEAT_SECONDS = 5.0
"""An idle worker has nothing to tell; it must not keep a disk awake either."""
_GRACE_SECONDS = 30.0
"""How long a trial may take to finish its batch and write a checkpoint before it is killed."""


class Stop(IntEnum):
    """How urgently the loop is asked to end."""

    NO = 0
    CLEANLY = 1
    """Finish the batch, write a checkpoint, hand the trial back."""
    NOW = 2


class Watcher(Protocol):
    """Whoever wants to see the work as it happens."""

    def began(self, trial: TrialSpec, slot_number: int, slot: Slot) -> None: ...
    def happened(self, trial: TrialSpec, event: Event) -> None: ...
    def noted(self, text: str) -> None: ...
    def tick(self) -> None: ...


@dataclass
class _Running:
    claim: queue.Claim
    pulse: Pulse
    kill_at: float | None = None
    """Monotonic; set once the trial was asked to stop."""
    killed: bool = False
    lost: str | None = None
    """Why its device can be used no more, once something of it failed for that."""


@dataclass(frozen=True)
class Hold:
    """Why no trial starts: `state` as the worker tells it, and the reason. `hand_back`: what runs is to stop too."""

    state: str
    reason: str
    hand_back: bool


class Worker:
    """Drives all slots of an executor for one home, whose lock it was given.

    `stay`: go on when the queue is empty or the disk is low, as a detached worker does. `file` is what `db` was opened from,
    the one that lies there now if not given. `gpus` and `free_disk` are what it asks of the machine.
    """

    def __init__(
        self,
        home: Home,
        db: Database,
        executor: Executor,
        watcher: Watcher,
        ownership: Ownership,
        *,
        role: str,
        crafting: str = "auto",
        stay: bool = False,
        file: OpenedFile | None = None,
        gpus: Callable[[], Sequence[Gpu]] = visible_gpus,
        free_disk: Callable[[Home], int] = conditions.free_disk,
    ) -> None:
        self._home = home
        self._db = db
        self._executor = executor
        self._watcher = watcher
        self._ownership = ownership
        self._file = file or OpenedFile.at(home.database)
        self._role = role
        self._crafting = crafting
        self._stay = stay
        self._gpus = gpus
        self._free_disk = free_disk
        self._study: str | None = None
        self._running: dict[str, _Running] = {}
        self._rooms = Rooms()
        self._fewer_lanes = FewerLanes()
        self._recorder = Recorder(db, home, give_up=lambda: self._asked_to_stop is Stop.NOW)
        self._stop: Callable[[], Stop] = lambda: Stop.NO
        self._draining = False
        self._ended = True
        """Whether a trial may have ended since learning rates were chosen last."""
        self._spread = True
        """Whether the log beside the database may hold what nobody has taken into the file."""
        self._hold: Hold | None = None
        self._crowded: Mapping[str, str] = {}
        self._looked_at = -1e9
        self._beat_at = -1e9
        self._told = ""
        self._started_at = time.time()
        self._finished = 0
        self._crashes = BlamelessCrashes()

    @property
    def _asked_to_stop(self) -> Stop:
        return self._stop()

    def work(self, study: str | None, stop: Callable[[], Stop]) -> bool:
        """Until nothing is left of `study` and its tuning (None: of any), then True; False when told to end before, by `stop`
        or a drain.

        Raises Unavailable when the machine, not the trials, keeps failing, or the home or its database is no longer what it
        was, and BadInput for a full disk unless it is to stay; whatever was running is handed back.
        """
        self._study, self._stop = study, stop
        try:
            escalation.go_on(self._db)  # a worker that was killed may have left a climb between two rungs
            self._look_around()
            self._beat()
            self._watcher.tick()
            while True:
                self._carry_out_commands()
                self._look_around()
                self._go_on_tuning()
                if stop() or self._draining:
                    if not self._running:
                        return self._done(False)
                elif self._hold is None:
                    self._fill_slots()
                if not self._running and not self._stay and queue.next_trial(self._db, study) is None:
                    return self._done(True)
                self._stop_what_must()
                self._crashes.begin_turn()
                for key, event in self._executor.poll(_POLL_SECONDS):
                    self._take(key, event)
                if self._recorder.due:
                    self._recorder.flush()
                self._beat()
                self._gather()
                self._watcher.tick()
        finally:
            self._hand_back()

    def _done(self, whole: bool) -> bool:
        """Nothing runs. The executor learns by one more poll that what the last one gave is recorded."""
        self._executor.poll(0.0)
        return whole

    # --- what others ask ---

    def _carry_out_commands(self) -> None:
        with contextlib.suppress(Unavailable):  # a locked database: asked again at the next turn
            for command in commands.pending(self._db):
                if command.kind == Drain.KIND:
                    self._draining = True
                    commands.answer(self._db, command.id, commands.Outcome(Draining(len(self._running))))
                    continue
                if command.kind == Resume.KIND:
                    self._draining = False
                changes.carry_out(self._db, self._home, command)
                self._looked_at, self._ended, self._spread = -1e9, True, True

    def _go_on_tuning(self) -> None:
        """Choose where all candidates of a cell have ended, and queue what follows."""
        if not self._ended:
            return
        with contextlib.suppress(Unavailable):  # a locked database: asked again at the next turn
            for study, judged in tuning.advance(self._db):
                self._watcher.noted(f"{study}: {chosen(judged)}")
            self._ended = False

    # --- what the surroundings allow ---

    def _look_around(self) -> None:
        """Once a second: are home and database still there, is the queue paused, is there disk, are the devices free."""
        if time.monotonic() - self._looked_at < 1.0:
            return
        self._looked_at = time.monotonic()
        lost = self._ownership.lost(self._home, self._file)
        if lost is not None:
            raise Unavailable(lost)
        reason = worker_state.paused(self._db)
        low = conditions.low_disk(self._home, self._free_disk) if reason is None else None
        if low is not None and not self._stay and not self._running:
            raise BadInput(low)
        before = self._hold
        self._hold = (
            Hold("paused", reason, hand_back=True)
            if reason is not None
            else Hold("paused", low, hand_back=False)
            if low is not None
            else None
        )
        if self._hold != before:
            self._watcher.noted(f"paused: {self._hold.reason}" if self._hold else "going on")
        # What a cluster's machines lack, they find themselves.
        free = [slot for _, slot in self._free_slots() if slot.node is None]
        at_work = {running.pulse.slot.device for running in self._running.values()}
        crowded = conditions.crowded(self._db, free, self._gpus, at_work)
        for device in crowded.keys() - self._crowded.keys():
            self._watcher.noted(f"waiting: {crowded[device]}")
        self._crowded = crowded
        for text in self._fewer_lanes.news(self._executor.lanes()):
            self._watcher.noted(text)

    # --- trials in and out ---

    def _fill_slots(self) -> None:
        """Give each free slot a trial, as long as there are any."""
        # Asked again after each: what was just begun may be to run alone.
        while (
            room := next((one for one in self._free_slots() if one[1].device not in self._crowded), None)
        ) is not None:
            number, slot = room
            if self._ownership.lost(self._home, self._file) is not None:
                return  # a child would raise a home again that was just deleted
            try:
                claim = queue.claim(self._db, self._study, slot.device)
            except Unavailable:  # a locked database: tried again at the next turn
                return
            if claim is None:
                return
            key = self._key(claim)
            self._running[key] = _Running(claim, Pulse(claim.trial_id, number, slot))
            self._recorder.begin(claim, number, slot.device)
            self._watcher.began(claim.trial, number, slot)
            self._executor.submit(key, self._job(claim, slot))

    @staticmethod
    def _key(claim: queue.Claim) -> str:
        """What the executor knows an attempt by."""
        return f"{claim.trial_id}/{claim.number}"

    def _free_slots(self) -> Sequence[tuple[int, Slot]]:
        taken = {running.pulse.slot_number for running in self._running.values()}
        return self._rooms.free(self._executor.capacity(), taken)

    def _job(self, claim: queue.Claim, slot: Slot) -> Job:
        folder = self._home.checkpoints / claim.trial_id
        return Job(
            trial=claim.trial,
            source=claim.source,
            evaluations=claim.evaluations,
            clean=claim.clean,
            attempt=claim.number,
            folder=folder / str(claim.number),
            earlier=tuple(folder / str(number) for number in sorted(claim.earlier_attempts, reverse=True)),
            data_root=claim.data_root or self._home.data_root,
            cache=self._home.cache,
            device=slot.device,
            threads=slot.threads,
            crafting=self._crafting,
            memory_fraction=slot.memory_fraction,
            node=slot.node,
            diagnoses=claim.diagnoses,
            traits=claim.traits,
            audits=claim.audits,
            met=claim.met,
        )

    def _stop_what_must(self) -> None:
        """Ask what has to stop to do so, once; after a grace period, or when told to end now, kill it."""
        stop = self._stop()
        everything = stop > Stop.NO or (self._hold is not None and self._hold.hand_back)
        unwanted = set(queue.unwanted(self._db, [running.claim.trial_id for running in self._running.values()]))
        for key, running in self._running.items():
            if running.kill_at is None and (everything or running.claim.trial_id in unwanted):
                running.kill_at = time.monotonic() + _GRACE_SECONDS
                self._executor.cancel(key)
            overdue = running.kill_at is not None and time.monotonic() > running.kill_at
            if not running.killed and (stop is Stop.NOW or overdue):
                running.killed = True
                self._executor.cancel(key, now=True)

    def _take(self, key: str, event: Event) -> None:
        running = self._running[key]
        slot = running.pulse.slot
        if slot.node is None:
            running.lost = running.lost or conditions.loss_behind(event, slot.device, self._gpus)
        if running.lost is not None:
            if not isinstance(event, LAST_EVENTS):  # nothing that comes from a lost device is worth recording
                running.killed = True
                self._executor.cancel(key, now=True)
                return
            event = Crashed(running.lost, None, trial_at_fault=False)
        running.pulse.take(event)
        asked = running.kill_at is not None or running.killed
        at_fault = isinstance(event, Crashed) and event.trial_at_fault and not asked
        self._recorder.take(running.claim, event, at_fault)
        if isinstance(event, LAST_EVENTS):
            del self._running[key]
            self._ended = self._spread = True
        if isinstance(event, Finished | TrialFailed):
            self._finished += 1
        if isinstance(event, Finished):
            with contextlib.suppress(OSError):
                retention.after_trial(self._db, self._home, running.claim.trial_id)
        self._watcher.happened(running.claim.trial, event)
        if isinstance(event, EpochFinished | EvaluationFinished | Audited | Finished):
            self._crashes.forget()
        if isinstance(event, Crashed):
            self._looked_at = -1e9  # a device that others fill must be seen to be full before the next claim
        # A lost device is waited for by the next claim; whoever has another goes on.
        if isinstance(event, Crashed) and not asked and running.lost is None and self._crashes.too_many(event):
            raise Unavailable(f"{event.reason}; the trials are back in the queue, the same command resumes them")

    # --- what it tells ---

    def _beat(self) -> None:
        """The heartbeat: at once when the state changes, each second at work, seldom when idle."""
        state, reason = self._state()
        age = time.monotonic() - self._beat_at
        if state == self._told and age < (1.0 if self._running else _IDLE_BEAT_SECONDS):
            return
        self._beat_at, self._told = time.monotonic(), state
        slots = self._slot_rows()
        worker = WorkerState(self._role, self._started_at, state, reason, self._study, slots, self._finished)
        with_gpus = any(slot.device != "cpu" and slot.node is None for slot in slots)
        uuids = {gpu.name: gpu.uuid for gpu in self._gpus()} if with_gpus else {}
        with contextlib.suppress(InnateError):  # the next beat tells; what matters is recorded with patience
            worker_state.beat(self._db, worker, pulse.rows([r.pulse for r in self._running.values()], uuids))

    def _gather(self) -> None:
        """Once nothing runs, the database is a single file that holds everything; a heartbeat more or less is no loss."""
        if self._spread and not self._running:
            self._spread = not checkpoint(self._db)

    def _slot_rows(self) -> tuple[SlotRow, ...]:
        """Every slot, busy or free, by number."""
        lanes = {
            device: LaneRow(told.allowed, told.asked, told.settled, told.alone)
            for device, told in self._executor.lanes().items()
        }
        busy = [(one.pulse.slot_number, one.pulse.slot, one.claim.trial_id) for one in self._running.values()]
        rooms = [*busy, *((number, slot, None) for number, slot in self._free_slots())]
        return tuple(
            SlotRow(
                number,
                slot.device,
                slot.threads,
                trial_id,
                None if trial_id else self._crowded.get(slot.device),
                lanes.get(slot.device),
                slot.node,
            )
            for number, slot, trial_id in sorted(rooms, key=lambda room: room[0])
        )

    def _state(self) -> tuple[str, str | None]:
        if self._stop():
            return "stopping", "finishing batches and writing checkpoints"
        if self._hold is not None:
            return self._hold.state, self._hold.reason
        if self._draining:
            return "draining", "finishing what runs, then ending"
        return ("working" if self._running else "idle"), None

    def _hand_back(self) -> None:
        """However the loop ends, no child outlives it and no trial stays marked as running."""
        self._executor.close()
        if self._ownership.lost(self._home, self._file) is not None:
            # A log that stays behind would be read as that of whatever database comes to lie there.
            checkpoint(self._db)
            self._running.clear()
            return
        # A database that cannot be written now is put in order by the next owner.
        with contextlib.suppress(Exception):
            self._recorder.flush()
        for running in self._running.values():
            with contextlib.suppress(Exception):
                queue.release(self._db, running.claim.attempt_id, "stopped")
        with contextlib.suppress(Exception):
            worker_state.sign_off(self._db)
        checkpoint(self._db)
        self._running.clear()
