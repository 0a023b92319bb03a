"""A question in SQL that somebody else wrote: answered by reading alone, in bounded time and memory.

Four things each forbid by themselves what is not reading: the connection (mode=ro), `PRAGMA query_only`, an authorizer that
knows what a SELECT needs and nothing else, and that only one statement is taken.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from core.errors import BadInput, InnateError, Unavailable
from core.registry import nearest
from storage.database import in_words
from storage.views import VIEWS

if TYPE_CHECKING:
    from sqlite_utils import Database

Value = None | int | float | str | bytes
"""What a cell of an answer, and a parameter, can be."""

_STEPS = 1_000
"""Instructions of SQLite's machine between two looks at the clock: some microseconds, more where values are long."""
_LONGEST_VALUE = 16 << 20
"""Bytes of a single value or row; no row of ours comes near it, and building one stays a matter of moments."""
_AT_ONCE = 10
"""Rows that are read ahead of whoever asks for them."""
_LONGEST_SQL = 1_000_000
_LONGEST_PATTERN = 200
"""Of LIKE and GLOB, whose time no clock watches, as it goes by within one instruction."""
_MOST_MEMORY = 1 << 30
"""Bytes that SQLite may hold in this process; sorting and distinct rows go through temporary files anyway."""
_LOOKS = frozenset(
    {
        "table_info", "table_xinfo", "table_list", "index_list", "index_info", "index_xinfo", "foreign_key_list",
        "function_list", "collation_list", "compile_options", "database_list", "user_version", "data_version",
    }
)  # fmt: skip
"""Pragmas that tell something, as long as they are given no value to set."""
_TOLD_BY_NAME = frozenset({"user_version", "data_version"})
_TABLES_THAT_ARE_FUNCTIONS = ("json_each('[]')", "json_tree('[]')", *(f"pragma_{name}" for name in sorted(_LOOKS)))
"""Where one is first used SQLite declares it as it does a table that is created, which a reader may not."""
_HARMFUL = frozenset({"load_extension", "fts3_tokenizer"})
_ACTIONS = {
    sqlite3.SQLITE_ATTACH: "ATTACH", sqlite3.SQLITE_DETACH: "DETACH", sqlite3.SQLITE_INSERT: "INSERT",
    sqlite3.SQLITE_UPDATE: "UPDATE", sqlite3.SQLITE_DELETE: "DELETE", sqlite3.SQLITE_TRANSACTION: "a transaction",
    sqlite3.SQLITE_SAVEPOINT: "SAVEPOINT", sqlite3.SQLITE_REINDEX: "REINDEX", sqlite3.SQLITE_ANALYZE: "ANALYZE",
}  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """Names of the columns, no two alike, and the rows, which are read as they are asked for."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Value, ...]]


def ask(db: Database, sql: str, values: Mapping[str, Value], seconds: float) -> Answer:
    """What `db` answers to one SELECT (or VALUES, EXPLAIN, a PRAGMA that tells something), with `values` for its :names.

    `db` is used for nothing else from here on. `seconds` are those spent in SQLite, not those in which nobody asks for rows.
    Raises, here or while rows are read: BadInput for what is no single question or no valid SQL, with the nearest name;
    Unavailable when time or memory is up or the database stays locked.
    """
    _refuse_odd(sql, values)
    clock, denied = _Clock(seconds), list[str]()
    _bind(db.conn, clock, denied)

    def run(step: Callable[[], list[tuple[Value, ...]]]) -> list[tuple[Value, ...]]:
        try:
            with clock:
                return step()
        except MemoryError:
            raise Unavailable(f"query: needs over {_MOST_MEMORY >> 20} MiB of memory; narrow it down") from None
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            raise _told(error, sql, clock, denied) from None

    cursor = db.conn.cursor()
    first = run(lambda: cursor.execute(sql, dict(values)).fetchmany(1))
    if cursor.description is None:
        raise BadInput("query: there is no statement in it; such as: SELECT * FROM v_leaderboard")

    def rows() -> Iterator[tuple[Value, ...]]:
        found = first
        while found:
            yield from found
            found = run(lambda: cursor.fetchmany(_AT_ONCE))

    return Answer(_apart([str(column[0]) for column in cursor.description]), rows())


class _Clock:
    """Counts the time inside `with`. As SQLite's progress handler it ends what takes too long."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.left = seconds
        self.is_up = False
        self._until = 0.0

    def __enter__(self) -> None:
        self._until = time.monotonic() + self.left

    def __exit__(self, *_: object) -> None:
        self.left = self._until - time.monotonic()

    def __call__(self) -> bool:
        self.is_up = time.monotonic() > self._until
        return self.is_up


