"""What is made of a trial's ledgers in one study: scores, the verdict with every check behind it, readings of distances.

All of it follows from what is stored, and is written in the transaction of whatever it follows from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.plugged import owner
from core.verdict.audited import radii_of
from core.verdict.ledgers import USUAL_EPS, survived_at
from core.verdict.scoring import SCORES, scores_of
from core.verdict.scoring.outcomes import outcomes_of
from core.verdict.scoring.trial_scores import score_of
from core.verdict.trust import Judgement, Reason, judge
from core.verdict.trust.entry import Evidence
from core.verdict.trust.known import compared_standing, known_standing
from storage import audits, image_outcomes
from storage.database import transaction
from storage.evidence import common_attacks, evidence
from storage.outcomes import clean_outcome, ledgers

if TYPE_CHECKING:
    from sqlite_utils import Database


_KNOWN = """:scores || ' ' || (
    SELECT count(*) || ' ' || total(e.finished_at) FROM evaluation e
    WHERE e.trial_id = st.trial_id AND e.samples = s.samples AND e.state = 'done'
) || ' ' || (
    SELECT count(*) || ' ' || total(a.finished_at) FROM audit a
    WHERE a.trial_id = st.trial_id AND a.samples = s.samples AND a.state = 'done'
) || ' ' || (
    SELECT count(*) || ' ' || total(x.made_at) FROM transfer x WHERE x.target_id = st.trial_id AND x.samples = s.samples
)"""
"""What the scores of a trial `st` of a study `s` are made of that may become more without the study's doing: which scores there
are, attacks and audits of other studies, images of other models. A text that is another once it does."""

_INSERT_SCORE = "INSERT INTO score (study, trial_id, name, value, low, high, upper_bound) VALUES (?, ?, ?, ?, ?, ?, ?)"


@dataclass(frozen=True)
class Verdict:
    """`trust` is None before the trial is done."""

    trust: str | None
    reasons: tuple[str, ...]


def verdict(db: Database, study: str, trial_id: str) -> Verdict:
    """What was judged of a trial that the study has, when it was scored last."""
    trust, reasons = db.execute(
        "SELECT trust, trust_reasons FROM study_trial WHERE study = ? AND trial_id = ?", (study, trial_id)
    ).fetchone()
    return Verdict(trust, tuple(json.loads(reasons or "[]")))


def well_scored(db: Database, study: str) -> set[str]:
    """The done trials of a study whose scores are made from all that is known of them now."""
    rows = db.execute(
        "SELECT st.trial_id FROM study_trial st JOIN study s ON s.name = st.study WHERE st.study = :study "
        f"AND st.state = 'done' AND st.scored_from = {_KNOWN}",
        {"study": study, "scores": _names()},
    )
    return {str(trial_id) for (trial_id,) in rows.fetchall()}


def _names() -> str:
    return ",".join(SCORES)


def rescore(db: Database, study: str, trial_id: str) -> None:
    """Scores, worst cases, verdict and checks of one trial in one study; and of all others, where by this one the attacks that
    all have had become others. Scores count those, and the study's own; their radii are the study's own."""
    rescore_these(db, study, [trial_id])


def rescore_these(db: Database, study: str, trial_ids: Sequence[str]) -> None:
    """The same of several, whose variants come last, each once."""
    scored = [one for trial_id in trial_ids for one in _rescored(db, study, trial_id)]
    image_outcomes.refresh(db, study, _variants(db, scored))


def rescore_all(db: Database) -> None:
    """Every trial that is done or scored in a study: after what scores mean has changed. Variants come last, each once."""
    rows = db.execute(
        "SELECT study, trial_id FROM study_trial st JOIN study s ON s.name = st.study WHERE s.tuning_of IS NULL AND "
        "(state = 'done' OR (state IN ('queued', 'running') "
        "AND EXISTS (SELECT 1 FROM score sc WHERE sc.study = st.study AND sc.trial_id = st.trial_id)))"
    ).fetchall()
    for study in dict.fromkeys(str(row[0]) for row in rows):
        rescore_these(db, study, [str(trial_id) for name, trial_id in rows if name == study])


def score_late(db: Database) -> int:
    """What a new owner does second: scores of plugins that were installed after a trial was scored, from what became of each
    image. Returns how many were lacking."""
    late = [name for name in SCORES if owner(name) is not None]
    found = 0
    for name in late:
        lacking: dict[str, list[str]] = {}
        for study, trial_id in db.execute(
            "SELECT o.study, o.trial_id FROM outcome o WHERE NOT EXISTS (SELECT 1 FROM score s "
            "WHERE s.study = o.study AND s.trial_id = o.trial_id AND s.name = ?)",
            (name,),
        ).fetchall():
            lacking.setdefault(study, []).append(trial_id)
        for study, trials in lacking.items():
            with transaction(db):
                scored = [
                    (study, one.trial_id, name, score.value, score.low, score.high, int(score.bound))
                    for one in image_outcomes.stored(db, study, trials)
                    for score in [score_of(SCORES[name], one.found, bound=one.bound)]
                ]
                db.conn.executemany(_INSERT_SCORE, scored)
                image_outcomes.refresh(db, study, _variants(db, [row[1] for row in scored]))
            found += len(scored)
    return found


def _rescored(db: Database, study: str, trial_id: str) -> list[str]:
    """The trials that `rescore` is about, with all but what their variants' trials together come to."""
    before = common_attacks(db, study)
    now = _had_by_all(db, study, trial_id, before)
    scored = [trial_id]
    if now != before:
        db.execute("DELETE FROM study_common WHERE study = ?", (study,))
        db.conn.executemany("INSERT INTO study_common (study, attack_id) VALUES (?, ?)", [(study, one) for one in now])
        for (other,) in db.execute(
            "SELECT DISTINCT trial_id FROM score WHERE study = ? AND trial_id <> ?", (study, trial_id)
        ).fetchall():
            _score(db, study, other)
            scored.append(str(other))
    _score(db, study, trial_id)
    return scored


