"""Another home's database, opened as a file that nobody vouches for: to read only, by our own SQL on its plain tables, in one
snapshot, after its pages and its tables were looked at. Whoever works on it elsewhere goes on."""

from __future__ import annotations

import contextlib
import functools
import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadInput, InnateError, NotFound, Unavailable
from storage.database import BUSY_SECONDS, in_words, wrapped
from storage.merge.values import Check, within
from storage.schema import SCHEMA_VERSION, migrations

if TYPE_CHECKING:
    from sqlite_utils import Database

LARGEST_CELL = 1 << 28
"""Bytes of a text or blob, 256 MiB: the images of one example, or the distances of 60 million samples, are less."""
_MAGIC = b"SQLite format 3\0"
_TRIGGERS = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"

READ = (
    "study", "trial", "study_trial", "attack", "study_attack", "trial_attack", "environment", "attempt", "epoch", "clean",
    "evaluation", "ledger", "ledger_content", "score", "example", "event", "diagnosis", "transfer", "study_audit", "audit",
    "audit_radius", "audit_content", "dataset_content", "look", "settled", "settling_trial", "traits", "tuning_cell",
    "tuning_candidate", "note", "escalation", "merged_copy", "merged_copy_result", "left_trial",
)  # fmt: skip
"""The tables that a merge reads, each after those that it refers to. Of scores only whose they are."""


@dataclass(frozen=True)
class Other:
    """The opened file."""

    path: Path
    connection: sqlite3.Connection

    def rows(
        self, table: str, columns: Mapping[str, Check], where: str = "", values: tuple[Any, ...] = ()
    ) -> Iterator[dict[str, Any]]:
        """Rows of a table, each cell checked. `where` is the rest of the SELECT. Raises Unsound with table and column."""
        names = ", ".join(f'"{name}"' for name in columns)
        for cells in self.connection.execute(f'SELECT {names} FROM "{table}" {where}', values):
            yield {
                name: within(f"table {table}, {name}", check, cell)
                for (name, check), cell in zip(columns.items(), cells, strict=True)
            }

    def count(self, table: str) -> int:
        """How many rows it has."""
        return int(self.connection.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0])


