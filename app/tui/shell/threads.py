"""Where the waiting is done: a thread with a database connection of its own, asked from the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from core.errors import InnateError

if TYPE_CHECKING:
    from sqlite_utils import Database

T = TypeVar("T")


class Reader:
    """Runs questions one after another on one thread, against one database that it only reads.

    plotext's figure is global, so charts have a Reader to themselves. Where there is no database yet the questions find an
    empty one, and the real one as soon as it appears, or is replaced.
    """

    def __init__(self, database: Path, *, read_only: bool, name: str) -> None:
        self._path = database
        self._read_only = read_only
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._db: Database | None = None
        self._file: tuple[int, int] | None = None
        self.connections = 0
        """How often it has connected, to whatever then lay there."""

    async def ask(self, question: Callable[[Database], T]) -> T:
        """The answer to `question(db)`. Raises what it raises, SQLite's errors as InnateError."""
        return await asyncio.wrap_future(self._thread.submit(self._answer, question))

    @property
    def file(self) -> tuple[int, int] | None:
        """Which file the last question found (device, inode), None where there was none."""
        return self._file

    def close(self) -> None:
        """Let go of the connection; what is still asked is dropped."""
        self._thread.submit(self._disconnect)
        self._thread.shutdown(wait=False, cancel_futures=False)

    def _answer(self, question: Callable[[Database], T]) -> T:
        import sqlite3

        from storage.database import in_words

        try:
            return question(self._connected())
        except sqlite3.Error as error:
            self._disconnect()
            raise in_words(error, self._path) from error

    def _connected(self) -> Database:
        from storage.database import connect, empty

        there = _identity(self._path)
        if self._db is None or there != self._file:
            self._disconnect()
            if there is None:
                self._db = empty()
            else:
                self._db = connect(self._path, read_only=self._read_only or not os.access(self._path, os.W_OK))
            self._file = there
            self.connections += 1
        return self._db

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.conn.close()
        self._db = self._file = None


class ChangeThread:
    """Runs what may take a while (changes, starting a worker, reading a study's data) one after another on one thread."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="steering")

    async def do(self, work: Callable[[], T]) -> T:
        """The result of `work()`; raises what it raises."""
        return await asyncio.wrap_future(self._thread.submit(work))

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def sentence(error: BaseException) -> str:
    """What to tell the user of an error: an InnateError's own line, for anything else where to find out more."""
    if isinstance(error, InnateError):
        return str(error)
    return f"that went wrong inside innate ({type(error).__name__}: {error}); the log has more"
