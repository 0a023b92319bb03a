"""The database as a file on disk: whole for whoever copies it, and the one that was opened for whoever writes to it."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from sqlite_utils import Database

_LARGEST_PAGE = 1 << 16
"""Bytes. A database without tables is one page, or none."""


def checkpoint(db: Database) -> bool:
    """Take what the log beside the file holds into the file and empty the log: a plain copy of the file is whole then.

    False where somebody reads or writes at this moment, or the disk does not let us: nothing is lost by that, and nobody is
    waited for.
    """
    (patience,) = db.conn.execute("PRAGMA busy_timeout").fetchone()
    try:
        db.conn.execute("PRAGMA busy_timeout = 0")
        busy, _, _ = db.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy
    except sqlite3.Error:
        return False
    finally:
        db.conn.execute(f"PRAGMA busy_timeout = {patience}")


def is_blank(path: Path) -> bool:
    """Whether a file that is there is a database without any table, or empty: what a copy is whose log was left behind."""
    try:
        if path.stat().st_size > _LARGEST_PAGE or path.with_name(f"{path.name}-wal").exists():
            return False
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)) as file:
            return not file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except (OSError, sqlite3.Error):
        return False


def refuse_blank(path: Path) -> None:
    """Raises BadInput for a database without any table."""
    raise BadInput(
        f"{path}: a database without tables, so nothing is in it; if it is a copy, what it held may be in the -wal file that was "
        "left behind beside the original: copy with `innate export sqlite DEST`"
    )


@dataclass(frozen=True)
class OpenedFile:
    """Which file lay at `path` when it was opened."""

    path: Path
    device: int
    inode: int

    @classmethod
    def at(cls, path: Path) -> OpenedFile:
        """Raises Unavailable where there is none."""
        try:
            found = path.stat()
        except OSError:
            raise Unavailable(f"{path}: the database is gone") from None
        return cls(path, found.st_dev, found.st_ino)

    def is_there(self) -> bool:
        """Whether it is still the one that others find at its path."""
        try:
            found = self.path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode)

    def require(self) -> None:
        """Raises Unavailable once it is not."""
        if not self.is_there():
            raise Unavailable(
                f"{self.path}: the database was removed or replaced meanwhile; nothing more is written to it"
            )
