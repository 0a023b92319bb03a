"""One owner per home: an exclusive file lock held for life, which the kernel frees however the owner dies.

No lease, no PID to trust: whether a worker lives is asked of the lock itself. The file's text (pid, what it is) is for
people, and for signals to a process that holds the lock at that moment.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core.errors import BadInput, Unavailable
from storage.home import Home

DETACHED = "worker"
FOREGROUND = "innate run"
"""Roles of those who work on the queue; short commands call themselves "innate delete" and the like."""


@dataclass(frozen=True)
class Ownership:
    """The held lock; closing the descriptor, or dying, gives it up."""

    descriptor: int

    def holds(self, home: Home) -> bool:
        """Whether the lock is still the one that others see: not once somebody has deleted or replaced the home."""
        try:
            return os.path.samestat(home.lock.stat(), os.fstat(self.descriptor))
        except OSError:
            return False

    def release(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)


def acquire(home: Home, role: str, *, successor: bool = False) -> Ownership | None:
    """The lock of `home`, or None while another process holds it. `role` says in the file what the holder is.

    With `successor` it is the lock of the one worker that waits to take over from an `innate run`. Raises BadInput if the
    home cannot be written.
    """
    try:
        # os.open makes the descriptor close-on-exec: a fork server must not keep the lock of a killed worker alive.
        path = home.lock.with_name("successor.lock") if successor else home.lock
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise BadInput(f"{home.lock}: cannot be opened for writing: {error.strerror}; use --home DIR") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        raise BadInput(
            f"{home.lock}: this file system takes no locks ({error.strerror}); use --home on a local disk"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "role": role, "since": time.time()}).encode(), 0)
    return Ownership(descriptor)


def holder(home: Home) -> dict[str, Any] | None:
    """What the living owner wrote of itself (pid, role, since), {} if it has not yet, None if nobody owns the home."""
    try:
        descriptor = os.open(home.lock, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        with contextlib.suppress(ValueError):
            return dict(json.loads(os.pread(descriptor, 4096, 0) or b"{}"))
        return {}
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


@contextlib.contextmanager
def owned(home: Home, role: str = "a command") -> Iterator[Ownership]:
    """Own `home` for a short change; raises Unavailable while a worker lives."""
    ownership = acquire(home, role)
    if ownership is None:
        who = holder(home) or {}
        raise Unavailable(f"{home.root} is in use by a worker (pid {who.get('pid', 'unknown')}); stop it first")
    try:
        yield ownership
    finally:
        ownership.release()