def _variants(db: Database, trial_ids: Sequence[str]) -> list[str]:
    rows = db.execute(
        "SELECT DISTINCT variant_id FROM trial WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(trial_ids),)
    )
    return [str(variant_id) for (variant_id,) in rows.fetchall()]


def _had_by_all(db: Database, study: str, trial_id: str, before: Sequence[str]) -> list[str]:
    """Ids of the added attacks that have been carried out on `trial_id` and on every other trial that has a score; `before` are
    those that the others all had when one of them was scored last, so that not all of them are asked again."""
    had = db.execute(
        f"SELECT ta.attack_id FROM {_CARRIED_OUT} WHERE ta.study = :study AND ta.trial_id = :trial "
        "AND ta.attack_id NOT IN (SELECT attack_id FROM study_attack WHERE study = :study) ORDER BY ta.attack_id",
        {"study": study, "trial": trial_id},
    )
    return [
        attack_id
        for (attack_id,) in had.fetchall()
        if attack_id in before or not _lacked_by_another(db, study, trial_id, attack_id)
    ]


_CARRIED_OUT = (
    "trial_attack ta JOIN evaluation e ON e.trial_id = ta.trial_id AND e.attack_id = ta.attack_id AND e.state = 'done' "
    "AND e.samples = (SELECT samples FROM study WHERE name = ta.study)"
)
_LACKED = (
    "SELECT 1 FROM study_trial st JOIN score sc ON sc.study = st.study AND sc.trial_id = st.trial_id "
    "AND sc.name = 'clean_accuracy' WHERE st.study = :study AND {} AND st.trial_id <> :trial AND NOT EXISTS "
    f"(SELECT 1 FROM {_CARRIED_OUT} WHERE ta.study = st.study AND ta.trial_id = st.trial_id AND ta.attack_id = :attack) LIMIT 1"
)


def _lacked_by_another(db: Database, study: str, trial_id: str, attack_id: str) -> bool:
    """Whether an added attack has not been carried out on each other trial that has a score. Those that wait are looked at
    first: while an attack goes through a study one of them lacks it, and the others need not be passed."""
    key = {"study": study, "trial": trial_id, "attack": attack_id}
    chosen = ("st.state = 'queued'", "st.state = 'running'", "1")
    return any(db.execute(_LACKED.format(states), key).fetchone() for states in chosen)


