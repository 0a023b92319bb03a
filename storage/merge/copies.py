"""The same trial with other weights: what other homes say of it, kept beside this home's own and never in its place.

Scores, verdicts and every listing read this home's own. A copy says whose weights they were, where they were trained and how they
fared: counts, no ledgers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from storage.database import transaction
from storage.merge.checked_attack import attack_of
from storage.merge.checked_trial import TrialTold
from storage.merge.opened import Other
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
    within,
)
from storage.reading import Options
from storage.specs import store_attack

if TYPE_CHECKING:
    from sqlite_utils import Database

COPY: dict[str, Check] = {
    "final_digest": address,
    "environment": optional(json_of(anything)),
    "train_seconds": optional(SECONDS),
    "origin": text(4096),
    "merged_at": MOMENT,
}
RESULT: dict[str, Check] = {
    "samples": address,
    "attack_id": lambda value: "" if value == "" else address(value),
    "position": whole(0, 10_000),
    "eps": optional(number(0.0)),
    "count": whole(1, 10**9),
    "standing": whole(0, 10**9),
}


@dataclass(frozen=True)
class CopyResult:
    """How a copy fared: the share of its test samples that are classified rightly, and the same of this home's own weights, where
    they were tried on those; shares in [0, 1]. `attack` None: the clean images."""

    attack: str | None
    norm: str | None
    eps: float | None
    samples: int
    accuracy: float
    own_accuracy: float | None


@dataclass(frozen=True)
class Copy:
    """Weights that another home trained for a trial of this one, and this home's own."""

    trial_id: str
    own_digest: str | None
    final_digest: str
    own_environment: Options | None
    environment: Options | None
    origin: str
    merged_at: float
    results: tuple[CopyResult, ...]


def is_kept(db: Database, trial_id: str, final_digest: str) -> bool:
    """Whether that copy is here already."""
    sql = "SELECT 1 FROM merged_copy WHERE trial_id = ? AND final_digest = ?"
    return db.execute(sql, (trial_id, final_digest)).fetchone() is not None


def keep(db: Database, other: Other, told: TrialTold, environment: str | None, now: float) -> None:
    """The other home's weights as a copy. Inside the caller's transaction."""
    trial_id, digest = told.row["id"], told.row["final_digest"]
    _store(db, trial_id, (digest, environment, told.row["train_seconds"], str(other.path), now), _results(told))
    for one in told.evaluations:
        store_attack(db, attack_of(other, one.row["attack_id"]))


def keep_copies_of(db: Database, other: Other, trial_id: str, own_digest: str | None) -> int:
    """The copies that the other home keeps of a trial itself; returns how many are new. Inside the caller's transaction."""
    new = 0
    for copy in list(other.rows("merged_copy", COPY, "WHERE trial_id = ?", (trial_id,))):
        if copy["final_digest"] == own_digest or is_kept(db, trial_id, copy["final_digest"]):
            continue
        key = (trial_id, copy["final_digest"])
        results = list(other.rows("merged_copy_result", RESULT, "WHERE trial_id = ? AND final_digest = ?", key))
        for one in results:
            if one["standing"] > one["count"]:
                raise Unsound("table merged_copy_result: more stand than there are")
            if one["attack_id"]:
                store_attack(
                    db, within("table merged_copy_result", lambda told: attack_of(other, told), one["attack_id"])
                )
        _store(db, trial_id, tuple(copy.values()), [tuple(one.values()) for one in results])
        new += 1
    return new


def copies(db: Database, trial_id: str | None = None) -> list[Copy]:
    """Of one trial, or all that there are, the newest last."""
    rows = db.execute(
        "SELECT c.trial_id, t.final_digest, c.final_digest, c.environment, c.origin, c.merged_at, "
        "(SELECT e.content FROM attempt a JOIN environment e ON e.id = a.environment_id WHERE a.trial_id = t.id "
        "ORDER BY a.number DESC LIMIT 1) "
        "FROM merged_copy c JOIN trial t ON t.id = c.trial_id WHERE ? IN (c.trial_id, '') "
        "ORDER BY c.merged_at, c.trial_id, c.final_digest",
        (trial_id or "",),
    ).fetchall()
    return [
        Copy(
            trial,
            own,
            digest,
            None if here is None else json.loads(here),
            None if environment is None else json.loads(environment),
            origin,
            merged_at,
            tuple(_fared(db, trial, digest)),
        )
        for trial, own, digest, environment, origin, merged_at, here in rows
    ]


def count(db: Database) -> int:
    """How many there are."""
    return int(db.execute("SELECT count(*) FROM merged_copy").fetchone()[0])


def _fared(db: Database, trial_id: str, final_digest: str) -> Iterator[CopyResult]:
    rows = db.execute(
        "SELECT k.name, k.norm, r.eps, r.count, r.standing, "
        "CASE WHEN r.attack_id = '' THEN c.accuracy ELSE l.robust_accuracy END "
        "FROM merged_copy_result r LEFT JOIN attack k ON k.id = r.attack_id "
        "LEFT JOIN clean c ON c.trial_id = r.trial_id AND c.samples = r.samples "
        "LEFT JOIN evaluation e ON e.trial_id = r.trial_id AND e.attack_id = r.attack_id AND e.samples = r.samples "
        "LEFT JOIN ledger l ON l.evaluation_id = e.id AND l.position = r.position "
        "WHERE r.trial_id = ? AND r.final_digest = ? ORDER BY r.samples, k.name NULLS FIRST, r.attack_id, r.position",
        (trial_id, final_digest),
    ).fetchall()
    for name, norm, eps, samples, standing, own in rows:
        yield CopyResult(name, norm, eps, samples, standing / samples, own)


def _results(told: TrialTold) -> Iterator[tuple[Any, ...]]:
    for clean in told.clean:
        standing = _standing(clean["correct"], clean["count"])
        yield clean["samples"], "", 0, None, clean["count"], standing
    for one in told.evaluations:
        for ledger in one.ledgers:
            count = one.row["count"]
            survived = np.unpackbits(np.frombuffer(ledger.bitmap, np.uint8), count=count).astype(bool)
            if ledger.distances is not None:
                survived &= np.isinf(np.frombuffer(ledger.distances, "<f4"))
            where = ledger.row
            yield one.row["samples"], one.row["attack_id"], where["position"], where["eps"], count, int(survived.sum())


def _standing(bitmap: bytes, count: int) -> int:
    return int(np.unpackbits(np.frombuffer(bitmap, np.uint8), count=count).sum())


def _store(db: Database, trial_id: str, copy: tuple[Any, ...], results: Any) -> None:
    with transaction(db):
        db.execute(
            "INSERT INTO merged_copy (trial_id, final_digest, environment, train_seconds, origin, merged_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            (trial_id, *copy),
        )
        db.conn.executemany(
            "INSERT INTO merged_copy_result (trial_id, final_digest, samples, attack_id, position, eps, count, standing) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(trial_id, copy[0], *one) for one in results],
        )


def environment_text(environment: Mapping[str, Any] | None) -> str:
    """Where weights were trained, in a few words: device and torch."""
    if not environment:
        return "unknown where"
    torch = environment.get("torch")
    return f"{environment.get('device', '?')}{'' if torch is None else f', torch {torch}'}"
