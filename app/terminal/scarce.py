"""What a machine or its limits may refuse at any moment, in one line: memory, files, space."""

from __future__ import annotations

import errno

from core.errors import Unavailable
from core.launch import NEEDED_FILES, allow_files

_FILES_BY_SLOTS = 2
"""A worker holds one socket for each, and hands out another as it starts a child."""
_FILES_OF_A_WORKER = 64

_REFUSED = {
    errno.EMFILE: "too few open files are allowed: ulimit -n 1024",
    errno.ENFILE: "the system has no more open files to give; close other programs",
    errno.ENOSPC: "the disk is full; free some space and try again",
    errno.EDQUOT: "your disk quota is used up; free some space and try again",
    errno.EFBIG: "a file would be larger than is allowed; see ulimit -f",
    errno.ENOMEM: "there is not enough memory; see ulimit -v",
    errno.EAGAIN: "the system gives no more processes or threads; see ulimit -u",
}
_MEMORY = ("cannot allocate memory", "failed to map segment", "cannot map", "out of memory")


def refuse_few_files(slots: int = 0) -> None:
    """Raises Unavailable where so few files may be open that a command, or a worker with so many slots, would fail half-way."""
    allowed = allow_files()
    needed = _FILES_OF_A_WORKER + _FILES_BY_SLOTS * slots if slots else NEEDED_FILES
    if allowed < needed:
        purpose = f" for {slots} slots" if slots > 1 else ""
        raise Unavailable(
            f"only {allowed} open files are allowed, {needed} are needed{purpose}: ulimit -n {max(256, needed)}"
        )


def told(error: BaseException) -> str | None:
    """The line of an error that is no fault of ours; None for any other."""
    if isinstance(error, OSError) and error.errno in _REFUSED:
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return where + _REFUSED[error.errno]
    text = str(error).lower()
    if isinstance(error, MemoryError) or (isinstance(error, ImportError) and any(sign in text for sign in _MEMORY)):
        return _REFUSED[errno.ENOMEM]
    if isinstance(error, RuntimeError) and "can't start new thread" in text:
        return _REFUSED[errno.EAGAIN]
    return told(error.__cause__) if error.__cause__ is not None else None