def _score(db: Database, study: str, trial_id: str) -> None:
    known = evidence(db, study, trial_id)
    own = [(one.attack, one.ledgers) for one in known.results]
    common = [(one.attack, one.ledgers) for one in known.added if one.attack.id in known.common]
    judgement = judge(known)
    found = outcomes_of(known.clean, own, known.threat, common)
    bound = not _audited(known)
    image_outcomes.store(db, study, trial_id, found, bound=bound)
    db.execute("DELETE FROM score WHERE study = ? AND trial_id = ?", (study, trial_id))
    db.conn.executemany(
        _INSERT_SCORE,
        [
            (study, trial_id, score.name, score.value, score.low, score.high, int(score.bound))
            for score in scores_of(found, bound=bound)
        ],
    )
    db.execute(
        "UPDATE study_trial AS st SET trust = :trust, trust_reasons = :reasons, "
        f"scored_from = (SELECT {_KNOWN} FROM study s WHERE s.name = st.study) WHERE study = :study AND trial_id = :trial",
        {
            "trust": judgement.trust,
            "reasons": json.dumps([reason.text for reason in judgement.reasons]),
            "scores": _names(),
            "study": study,
            "trial": trial_id,
        },
    )
    _store_worst_cases(db, study, trial_id, known, judgement)
    _store_checks(db, study, trial_id, judgement)


def _audited(known: Evidence) -> bool:
    """Whether the audits say of every ε that scores are read at how far what stands is too high."""
    if known.threat is None:
        return False
    norm = known.threat.norm
    said = {
        one.eps
        for audit in known.audits
        if audit.norm == norm
        for one in audit.radii
        if one.audited or not one.standing
    }
    return said >= set(radii_of([one.attack for one in known.results], known.threat, norm))


def _store_worst_cases(db: Database, study: str, trial_id: str, known: Evidence, judgement: Judgement) -> None:
    """At every norm and ε at which the study says something, or an audit of it looked."""
    attacks = [one.attack for one in known.results]
    made = {one.norm: audit for audit, one in audits.found(db, study, trial_id).items()}
    places = dict.fromkeys(
        (norm, eps)
        for norm in dict.fromkeys(attack.norm for attack in attacks)
        for eps in radii_of(attacks, known.threat, norm)
    )
    places |= dict.fromkeys((audit.norm, one.eps) for audit in known.audits for one in audit.radii)
    db.execute("DELETE FROM robustness WHERE study = ? AND trial_id = ?", (study, trial_id))
    db.conn.executemany(
        "INSERT INTO robustness (study, trial_id, norm, eps, compared_accuracy, robust_accuracy, trust, audit_id) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                study,
                trial_id,
                norm,
                eps,
                float(compared_standing(known, norm, eps).mean()),
                float(known_standing(known, norm, eps).mean()),
                judgement.trust_of_known,
                made.get(norm),
            )
            for norm, eps in places
        ],
    )


def _store_checks(db: Database, study: str, trial_id: str, judgement: Judgement) -> None:
    db.execute("DELETE FROM trust_check WHERE study = ? AND trial_id = ?", (study, trial_id))
    db.conn.executemany(
        "INSERT INTO trust_check (study, trial_id, position, name, attack_id, trust, counted, value, bound, reason, norm, eps) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                study,
                trial_id,
                position,
                one.name,
                one.attack_id,
                one.trust,
                int(counted),
                one.value,
                one.bound,
                one.reason,
                one.norm,
                one.eps,
            )
            for position, (one, counted) in enumerate(zip(judgement.checks, judgement.counted, strict=True))
        ],
    )


def reasons(db: Database, study: str) -> dict[str, list[Reason]]:
    """trial_id → why its verdict in the study is what it is, the worst first. A reason that was stored before checks were
    kept beside it stands for a check of its own."""
    rows = db.execute(
        "SELECT st.trial_id, coalesce((SELECT k.name FROM trust_check k WHERE k.study = st.study "
        "AND k.trial_id = st.trial_id AND k.reason = said.value), said.value), said.value "
        "FROM study_trial st, json_each(st.trust_reasons) said WHERE st.study = ? ORDER BY st.position, said.key",
        (study,),
    )
    found: dict[str, list[Reason]] = {}
    for trial_id, check, text in rows.fetchall():
        found.setdefault(trial_id, []).append(Reason(check, text))
    return found


