"""Other weights of a trial: those of another home, and those that it keeps of third ones. Inside the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from core.records.outcome import Ledger
from storage import copies
from storage.merge.checked_attack import attack_of, environment_of
from storage.merge.checked_trial import TrialTold
from storage.merge.opened import Other
from storage.merge.tally import Conflict, Tally
from storage.merge.values import (
    MOMENT,
    SECONDS,
    Check,
    Unsound,
    address,
    anything,
    json_of,
    number,
    optional,
    text,
    whole,
)
from storage.outcomes import unpacked
from storage.specs import store_attack

if TYPE_CHECKING:
    from sqlite_utils import Database

_COPY: dict[str, Check] = {
    "final_digest": address,
    "environment": optional(json_of(anything)),
    "train_seconds": optional(SECONDS),
    "origin": text(4096),
    "merged_at": MOMENT,
}
_RESULT: dict[str, Check] = {
    "samples": address,
    "attack_id": lambda value: "" if value == "" else address(value),
    "position": whole(0, 10_000),
    "eps": optional(number(0.0)),
    "count": whole(1, 10**9),
    "standing": whole(0, 10**9),
}


def disagree(db: Database, other: Other, told: TrialTold, own_digest: str, tally: Tally, now: float) -> None:
    """The other home trained the trial to other weights than `own_digest`: keep what it says of them, unless it is known."""
    trial_id, digest = told.row["id"], told.row["final_digest"]
    made = [one for one in told.attempts if one["environment_id"] is not None]
    last = next((one for one in made if one["number"] == told.weights_of), made[-1] if made else None)
    environment = None if last is None else environment_of(other, last["environment_id"])
    new = not copies.is_kept(db, trial_id, digest)
    if new:
        for evaluation in told.evaluations:
            store_attack(db, attack_of(other, evaluation.row["attack_id"]))
        seconds, results = told.row["train_seconds"], list(_results(other, told))
        copies.store(db, trial_id, digest, environment, seconds, str(other.path), results, now)
    sql = f"SELECT {copies.OF_ITS_WEIGHTS} FROM trial t WHERE t.id = ?"
    (here,) = db.execute(sql, (trial_id,)).fetchone()
    tally.conflicts.append(
        Conflict(
            trial_id,
            own_digest,
            digest,
            None if here is None else json.loads(here),
            None if environment is None else json.loads(environment),
            new,
        )
    )


def take(db: Database, other: Other, trial_id: str, own_digest: str | None) -> int:
    """The copies that the other home keeps of the trial; returns how many are new. Raises Unsound."""
    new = 0
    for copy in list(other.rows("merged_copy", _COPY, "WHERE trial_id = ?", (trial_id,))):
        digest = copy["final_digest"]
        if digest == own_digest or copies.is_kept(db, trial_id, digest):
            continue
        key = (trial_id, digest)
        results = list(other.rows("merged_copy_result", _RESULT, "WHERE trial_id = ? AND final_digest = ?", key))
        for one in results:
            if one["standing"] > one["count"]:
                raise Unsound("table merged_copy_result: more stand than there are")
            if (one["eps"] is None) != (one["attack_id"] == ""):
                raise Unsound("table merged_copy_result: ε belong to attacks, and to all of them")
            if one["attack_id"]:
                store_attack(db, attack_of(other, one["attack_id"]))
        copies.store(
            db,
            trial_id,
            digest,
            copy["environment"],
            copy["train_seconds"],
            copy["origin"],
            [
                (one["samples"], one["attack_id"], one["position"], one["eps"], one["count"], one["standing"])
                for one in results
            ],
            copy["merged_at"],
        )
        new += 1
    return new


def _results(other: Other, told: TrialTold) -> Iterator[copies.Result]:
    for clean in told.clean:
        yield clean["samples"], "", 0, None, clean["count"], int(unpacked(clean["correct"], clean["count"]).sum())
    for one in told.evaluations:
        norm = attack_of(other, one.row["attack_id"]).norm
        for part in one.ledgers:
            survived = unpacked(part.bitmap, one.row["count"])
            distances = None if part.distances is None else np.frombuffer(part.distances, "<f4")
            ledger = Ledger(part.row["eps"], survived, distances)
            eps = copies.read_at(ledger, norm)
            standing = copies.standing(ledger, eps)
            yield one.row["samples"], one.row["attack_id"], part.row["position"], eps, one.row["count"], standing