def _bind(connection: sqlite3.Connection, clock: _Clock, denied: list[str]) -> None:
    """Take from the connection what a question does not need. `denied` gets the names of what was refused."""
    for table in _TABLES_THAT_ARE_FUNCTIONS:
        connection.execute(f"SELECT 1 FROM {table} LIMIT 0")
    connection.execute("PRAGMA query_only = ON")
    if connection.execute("PRAGMA database_list").fetchone()[2]:  # else it is in memory, and may be as large as it is
        connection.execute(f"PRAGMA hard_heap_limit = {_MOST_MEMORY}")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _LONGEST_SQL)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH, _LONGEST_PATTERN)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.text_factory = lambda text: text.decode("utf-8", "replace")

    def allowed(action: int, first: str | None, second: str | None, *_: str | None) -> int:
        match action:
            case sqlite3.SQLITE_SELECT | sqlite3.SQLITE_READ | sqlite3.SQLITE_RECURSIVE:
                return sqlite3.SQLITE_OK
            case sqlite3.SQLITE_FUNCTION if (second or "").lower() not in _HARMFUL:
                return sqlite3.SQLITE_OK
            case sqlite3.SQLITE_PRAGMA if _only_looks(first or "", second):
                return sqlite3.SQLITE_OK
            case sqlite3.SQLITE_FUNCTION:
                denied.append(f"{second}()")
            case sqlite3.SQLITE_PRAGMA:
                denied.append(f"PRAGMA {first}")
            case _:
                denied.append(_ACTIONS.get(action, "CREATE, DROP or ALTER"))
        return sqlite3.SQLITE_DENY

    connection.set_authorizer(allowed)
    connection.set_progress_handler(clock, _STEPS)


def _only_looks(pragma: str, value: str | None) -> bool:
    return pragma.lower() in _LOOKS and not (value is not None and pragma.lower() in _TOLD_BY_NAME)


def _refuse_odd(sql: str, values: Mapping[str, Value]) -> None:
    """What Python's sqlite3 would choke on, or take no notice of."""
    if "\0" in sql:
        raise BadInput("query: there is a zero byte in it; give the SQL as text")
    try:
        sql.encode("utf-8")
    except UnicodeEncodeError:
        raise BadInput("query: is not UTF-8 text") from None
    known = set(re.findall(r"[:@$](\w+)", sql))
    for name in values:
        if name not in known:
            near = nearest(name, sorted(known)) if known else ""
            raise BadInput(f"--param {name}: the query has no :{name}{near}")


def _told(error: Exception, sql: str, clock: _Clock, denied: Sequence[str]) -> InnateError:
    """SQLite's or Python's complaint as one line. Raises KeyboardInterrupt where Ctrl-C is what ended it: it arrives in the
    progress handler, and goes no further than that by itself."""
    text = str(error)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code == sqlite3.SQLITE_INTERRUPT:
        if not clock.is_up:
            raise KeyboardInterrupt from None
        return Unavailable(
            f"query: stopped after {clock.seconds:g} s; narrow it down, or give it more time: --seconds {10 * clock.seconds:g}"
        )
    if denied and ("authoriz" in text or "prohibited" in text):
        return BadInput(f"query: {denied[0]} is refused: a query only reads")
    if "one statement" in text:
        return BadInput("query: holds more than one statement; give one SELECT at a time")
    if missing := re.search(r"value for binding parameter :?(\w+)|parameter :(\w+)", text):
        name = missing[1] or missing[2]
        return BadInput(f"query: :{name} has no value; add --param {name}=VALUE")
    if "binding" in text.lower():
        return BadInput("query: use :name and --param name=value, not ?")
    if isinstance(error, OverflowError):
        return BadInput("--param: a number is beyond 64 bits")
    if code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE):
        return BadInput(f"query: {text}{_hint(text, sql)}")
    return in_words(error, "query") if isinstance(error, sqlite3.Error) else BadInput(f"query: {text}")


def _hint(text: str, sql: str) -> str:
    """What may have been meant by a name that SQLite does not know."""
    kind, _, name = text.partition(": ")
    wanted = name.rpartition(".")[2].strip('"')
    if kind == "no such table":
        near = get_close_matches(wanted, [view.name for view in VIEWS], n=1, cutoff=0.5)
        return f"; did you mean {near[0]}?" if near else "; views and their columns: innate query --schema"
    if kind != "no such column":
        return ""
    named = [view for view in VIEWS if re.search(rf"\b{view.name}\b", sql)]
    for view in named or VIEWS:
        columns = [column.name for column in view.columns]
        near = [one for one in columns if wanted.lower() in one] or get_close_matches(wanted.lower(), columns, n=1)
        if near:
            return f"; {view.name} has {', '.join(near[:3])}"
    return f"; columns: innate query --schema{f' {named[0].name}' if len(named) == 1 else ''}"


def _apart(names: Sequence[str]) -> tuple[str, ...]:
    """Each name, with a number behind what was there before: id, id_2."""
    taken = set(names)
    found: list[str] = []
    for name in names:
        number, candidate = 1, name
        while candidate in found or (number > 1 and candidate in taken):
            number += 1
            candidate = f"{name}_{number}"
        found.append(candidate)
    return tuple(found)
