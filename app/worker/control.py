"""Starting and ending the worker of a home, from any other process.

`start` runs `app.worker.daemon` in a process of its own and waits until the worker holds its lock and its loop turns, or
has said why not.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from app.worker.owner import DETACHED, FOREGROUND, Holder, holder, told_of
from core import launch
from core.errors import ExitCode, InnateError, Unavailable
from core.executors.protocol import Slot
from storage.home import Home

if TYPE_CHECKING:
    from app.worker.cluster import Asked

_COMMAND_SECONDS = 5.0
"""How long a short command that holds the lock for moments may take before `stop` says so."""
_START_SECONDS = 60.0
"""How long a start may take on a machine that is busy with other things; ordinarily a fraction of a second."""


@dataclass(frozen=True)
class Started:
    """The answer to `start`: the worker's pid, and whether it was there before."""

    pid: int
    already: bool = False
    waits_for: int | None = None
    """The pid of an `innate run` that owns the home; the worker takes over when that ends."""


class StillStopping(Unavailable):
    """The worker was told to stop and has not ended yet; it goes on stopping."""


def start(
    home: Home, slots: Sequence[Slot], crafting: str, *, succeed: bool = False, cluster: Asked | None = None
) -> Started:
    """Make sure that a detached worker lives. Raises Unavailable, or what kept it from starting.

    With a `cluster` it works there, and `slots` mean nothing.

    While an `innate run` owns the home, a worker cannot: with `succeed` it is left waiting to take over, else refused.
    """
    who = holder(home)
    if who is not None and who.role is None:
        raise Unavailable(told_of(home, who))
    if who is not None and who.role == DETACHED and who.pid is not None:
        return Started(who.pid, already=True)
    if who is not None and who.role == FOREGROUND and not succeed:
        raise Unavailable(
            f"an innate run (pid {who.pid}) owns {home.root} and works on its study; wait for its end, or stop it"
        )
    reader, writer = os.pipe()
    setup = {
        "slots": [asdict(slot) for slot in slots],
        "crafting": crafting,
        "succeed": succeed,
        "cluster": None if cluster is None else asdict(cluster),
    }
    try:
        home.logs.mkdir(parents=True, exist_ok=True)
        with (home.logs / "worker.stderr").open("wb") as stderr:
            process = subprocess.Popen(
                launch.command("app.worker.daemon", str(home.root), json.dumps(setup), str(writer)),
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
    """This process's own, but for relative paths: the worker leaves the current directory."""
    moved = {"INNATE_DATA": str(home.data_root)} if os.environ.get("INNATE_DATA") else {}
    if paths := os.environ.get("PYTHONPATH"):
        moved["PYTHONPATH"] = os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))
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
            raise Unavailable(f"the worker (pid {process.pid}) does not get going; see {home.worker_log}")
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
    itself is too. Raises StillStopping if it has not ended in time, Unavailable if what holds the lock is not, for all
    that the system says, a worker of this home: that gets no signal.
    """
    pid = _worker(home)
    if pid is None:
        return None
    _signal(home, pid, signal.SIGTERM)
    if now:
        time.sleep(0.1)  # two of the same signal at once may arrive as one
        _signal(home, pid, signal.SIGTERM)
    deadline = time.monotonic() + (5.0 if now else patience)
    while _is_worker(holder(home), pid):
        if time.monotonic() > deadline:
            if not now:
                raise StillStopping(f"worker {pid} is still stopping; innate worker stop --now kills it")
            _signal(home, pid, signal.SIGKILL)
            deadline += 5.0
        time.sleep(0.05)
    return pid


def _worker(home: Home) -> int | None:
    """The pid of the worker; a command that holds the lock for moments is waited for."""
    deadline = time.monotonic() + _COMMAND_SECONDS
    while (who := holder(home)) is not None:
        if who.proven and who.works:
            return who.pid
        if not who.proven or time.monotonic() > deadline:
            raise Unavailable(told_of(home, who))
        time.sleep(0.05)
    return None


def _is_worker(who: Holder | None, pid: int) -> bool:
    return who is not None and who.proven and who.works and who.pid == pid


def _signal(home: Home, pid: int, number: signal.Signals) -> None:
    """Send a signal to the worker, if at this moment it is still that: its pid may have been given out again."""
    with _pinned(pid) as process:
        if not _is_worker(holder(home), pid):
            return
        try:
            if process is not None:
                signal.pidfd_send_signal(process, number)
            else:
                os.kill(pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            raise Unavailable(f"worker {pid} belongs to another user; only that user can stop it") from None


@contextlib.contextmanager
def _pinned(pid: int) -> Iterator[int | None]:
    """A descriptor that stands for the process that has the pid now and for none that may get it later; None where
    the system has no such thing."""
    if sys.platform != "linux":
        yield None
        return
    try:
        process = os.pidfd_open(pid)
    except OSError:  # it has ended, as the lock will tell; or a sandbox does not let us
        yield None
        return
    try:
        yield process
    finally:
        os.close(process)
