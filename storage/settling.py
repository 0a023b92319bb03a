"""What settling a study's findings has cost and given: looks with the error spent, verdicts for good, and trials that no grid
names."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.errors import BadInput
from core.records.trial import TrialSpec
from core.verdict.settling.looked import Looked
from core.verdict.settling.spending import Look
from core.verdict.settling.stage import Decided
from storage.codec import decoded, encoded
from storage.database import transaction
from storage.specs import store_trials
from storage.states import settle_in
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database


SETTLING_RECORDS = {"look": Look, "settled": Decided}
"""Table → what the JSON in its column `content` is of."""


@dataclass(frozen=True)
class Settling:
    """Of one study. `margin` is in points: what every look decided against; None before the first."""

    margin: float | None
    families: tuple[Looked, ...]

    def of(self, family: str) -> Looked:
        """Empty where it has not been looked at."""
        return next((one for one in self.families if one.family == family), Looked(family))


@dataclass(frozen=True)
class MoreSeeds:
    """A variant that is to be trained with these seeds, too."""

    variant_id: str
    seeds: tuple[int, ...]


def settling(db: Database, study: str) -> Settling:
    """What is stored of a study; raises NotFound for an unknown one."""
    study_row(db, study)
    looks: dict[str, list[Look]] = {}
    margin: float | None = None
    for family, content, against in db.execute(
        "SELECT family, content, margin FROM look WHERE study = ? ORDER BY family, number", (study,)
    ).fetchall():
        looks.setdefault(str(family), []).append(decoded(Look, json.loads(content)))
        margin = float(against)
    decided: dict[str, list[Decided]] = {}
    for family, content in db.execute(
        "SELECT family, content FROM settled WHERE study = ? ORDER BY family, claim", (study,)
    ).fetchall():
        decided.setdefault(str(family), []).append(decoded(Decided, json.loads(content)))
    return Settling(
        margin,
        tuple(
            Looked(family, tuple(looks.get(family, ())), tuple(decided.get(family, ())))
            for family in dict.fromkeys([*looks, *decided])
        ),
    )


def settle(
    db: Database,
    study: str,
    seen: Sequence[Looked],
    now: Sequence[Looked],
    margin: float,
    more: Sequence[MoreSeeds],
) -> int:
    """Store what looks at these families came to and add the further seeds, in one transaction; returns how many trials are
    new in the study. Those that another study has trained need no training. `seen` is what the looks began from.

    Raises BadInput where somebody else has looked meanwhile: the same error would be spent twice.
    """
    with transaction(db):
        stored = settling(db, study)
        if any(stored.of(one.family) != one for one in seen):
            raise BadInput(
                f"findings of {study}: they were settled by another command meanwhile; look again: innate findings"
            )
        for one in now:
            db.execute("DELETE FROM look WHERE study = ? AND family = ?", (study, one.family))
            db.conn.executemany(
                "INSERT INTO look (study, family, number, content, margin, made_at) VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (study, one.family, number, json.dumps(encoded(look)), margin, time.time())
                    for number, look in enumerate(one.looks, 1)
                ],
            )
            db.execute("DELETE FROM settled WHERE study = ? AND family = ?", (study, one.family))
            db.conn.executemany(
                "INSERT INTO settled (study, family, claim, content) VALUES (?, ?, ?, ?)",
                [(study, one.family, decided.key, json.dumps(encoded(decided))) for decided in one.decided],
            )
        return _add(db, study, more)


def _add(db: Database, study: str, more: Sequence[MoreSeeds]) -> int:
    specs = []
    for one in more:
        row = db.execute(
            "SELECT t.spec FROM study_trial st JOIN trial t ON t.id = st.trial_id WHERE st.study = ? AND t.variant_id = ? "
            "LIMIT 1",
            (study, one.variant_id),
        ).fetchone()
        if row is None:
            raise BadInput(f"findings of {study}: a variant has left the study meanwhile; look again: innate findings")
        model = TrialSpec.from_json(json.loads(row[0]))
        specs += [replace(model, seed=seed) for seed in one.seeds]
    there = {str(trial_id) for (trial_id,) in db.execute("SELECT trial_id FROM study_trial WHERE study = ?", (study,))}
    new = [spec for spec in specs if spec.id not in there]
    store_trials(db, study_row(db, study).dataset, new)
    (last,) = db.execute("SELECT coalesce(max(position), -1) FROM study_trial WHERE study = ?", (study,)).fetchone()
    db.conn.executemany(
        "INSERT INTO study_trial (study, trial_id, position, state) VALUES (?, ?, ?, 'queued')",
        [(study, spec.id, last + place) for place, spec in enumerate(new, 1)],
    )
    db.conn.executemany(
        "INSERT INTO settling_trial (study, trial_id) VALUES (?, ?)", [(study, spec.id) for spec in new]
    )
    for spec in new:
        # A level that was tuned is tuned with these seeds, too.
        db.execute(
            "UPDATE study_trial SET tuned = (SELECT max(x.tuned) FROM study_trial x JOIN trial t ON t.id = x.trial_id "
            "WHERE x.study = :study AND t.variant_id = :variant) WHERE study = :study AND trial_id = :trial",
            {"study": study, "variant": spec.variant_id, "trial": spec.id},
        )
        settle_in(db, study, spec.id)
    return len(new)


def under_way(db: Database, study: str) -> dict[str, tuple[int, int]]:
    """variant_id → how many of its trials that were last added to settle something have come to their end, and how many there
    are."""
    rows = db.execute(
        "SELECT t.variant_id, count(*) FILTER (WHERE st.state NOT IN ('queued', 'running')), count(*) "
        "FROM settling_trial x JOIN study_trial st ON st.study = x.study AND st.trial_id = x.trial_id "
        "JOIN trial t ON t.id = x.trial_id WHERE x.study = :study AND (st.state IN ('queued', 'running') "
        # Every settling stores all looks anew; before the first one, all that was added belongs together.
        "OR coalesce((SELECT max(a.ended_at) FROM attempt a WHERE a.trial_id = x.trial_id) "
        "> (SELECT max(made_at) FROM look WHERE study = :study), 1)) GROUP BY t.variant_id",
        {"study": study},
    )
    return {str(variant): (int(ended), int(count)) for variant, ended, count in rows.fetchall()}


@dataclass(frozen=True)
class Seeds:
    """Of one variant in a study: those whose trials are there or to come, and those that failed or were cancelled."""

    held: tuple[int, ...]
    lost: tuple[int, ...]


def seeds_of(db: Database, study: str) -> dict[str, Seeds]:
    """variant_id → its seeds, ascending; weights that were trained elsewhere have none."""
    held: dict[str, list[int]] = {}
    lost: dict[str, list[int]] = {}
    for variant_id, seed, state in db.execute(
        "SELECT t.variant_id, t.seed, st.state FROM study_trial st JOIN trial t ON t.id = st.trial_id WHERE st.study = ? "
        "AND t.seed IS NOT NULL AND t.imported IS NULL ORDER BY t.seed",
        (study,),
    ).fetchall():
        held.setdefault(str(variant_id), [])
        (lost if state in ("failed", "cancelled") else held).setdefault(str(variant_id), []).append(int(seed))
    return {variant: Seeds(tuple(seeds), tuple(lost.get(variant, ()))) for variant, seeds in held.items()}


def seconds_of(db: Database, study: str) -> Mapping[str, float]:
    """variant_id → mean seconds that one of its trials took: training, the study's attacks, its audits."""
    rows = db.execute(
        "SELECT t.variant_id, avg(coalesce(t.train_seconds, 0) "
        "+ coalesce((SELECT sum(e.seconds) FROM study_attack sa JOIN evaluation e ON e.attack_id = sa.attack_id "
        "AND e.trial_id = t.id AND e.samples = s.samples WHERE sa.study = s.name), 0) "
        "+ coalesce((SELECT sum(a.seconds) FROM study_audit sa JOIN audit a ON a.spec_id = sa.spec_id AND a.trial_id = t.id "
        "AND a.samples = s.samples WHERE sa.study = s.name), 0)) "
        "FROM study s JOIN study_trial st ON st.study = s.name JOIN trial t ON t.id = st.trial_id "
        "WHERE s.name = ? AND st.state = 'done' GROUP BY t.variant_id",
        (study,),
    )
    return {str(variant_id): float(seconds) for variant_id, seconds in rows.fetchall()}