def database_of(path: Path) -> Path:
    """The file that is meant: that of a home where a folder is named. Raises NotFound, or BadInput for what is no file."""
    found = path / "innate.db" if path.is_dir() else path
    try:
        kind = found.stat().st_mode
    except OSError:
        raise NotFound(f"{found}: there is no such database") from None
    if not stat.S_ISREG(kind):
        raise BadInput(f"{found}: is no file; name a database, or the home that it is in")
    return found


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Other]:
    """The database at `path` as it is now. One of an older schema is copied, table by table, and the copy brought up to date.

    Raises BadInput for what is no sound database of innate's, or a newer one's; Unavailable where it stays locked.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                raise BadInput(f"{path}: is not a database")
    except OSError as error:
        raise BadInput(f"{path}: cannot be read: {error.strerror}") from None
    connection = None
    try:
        connection = _connected(path)
        version = _version(connection, path)
        _check_tables(connection, path, version)
        found = " ".join(str(connection.execute("PRAGMA quick_check(1)").fetchone()[0]).split())
        if found != "ok":
            raise BadInput(f"{path}: is not a sound SQLite database ({found}); merge a backup of it")
        if version == SCHEMA_VERSION:
            yield Other(path, connection)
            return
        with tempfile.TemporaryDirectory(prefix="innate-merge-") as folder:
            copy = _copied(connection, version, Path(folder) / "innate.db")
            try:
                yield Other(path, copy)
            finally:
                copy.close()
    except (sqlite3.Error, UnicodeError) as error:
        raise refusal(error, path) from error
    finally:
        if connection is not None:
            connection.close()


def _connected(path: Path) -> sqlite3.Connection:
    """Read only, its schema trusted with nothing, in one snapshot. Where nothing can be written beside it and no log lies there,
    it does not change."""
    beside = os.access(path.resolve().parent, os.W_OK) or path.with_name(path.name + "-wal").exists()
    uri = f"{path.resolve().as_uri()}?mode=ro{'' if beside else '&immutable=1'}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LARGEST_CELL)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON", "mmap_size = 0"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def _version(connection: sqlite3.Connection, path: Path) -> int:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > SCHEMA_VERSION:
        raise BadInput(
            f"{path}: was written by a newer innate (schema {version}, this program knows {SCHEMA_VERSION}); upgrade innate"
        )
    if version < 1 or int(connection.execute("PRAGMA application_id").fetchone()[0]):
        raise BadInput(f"{path}: is a database, but not one of innate's")
    return version


def _check_tables(connection: sqlite3.Connection, path: Path, version: int) -> None:
    """Raises BadInput where a table is not as innate makes it, or something is there that acts by itself."""
    expected = _expected(version)
    for name, sql in connection.execute(_TRIGGERS):
        if expected.triggers.get(name) != sql:
            raise BadInput(f"{path}: has a trigger ({str(name)!r:.60}) that innate does not make")
    for table, columns in expected.tables.items():
        kind = connection.execute("SELECT type, rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchall()
        if len(kind) != 1 or kind[0][0] != "table" or not kind[0][1]:
            raise BadInput(f"{path}: has no table {table}, so it is not one of innate's, or was changed")
        if _columns(connection, table) != columns:
            raise BadInput(f"{path}: its table {table} is not as innate makes it; merge an unchanged copy")


@dataclass(frozen=True)
class _Schema:
    """What a schema makes: the tables that are read, with their columns, and its triggers with their SQL."""

    tables: Mapping[str, list[tuple[Any, ...]]]
    triggers: Mapping[str, str]


@functools.cache
def _expected(version: int) -> _Schema:
    with contextlib.closing(_at(version, sqlite3.connect(":memory:", isolation_level=None))) as reference:
        tables = {table: _columns(reference, table) for table in _tables(reference)}
        return _Schema(tables, dict(reference.execute(_TRIGGERS).fetchall()))


def _tables(connection: sqlite3.Connection) -> list[str]:
    """Those that a merge reads, as far as this schema has them."""
    there = {str(name) for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return [table for table in READ if table in there]


def _columns(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    """(name, type, not null, part of the key, hidden) of each."""
    rows = connection.execute(f'PRAGMA table_xinfo("{table}")').fetchall()
    return [(name, kind, notnull, key, hidden) for _, name, kind, notnull, _, key, hidden in rows]


def _at(version: int, connection: sqlite3.Connection) -> sqlite3.Connection:
    """An empty database with the schema of `version`."""
    db, steps = wrapped(connection), migrations()
    names = [step.name for step in steps.pending(db)]
    steps.apply(db, stop_before=names[version] if version < len(names) else None)
    return connection


def _copied(connection: sqlite3.Connection, version: int, place: Path) -> sqlite3.Connection:
    """Every row that is read, in tables that we made, brought up to date by our migrations."""
    copy = _at(version, sqlite3.connect(place, isolation_level=None))
    try:
        copy.execute("PRAGMA foreign_keys = OFF")
        copy.execute("PRAGMA synchronous = OFF")
        copy.execute("BEGIN")
        for table in _tables(copy):
            names = [f'"{name}"' for name, *_ in _columns(copy, table)]
            marks = ", ".join("?" * len(names))
            copy.executemany(
                f'INSERT INTO "{table}" ({", ".join(names)}) VALUES ({marks})',
                connection.execute(f'SELECT {", ".join(names)} FROM "{table}"'),
            )
        copy.execute("COMMIT")
        migrations().apply(wrapped(copy))
        copy.execute("PRAGMA query_only = ON")
    except BaseException:
        copy.close()
        raise
    return copy


def refusal(error: sqlite3.Error | UnicodeError, path: Path) -> InnateError:
    """What SQLite says of the other file, in one line: bad input, unless it is locked."""
    told = in_words(error, path) if isinstance(error, sqlite3.Error) else None
    if isinstance(told, Unavailable):
        return told
    return BadInput(
        f"{path}: cannot be read as a sound database ({' '.join(str(error).split()):.200}); merge a backup of it"
    )


def is_same(db: Database, path: Path) -> bool:
    """Whether `path` is the very file that `db` is."""
    own = str(db.conn.execute("PRAGMA database_list").fetchone()[2])
    return bool(own) and path.samefile(own)
