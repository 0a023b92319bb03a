"""The worker's loop: claim a trial, give it a slot, record what comes back, carry out what clients ask.

The only writer of results. Imports no torch: trials run in the executor's children.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from app.worker.requests import carry_out
from core.errors import Unavailable
from core.events import (
    LAST_EVENTS,
    AttackProgress,
    CleanEvaluated,
    Crashed,
    EpochFinished,
    EvaluationFailed,
    EvaluationFinished,
    Event,
    Finished,
    Started,
    Stopped,
    Trained,
    TrainingProgress,
    TrialFailed,
)
from core.executors.protocol import Executor, Slot
from core.records import Job, TrialSpec
from storage import commands, queue, recording
from storage.home import Home

if TYPE_CHECKING:
    from sqlite_utils import Database

_POLL_SECONDS = 0.2
_BLAMELESS_CRASHES = 5
"""Attempts lost in a row to what is not the trials' fault (a full disk, a dying fork server) before giving up."""


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
    def tick(self) -> None: ...


@dataclass(frozen=True)
class _Running:
    claim: queue.Claim
    slot_number: int


class Worker:
    """Drives all slots of an executor for one home. Whoever makes one holds the home's lock."""

    def __init__(self, home: Home, db: Database, executor: Executor, watcher: Watcher, crafting: str = "auto") -> None:
        self._home = home
        self._db = db
        self._executor = executor
        self._watcher = watcher
        self._crafting = crafting
        self._running: dict[str, _Running] = {}
        self._blameless_crashes = 0
        self._asked_to_stop = Stop.NO

    def work(self, study: str | None, stop: Callable[[], Stop]) -> None:
        """Until nothing is queued in `study` (None: anywhere), or `stop` says so.

        Raises Unavailable when the machine, not the trials, keeps failing; whatever was running is handed back.
        """
        try:
            while True:
                for command in commands.pending(self._db):
                    carry_out(self._db, self._home, command)
                idle = not self._fill_slots(study) if not self._obey(stop()) else True
                if idle and not self._running:
                    return
                for key, event in self._executor.poll(_POLL_SECONDS):
                    self._take(key, event)
                self._watcher.tick()
        finally:
            self._hand_back()

    def _obey(self, stop: Stop) -> bool:
        """Pass a new wish to stop on to the children, once for each degree; True while stopping."""
        if stop > self._asked_to_stop:
            self._asked_to_stop = stop
            for key in list(self._running):
                self._executor.cancel(key, now=stop is Stop.NOW)
        return stop > Stop.NO

    def _fill_slots(self, study: str | None) -> bool:
        """Give each free slot a trial; False if a slot stays free because nothing is queued."""
        for number, slot in self._free_slots():
            claim = queue.claim(self._db, study)
            if claim is None:
                return False
            key = f"{claim.trial_id}/{claim.number}"
            self._running[key] = _Running(claim, number)
            self._watcher.began(claim.trial, number, slot)
            self._executor.submit(key, self._job(claim, slot))
        return True

    def _free_slots(self) -> Iterator[tuple[int, Slot]]:
        taken = {running.slot_number for running in self._running.values()}
        for number, slot in enumerate(self._executor.capacity()):
            if number not in taken:
                yield number, slot

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
            data_root=self._home.data_root,
            cache=self._home.cache,
            device=slot.device,
            threads=slot.threads,
            crafting=self._crafting,
        )

    def _take(self, key: str, event: Event) -> None:
        running = self._running[key]
        self._record(running.claim, event)
        self._watcher.happened(running.claim.trial, event)
        if isinstance(event, LAST_EVENTS):
            del self._running[key]

    def _record(self, claim: queue.Claim, event: Event) -> None:
        db, attempt = self._db, claim.attempt_id
        match event:
            case Started():
                recording.record_started(db, attempt, event)
            case EpochFinished(record):
                recording.record_epochs(db, claim.trial_id, (record,))
            case Trained():
                recording.record_trained(db, attempt, event, self._home)
            case CleanEvaluated():
                recording.record_clean(db, claim.trial_id, event)
            case EvaluationFinished():
                recording.record_evaluation(db, attempt, event)
            case EvaluationFailed():
                recording.record_failed_evaluation(db, attempt, event)
            case Finished():
                queue.settle(db, attempt)
                self._remove_superseded(claim)
            case TrialFailed(reason, traceback):
                queue.fail(db, attempt, reason, traceback)
            case Stopped():
                queue.release(db, attempt, "stopped")
            case Crashed():
                self._record_crash(attempt, event)
        if isinstance(event, EpochFinished | EvaluationFinished | Finished):
            self._blameless_crashes = 0
        if not isinstance(event, EpochFinished | TrainingProgress | AttackProgress):
            recording.record_event(db, type(event).__name__, claim.trial_id, _for_the_log(event))

    def _record_crash(self, attempt: int, event: Crashed) -> None:
        at_fault = event.trial_at_fault and self._asked_to_stop is Stop.NO
        queue.crash(self._db, attempt, event.reason, event.exit_code, at_fault)
        if not at_fault and self._asked_to_stop is Stop.NO:
            self._blameless_crashes += 1
            if self._blameless_crashes >= _BLAMELESS_CRASHES:
                raise Unavailable(f"{event.reason}; the trials are back in the queue, the same command resumes them")

    def _remove_superseded(self, claim: queue.Claim) -> None:
        """Only the attempt that holds the weights keeps its folder."""
        weights = queue.weights_path(self._db, claim.trial_id)
        if weights is None:
            return
        keep = (self._home.checkpoints / weights).parent
        for folder in (self._home.checkpoints / claim.trial_id).iterdir():
            if folder != keep:
                shutil.rmtree(folder, ignore_errors=True)

    def _hand_back(self) -> None:
        """However the loop ends, no child outlives it and no trial stays marked as running."""
        self._executor.close()
        for running in self._running.values():
            with contextlib.suppress(Exception):  # a database that cannot be written is reclaimed by the next owner
                queue.release(self._db, running.claim.attempt_id, "stopped")
        self._running.clear()


def _for_the_log(event: Event) -> dict[str, str]:
    """What is worth keeping of an event beside its kind: why something went wrong, and with which attack."""
    content = {}
    if isinstance(event, TrialFailed | EvaluationFailed | Crashed):
        content["reason"] = event.reason
    if isinstance(event, EvaluationFinished | EvaluationFailed):
        content["attack"] = event.attack.id
    return content
