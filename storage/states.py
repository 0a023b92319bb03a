"""Where a trial stands in a study, worked out from what is stored: shared by submitting, settling and deleting.

A trial is done when its weights exist, every attack of the study has been evaluated on the study's samples, and every audit
that the study wants has been made.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.records.attack import AttackSpec
from core.records.outcome import DiagnosisSpec
from storage import audits
from storage.evidence import looks, wanted_looks
from storage.verdicts import read_distances, rescore

if TYPE_CHECKING:
    from sqlite_utils import Database

_WANTED = """
    SELECT a.id, a.spec, e.state, e.reason FROM (
        SELECT attack_id, position FROM study_attack WHERE study = :study
        UNION
        SELECT attack_id, 1000000 FROM trial_attack WHERE study = :study AND trial_id = :trial
            AND attack_id NOT IN (SELECT attack_id FROM study_attack WHERE study = :study)
    ) w
    JOIN attack a ON a.id = w.attack_id
    LEFT JOIN evaluation e ON e.trial_id = :trial AND e.attack_id = a.id
        AND e.samples = (SELECT samples FROM study WHERE name = :study)
    ORDER BY w.position
"""


def missing_attacks(db: Database, study: str, trial_id: str) -> list[AttackSpec]:
    """The attacks of the study, extra ones of this trial included, that have not been tried on it."""
    rows = db.query(_WANTED, {"study": study, "trial": trial_id})
    return [AttackSpec.from_json(json.loads(row["spec"])) for row in rows if row["state"] is None]


@dataclass(frozen=True)
class Readiness:
    """What a trial of a study still lacks, and what went wrong with it."""

    state: str
    trained: bool
    failure: str | None
    """Why it could not be trained."""
    missing: tuple[AttackSpec, ...]
    """Attacks that are yet to be tried."""
    broken: tuple[AttackSpec, ...]
    """Attacks that could not be carried out."""


def readiness(db: Database, study: str, trial_id: str) -> Readiness | None:
    """None for a trial that the study has not."""
    row = db.execute(
        "SELECT st.state, t.weights, t.failure FROM study_trial st JOIN trial t ON t.id = st.trial_id "
        "WHERE st.study = ? AND st.trial_id = ?",
        (study, trial_id),
    ).fetchone()
    if row is None:
        return None
    state, weights, failure = row
    broken = db.execute(
        "SELECT a.spec FROM evaluation e JOIN attack a ON a.id = e.attack_id WHERE e.trial_id = ? AND e.state = 'failed' "
        "AND e.samples = (SELECT samples FROM study WHERE name = ?)",
        (trial_id, study),
    ).fetchall()
    return Readiness(
        state,
        weights is not None,
        failure,
        tuple(missing_attacks(db, study, trial_id)),
        tuple(AttackSpec.from_json(json.loads(spec)) for (spec,) in broken),
    )


def lacks_clean(db: Database, study: str, trial_id: str) -> bool:
    """Whether the clean outcome on the study's samples is still wanted."""
    return (
        not _holds_candidates(db, study)
        and not db.execute(
            "SELECT 1 FROM clean WHERE trial_id = ? AND samples = (SELECT samples FROM study WHERE name = ?)",
            (trial_id, study),
        ).fetchone()
    )


def missing_looks(db: Database, study: str, trial_id: str) -> list[DiagnosisSpec]:
    """The looks at the model that are still wanted, one for each norm with the radii that lack one."""
    if _holds_candidates(db, study):
        return []
    (test_samples,) = db.execute("SELECT test_samples FROM study WHERE name = ?", (study,)).fetchone()
    known = {(look.norm, look.eps) for look in looks(db, study, trial_id)}
    missing = {
        norm: tuple(eps for eps in radii if (norm, eps) not in known) for norm, radii in wanted_looks(db, study).items()
    }
    return [DiagnosisSpec(test_samples, norm, radii) for norm, radii in missing.items() if radii]


def where_it_is(db: Database, study: str, trial_id: str) -> tuple[str, str | None]:
    """(state, reason): done, failed, or queued while anything is missing."""
    trial = db.execute("SELECT weights, failure FROM trial WHERE id = ?", (trial_id,)).fetchone()
    weights, failure = trial
    if failure is not None:
        return "failed", failure
    if weights is None or lacks_clean(db, study, trial_id):
        return "queued", None
    rows = list(db.query(_WANTED, {"study": study, "trial": trial_id}))
    if any(row["state"] is None for row in rows):
        return "queued", None
    failed = next((row for row in rows if row["state"] == "failed"), None)
    if failed is not None:
        attack = json.loads(failed["spec"])["name"]
        return "failed", f"{attack}: {failed['reason']}"
    if audits.missing(db, study, trial_id):
        return "queued", None
    broken = audits.failure(db, study, trial_id)
    return ("done", None) if broken is None else ("failed", f"audit: {broken}")


def settle_in(db: Database, study: str, trial_id: str, *, score: bool = True) -> str:
    """Write where the trial stands in the study, with its readings, and its scores if it is done, unless whoever calls works
    those out for many at once. Inside the caller's transaction."""
    state, reason = where_it_is(db, study, trial_id)
    db.execute(
        "UPDATE study_trial SET state = ?, reason = ? WHERE study = ? AND trial_id = ?",
        (state, reason, study, trial_id),
    )
    read_distances(db, study, trial_id)
    if score and state == "done" and not _holds_candidates(db, study):
        rescore(db, study, trial_id)
    return state


def _holds_candidates(db: Database, study: str) -> bool:
    """Whether its trials are only trained, to choose by: no test image is shown to them."""
    return bool(db.execute("SELECT 1 FROM study WHERE name = ? AND tuning_of IS NOT NULL", (study,)).fetchone())


def done_in(db: Database, trial_id: str, samples: str) -> list[str]:
    """The studies in which the trial is done that have these test samples: what is found now changes its verdict there."""
    rows = db.execute(
        "SELECT st.study FROM study_trial st JOIN study s ON s.name = st.study WHERE st.trial_id = ? AND s.samples = ? "
        "AND st.state = 'done' AND s.tuning_of IS NULL",
        (trial_id, samples),
    )
    return [str(study) for (study,) in rows.fetchall()]