def read_distances(db: Database, study: str, trial_id: str) -> None:
    """What the minimum-norm attacks on one trial say at the radii of the study's other attacks in their norm, else at its
    score ε, else at the usual one. One that ran on the survivors at one radius says nothing elsewhere, and has no median."""
    db.execute("DELETE FROM reading WHERE study = ? AND trial_id = ?", (study, trial_id))
    threat_eps, samples = db.execute("SELECT threat_eps, samples FROM study WHERE name = ?", (study,)).fetchone()
    key = {"study": study, "trial": trial_id, "samples": samples}
    wanted = db.execute(
        "SELECT e.id, e.attack_id, a.spec FROM evaluation e JOIN attack a ON a.id = e.attack_id "
        "WHERE e.trial_id = :trial AND e.samples = :samples AND e.state = 'done' "
        "AND EXISTS (SELECT 1 FROM ledger l WHERE l.evaluation_id = e.id AND l.eps IS NULL) "
        "AND (e.attack_id IN (SELECT attack_id FROM study_attack WHERE study = :study) OR e.attack_id IN "
        "(SELECT attack_id FROM trial_attack WHERE study = :study AND trial_id = :trial))",
        key,
    ).fetchall()
    if not wanted:
        return
    specs = [
        json.loads(spec)
        for (spec,) in db.execute(
            "SELECT a.spec FROM study_attack sa JOIN attack a ON a.id = sa.attack_id WHERE sa.study = ?", (study,)
        )
    ]
    correct = clean_outcome(db, trial_id, samples).correct
    for evaluation, attack_id, text in wanted:
        spec = json.loads(text)
        after = spec["params"].get("after")
        radii = {eps for other in specs if other["norm"] == spec["norm"] for eps in other["eps"]}
        found = ledgers(db, evaluation)
        distances = found[0].distances
        assert distances is not None
        median = float(np.median(distances[correct])) if correct.any() and not after else np.inf
        for eps in [after["eps"]] if after else sorted(radii) or [threat_eps or USUAL_EPS[spec["norm"]]]:
            survived = survived_at(found, eps)
            if survived is not None:
                db.execute(
                    "INSERT INTO reading (study, trial_id, attack_id, eps, robust_accuracy, median_distance) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    (study, trial_id, attack_id, eps, float(survived.mean()), median if np.isfinite(median) else None),
                )


def unevenly_attacked(db: Database, study: str) -> frozenset[str]:
    """Scored trials that had attacks which not all had, or the study's attacks crafted in another precision than most: what
    comparisons count of them, others may not have stood."""
    key = {"study": study}
    more = db.execute(
        "SELECT DISTINCT ta.trial_id FROM trial_attack ta JOIN study s ON s.name = ta.study "
        "JOIN evaluation e ON e.trial_id = ta.trial_id AND e.attack_id = ta.attack_id AND e.samples = s.samples "
        "AND e.state = 'done' WHERE ta.study = :study "
        "AND ta.attack_id NOT IN (SELECT attack_id FROM study_attack WHERE study = :study) "
        "AND ta.attack_id NOT IN (SELECT attack_id FROM study_common WHERE study = :study)",
        key,
    )
    crafted = db.execute(
        "SELECT e.attack_id, e.crafting, e.trial_id FROM study_attack sa JOIN study s ON s.name = sa.study "
        "JOIN study_trial st ON st.study = sa.study JOIN evaluation e ON e.attack_id = sa.attack_id "
        "AND e.trial_id = st.trial_id AND e.samples = s.samples AND e.state = 'done' WHERE sa.study = :study",
        key,
    )
    found = {str(trial_id) for (trial_id,) in more.fetchall()}
    precisions: dict[str, dict[str, list[str]]] = {}
    for attack_id, crafting, trial_id in crafted.fetchall():
        precisions.setdefault(attack_id, {}).setdefault(crafting or "fp32", []).append(trial_id)
    for trials in precisions.values():
        usual = max(trials.values(), key=len)
        found.update(trial for members in trials.values() if members is not usual for trial in members)
    return frozenset(found)
