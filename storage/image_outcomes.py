"""What became of each image of each scored trial, as it is stored, and what follows of it for a variant's trials together."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.verdict.crossed import Block, Spread, crossed
from core.verdict.scoring import SCORES
from core.verdict.scoring.entry import ScoreEntry
from core.verdict.scoring.outcomes import Outcomes, UnderAttack, under_one
from core.verdict.scoring.trial_scores import Score, interval_of, linear
from storage.outcomes import clean_outcome, ledgers

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class StoredOutcomes:
    """One trial's in one study. `bound`: what attacks left standing is an upper bound, since nobody audited it."""

    trial_id: str
    seed: int | None
    found: Outcomes
    bound: bool


def store(db: Database, study: str, trial_id: str, found: Outcomes, *, bound: bool) -> None:
    """In place of what was stored. Inside the caller's transaction."""
    bits = np.packbits(np.concatenate([found.rows, *(one.standing[None, :] for one in found.attacks)]), axis=1)
    content = {
        "classes": found.classes,
        "worthless": found.worthless,
        "eps": list(found.eps),
        "worst": found.worst is not None,
        "bound": bound,
        "attacks": [[one.attack_id, one.name, one.norm, one.eps] for one in found.attacks],
    }
    db.execute(
        "INSERT INTO outcome (study, trial_id, count, content, bits) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (study, trial_id) DO UPDATE SET count = excluded.count, content = excluded.content, bits = excluded.bits",
        (study, trial_id, len(found.clean), json.dumps(content), bits.tobytes()),
    )


def stored(db: Database, study: str, trial_ids: Sequence[str] | None = None) -> Iterator[StoredOutcomes]:
    """Of these trials, or of all that have any, in the order of the study; one at a time is unpacked."""
    told = "SELECT o.trial_id, t.seed, o.count, o.content, o.bits FROM"
    joined = "CROSS JOIN outcome o ON o.study = st.study AND o.trial_id = st.trial_id CROSS JOIN trial t ON t.id = st.trial_id"
    if trial_ids is None:
        rows = db.execute(
            f"{told} study_trial st {joined} WHERE st.study = ? AND st.state IN ('done', 'queued', 'running') "
            "ORDER BY st.position",
            (study,),
        )
    else:  # a few of a hundred thousand: looked up one by one
        rows = db.execute(
            f"{told} (SELECT DISTINCT value AS id FROM json_each(?)) wanted CROSS JOIN study_trial st ON st.study = ? "
            f"AND st.trial_id = wanted.id {joined} ORDER BY st.position",
            (json.dumps(list(trial_ids)), study),
        )
    for trial_id, seed, count, content, bits in rows:
        said = json.loads(content)
        yield StoredOutcomes(trial_id, seed, _unpacked(said, count, bits), said["bound"])


def attacks_named(db: Database, study: str, name: str) -> list[str]:
    """The ids of a study's attacks of this name."""
    rows = db.execute(
        "SELECT a.id FROM study_attack sa JOIN attack a ON a.id = sa.attack_id WHERE sa.study = ? AND a.name = ? "
        "ORDER BY sa.position",
        (study, name),
    )
    return [str(attack_id) for (attack_id,) in rows.fetchall()]


def alone(
    db: Database, study: str, trial_ids: Sequence[str], attack_id: str, eps: Sequence[float]
) -> Iterator[StoredOutcomes]:
    """As `stored`, under one of the study's attacks at each of `eps`, which is no bound on anything else; of those of the trials
    that have had it there."""
    rows = db.execute(
        "SELECT e.trial_id, t.seed, e.samples, e.id FROM evaluation e JOIN trial t ON t.id = e.trial_id "
        "JOIN study s ON s.name = ? AND e.samples = s.samples WHERE e.state = 'done' AND e.attack_id = ? "
        "AND e.trial_id IN (SELECT value FROM json_each(?)) ORDER BY e.trial_id",
        (study, attack_id, json.dumps(list(trial_ids))),
    ).fetchall()
    for trial_id, seed, samples, evaluation in rows:
        found = under_one(clean_outcome(db, trial_id, samples), ledgers(db, evaluation), eps)
        if found is not None:
            yield StoredOutcomes(trial_id, seed, found, bound=False)


