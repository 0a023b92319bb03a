"""Weights that lie beside another home's database, copied to where this home keeps its own. Files only: nothing in them is read.

A file counts only as the weights of a trial whose digest is the same here and there; a child that loads it takes tensors and
nothing else from it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput
from storage.home import Home
from storage.merge.checked_trial import folder_number
from storage.merge.opened import opened
from storage.merge.values import Unsound, address, optional, text

if TYPE_CHECKING:
    from sqlite_utils import Database

LARGEST = 1 << 34
"""Bytes of a model's weights, 16 GiB: more is no image classifier's."""
_ZIP = b"PK\x03\x04"
_ROOM = 1 << 28
"""Bytes of the disk that stay free."""


@dataclass(frozen=True)
class Copied:
    """How many models got their weights; `left` why others did not, a line each."""

    models: int
    bytes: int
    left: tuple[str, ...]


def copy_weights(db: Database, home: Home, database: Path, report: Callable[[int, int, str], None]) -> Copied:
    """Bring the weights of every trial that has none here. One that is cut short leaves whole files, and goes on when made again.
    Only the owner of the home may call this."""
    models = size = 0
    left: list[str] = []
    with opened(database) as other:
        total = other.count("trial")
        columns = {"id": address, "final_digest": optional(address), "weights": optional(text(1000))}
        try:
            for done, row in enumerate(other.rows("trial", columns, "ORDER BY rowid"), 1):
                report(done, total, "weights")
                number = folder_number(row["id"], row["weights"])
                target = _wanted(db, home, row["id"], row["final_digest"])
                if target is None or number is None:
                    continue
                try:
                    if not target.exists():  # else a merge was cut short when it had been copied
                        size += _copy(database.resolve().parent / "checkpoints", (row["id"], str(number)), target)
                except FileNotFoundError:
                    continue  # it has none, either
                except OSError as error:
                    left.append(f"trial {row['id'][:10]}: {error.strerror or error}")
                    continue
                db.execute("UPDATE trial SET weights_removed = 0 WHERE id = ?", (row["id"],))
                models += 1
        except Unsound as error:
            raise BadInput(f"{database}: {error}") from None
    return Copied(models, size, tuple(left))


def _wanted(db: Database, home: Home, trial_id: str, digest: str | None) -> Path | None:
    """Where the weights of a trial belong that has none here, and was trained to the same ones there."""
    row = db.execute(
        "SELECT weights, weights_removed FROM trial WHERE id = ? AND final_digest = ? AND weights IS NOT NULL",
        (trial_id, digest),
    ).fetchone()
    if row is None:
        return None
    place = home.checkpoints / row[0]
    return place if row[1] or not place.exists() else None


def _copy(checkpoints: Path, folders: tuple[str, str], target: Path) -> int:
    """Whole or not at all; returns its bytes. Raises OSError, in words for what is no weights' file."""
    with _opened_inside(checkpoints, (*folders, "weights.pt")) as source:
        found = os.fstat(source)
        if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST or os.pread(source, 4, 0) != _ZIP:
            raise OSError("its file beside the other database is no weights' file")
        target.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(target.parent).free < found.st_size + _ROOM:
            raise OSError("there is no room for its weights on the disk")
        partial = target.with_suffix(".partial")
        try:
            with os.fdopen(os.dup(source), "rb") as reader, partial.open("wb") as writer:
                left = found.st_size  # however long it grows meanwhile
                while left and (part := reader.read(min(left, 1 << 22))):
                    writer.write(part)
                    left -= len(part)
                writer.flush()
                os.fsync(writer.fileno())
            partial.rename(target)
        finally:
            partial.unlink(missing_ok=True)
    return found.st_size


@contextlib.contextmanager
def _opened_inside(folder: Path, parts: tuple[str, ...]) -> Iterator[int]:
    """A file below `folder`, by its path from there, through no link. Raises OSError."""
    opened_so_far = [os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        for place, part in enumerate(parts, 1):
            kind = 0 if place == len(parts) else os.O_DIRECTORY
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | kind
            opened_so_far.append(os.open(part, flags, dir_fd=opened_so_far[-1]))
        yield opened_so_far[-1]
    finally:
        for descriptor in opened_so_far:
            os.close(descriptor)
