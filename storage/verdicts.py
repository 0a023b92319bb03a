"""What is made of a trial's ledgers in one study: scores, the verdict with every check behind it, readings of distances.

All of it follows from what is stored, and is written in the transaction of whatever it follows from.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.records import AttackSpec, Bools, Diagnosis, Threat, Trace
from core.verdict.ledgers import USUAL_EPS, survived_at
from core.verdict.scoring import score_trial
from core.verdict.trust import Reason, judge
from core.verdict.trust.entry import EpochAccuracy, Evaluated, Evidence
from core.verdict.trust.ladder import standing_before
from core.verdict.trust.looks import radii_to_look_at
from storage.import_records import guesses
from storage.outcomes import clean_outcome, ledgers

if TYPE_CHECKING:
    from sqlite_utils import Database

_OWN = """
    SELECT e.id, a.spec, e.traces FROM study_attack sa JOIN attack a ON a.id = sa.attack_id
    JOIN evaluation e ON e.attack_id = a.id AND e.trial_id = :trial AND e.samples = :samples AND e.state = 'done'
    WHERE sa.study = :study ORDER BY sa.position
"""
_ADDED = """
    SELECT e.id, a.spec, e.traces FROM trial_attack ta JOIN attack a ON a.id = ta.attack_id
    JOIN evaluation e ON e.attack_id = a.id AND e.trial_id = :trial AND e.samples = :samples AND e.state = 'done'
    WHERE ta.study = :study AND ta.trial_id = :trial
        AND ta.attack_id NOT IN (SELECT attack_id FROM study_attack WHERE study = :study)
    ORDER BY e.finished_at, e.id
"""


def wanted_looks(db: Database, study: str) -> dict[str, tuple[float, ...]]:
    """Norm → the radii at which the study's models are to be looked at themselves."""
    norm, eps = db.execute("SELECT threat_norm, threat_eps FROM study WHERE name = ?", (study,)).fetchone()
    rows = db.execute(
        "SELECT a.spec FROM study_attack sa JOIN attack a ON a.id = sa.attack_id WHERE sa.study = ? ORDER BY sa.position",
        (study,),
    )
    attacks = [AttackSpec.from_json(json.loads(spec)) for (spec,) in rows.fetchall()]
    return radii_to_look_at(attacks, None if norm is None else Threat(norm, eps))


def looks(db: Database, study: str, trial_id: str) -> list[Diagnosis]:
    """Those of the wanted looks at a trial's model that there have been."""
    found = []
    for norm, radii in wanted_looks(db, study).items():
        for eps in radii:
            row = db.execute(
                "SELECT content FROM diagnosis WHERE trial_id = ? AND norm = ? AND eps = ? "
                "AND samples = (SELECT samples FROM study WHERE name = ?)",
                (trial_id, norm, eps, study),
            ).fetchone()
            if row is not None:
                found.append(Diagnosis.from_json(json.loads(row[0])))
    return found


def evidence(db: Database, study: str, trial_id: str) -> Evidence:
    """All that is stored of one trial in one study; its clean outcome must exist."""
    norm, eps, samples = db.execute(
        "SELECT threat_norm, threat_eps, samples FROM study WHERE name = ?", (study,)
    ).fetchone()
    key = {"study": study, "trial": trial_id, "samples": samples}
    (defense,) = db.execute("SELECT defense_options FROM trial WHERE id = ?", (trial_id,)).fetchone()
    epochs = db.execute(
        "SELECT epoch, accuracy, probe_accuracy FROM epoch WHERE trial_id = ? ORDER BY epoch", (trial_id,)
    )
    return Evidence(
        clean=clean_outcome(db, trial_id, samples),
        results=_evaluated(db, _OWN, key),
        threat=None if norm is None else Threat(norm, eps),
        looks=looks(db, study, trial_id),
        epochs=[EpochAccuracy(*row) for row in epochs],
        clean_share=float((json.loads(defense) if defense else {}).get("clean_share", 0.0)),
        added=_evaluated(db, _ADDED, key),
        guesses=guesses(db, trial_id),
    )


def _evaluated(db: Database, sql: str, key: dict[str, str]) -> list[Evaluated]:
    return [
        Evaluated(
            AttackSpec.from_json(json.loads(spec)),
            ledgers(db, evaluation),
            [Trace.from_json(trace) for trace in json.loads(traces or "[]")],
        )
        for evaluation, spec, traces in db.execute(sql, key).fetchall()
    ]


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


def left_standing(db: Database, study: str, trial_id: str, attack: AttackSpec) -> Bools | None:
    """[n]: whom the attacks that `attack` comes after left standing; None for an attack that comes after none."""
    if not attack.params.get("after"):
        return None
    known = evidence(db, study, trial_id)
    return standing_before(attack, known.clean, [*known.results, *known.added])


def rescore(db: Database, study: str, trial_id: str) -> None:
    """Scores, verdict and checks of one trial in one study. Attacks added to the trial and looks at its model lower its
    scores, too: what they broke is broken; the radii of a score are those of the study's own attacks."""
    known = evidence(db, study, trial_id)
    own, added = ([(one.attack, one.ledgers) for one in tried] for tried in (known.results, known.added))
    scores = score_trial(known.clean, own, known.threat, added, known.looks)
    judgement = judge(known)
    db.execute("DELETE FROM score WHERE study = ? AND trial_id = ?", (study, trial_id))
    db.conn.executemany(
        "INSERT INTO score (study, trial_id, name, value, low, high) VALUES (?, ?, ?, ?, ?, ?)",
        [(study, trial_id, score.name, score.value, score.low, score.high) for score in scores],
    )
    db.execute(
        "UPDATE study_trial SET trust = ?, trust_reasons = ? WHERE study = ? AND trial_id = ?",
        (judgement.trust, json.dumps([reason.text for reason in judgement.reasons]), study, trial_id),
    )
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
