"""The detached worker: a session of its own, a log file, and an answer to whoever started it.

`app.worker.control` starts it. It stays until it is stopped, whatever becomes of the terminal; SIGTERM stops it cleanly, a
second one at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import logging.handlers
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.terminal.characters import visible
from app.worker import conditions
from app.worker.cluster import Asked, Cluster, executor_for
from app.worker.devices import in_words, remarks
from app.worker.foreground import StopSignals
from app.worker.loop import Worker
from app.worker.narration import logged
from app.worker.owner import DETACHED, FOREGROUND, Ownership, acquire, holder, told_of
from core.errors import InnateError, Unavailable
from core.events import Event
from core.executors.lanes import LanesExecutor
from core.executors.protocol import Slot
from core.names import full_name, short_id
from core.records.trial import TrialSpec
from storage import journal, queue, verdicts, worker_state
from storage.database import connect
from storage.home import Home
from storage.one_file import OpenedFile

if TYPE_CHECKING:
    from sqlite_utils import Database

_LOG_BYTES, _LOG_FILES = 4 << 20, 3
_RETRY_SECONDS = 5.0

log = logging.getLogger("innate.worker")


class Logbook:
    """Watches the work and writes it to the log; `at_work` is called once the loop turns."""

    def __init__(self, at_work: Callable[[], None]) -> None:
        self._at_work = at_work

    def began(self, trial: TrialSpec, slot_number: int, slot: Slot) -> None:
        self._write(trial, journal.Began(slot.device, slot_number))

    def happened(self, trial: TrialSpec, event: Event) -> None:
        for entry in journal.entries(event):
            self._write(trial, entry)

    def noted(self, text: str) -> None:
        log.info("%s", text)

    def tick(self) -> None:
        self._at_work()

    def _write(self, trial: TrialSpec, entry: journal.Entry) -> None:
        for line in logged(entry):
            log.info("%s: %s", _name(trial), line)


def _name(trial: TrialSpec) -> str:
    choices = (trial.architecture, trial.optimizer, trial.activation, trial.defense)
    seed = "imported" if trial.imported is not None else f"s{trial.seed}"
    return f"{short_id(trial.id)} {full_name(None if choice is None else choice.name for choice in choices)} {seed}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="innate worker")
    parser.add_argument("home", type=Path)
    parser.add_argument("setup", type=json.loads)
    parser.add_argument("answer", type=int)
    options = parser.parse_args(arguments)
    home, setup = Home(options.home), options.setup
    answer = _Answer(options.answer)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir("/")  # keep no mount busy
    _log_to(home)
    with StopSignals(signal.SIGTERM, signal.SIGINT).installed() as stopping:
        try:
            ownership = _own(home, answer, stopping, succeed=setup["succeed"])
            if ownership is None:
                return 0
            try:
                db = connect(home.database)
                file = OpenedFile.at(home.database)
                queue.reclaim(db)
                verdicts.score_late(db)
                slots = [Slot(**slot) for slot in setup["slots"]]
                cluster = None
                if setup["cluster"] is not None:
                    asked = Asked(**{**setup["cluster"], "devices": tuple(setup["cluster"]["devices"])})
                    cluster = Cluster(home, asked)
                    slots = list(cluster.slots)
                log.info("worker %d begins, %s", os.getpid(), in_words(slots) if cluster is None else cluster.words)
                for remark in remarks(()) if cluster is None else ():
                    log.warning("%s", remark)
                book = Logbook(lambda: answer.give(pid=os.getpid(), already=False, waits_for=None))
                _stay(home, db, file, slots, setup["crafting"], ownership, book, stopping, cluster)
            finally:
                ownership.release()
        except InnateError as error:
            log.error("%s", error)
            print(f"innate worker: {error}", file=sys.stderr, flush=True)
            answer.give(error=str(error), exit_code=int(error.exit_code))
            return int(error.exit_code)
        except Exception:
            log.exception("the worker ends for a fault of its own")
            return 1
    log.info("worker %d ends", os.getpid())
    return 0


def _own(home: Home, answer: _Answer, stopping: StopSignals, *, succeed: bool) -> Ownership | None:
    """The lock of the home; None if another worker has it, or is already waiting to take over from an `innate run`.

    A short command holds the lock for moments, so it is asked for again.
    """
    queue_for_it: Ownership | None = None
    try:
        while not stopping():
            ownership = acquire(home, DETACHED)
            if ownership is not None:
                return ownership
            who = holder(home)
            if who is not None and who.role is None:
                raise Unavailable(told_of(home, who))
            if who is not None and who.role == DETACHED:
                answer.give(pid=who.pid, already=True, waits_for=None)
                return None
            if who is not None and who.role == FOREGROUND:
                if not succeed:
                    raise Unavailable(f"an innate run (pid {who.pid}) owns {home.root}")
                if queue_for_it is None:
                    queue_for_it = acquire(home, DETACHED, successor=True)
                    answer.give(pid=os.getpid(), already=queue_for_it is None, waits_for=who.pid)
                    if queue_for_it is None:
                        return None
            time.sleep(0.1)
        return None
    finally:
        if queue_for_it is not None:
            queue_for_it.release()


def _stay(
    home: Home,
    db: Database,
    file: OpenedFile,
    slots: Sequence[Slot],
    crafting: str,
    ownership: Ownership,
    book: Logbook,
    stop: StopSignals,
    cluster: Cluster | None,
) -> None:
    """Work until told to end. What makes the loop give up (a full disk, a broken installation) is waited out."""
    while True:
        try:
            executor = executor_for(home, db, slots, cluster, book.noted)
            # What torch takes of memory is only taken where it is needed.
            if isinstance(executor, LanesExecutor) and queue.next_trial(db) is not None:
                executor.warm()
            worker = Worker(home, db, executor, book, ownership, role=DETACHED, crafting=crafting, stay=True, file=file)
            worker.work(None, stop)
            return
        except (InnateError, sqlite3.Error) as error:
            _end_if_lost(home, file, ownership)  # whatever it was that failed first
            if isinstance(error, sqlite3.Error):
                raise
            log.error("%s", error)
            _wait(home, db, slots, str(error), lambda: bool(stop()) or ownership.lost(home, file) is not None)
        if stop():
            return
        _end_if_lost(home, file, ownership)
        queue.reclaim(db)


def _end_if_lost(home: Home, file: OpenedFile, ownership: Ownership) -> None:
    lost = ownership.lost(home, file)
    if lost is not None:
        raise Unavailable(lost) from None


def _wait(home: Home, db: Database, slots: Sequence[Slot], reason: str, stop: Callable[[], bool]) -> None:
    began = time.time()
    until = time.monotonic() + _RETRY_SECONDS
    while not stop() and (time.monotonic() < until or conditions.low_disk(home) is not None):
        idle = tuple(
            worker_state.SlotRow(number, slot.device, slot.threads, None, reason) for number, slot in enumerate(slots)
        )
        with contextlib.suppress(InnateError):  # what cannot be written cannot be told either; the log has it
            worker_state.beat(db, worker_state.WorkerState(DETACHED, began, "paused", reason, None, idle, 0), [])
        time.sleep(1.0)


class _Answer:
    """The pipe to whoever started this: it takes one answer and is closed, for its number is soon another file's."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor: int | None = descriptor

    def give(self, **answer: object) -> None:
        """Answer, the first time; it does not matter if nobody listens any more."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        with contextlib.suppress(OSError):
            os.write(descriptor, json.dumps(answer).encode() + b"\n")
        os.close(descriptor)


class _Visible(logging.Formatter):
    """A log is read with cat, too."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def _log_to(home: Home) -> None:
    try:
        handler = logging.handlers.RotatingFileHandler(
            home.worker_log, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8"
        )
    except OSError:
        return  # the home cannot be written; the lock will say so to whoever started this
    logging.raiseExceptions = False  # a full disk must not fill stderr
    handler.setFormatter(_Visible("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
