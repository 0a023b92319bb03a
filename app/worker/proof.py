"""Who really holds a file's lock, as the system tells it: what a lock file says of its holder may be old, or another's.

On Linux the kernel lists, with every open file of a process, the locks held through it. Elsewhere a process counts as the
holder if it has the file open; that it is the one that wrote the file's text, its start tells.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")


def started(pid: int) -> float | None:
    """When a process began, the same however often it is asked: with it a pid that was given out again is told from the
    first. None if there is no such process.

    On Linux in ticks since the machine's start; a time of day would move whenever somebody sets the clock.
    """
    if (_PROC / "self" / "stat").exists():
        try:
            # The program's name, in brackets, may hold blanks and brackets itself.
            fields = (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
            return None if fields[0] in "ZX" else float(fields[19])
        except (OSError, IndexError, ValueError):
            return None
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def holds(pid: int, path: Path, lock: os.stat_result) -> bool | None:
    """Whether `pid` holds the lock of the file `path`, whose inode is `lock`; None if that cannot be seen from here."""
    if not _PROC.joinpath("self", "fd").exists():
        return _has_open(pid, lock)
    try:
        return any(not _kernel_tells() or _locks(pid, descriptor) for descriptor in _descriptors(pid, path, lock))
    except PermissionError:  # another user's; the list of all locks is everybody's to read
        listed = _listed(lock)
        return None if listed is None else listed == pid
    except OSError:
        return False


def found(path: Path, lock: os.stat_result) -> int | None:
    """The pid of whoever holds the lock, None if it cannot be seen from here: another container's, or another user's."""
    if not _PROC.joinpath("self", "fd").exists():
        return None
    for entry in _PROC.iterdir():
        if entry.name.isdecimal() and _kernel_tells():
            with contextlib.suppress(OSError):
                if any(_locks(int(entry.name), each) for each in _descriptors(int(entry.name), path, lock)):
                    return int(entry.name)
    listed = _listed(lock)
    # The list names who took the lock. That one may be gone, and the lock lives on in a child: then nobody is named.
    if listed is None or not (_PROC / str(listed)).exists() or os.access(_PROC / str(listed) / "fd", os.R_OK):
        return None
    return listed


def name_of(pid: int) -> str | None:
    """What a process is called in the system's list."""
    import psutil

    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:
        return None


def _descriptors(pid: int, path: Path, lock: os.stat_result) -> Iterator[str]:
    """Under which numbers a process has the file open."""
    for entry in (_PROC / str(pid) / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            # By name first: to look at a file on a network disk that is gone would never end.
            if entry.readlink().name == path.name and os.path.samestat(entry.stat(), lock):
                yield entry.name


def _locks(pid: int, descriptor: str) -> bool:
    told = (_PROC / str(pid) / "fdinfo" / descriptor).read_text()
    return any(line.startswith("lock:") and "FLOCK" in line and "WRITE" in line for line in told.splitlines())


@functools.cache
def _kernel_tells() -> bool:
    """Whether locks are listed with open files: not in every sandbox that plays a Linux."""
    with tempfile.TemporaryFile() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            return _locks(os.getpid(), str(file.fileno()))
        except OSError:
            return False


def _listed(lock: os.stat_result) -> int | None:
    """Who took the lock, in the kernel's list of all. Some file systems are listed under another device: None for them."""
    device = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}:{lock.st_ino}"
    try:
        lines = (_PROC / "locks").read_text().splitlines()
    except OSError:
        return None
    for fields in (line.split() for line in lines):
        if len(fields) >= 6 and fields[1] == "FLOCK" and fields[3] == "WRITE" and fields[5] == device:
            return int(fields[4]) if int(fields[4]) > 0 else None
    return None


def _has_open(pid: int, lock: os.stat_result) -> bool | None:
    import psutil

    try:
        for file in psutil.Process(pid).open_files():
            with contextlib.suppress(OSError):
                if os.path.samestat(Path(file.path).stat(), lock):
                    return True
    except psutil.AccessDenied:
        return None
    except psutil.Error:
        return False
    return False
