"""One owner per home: an exclusive file lock held for life, which the kernel frees however the owner dies.

No lease, no PID to trust: whether a worker lives is asked of the lock itself. The file's text (pid, what it is, when its
process began) is a claim; the holder counts as innate's only if the system bears the claim out.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import dataclass

from app.worker import proof
from core.errors import BadInput, Unavailable
from storage.home import Home
from storage.one_file import OpenedFile

DETACHED = "worker"
FOREGROUND = "innate run"
"""Roles of those who work on the queue; short commands call themselves "innate delete" and the like."""
_LOOKS, _MOST_LOOKS, _LOOK_AGAIN_SECONDS = 6, 200, 0.05
"""The text is written a moment after the lock is taken, and removed a moment before it is given up: so many looks at a file
that stays as it is tell a stranger."""


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

    def lost(self, home: Home, file: OpenedFile) -> str | None:
        """Why whoever works in this home must end: it, or the database that was opened there, is no longer what others see.
        None while all is well."""
        if not self.holds(home):
            return f"{home.root} was removed or replaced under its worker, which ends"
        if not file.is_there():
            return f"{file.path} was removed or replaced under its worker, which ends"
        return None

    def release(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self.descriptor, 0)
        os.close(self.descriptor)


def acquire(home: Home, role: str, *, successor: bool = False) -> Ownership | None:
    """The lock of `home`, or None while another process holds it. `role` says in the file what the holder is.

    With `successor` it is the lock of the one worker that waits to take over from an `innate run`. Raises BadInput if the
    home cannot be written.
    """
    # Made before the lock is taken: whoever looks in between finds a holder without a claim.
    claim = {"pid": os.getpid(), "role": role, "since": time.time(), "started": proof.started(os.getpid())}
    text = json.dumps(claim).encode()
    try:
        # os.open makes the descriptor close-on-exec: a fork server must not keep the lock of a killed worker alive.
        path = home.successor_lock if successor else home.lock
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
    os.pwrite(descriptor, text, 0)
    return Ownership(descriptor)


@dataclass(frozen=True)
class Holder:
    """Whoever holds the lock of a home."""

    pid: int | None
    """None if it cannot be seen from here."""
    role: str | None
    """None for a stranger: a program that is none of innate's."""
    proven: bool
    """Whether the system bears out that this very process holds it. If not, a role is only what the file says: the
    holder cannot be seen from here, as it is in another container, or another user's."""

    @property
    def works(self) -> bool:
        """Whether it works on the queue, as far as is known."""
        return self.role in (DETACHED, FOREGROUND)


def holder(home: Home) -> Holder | None:
    """Who owns the home now, None if nobody does."""
    since, same = -1, 0
    # While short commands come and go, the file is written again and again: none of them is a stranger.
    for _ in range(_MOST_LOOKS):
        held = _held(home)
        if held is None:
            return None
        lock, claim = held
        borne_out = claim is not None and claim.borne_out(home, lock)
        if claim is not None and borne_out:
            return Holder(claim.pid, claim.role, proven=True)
        same = same + 1 if lock.st_mtime_ns == since else 1
        since = lock.st_mtime_ns
        if same == _LOOKS:
            break
        time.sleep(_LOOK_AGAIN_SECONDS)
    pid = proof.found(home.lock, lock)
    if pid is not None:
        late = _held(home)  # an owner that came while this was looked for has its claim there by now
        if late is not None and late[1] is not None and late[1].pid == pid and late[1].borne_out(home, late[0]):
            return Holder(pid, late[1].role, proven=True)
        return Holder(pid, None, proven=False)
    if claim is None:
        return Holder(None, None, proven=False)
    return Holder(claim.pid, claim.role, proven=False)


def told_of(home: Home, who: Holder) -> str:
    """What to say of a holder that is no worker of this home's, as far as can be seen."""
    if who.proven:
        return f"{home.lock} is held by {who.role} (pid {who.pid}) for a moment; try again"
    if who.role is not None:
        return (
            f"{home.lock} is held by a process that cannot be seen from here; the file says {who.role}, pid {who.pid}: "
            "look in the container, or as the user, that started it"
        )
    if who.pid is None:
        return f"{home.lock} is held by a process that cannot be seen from here and is no worker of innate's"
    name = proof.name_of(who.pid)
    return (
        f"{home.lock} is held by pid {who.pid}{f' ({name})' if name else ''}, which is no worker of innate's; "
        "end it yourself"
    )


def refuse_stranger(home: Home) -> None:
    """Raises Unavailable if a program that is none of innate's holds the lock: nobody would ever answer."""
    who = holder(home)
    if who is not None and who.role is None:
        raise Unavailable(told_of(home, who))


@dataclass(frozen=True)
class _Claim:
    """What the file says of its holder."""

    pid: int
    role: str
    started: float | None
    """When its process began; None in the files of an innate that did not write it."""

    @classmethod
    def read(cls, text: bytes) -> _Claim | None:
        """None for what no owner has written."""
        try:
            said = json.loads(text or b"null")
        except (ValueError, RecursionError):
            return None
        if not isinstance(said, dict):
            return None
        pid, role, began = (said.get(key) for key in ("pid", "role", "started"))
        if isinstance(pid, bool) or not isinstance(pid, int) or pid <= 0:
            return None
        return cls(pid, role, began) if isinstance(role, str) and isinstance(began, float | None) else None

    def borne_out(self, home: Home, lock: os.stat_result) -> bool:
        same = self.started is None or proof.started(self.pid) == self.started
        return same and proof.holds(self.pid, home.lock, lock) is True


def _held(home: Home) -> tuple[os.stat_result, _Claim | None] | None:
    """The lock's inode and what is written in it, None if nobody holds it."""
    try:
        descriptor = os.open(home.lock, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.fstat(descriptor), _Claim.read(os.pread(descriptor, 4096, 0))
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None
