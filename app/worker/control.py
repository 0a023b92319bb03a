"""Starting and ending the worker of a home, from any other process.

`start` runs `python -P -m app.worker.daemon` and waits until the worker holds its lock and its loop turns, or has said
why not.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from app.worker.owner import DETACHED, FOREGROUND, holder
from core.errors import ExitCode, InnateError, Unavailable
from core.executors.protocol import Slot
from storage.home import Home

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
    itself is too. Raises StillStopping if it has not ended in time.
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
                raise StillStopping(f"worker {pid} is still stopping; innate worker stop --now kills it")
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
