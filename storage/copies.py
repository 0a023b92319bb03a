"""The same trial with other weights: what other homes say of it, or this one did before it was trained again to other weights.
Kept beside this home's own and never in its place.

Scores, verdicts and every listing read this home's own. A copy says whose weights they were, where they were trained and how they
fared: counts, no ledgers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.records.outcome import Ledger
from core.verdict.ledgers import USUAL_EPS, survived_at
from storage.outcomes import ledgers
from storage.reading import Options

if TYPE_CHECKING:
    from sqlite_utils import Database

Result = tuple[str, str, int, float | None, int, int]
"""(samples, attack, "" for the clean images, position of the ledger, ε, count, how many stand)."""

_ENVIRONMENTS = "SELECT e.content FROM attempt a JOIN environment e ON e.id = a.environment_id WHERE a.trial_id = t.id"
OF_ITS_WEIGHTS = (
    f"coalesce(({_ENVIRONMENTS} AND a.number = CAST(substr(t.weights, 66) AS INTEGER)), "
    f"({_ENVIRONMENTS} ORDER BY a.number DESC LIMIT 1))"
)
"""Where the weights of a trial `t` were trained: their path is that of the trial and the number of the attempt."""
_BEFORE = "this home, before it was trained again"


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
    """Other weights of a trial of this home, and this home's own."""

    trial_id: str
    own_digest: str | None
    other_digest: str
    own_environment: Options | None
    other_environment: Options | None
    origin: str
    merged_at: float
    results: tuple[CopyResult, ...]


def is_kept(db: Database, trial_id: str, final_digest: str) -> bool:
    """Whether that copy is here already."""
    sql = "SELECT 1 FROM merged_copy WHERE trial_id = ? AND final_digest = ?"
    return db.execute(sql, (trial_id, final_digest)).fetchone() is not None


def store(
    db: Database,
    trial_id: str,
    final_digest: str,
    environment: str | None,
    train_seconds: float | None,
    origin: str,
    results: Iterable[Result],
    at: float,
) -> None:
    """A copy that is not here. Inside the caller's transaction."""
    db.execute(
        "INSERT INTO merged_copy (trial_id, final_digest, environment, train_seconds, origin, merged_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (trial_id, final_digest, environment, train_seconds, origin, at),
    )
    db.conn.executemany(
        "INSERT INTO merged_copy_result (trial_id, final_digest, samples, attack_id, position, eps, count, standing) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [(trial_id, final_digest, *one) for one in results],
    )


def read_at(ledger: Ledger, norm: str) -> float:
    """The ε that a copy's ledger is counted at: its own, or the usual one where the attack measures distances."""
    return USUAL_EPS[norm] if ledger.eps is None else ledger.eps


def standing(ledger: Ledger, eps: float) -> int:
    """How many samples stand at that ε."""
    survived = survived_at([ledger], eps)
    assert survived is not None, "it is the ledger's own, or there are distances"
    return int(survived.sum())


def set_aside(db: Database, trial_id: str) -> None:
    """The trial has been trained to other weights: what was found of those before is kept as a copy and no longer its own. Inside
    the caller's transaction."""
    digest, seconds, environment = db.execute(
        f"SELECT t.final_digest, t.train_seconds, {OF_ITS_WEIGHTS} FROM trial t WHERE t.id = ?", (trial_id,)
    ).fetchone()
    if not is_kept(db, trial_id, digest):
        store(db, trial_id, digest, environment, seconds, _BEFORE, list(_own_results(db, trial_id)), time.time())
    for table in (
        "evaluation",
        "audit",
        "clean",
        "diagnosis",
        "traits",
        "score",
        "robustness",
        "outcome",
        "trust_check",
    ):
        db.execute(f"DELETE FROM {table} WHERE trial_id = ?", (trial_id,))
    db.execute("UPDATE study_trial SET trust = NULL, trust_reasons = NULL WHERE trial_id = ?", (trial_id,))
    db.execute("UPDATE study_trial SET state = 'queued' WHERE trial_id = ? AND state = 'done'", (trial_id,))


def _own_results(db: Database, trial_id: str) -> Iterator[Result]:
    for samples, count, accuracy in db.execute(
        "SELECT samples, count, accuracy FROM clean WHERE trial_id = ?", (trial_id,)
    ).fetchall():
        yield samples, "", 0, None, count, round(count * accuracy)
    for evaluation, samples, attack_id, norm in db.execute(
        "SELECT e.id, e.samples, e.attack_id, k.norm FROM evaluation e JOIN attack k ON k.id = e.attack_id "
        "WHERE e.trial_id = ? AND e.state = 'done'",
        (trial_id,),
    ).fetchall():
        for position, ledger in enumerate(ledgers(db, evaluation)):
            eps = read_at(ledger, norm)
            yield samples, attack_id, position, eps, len(ledger.survived), standing(ledger, eps)


def copies(db: Database, trial_id: str | None = None) -> list[Copy]:
    """Of one trial, or all that there are, the newest last."""
    rows = db.execute(
        f"SELECT c.trial_id, t.final_digest, c.final_digest, {OF_ITS_WEIGHTS}, c.environment, c.origin, c.merged_at "
        "FROM merged_copy c JOIN trial t ON t.id = c.trial_id WHERE :trial IS NULL OR c.trial_id = :trial "
        "ORDER BY c.merged_at, c.trial_id, c.final_digest",
        {"trial": trial_id},
    ).fetchall()
    return [
        Copy(trial, own, other, _parsed(here), _parsed(there), origin, at, tuple(_fared(db, trial, other)))
        for trial, own, other, here, there, origin, at in rows
    ]


def count(db: Database) -> int:
    """How many there are."""
    return int(db.execute("SELECT count(*) FROM merged_copy").fetchone()[0])


def _parsed(text: str | None) -> Options | None:
    found: Options | None = None if text is None else json.loads(text)
    return found


def _own_at(db: Database, evaluation: int, position: int, eps: float) -> float | None:
    """What this home's own weights come to under the same attack; None where its ledgers do not say."""
    survived = survived_at(ledgers(db, evaluation)[position : position + 1], eps)
    return None if survived is None else float(survived.mean())


def _fared(db: Database, trial_id: str, final_digest: str) -> Iterator[CopyResult]:
    rows = db.execute(
        "SELECT r.attack_id, k.name, k.norm, r.position, r.eps, r.count, r.standing, c.accuracy, e.id "
        "FROM merged_copy_result r LEFT JOIN attack k ON k.id = r.attack_id "
        "LEFT JOIN clean c ON r.attack_id = '' AND c.trial_id = r.trial_id AND c.samples = r.samples "
        "LEFT JOIN evaluation e ON e.trial_id = r.trial_id AND e.attack_id = r.attack_id AND e.samples = r.samples "
        "AND e.state = 'done' WHERE r.trial_id = ? AND r.final_digest = ? "
        "ORDER BY r.samples, k.name NULLS FIRST, r.attack_id, r.position",
        (trial_id, final_digest),
    ).fetchall()
    for _, name, norm, position, eps, samples, stand, clean, evaluation in rows:
        own = clean if evaluation is None else _own_at(db, evaluation, position, eps)
        yield CopyResult(name, norm, eps, samples, stand / samples, own)
