"""One database brought into a home, whole or not at all: everything is read, checked and written in one transaction, so that
whatever is wrong with it, and however it ends, the home is as it was or has all of it. What is here already changes nothing: a
merge that was cut short is simply made again."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput
from storage.database import in_words
from storage.import_records import KIND as IMPORTED
from storage.journal import KINDS
from storage.merge import checked_study, checked_trial, settled, taken_study, taken_transfers, taken_trial
from storage.merge.opened import Other, is_same, opened, refusal
from storage.merge.tally import Conflict, Differing, Tally
from storage.merge.values import Unsound

if TYPE_CHECKING:
    from sqlite_utils import Database

Report = Callable[[int, int, str], None]
"""Hears how many steps of how many are done, and what is being done."""
_CANNOT_BE = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What our own arithmetic answers to content that no check foresaw."""


@dataclass(frozen=True)
class Merged:
    """What one database brought. `studies` are new here, by the names that they have here; `renamed`: (its name there, here) of
    those whose name stands for another grid."""

    origin: str
    trials: int
    trained: int
    attempts: int
    evaluations: int
    audits: int
    transfers: int
    notes: int
    notes_kept: int
    known: int
    studies: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    conflicts: tuple[Conflict, ...]
    differing: tuple[Differing, ...]
    changed: bool
    """False where all of it was here."""


def merge(db: Database, path: Path, report: Report = lambda *_: None, *, dry: bool = False) -> Merged:
    """Bring in the database at `path`; with `dry` only find out what that would bring. Only the owner of the home may call this.

    Raises BadInput for the home's own database and for a file that is not sound, or says what cannot be; nothing was written
    then.
    """
    if is_same(db, path):
        raise BadInput(f"{path}: is this home's own database; name another one")
    own = str(db.conn.execute("PRAGMA database_list").fetchone()[2])
    with opened(path) as other:
        try:
            db.conn.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise in_words(error, own) from error
        try:
            merged = _merged(db, other, report)
            db.conn.execute("ROLLBACK" if dry or not merged.changed else "COMMIT")
            return merged
        except Unsound as error:
            raise BadInput(f"{path}: {error}; nothing was merged") from None
        except sqlite3.IntegrityError as error:
            raise BadInput(f"{path}: what it says does not fit together ({error}); nothing was merged") from None
        except sqlite3.Error as error:
            raise in_words(error, own) if "full" in str(error) else refusal(error, path) from error
        except _CANNOT_BE as error:
            told = f"{type(error).__name__}: {error}"
            raise BadInput(f"{path}: what it says makes no sense ({told:.200}); nothing was merged") from error
        finally:
            if db.conn.in_transaction:
                with suppress(sqlite3.Error):
                    db.conn.rollback()


def _merged(db: Database, other: Other, report: Report) -> Merged:
    now, done = time.time(), 0
    total = 2 * other.count("trial")

    def step(what: str) -> None:
        nonlocal done
        done += 1
        report(done, max(total, done), what)

    tally, studies = Tally(), taken_study.Studies()
    contents = taken_study.take_contents(db, other)
    kinds = frozenset((*KINDS, IMPORTED))
    changed = set()
    for told in checked_trial.trials(other):
        if taken_trial.take(db, other, told, tally, now, kinds=kinds):
            changed.add(str(told.row["id"]))
        step("trials")
    for study in checked_study.studies(other):
        taken_study.take(db, other, study, studies)
    taken_study.take_left(db, other)
    transfers, attacked = taken_transfers.take(db, other)
    settled.settle(db, other, changed | attacked, studies.open, studies.names, lambda: step("scores"))
    return Merged(
        origin=str(other.path),
        trials=tally.trials,
        trained=tally.trained,
        attempts=tally.attempts,
        evaluations=tally.evaluations,
        audits=tally.audits,
        transfers=transfers,
        notes=studies.notes,
        notes_kept=studies.notes_kept,
        known=tally.known,
        studies=tuple(studies.new),
        renamed=tuple((there, here) for there, here in studies.names.items() if there != here),
        conflicts=tuple(tally.conflicts),
        differing=tuple(tally.differing),
        changed=any((*tally.taken(), *studies.taken(), transfers, contents)),
    )
