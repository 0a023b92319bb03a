"""Adversarial images of one trial tried on another: what is stored of that, what is still to be done.

A cell is known by its two trials, the attack and the samples, and stands for the weights whose digests it carries. It
belongs to no study: two studies that share trials share their cells.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.jobs.orders import TRANSFER_ENGINE
from core.records.attack import AttackSpec
from core.records.outcome import TransferCell
from core.records.trial import TrialSpec
from storage.database import transaction
from storage.reading import columns, read
from storage.rows import TransferResult
from storage.specs import store_attack
from storage.states import done_in
from storage.verdicts import rescore

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class Weights:
    """What is known of a trial's weights: `path` is relative to the checkpoints folder, None once they were removed."""

    trial: TrialSpec
    path: str | None
    digest: str


@dataclass(frozen=True)
class Crafted:
    """The images of one source on some targets, on their way into the database. `digests` has all trials of it."""

    attack: AttackSpec
    source_id: str
    cells: tuple[TransferCell, ...]
    digests: Mapping[str, str]
    samples: str
    count: int
    crafting: str


def weights_of(db: Database, study: str) -> dict[str, Weights]:
    """Trial id → weights, of every trial of `study` that has been trained."""
    rows = db.execute(
        "SELECT t.id, t.spec, CASE WHEN t.weights_removed THEN NULL ELSE t.weights END, t.final_digest "
        "FROM study_trial st JOIN trial t ON t.id = st.trial_id "
        "WHERE st.study = ? AND t.weights IS NOT NULL AND t.final_digest IS NOT NULL",
        (study,),
    )
    return {
        str(trial_id): Weights(TrialSpec.from_json(json.loads(spec)), path, str(digest))
        for trial_id, spec, path, digest in rows
    }


def known(db: Database, attack_id: str, samples: str) -> set[tuple[str, str]]:
    """(source, target) of the cells that hold for the trials' present weights."""
    rows = db.execute(
        "SELECT x.source_id, x.target_id FROM transfer x "
        "JOIN trial s ON s.id = x.source_id AND s.final_digest = x.source_digest "
        "JOIN trial t ON t.id = x.target_id AND t.final_digest = x.target_digest "
        "WHERE x.attack_id = ? AND x.samples = ? AND x.engine = ?",
        (attack_id, samples, TRANSFER_ENGINE),
    )
    return {(str(source), str(target)) for source, target in rows}


def record(db: Database, crafted: Crafted) -> int:
    """Store the cells, in place of earlier ones; returns how many.

    Those of trials that were deleted or trained anew meanwhile are dropped.
    """
    with transaction(db):
        known = {
            trial_id
            for trial_id, digest in crafted.digests.items()
            if db.execute("SELECT 1 FROM trial WHERE id = ? AND final_digest = ?", (trial_id, digest)).fetchone()
        }
        kept = [cell for cell in crafted.cells if {crafted.source_id, cell.target_id} <= known]
        if kept:
            store_attack(db, crafted.attack)
        now = time.time()
        db.conn.executemany(
            "INSERT OR REPLACE INTO transfer (source_id, target_id, attack_id, samples, eps, source_digest, "
            "target_digest, count, shared, fooled, robust_accuracy, crafting, engine, made_at, fooled_bitmap) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    crafted.source_id,
                    cell.target_id,
                    crafted.attack.id,
                    crafted.samples,
                    crafted.attack.eps[0],
                    crafted.digests[crafted.source_id],
                    crafted.digests[cell.target_id],
                    crafted.count,
                    cell.shared,
                    cell.fooled,
                    cell.robust_accuracy,
                    crafted.crafting,
                    TRANSFER_ENGINE,
                    now,
                    bytes.fromhex(cell.fooled_bits) or None,
                )
                for cell in kept
            ],
        )
        for cell in kept:  # what fooled a model counts in its own worst case
            for study in done_in(db, cell.target_id, crafted.samples):
                rescore(db, study, cell.target_id)
        return len(kept)


def rows(db: Database, study: str, attack_id: str, samples: str, trial_ids: Sequence[str]) -> list[TransferResult]:
    """Rows of v_transfer between these trials, sources and targets in the order in which they are named."""
    place = {trial_id: number for number, trial_id in enumerate(trial_ids)}
    found = read(
        db,
        TransferResult,
        f"SELECT {columns(TransferResult)} FROM v_transfer WHERE study = ? AND attack_id = ? AND samples_digest = ?",
        (study, attack_id, samples),
    )
    kept = [row for row in found if row.source_id in place and row.target_id in place]
    return sorted(kept, key=lambda row: (place[row.source_id], place[row.target_id]))


def made_last(db: Database, study: str, attack: str | None = None) -> tuple[str, str] | None:
    """(attack id, samples) of the newest cell between trials of `study`, of the attack of that name if given."""
    row = db.execute(
        "SELECT x.attack_id, x.samples FROM transfer x JOIN attack k ON k.id = x.attack_id "
        "JOIN study_trial a ON a.trial_id = x.source_id AND a.study = :study "
        "JOIN study_trial b ON b.trial_id = x.target_id AND b.study = :study "
        "WHERE :attack IS NULL OR k.name = :attack ORDER BY x.made_at DESC LIMIT 1",
        {"study": study, "attack": attack},
    ).fetchone()
    return None if row is None else (str(row[0]), str(row[1]))
