"""The detached worker: a session of its own, a log file, and an answer to whoever started it.

`start` runs `python -P -m app.worker.daemon` and waits until the worker holds its lock and its loop turns, or has said
why not. The worker stays until it is stopped, whatever becomes of the terminal; SIGTERM stops it cleanly, a second one
at once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import logging.handlers
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.worker import conditions
from app.worker.foreground import StopSignals
from app.worker.loop import Worker
from app.worker.narration import told
from app.worker.owner import DETACHED, FOREGROUND, Ownership, acquire, holder
from core.errors import ExitCode, InnateError, Unavailable
from core.events import EvaluationFailed, Event, Finished, TrialFailed
from core.executors.process import ProcessExecutor
from core.executors.protocol import Slot
from core.records import TrialSpec
from storage import queue, worker_state
from storage.database import connect
from storage.home import Home

if TYPE_CHECKING:
    from sqlite_utils import Database

LOG_NAME = "worker.log"
_LOG_BYTES, _LOG_FILES = 4 << 20, 3
_START_SECONDS = 60.0
"""How long a start may take on a machine that is busy with other things; ordinarily a fraction of a second."""
_RETRY_SECONDS = 5.0

log = logging.getLogger("innate.worker")


@dataclass(frozen=True)
class Started:
    """The answer to `start`: the worker's pid, and whether it was there before."""

    pid: int
    already: bool = False
    waits_for: int | None = None
    """The pid of an `innate run` that owns the home; the worker takes over when that ends."""


def start(home: Home, slots: Sequence[Slot], crafting: str, *, succeed: bool = False) -> Started:
    """Make sure that a detached worker lives. Raises Unavailable, or what kept it from starting.

    While an `innate run` owns the home, a worker cannot: with `succeed` it is left waiting to take over, else refused.
    """
    who = holder(home)
    if who is not None and who.get("role") == DETACHED:
        return Started(int(who["pid"]), already=True)
    if who is not None and who.get("role") == FOREGROUND and not succeed:
        raise Unavailable(
            f"an innate run (pid {who.get('pid')}) owns {home.root} and works on its study; wait for its end, or stop it"
        )
    reader, writer = os.pipe()
    setup = {"slots": [asdict(slot) for slot in slots], "crafting": crafting, "succeed": succeed}
    try:
        home.logs.mkdir(parents=True, exist_ok=True)
        with (home.logs / "worker.stderr").open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "app.worker.daemon", str(home.root), json.dumps(setup), str(writer)],
                pass_fds=[writer],
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env=_environment(home),
                start_new_session=True,  # the end of the terminal is none of its concern
            )
    except OSError as error:
        os.close(reader)
        raise Unavailable(f"the worker cannot be started: {error.strerror or error}") from None
    finally:
        os.close(writer)
    return _answer(reader, process, home)


def _environment(home: Home) -> dict[str, str]:
    """This process's own, but for a data root that is relative: the worker leaves the current directory."""
    moved = {"INNATE_DATA": str(home.data_root)} if os.environ.get("INNATE_DATA") else {}
    return {**os.environ, **moved}


def _answer(reader: int, process: subprocess.Popen[bytes], home: Home) -> Started:
    """What the new process says of itself, over a pipe that closes if it dies."""
    said = bytearray()
    deadline = time.monotonic() + _START_SECONDS
    with os.fdopen(reader, "rb", buffering=0) as pipe:
        while not said.endswith(b"\n"):
            ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
            piece = pipe.read(4096) if ready else b""
            if not piece:
                break
            said += piece
    if not said.endswith(b"\n"):
        if process.poll() is None:
            raise Unavailable(f"the worker (pid {process.pid}) does not get going; see {home.logs / LOG_NAME}")
        raise Unavailable(f"the worker ended as it started; see {home.logs / 'worker.stderr'}")
    answer = json.loads(said)
    if "error" in answer:
        error = InnateError(answer["error"])
        error.exit_code = ExitCode(answer["exit_code"])
        raise error
    return Started(answer["pid"], answer["already"], answer["waits_for"])


def stop(home: Home, *, now: bool, patience: float = 60.0) -> int | None:
    """End whoever works in `home`, detached or in a foreground; returns its pid, None if nobody does.

    Cleanly: it finishes batches and writes checkpoints. `now`: its children are killed, and if it does not answer
    itself is too. Raises Unavailable if it has not ended in time.
    """
    who = holder(home)
    if who is None or "pid" not in who:
        return None
    pid = int(who["pid"])
    _signal(pid, signal.SIGTERM)
    if now:
        time.sleep(0.1)  # two of the same signal at once may arrive as one
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + (5.0 if now else patience)
    while _still(home, pid):
        if time.monotonic() > deadline:
            if not now:
                raise Unavailable(f"worker {pid} is still stopping; innate worker stop --now kills it")
            _signal(pid, signal.SIGKILL)
            deadline += 5.0
        time.sleep(0.05)
    return pid


