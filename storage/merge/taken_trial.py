"""What another home says of one trial, brought into this one. Inside the caller's transaction.

Nothing that this home has is replaced. What follows from ledgers is worked out from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.records.outcome import Diagnosis
from core.verdict.trust import trust_of_diagnosis
from storage.import_records import KIND as IMPORTED
from storage.merge import taken_copies
from storage.merge.checked_attack import environment_of
from storage.merge.checked_trial import Row, TrialTold
from storage.merge.opened import Other
from storage.merge.taken_attack import take_audit, take_evaluation
from storage.merge.tally import Tally
from storage.outcomes import unpacked
from storage.specs import store_imported, store_trials

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class _Own:
    """What this home has of the trial."""

    digest: str | None
    """Of its weights; None while untrained."""
    failed: bool


def take(db: Database, other: Other, told: TrialTold, tally: Tally, now: float, *, kinds: frozenset[str]) -> bool:
    """Bring in one trial; True where numbers or states may be others now. `kinds` of events are those that are known here."""
    trial_id, before = told.row["id"], tally.taken()
    own = _own(db, trial_id)
    if own is None:
        _insert(db, told)
        tally.trials += 1
    changed = own is None
    digest = None if own is None else own.digest
    if told.trained and digest not in (None, told.row["final_digest"]):
        assert digest is not None
        taken_copies.disagree(db, other, told, digest, tally, now)
    else:
        attempts, numbers = _take_attempts(db, other, told, tally)
        if told.trained and digest is None:
            _take_training(db, told, numbers)
            tally.trained += own is not None
            digest = told.row["final_digest"]
            changed = True
        elif own is not None and not told.trained and own.digest is None and told.row["failure"] and not own.failed:
            db.execute("UPDATE trial SET failure = ? WHERE id = ?", (told.row["failure"], trial_id))
            changed = True
        changed |= _take_looks(db, told, tally)
        for evaluation in told.evaluations:
            changed |= take_evaluation(db, other, told, evaluation, attempts, tally)
        for audit in told.audits:
            changed |= take_audit(db, trial_id, audit, attempts, tally)
        changed |= _take_events(db, told, tally, kinds)
    tally.copies += taken_copies.take(db, other, trial_id, digest)
    tally.known += not changed and tally.taken() == before
    return changed


def _own(db: Database, trial_id: str) -> _Own | None:
    row = db.execute(
        "SELECT CASE WHEN weights IS NOT NULL THEN final_digest END, failure IS NOT NULL FROM trial WHERE id = ?",
        (trial_id,),
    ).fetchone()
    return None if row is None else _Own(row[0], bool(row[1]))


def _insert(db: Database, told: TrialTold) -> None:
    row, spec = told.row, told.spec
    if spec.imported is None:
        store_trials(db, row["dataset"], [spec])
    else:
        store_imported(db, row["dataset"], spec, row["seed"], row["imported"] or "weights.pt")
    db.execute(
        "UPDATE trial SET created_at = ?, failure = ? WHERE id = ?", (row["created_at"], row["failure"], row["id"])
    )


def _take_attempts(db: Database, other: Other, told: TrialTold, tally: Tally) -> tuple[dict[int, int], dict[int, int]]:
    """Their ids → ours, their numbers → ours. An attempt is known by when it began and ended; its number is its own unless it is
    taken here."""
    trial_id = told.row["id"]
    here = {
        (began, ended): (number, attempt)
        for number, attempt, began, ended in db.execute(
            "SELECT number, id, started_at, ended_at FROM attempt WHERE trial_id = ?", (trial_id,)
        ).fetchall()
    }
    used = {number for number, _ in here.values()}
    ids: dict[int, int] = {}
    numbers: dict[int, int] = {}
    for one in told.attempts:
        known = here.get((one["started_at"], one["ended_at"]))
        if known is not None:
            numbers[one["number"]], ids[one["id"]] = known
            continue
        number = one["number"] if one["number"] not in used else max(used) + 1
        used.add(number)
        environment = one["environment_id"]
        if environment is not None:
            db.execute(
                "INSERT OR IGNORE INTO environment (id, content) VALUES (?, ?)",
                (environment, environment_of(other, environment)),
            )
        columns = [name for name in one if name not in ("id", "number")]
        cursor = db.execute(
            f"INSERT INTO attempt (trial_id, number, {', '.join(columns)}) VALUES (?, ?{', ?' * len(columns)})",
            (trial_id, number, *(one[name] for name in columns)),
        )
        assert cursor.lastrowid is not None
        numbers[one["number"]], ids[one["id"]] = number, cursor.lastrowid
        tally.attempts += 1
    return ids, numbers


def _take_training(db: Database, told: TrialTold, numbers: Mapping[int, int]) -> None:
    """The weights were trained there; here they count as removed until they are copied (`storage.merge.weights`)."""
    row, trial_id = told.row, told.row["id"]
    assert told.weights_of is not None
    folder = numbers.get(told.weights_of, told.weights_of)
    db.execute(
        "UPDATE trial SET weights = ?, weights_removed = 1, initial_digest = ?, final_digest = ?, train_seconds = ?, "
        "peak_memory = ?, failure = ?, crashes = 0 WHERE id = ?",
        (
            f"{trial_id}/{folder}/weights.pt",
            row["initial_digest"],
            row["final_digest"],
            row["train_seconds"],
            row["peak_memory"],
            row["failure"],
            trial_id,
        ),
    )
    db.execute("DELETE FROM epoch WHERE trial_id = ?", (trial_id,))
    _insert_rows(db, "epoch", trial_id, told.epochs)


def _take_looks(db: Database, told: TrialTold, tally: Tally) -> bool:
    """Clean outcomes, looks at the model and traits, where there are none."""
    trial_id = told.row["id"]
    clean = [{**one, "accuracy": float(unpacked(one["correct"], one["count"]).mean())} for one in told.clean]
    looks = [
        {**one, "trust": trust_of_diagnosis(Diagnosis.from_json(json.loads(one["content"])))[0]}
        for one in told.diagnoses
    ]
    new = sum(
        _insert_rows(db, table, trial_id, rows)
        for table, rows in (("clean", clean), ("diagnosis", looks), ("traits", told.traits))
    )
    tally.looks += new
    return bool(new)


def _insert_rows(db: Database, table: str, trial_id: str, rows: Sequence[Row]) -> int:
    """Those whose key is free; returns how many."""
    if not rows:
        return 0
    names = list(rows[0])
    sql = f"INSERT OR IGNORE INTO {table} (trial_id, {', '.join(names)}) VALUES (?{', ?' * len(names)})"
    return sum(db.execute(sql, (trial_id, *row.values())).rowcount for row in rows)


def _take_events(db: Database, told: TrialTold, tally: Tally, kinds: frozenset[str]) -> bool:
    """What happened to it there and is not written down here; True where it says how weights were read."""
    trial_id = told.row["id"]
    here = set(db.execute("SELECT at, kind, content FROM event WHERE trial_id = ?", (trial_id,)).fetchall())
    new = [one for one in told.events if one["kind"] in kinds and tuple(one.values()) not in here]
    db.conn.executemany(
        "INSERT INTO event (at, kind, content, trial_id) VALUES (?, ?, ?, ?)",
        [(*one.values(), trial_id) for one in new],
    )
    tally.events += len(new)
    return any(one["kind"] == IMPORTED for one in new)
