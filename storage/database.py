"""Opening the database: pragmas, migrations, transactions, and SQLite's errors in a user's words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput, InnateError, NotFound, Unavailable
from storage.one_file import checkpoint, refuse_blank
from storage.schema import SCHEMA_VERSION, migrations

if TYPE_CHECKING:
    from sqlite_utils import Database

BUSY_SECONDS = 30.0
_LOG_BYTES = 64 << 20
"""What is left of the log beside the file once all of it is in the file: a long export makes it grow for as long as it reads."""
_SCORES_SINCE = 7
"""The first schema which keeps with the scores what became of each image, and whose intervals are over seeds and images."""


def connect(path: Path, *, read_only: bool = False) -> Database:
    """The database at `path`, made or migrated as needed; bound to the calling thread.

    `read_only` never writes: a file of an older schema is migrated in a private copy. Raises BadInput for a file that is
    no database of innate's, is newer than this program or cannot be written, or, when `read_only`, has no tables; NotFound for
    a missing one when `read_only`, Unavailable if it stays locked.
    """
    if path.is_dir():
        raise BadInput(f"{path}: is a folder, not a database")
    if read_only and not path.exists():
        raise NotFound(f"{path}: there is no such database")
    try:
        connection = _open(path, read_only=read_only)
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            tables = _refuse_foreign(connection, path, version)
            if read_only and not tables:
                refuse_blank(path)
            if version < SCHEMA_VERSION:
                if read_only:
                    connection = _migrated_copy(connection, version)
                else:
                    _migrate(connection, path)
                    checkpoint(wrapped(connection))  # so that a copy of the file alone has its tables at least
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise in_words(error, path) from error
    return wrapped(connection)


def empty() -> Database:
    """A database in memory with every table and nothing in them: what a fresh home looks like to a listing."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _apply(wrapped(connection), 0)
    return wrapped(connection)


def data_version(db: Database) -> int:
    """A number that changes whenever another process has written to the database."""
    return int(db.execute("PRAGMA data_version").fetchone()[0])


def faults(db: Database) -> str | None:
    """What SQLite finds wrong with the file, None where it is sound."""
    found = str(db.execute("PRAGMA quick_check").fetchone()[0])
    return None if found == "ok" else found


@contextlib.contextmanager
def transaction(db: Database) -> Iterator[None]:
    """One write transaction, begun at once: a deferred one that reads first fails under a concurrent writer.

    Within another one it joins that, so that several records can be written together. Raises Unavailable or BadInput in
    one line for what SQLite complains of (locked, disk full, read-only).
    """
    if db.conn.in_transaction:
        yield
        return
    try:
        db.conn.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                db.conn.rollback()
            raise
        db.conn.execute("COMMIT")
    except sqlite3.Error as error:
        with contextlib.suppress(sqlite3.Error):
            db.conn.rollback()
        raise in_words(error, _path_of(db)) from error


def in_words(error: sqlite3.Error, path: Path | str) -> InnateError:
    """SQLite's error as one line with an exit code; errors that only a bug can cause come back as they are told."""
    text = str(error)
    if "not a database" in text or "malformed" in text:
        return BadInput(f"{path}: is not a sound SQLite database ({text}); restore a backup or move it away")
    if "locked" in text or "busy" in text:
        return Unavailable(f"{path}: another process has kept the database locked for {BUSY_SECONDS:.0f} s; try again")
    if "full" in text:
        return BadInput(f"{path}: the disk is full; nothing of this step was written, free some space and run again")
    if "readonly" in text or "unable to open" in text or "disk I/O" in text or "permission" in text.lower():
        return BadInput(f"{path}: the database cannot be opened for this ({text}); use --home DIR")
    return InnateError(f"{path}: {text}")


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    if read_only:
        # Without the -wal file beside it a database on a read-only disk opens only as immutable.
        writable = os.access(path.parent, os.W_OK)
        mode = "mode=ro" if writable or path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?{mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
        )
    else:
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.execute(
            "SELECT count(*) FROM sqlite_master"
        ).fetchone()  # opens the file, so that a bad one fails here
        if not read_only:
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(f"PRAGMA journal_size_limit = {_LOG_BYTES}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA cache_size = -65536")
    except BaseException:
        connection.close()
        raise
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switching to WAL needs the file alone for a moment and does not wait for it by itself."""
    import time

    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _refuse_foreign(connection: sqlite3.Connection, path: Path, version: int) -> int:
    """How many tables and the like there are, none in a new file. Raises BadInput for what this program does not know."""
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    ours = connection.execute("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'").fetchone()
    if tables and ours is None:
        raise BadInput(f"{path}: is a database, but not one of innate's; use another --home")
    if version > SCHEMA_VERSION:
        raise BadInput(
            f"{path}: was written by a newer innate (schema {version}, this program knows {SCHEMA_VERSION}); "
            "upgrade innate, or use another --home"
        )
    return tables


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the schema up to date, once, however many processes open at the same time; a copy first if there is data."""
    db = wrapped(connection)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if 0 < version < SCHEMA_VERSION:
            _copy_beside(path, version)
        if version < SCHEMA_VERSION:
            _apply(db, version)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _apply(db: Database, version: int) -> None:
    """Every migration that a file of schema `version` lacks, and whatever is worked out otherwise since then."""
    migrations().apply(db)
    if 0 < version < _SCORES_SINCE:
        from storage.verdicts import rescore_all

        rescore_all(db)
    db.conn.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _copy_beside(path: Path, version: int) -> None:
    """`innate.db.v1-backup` and the like, whole or not there. Another connection reads it: this one is in a transaction."""
    target = path.with_name(f"{path.name}.v{version}-backup")
    if target.exists():
        return
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    source = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    copy = sqlite3.connect(partial)
    try:
        source.backup(copy)
    finally:
        copy.close()
        source.close()
    partial.rename(target)


def _migrated_copy(connection: sqlite3.Connection, version: int) -> sqlite3.Connection:
    """A migrated copy of an older database that may not be touched: a file without a name, of which no more than a cache is in
    memory, and nothing is left once it is closed."""
    copy = sqlite3.connect("", isolation_level=None)
    connection.backup(copy)
    connection.close()
    _apply(wrapped(copy), version)
    return copy


def wrapped(connection: sqlite3.Connection) -> Database:
    """sqlite-utils imports pandas wherever it is installed (mlxtend installs it): half a second that no listing needs."""
    hidden = "pandas" not in sys.modules
    if hidden:
        sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        from sqlite_utils import Database
    finally:
        if hidden:
            del sys.modules["pandas"]
    return Database(connection)


def _path_of(db: Database) -> str:
    return str(db.conn.execute("PRAGMA database_list").fetchone()[2] or "the database")
