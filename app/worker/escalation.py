"""Climbing the ladder of `core.verdict.trust.ladder` on trials of a study, rung after rung, through the queue like any attack."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.attacks import check_eps
from core.errors import BadInput
from core.records import AttackSpec, Threat
from core.registry import parse_number
from core.verdict.ledgers import survived_at, worst_case
from core.verdict.trust import is_masked, judge
from core.verdict.trust.entry import Evidence
from core.verdict.trust.ladder import climbed, full, is_quiet, is_whole, next_rung, rungs
from storage import studies
from storage.home import Home
from storage.states import missing_attacks
from storage.verdicts import evidence

if TYPE_CHECKING:
    from sqlite_utils import Database


def threat_of(db: Database, study: str, eps: str | None) -> Threat:
    """The study's norm at its score ε, or at `eps`; raises BadInput for a radius out of range, or none to be had."""
    stored = studies.study_row(db, study)
    norm = stored["threat_norm"] or "linf"
    if eps is None:
        if stored["threat_eps"] is None:
            raise BadInput(f"--eps: the study {study} scores at no radius; give one, such as --eps 0.1")
        return Threat(norm, stored["threat_eps"])
    if "," in eps:
        raise BadInput(f"--eps {eps}: an escalation settles one radius at a time; give one")
    return Threat(norm, parse_number(eps.strip(), "--eps"))


def add_next_rungs(db: Database, home: Home, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Queue the next rung of each trial that has one: for the owner of the home.

    Raises BadInput for a trial that the study's own attacks have not been tried on, NotFound for one outside the study.
    """
    study, threat = str(payload["study"]), Threat(payload["norm"], payload["eps"])
    info = studies.stored_dataset(db, study, home.data_root, home.cache)
    for spec in rungs(threat):
        check_eps(spec, info.shape, "--eps")
    added = []
    for trial_id in payload["trials"]:
        refuse_unready(db, study, trial_id)
        known = evidence(db, study, trial_id)
        rung = next_rung(known, threat, masked=is_masked(judge(known)))
        if rung is not None:
            studies.add_attack(db, study, [trial_id], rung)
            added.append({"trial_id": trial_id, "attack_id": rung.id, "rung": len(climbed(known, threat)) + 1})
    return {"rungs": added, "of": len(rungs(threat))}


def refuse_unready(db: Database, study: str, trial_id: str) -> None:
    """Raises BadInput unless everything but rungs has been tried on the trial."""
    row = db.execute(
        "SELECT st.state, t.weights, t.failure FROM study_trial st JOIN trial t ON t.id = st.trial_id "
        "WHERE st.study = ? AND st.trial_id = ?",
        (study, trial_id),
    ).fetchone()
    if row is None:
        raise BadInput(f"trial {trial_id[:10]} is not in study {study}")
    state, weights, failure = row
    if weights is None:
        raise BadInput(f"trial {trial_id[:10]} has no weights yet ({state}); train it first: innate run")
    missing = [attack.name for attack in missing_attacks(db, study, trial_id) if not attack.params.get("after")]
    if missing:
        raise BadInput(
            f"trial {trial_id[:10]} is yet to be attacked with {', '.join(dict.fromkeys(missing))}; escalate after: innate run"
        )
    broken = [
        spec["name"]
        for (text,) in db.execute(
            "SELECT a.spec FROM evaluation e JOIN attack a ON a.id = e.attack_id WHERE e.trial_id = ? AND e.state = 'failed' "
            "AND e.samples = (SELECT samples FROM study WHERE name = ?)",
            (trial_id, study),
        )
        if not (spec := json.loads(text))["params"].get("after")
    ]
    if state == "failed" and (broken or failure is not None):
        what = failure or f"{broken[0]} could not be carried out"
        raise BadInput(f"trial {trial_id[:10]} has failed: {what}; see innate show {trial_id[:10]}")


def summary(db: Database, study: str, trial_id: str, threat: Threat) -> dict[str, Any]:
    """How far the ladder was climbed, what each rung broke, and what the verdict is now. Shares of the test samples."""
    known = evidence(db, study, trial_id)
    steps = climbed(known, threat)
    own = worst_case(known.clean, [one.ledgers for one in known.results if one.attack.norm == threat.norm], threat.eps)
    before = float(own.mean())
    trust, reasons = db.execute(
        "SELECT trust, trust_reasons FROM study_trial WHERE study = ? AND trial_id = ?", (study, trial_id)
    ).fetchone()
    judgement = judge(known)
    return {
        "study": study,
        "trial_id": trial_id,
        "norm": threat.norm,
        "eps": threat.eps,
        "samples": len(own),
        "worst_case": before,
        "escalated": steps[-1].after / steps[-1].total if steps else _full(known, threat),
        "settled": next_rung(known, threat, masked=is_masked(judgement)) is None,
        "top": is_whole(steps, threat),
        "quiet": is_quiet(steps),
        "trust": trust,
        "trust_reasons": json.loads(reasons or "[]"),
        "rungs": [
            {
                "attack": title(rung.attack),
                "attack_id": rung.attack.id,
                "before": rung.before / rung.total,
                "after": rung.after / rung.total,
                "broken": rung.gain,
            }
            for rung in steps
        ],
    }


def title(attack: AttackSpec) -> str:
    """A rung's name: "pgd-100", "apgd-targeted", "fmn"."""
    if attack.name == "pgd":
        return f"pgd-{attack.params['steps']}"
    loss = attack.params.get("loss")
    return attack.name if loss is None else f"{attack.name}-{loss}"


def in_lines(row: Mapping[str, Any]) -> list[str]:
    """A summary for a person."""
    sign = {"linf": "ℓ∞", "l2": "ℓ2"}[row["norm"]]
    how = "to the top of the ladder" if row["top"] else "until nothing more fell" if row["quiet"] else "so far"
    lines = [
        f"{row['trial_id'][:10]} {sign} ε = {row['eps']:g}: worst case {row['worst_case']:.1%} → {row['escalated']:.1%} "
        f"{how}; {row['trust']}"
    ]
    lines += [
        f"  {rung['attack']:<14} {rung['before']:.1%} → {rung['after']:.1%} ({rung['broken']} broken)"
        for rung in row["rungs"]
    ]
    return [*lines, *(f"  {reason}" for reason in row["trust_reasons"])]


def _full(known: Evidence, threat: Threat) -> float:
    everything = [one.ledgers for one in full(known, threat) if survived_at(one.ledgers, threat.eps) is not None]
    return float(worst_case(known.clean, everything, threat.eps).mean())