def _unpacked(said: Mapping[str, object], count: int, bits: bytes) -> Outcomes:
    eps, attacks = said["eps"], said["attacks"]
    assert isinstance(eps, list)
    assert isinstance(attacks, list)
    packed = np.frombuffer(bits, np.uint8).reshape(-1, (count + 7) // 8)
    rows = np.unpackbits(packed, axis=1, count=count).astype(np.bool_)
    first = 1 + len(eps) + bool(said["worst"])
    return Outcomes(
        classes=int(str(said["classes"])),
        worthless=bool(said["worthless"]),
        eps=tuple(eps),
        clean=rows[0],
        robust=rows[1 : 1 + len(eps)],
        worst=rows[first - 1] if said["worst"] else None,
        attacks=tuple(
            UnderAttack(attack_id, name, norm, at, row)
            for (attack_id, name, norm, at), row in zip(attacks, rows[first:], strict=True)
        ),
    )


def refresh(db: Database, study: str, variant_ids: Sequence[str]) -> None:
    """Store anew what is known of these variants' scores. Inside the caller's transaction."""
    for variant_id in variant_ids:
        db.execute("DELETE FROM variant_score WHERE study = ? AND variant_id = ?", (study, variant_id))
        members = [
            str(trial_id)
            for (trial_id,) in db.execute(
                "SELECT st.trial_id FROM trial t CROSS JOIN study_trial st ON st.study = ? AND st.trial_id = t.id "
                "WHERE t.variant_id = ? AND st.state IN ('done', 'queued', 'running') "
                "AND EXISTS (SELECT 1 FROM outcome o WHERE o.study = st.study AND o.trial_id = st.trial_id)",
                (study, variant_id),
            ).fetchall()
        ]
        if len(members) < 2:  # a single trial's own interval stands in table score
            continue
        found = list(stored(db, study, members))
        db.conn.executemany(
            "INSERT INTO variant_score (study, variant_id, name, members, trials, value, low, high, upper_bound, "
            "seeds_variance, images_variance, rest_variance, freedom) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (study, variant_id, score.name, _digest(members), spread.trials, score.value, score.low, score.high,
                 int(score.bound), spread.seeds, spread.images, spread.rest, spread.freedom)
                for entry in SCORES.values()
                for score, spread in [*_together(entry, found)]
            ],
        )  # fmt: skip


@dataclass(frozen=True)
class VariantScore:
    """A score of several trials of a variant together: its mean and 95 % interval, over seeds and images."""

    score: Score
    trials: int


def of_variants(db: Database, study: str, name: str, wanted: Mapping[str, Sequence[str]]) -> dict[str, VariantScore]:
    """variant_id → its score over just these trials; variants without any value are absent."""
    known = {
        str(row[0]): row[1:]
        for row in db.execute(
            "SELECT variant_id, members, trials, value, low, high, upper_bound FROM variant_score "
            "WHERE study = ? AND name = ?",
            (study, name),
        ).fetchall()
    }
    entry, found = SCORES[name], {}
    for variant_id, trials in wanted.items():
        row = known.get(variant_id)
        if row is not None and row[0] == _digest(trials):
            found[variant_id] = VariantScore(Score(name, row[2], row[3], row[4], bool(row[5])), row[1])
            continue
        for score, spread in _together(entry, list(stored(db, study, trials))):
            found[variant_id] = VariantScore(score, spread.trials)
    return found


def _together(entry: ScoreEntry, found: Sequence[StoredOutcomes]) -> list[tuple[Score, Spread]]:
    """One, or none where no trial has a value."""
    near = [(one, linear(entry, one.found)) for one in found]
    valued = [(one, slope) for one, slope in near if slope is not None]
    if not valued:
        return []
    seeds = tuple(place if one.seed is None else one.seed for place, (one, _) in enumerate(valued))
    spread = crossed([Block(seeds, np.stack([slope.influence(one.found) for one, slope in valued]))])
    bound = entry.attacked and any(one.bound for one, _ in valued)
    value = math.fsum(slope.value for _, slope in valued) / len(valued)
    return [(interval_of(entry, value, spread, bound=bound), spread)]


def _digest(trial_ids: Sequence[str]) -> str:
    return hashlib.sha256(" ".join(sorted(trial_ids)).encode()).hexdigest()[:16]
