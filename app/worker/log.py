"""The worker's log as others read it: its end, or what was added since the last look, also after it was rotated."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TAIL = 1 << 18
"""Bytes read from the end of a log that is opened: some two or three thousand lines."""
_STEP = 1 << 20
"""Bytes read at most in one go after that; what is more comes with the next look."""


@dataclass(frozen=True)
class Place:
    """How far a log has been read: of which file, up to which byte."""

    inode: int
    offset: int


@dataclass(frozen=True)
class Piece:
    """What a look at the log brings: whole lines, and where to go on. `fresh`: they replace what was there."""

    lines: Sequence[str]
    place: Place
    fresh: bool


def last_lines(path: Path, count: int) -> list[str]:
    """The end of a log, from the file rotated out before it too if it is short."""
    found: list[str] = []
    for part in (path.with_name(path.name + ".1"), path):
        if part.exists():
            found += part.read_text(encoding="utf-8", errors="replace").splitlines()
    return found[len(found) - count :] if 0 < count < len(found) else found if count else []


def read_on(path: Path, place: Place | None) -> Piece | None:
    """The lines since `place`, or the end of the log where there is no place or the log was rotated; None without a log."""
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            fresh = place is None or place.inode != status.st_ino or place.offset > status.st_size
            start = max(0, status.st_size - _TAIL) if fresh or place is None else place.offset
            stream.seek(start)
            data = stream.read(_STEP)
    except OSError:
        return None
    end = data.rfind(b"\n") + 1  # the last line may still be being written
    text = data[:end].decode("utf-8", errors="replace")
    lines = text.split("\n")[:-1]
    if fresh and start and lines:
        lines = lines[1:]  # begun in the middle
    return Piece(lines, Place(status.st_ino, start + end), fresh)
