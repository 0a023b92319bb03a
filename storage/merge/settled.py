"""What follows from what was brought in: where trials stand, their scores and verdicts, worked out by this program from what is
stored. Inside the caller's transaction."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from storage import tuning
from storage.merge.opened import Other
from storage.states import settle_in
from storage.verdicts import rescore_these

if TYPE_CHECKING:
    from sqlite_utils import Database


def settle(
    db: Database,
    other: Other,
    changed: Collection[str],
    opened: Collection[tuple[str, str]],
    names: dict[str, str],
    step: Callable[[], None],
) -> None:
    """Learning rates are chosen where all candidates have ended now; the trials that changed stand where they do in every study
    that has them, and those pairs of (study, trial); `names`: what the other's studies are called here. `step` is called after
    each."""
    tuning.advance(db)
    rows = db.execute(
        "SELECT study, trial_id FROM study_trial WHERE trial_id IN (SELECT value FROM json_each(?))",
        (json.dumps(sorted(changed)),),
    ).fetchall()
    pairs = sorted({(str(study), str(trial_id)) for study, trial_id in rows} | set(opened))
    theirs = {here: there for there, here in names.items()}
    for study, members in itertools.groupby(pairs, key=lambda pair: pair[0]):
        scored = []
        for _, trial_id in members:
            state = _settled(db, study, trial_id)
            if state == "done" or (state == "queued" and _was_scored(db, other, study, theirs.get(study), trial_id)):
                scored.append(trial_id)
            step()
        if not tuning.is_companion(study):
            rescore_these(db, study, scored)


def _settled(db: Database, study: str, trial_id: str) -> str:
    """As `settle_in`, without its scores; what somebody cancelled, and is not done, stays so."""
    (before,) = db.execute(
        "SELECT state FROM study_trial WHERE study = ? AND trial_id = ?", (study, trial_id)
    ).fetchone()
    state = settle_in(db, study, trial_id, score=False)
    if before == "cancelled" and state == "queued":
        db.execute(
            "UPDATE study_trial SET state = 'cancelled', reason = 'cancelled' WHERE study = ? AND trial_id = ?",
            (study, trial_id),
        )
        return "cancelled"
    return state


def _was_scored(db: Database, other: Other, study: str, theirs: str | None, trial_id: str) -> bool:
    """Whether a trial that is to be attacked more has a score, or had one there and can have it here: scores stay meanwhile."""
    if db.execute("SELECT 1 FROM score WHERE study = ? AND trial_id = ? LIMIT 1", (study, trial_id)).fetchone():
        return True
    there = other.connection.execute(
        "SELECT 1 FROM score WHERE study = ? AND trial_id = ? LIMIT 1", (theirs, trial_id)
    ).fetchone()
    if there is None:
        return False
    lacks = db.execute(
        "SELECT NOT EXISTS (SELECT 1 FROM clean c WHERE c.trial_id = :trial AND c.samples = s.samples) "
        "OR EXISTS (SELECT 1 FROM study_attack sa WHERE sa.study = s.name AND NOT EXISTS (SELECT 1 FROM evaluation e "
        "WHERE e.trial_id = :trial AND e.attack_id = sa.attack_id AND e.samples = s.samples AND e.state = 'done')) "
        "FROM study s WHERE s.name = :study",
        {"study": study, "trial": trial_id},
    ).fetchone()
    return not lacks[0]