def _still(home: Home, pid: int) -> bool:
    who = holder(home)
    return who is not None and who.get("pid") == pid


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
    except PermissionError:
        raise Unavailable(f"worker {pid} belongs to another user; only that user can stop it") from None


# --- in the worker's process ---


class Logbook:
    """Watches the work and writes it to the log; `at_work` is called once the loop turns."""

    def __init__(self, at_work: Callable[[], None]) -> None:
        self._at_work = at_work

    def began(self, trial: TrialSpec, slot_number: int, slot: Slot) -> None:
        log.info("%s: begins on %s (slot %d)", _name(trial), slot.device, slot_number + 1)

    def happened(self, trial: TrialSpec, event: Event) -> None:
        for line in told(event, epochs=True):
            log.info("%s: %s", _name(trial), line)
        if isinstance(event, Finished):
            log.info("%s: done", _name(trial))
        if isinstance(event, TrialFailed | EvaluationFailed) and event.traceback:
            log.info("%s: %s", _name(trial), event.traceback)

    def noted(self, text: str) -> None:
        log.info("%s", text)

    def tick(self) -> None:
        self._at_work()


def _name(trial: TrialSpec) -> str:
    choices = (trial.architecture, trial.optimizer, trial.activation, trial.defense)
    return f"{trial.id[:10]} {' '.join(choice.name for choice in choices)} s{trial.seed}"


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
                queue.reclaim(db)
                slots = [Slot(**slot) for slot in setup["slots"]]
                log.info("worker %d begins, %d slots: %s", os.getpid(), len(slots), ", ".join(s.device for s in slots))
                book = Logbook(lambda: answer.give(pid=os.getpid(), already=False, waits_for=None))
                _stay(home, db, slots, setup["crafting"], ownership, book, stopping)
            finally:
                ownership.release()
        except InnateError as error:
            log.error("%s", error)
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
            who = holder(home) or {}
            if who.get("role") == DETACHED:
                answer.give(pid=who.get("pid"), already=True, waits_for=None)
                return None
            if who.get("role") == FOREGROUND:
                if not succeed:
                    raise Unavailable(f"an innate run (pid {who.get('pid')}) owns {home.root}")
                if queue_for_it is None:
                    queue_for_it = acquire(home, DETACHED, successor=True)
                    answer.give(pid=os.getpid(), already=queue_for_it is None, waits_for=who.get("pid"))
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
    slots: Sequence[Slot],
    crafting: str,
    ownership: Ownership,
    book: Logbook,
    stop: StopSignals,
) -> None:
    """Work until told to end. What makes the loop give up (a full disk, a broken installation) is waited out."""
    while True:
        executor = ProcessExecutor(slots, home.logs / "children.log")
        executor.warm()
        try:
            Worker(home, db, executor, book, ownership, role=DETACHED, crafting=crafting, stay=True).work(None, stop)
            return
        except InnateError as error:
            log.error("%s", error)
            if not ownership.holds(home):
                raise
            _wait(home, db, slots, str(error), stop)
        if stop():
            return
        queue.reclaim(db)


def _wait(home: Home, db: Database, slots: Sequence[Slot], reason: str, stop: StopSignals) -> None:
    began = time.time()
    until = time.monotonic() + _RETRY_SECONDS
    while not stop() and (time.monotonic() < until or conditions.low_disk(home) is not None):
        idle = [{"number": n, "device": s.device, "threads": s.threads, "trial_id": None, "waits": reason}
                for n, s in enumerate(slots)]  # fmt: skip
        with contextlib.suppress(InnateError):  # what cannot be written cannot be told either; the log has it
            worker_state.beat(db, worker_state.WorkerState(DETACHED, began, "paused", reason, None, idle, 0), [])
        time.sleep(1.0)


class _Answer:
    """The pipe to whoever started this: it takes one answer and is closed, for its number is soon another file's."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor: int | None = descriptor

    def give(self, **answer: object) -> None:
        """Answer, the first time; that nobody listens any more is no matter."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        with contextlib.suppress(OSError):
            os.write(descriptor, json.dumps(answer).encode() + b"\n")
        os.close(descriptor)


def _log_to(home: Home) -> None:
    try:
        handler = logging.handlers.RotatingFileHandler(
            home.logs / LOG_NAME, maxBytes=_LOG_BYTES, backupCount=_LOG_FILES, encoding="utf-8"
        )
    except OSError:
        return  # the home cannot be written; the lock will say so to whoever started this
    logging.raiseExceptions = False  # a full disk must not fill stderr
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
