"""What clients ask of the owner of a home, left in the database and answered there. The one place where it is JSON."""

from __future__ import annotations

import json
import time
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from core.errors import BadInput
from storage.changes import CHANGES, Change
from storage.codec import Misfit, decoded, encoded
from storage.database import transaction

if TYPE_CHECKING:
    from sqlite_utils import Database

Answer = TypeVar("Answer")

_BY_KIND = {change.KIND: change for change in CHANGES}


@dataclass(frozen=True)
class Command:
    """One request, as it was left; `change` reads it."""

    id: int
    kind: str
    payload: str

    def change(self) -> Change[Any]:
        """What is asked for. Raises BadInput for what this program does not know or cannot read."""
        kind = _BY_KIND.get(self.kind)
        if kind is None:
            raise BadInput(f"the worker does not know the command {self.kind!r}; it may be older than this program")
        try:
            return decoded(kind, json.loads(self.payload))
        except Misfit as error:
            raise BadInput(
                f"the worker cannot read the command {self.kind!r} ({error}); it may be of another version than this program"
            ) from None


@dataclass(frozen=True)
class Outcome(Generic[Answer]):
    """The owner's answer, or else a line that says what went wrong, and its exit code."""

    answer: Answer | None
    error: str | None = None
    exit_code: int | None = None


def leave(db: Database, change: Change[Any]) -> int:
    """Ask; returns the number under which the answer will be."""
    with transaction(db):
        cursor = db.execute(
            "INSERT INTO command (left_at, kind, payload) VALUES (?, ?, ?)",
            (time.time(), change.KIND, json.dumps(encoded(change))),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid


def pending(db: Database) -> list[Command]:
    """Requests without an answer, oldest first."""
    rows = db.execute("SELECT id, kind, payload FROM command WHERE answered_at IS NULL ORDER BY id").fetchall()
    return [Command(number, kind, payload) for number, kind, payload in rows]


def answer(db: Database, number: int, outcome: Outcome[Any]) -> None:
    """Write down the owner's answer."""
    with transaction(db):
        db.execute(
            "UPDATE command SET answered_at = ?, result = ?, error = ?, exit_code = ? WHERE id = ?",
            (time.time(), json.dumps(encoded(outcome.answer)), outcome.error, outcome.exit_code, number),
        )


def outcome(db: Database, number: int, change: Change[Answer]) -> Outcome[Answer] | None:
    """The outcome of `change`, which was left under that number; None while there is none."""
    row = db.execute(
        "SELECT result, error, exit_code FROM command WHERE id = ? AND answered_at IS NOT NULL", (number,)
    ).fetchone()
    if row is None:
        return None
    result, error, exit_code = row
    return Outcome(None if error is not None else decoded(_answer_to(change), json.loads(result)), error, exit_code)


def withdraw(db: Database, number: int) -> bool:
    """Take back a request; False if it has been answered already."""
    with transaction(db):
        return bool(db.execute("DELETE FROM command WHERE id = ? AND answered_at IS NULL", (number,)).rowcount)


def forget_answered(db: Database, days: int) -> None:
    """Remove the requests that were answered longer ago than that."""
    with transaction(db):
        db.execute("DELETE FROM command WHERE answered_at < unixepoch() - ? * 86400", (days,))


def _answer_to(change: Change[Answer]) -> type[Answer]:
    """What `Change[…]` names in the bases of its class."""
    (base,) = type(change).__orig_bases__  # type: ignore[attr-defined]
    made: type[Answer] = typing.get_args(base)[0]
    return made
