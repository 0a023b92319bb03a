"""What clients ask of the owner of a home, left in the database and answered there."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from storage.database import transaction

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class Command:
    """One request, as the owner reads it."""

    id: int
    kind: str
    payload: Mapping[str, Any]


def leave(db: Database, kind: str, payload: Mapping[str, Any]) -> int:
    """Ask; returns the number under which the answer will be."""
    with transaction(db):
        cursor = db.execute(
            "INSERT INTO command (left_at, kind, payload) VALUES (?, ?, ?)", (time.time(), kind, json.dumps(payload))
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid


def pending(db: Database) -> list[Command]:
    """Requests without an answer, oldest first."""
    rows = db.execute("SELECT id, kind, payload FROM command WHERE answered_at IS NULL ORDER BY id").fetchall()
    return [Command(number, kind, json.loads(payload)) for number, kind, payload in rows]


def answer(
    db: Database, number: int, result: Any = None, error: str | None = None, exit_code: int | None = None
) -> None:
    """The owner's answer: a result, or an error line with its exit code."""
    with transaction(db):
        db.execute(
            "UPDATE command SET answered_at = ?, result = ?, error = ?, exit_code = ? WHERE id = ?",
            (time.time(), json.dumps(result), error, exit_code, number),
        )


def outcome(db: Database, number: int) -> dict[str, Any] | None:
    """{result, error, exit_code} once answered, else None."""
    row = db.execute(
        "SELECT result, error, exit_code FROM command WHERE id = ? AND answered_at IS NOT NULL", (number,)
    ).fetchone()
    return None if row is None else {"result": json.loads(row[0]), "error": row[1], "exit_code": row[2]}


def withdraw(db: Database, number: int) -> bool:
    """Take back a request; False if it has been answered already."""
    with transaction(db):
        return bool(db.execute("DELETE FROM command WHERE id = ? AND answered_at IS NULL", (number,)).rowcount)
