"""From events to the database: what can wait goes there once a second in one transaction, the rest at once by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from core.errors import Unavailable
from core.events import (
    AttackProgress,
    CleanEvaluated,
    Crashed,
    Diagnosed,
    EpochFinished,
    EpochRecord,
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
from storage import queue, recording
from storage.database import transaction
from storage.home import Home
from storage.queue import Claim

if TYPE_CHECKING:
    from sqlite_utils import Database

FLUSH_SECONDS = 1.0


class Recorder:
    """Writes down what trials tell. Evaluations, weights and ends are committed at once, each in its own transaction;
    epochs and the event log wait for `flush`.

    A database that an outside writer keeps locked is waited for as long as it takes, so that nothing a child has worked
    out is lost; `give_up` ends the wait with Unavailable.
    """

    def __init__(self, db: Database, home: Home, give_up: Callable[[], bool]) -> None:
        self._db = db
        self._home = home
        self._give_up = give_up
        self._epochs: dict[str, list[EpochRecord]] = {}
        self._log: list[recording.LogLine] = []
        self._flushed_at = time.monotonic()

    def take(self, claim: Claim, event: Event, at_fault: bool) -> None:
        """Record one event of a claimed trial. `at_fault`: whether a crash counts against the trial."""
        match event:
            case TrainingProgress() | AttackProgress():
                return
            case EpochFinished(record):
                self._epochs.setdefault(claim.trial_id, []).append(record)
                return
        self._log.append(recording.LogLine(time.time(), type(event).__name__, claim.trial_id, _for_the_log(event)))
        self._patiently(lambda: self._record(claim, event, at_fault))

    def flush(self) -> None:
        """Write what has been put off."""
        self._flushed_at = time.monotonic()
        if self._epochs or self._log:
            self._patiently(self._write_put_off)

    @property
    def due(self) -> bool:
        """Whether a second has passed since the last flush."""
        return time.monotonic() - self._flushed_at >= FLUSH_SECONDS

    def _record(self, claim: Claim, event: Event, at_fault: bool) -> None:
        db, attempt = self._db, claim.attempt_id
        with transaction(db):
            # A trial's epochs come before whatever follows them, and its crash count is reset by them.
            recording.record_epochs(db, claim.trial_id, self._epochs.get(claim.trial_id, ()))
            match event:
                case Started():
                    recording.record_started(db, attempt, event)
                case Trained():
                    recording.record_trained(db, attempt, event, self._home)
                case CleanEvaluated():
                    recording.record_clean(db, claim.trial_id, event)
                case EvaluationFinished():
                    recording.record_evaluation(db, attempt, event)
                case Diagnosed():
                    recording.record_diagnosis(db, attempt, event)
                case EvaluationFailed():
                    recording.record_failed_evaluation(db, attempt, event)
                case Finished():
                    queue.settle(db, attempt)
                case TrialFailed(reason, traceback):
                    queue.fail(db, attempt, reason, traceback)
                case Stopped():
                    queue.release(db, attempt, "stopped")
                case Crashed():
                    queue.crash(db, attempt, event.reason, event.exit_code, at_fault, event.memory_needed)
        self._epochs.pop(claim.trial_id, None)

    def _write_put_off(self) -> None:
        with transaction(self._db):
            for trial_id, records in self._epochs.items():
                recording.record_epochs(self._db, trial_id, records)
            recording.record_log(self._db, self._log)
        self._epochs.clear()
        self._log.clear()

    def _patiently(self, write: Callable[[], None]) -> None:
        while True:
            try:
                write()
                return
            except Unavailable:  # each try has waited for the lock as long as SQLite was told to
                if self._give_up():
                    raise


def _for_the_log(event: Event) -> dict[str, str]:
    """What is worth keeping of an event beside its kind: why something went wrong, and with which attack."""
    content = {}
    if isinstance(event, TrialFailed | EvaluationFailed | Crashed):
        content["reason"] = event.reason
    if isinstance(event, Started) and event.notes:
        content["notes"] = "; ".join(event.notes)
    if isinstance(event, EvaluationFinished | EvaluationFailed):
        content["attack"] = event.attack.id
    return content
