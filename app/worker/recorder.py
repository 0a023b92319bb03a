"""From events to the database: what can wait goes there once a second in one transaction, the rest at once by itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from app.worker import escalation
from core.errors import Unavailable
from core.events import (
    AttackProgress,
    Audited,
    AuditFailed,
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
    TraitsMeasured,
    TrialFailed,
    Waiting,
)
from storage import journal, queue, recording
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
        self._epochs: dict[str, list[tuple[EpochRecord, float]]] = {}
        """Trial id → epochs, each with the Unix seconds at which it ended."""
        self._log: list[journal.Line] = []
        self._flushed_at = time.monotonic()

    def begin(self, claim: Claim, slot_number: int, device: str) -> None:
        """Note for the log that a claimed trial was given this slot, on `device`."""
        self._log.append(journal.Line(time.time(), claim.trial_id, journal.Began(device, slot_number)))

    def take(self, claim: Claim, event: Event, at_fault: bool) -> None:
        """Record one event of a claimed trial. `at_fault`: whether a crash counts against the trial."""
        now = time.time()
        self._log += [journal.Line(now, claim.trial_id, entry) for entry in journal.entries(event)]
        match event:
            case TrainingProgress() | AttackProgress() | Waiting():
                return
            case EpochFinished(record):
                self._epochs.setdefault(claim.trial_id, []).append((record, now))
                return
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
            self._write_epochs(claim.trial_id)
            match event:
                case Started():
                    recording.record_started(db, attempt, event)
                case Trained():
                    recording.record_trained(db, attempt, event, self._home)
                case CleanEvaluated():
                    recording.record_clean(db, claim.trial_id, event)
                case EvaluationFinished():
                    recording.record_evaluation(db, attempt, event)
                case Audited():
                    recording.record_audit(db, attempt, event)
                case AuditFailed():
                    recording.record_failed_audit(db, attempt, event)
                case Diagnosed():
                    recording.record_diagnosis(db, attempt, event)
                case TraitsMeasured():
                    recording.record_traits(db, attempt, event)
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
            if isinstance(event, EvaluationFinished | Audited | Finished):  # each may be what the trial still lacked
                escalation.go_on(db, claim.trial_id)
        self._epochs.pop(claim.trial_id, None)

    def _write_epochs(self, trial_id: str) -> None:
        ended = self._epochs.get(trial_id, ())
        recording.record_epochs(self._db, trial_id, [record for record, _ in ended], [at for _, at in ended])

    def _write_put_off(self) -> None:
        with transaction(self._db):
            for trial_id in self._epochs:
                self._write_epochs(trial_id)
            journal.append(self._db, self._log)
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
