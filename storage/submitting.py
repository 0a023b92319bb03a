"""Submitting a study: what is new of it, what leaves it, what is to be done again; and seeing beforehand what that would do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.records.attack import AttackSpec
from core.records.study import Plan
from core.records.trial import TrialSpec
from core.study.share import Share, only
from core.study.tuning import Hopeless, More
from core.verdict.audited import wanted_audits
from storage import audits, traits, tuning
from storage.database import transaction
from storage.reading import Json
from storage.specs import store_attack, store_study, store_trials
from storage.states import settle_in
from storage.studies import trials_of
from storage.tuning import Judged
from storage.verdicts import well_scored

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class Submission:
    """What a study asks for and what of it is there: trials by state, and how many evaluations are missing.

    `trained` counts trials among the queued ones whose weights exist, so that they are only attacked.
    """

    study: str
    trials: int
    new: int
    done: int
    failed: int
    trained: int
    evaluations: int
    evaluations_missing: int
    audits: int = 0
    audits_missing: int = 0
    traits_missing: int = 0
    """Done trials that lack nothing but what an earlier version did not measure: a pass each."""
    tuning: int = 0
    """Candidates that learning rates are chosen by, as many as are known of: where the best is on the edge more follow."""
    tuning_missing: int = 0
    """Of those, how many are yet to be trained."""
    undecided: int = 0
    """Of `new`, how many wait for their learning rate."""
    leaving: tuple[str, ...] = ()
    """The trials that the stored study of that name has and this one has not, in the order of the stored one. They keep what is
    stored of them; the same study as before has them again."""

    @property
    def nothing_left(self) -> bool:
        """Whether there is nothing in it for a worker."""
        return self.new + self.trained + self.tuning_missing + self.traits_missing == 0

    def as_json(self) -> dict[str, Json]:
        return asdict(self)


def submit(db: Database, plan: Plan, data_root: Path | None = None, share: Share | None = None) -> Submission:
    """Make the stored study what `plan` says and queue what is missing, in one transaction.

    `data_root` is where whoever submits it has its data set, which need not be where the worker would look.

    Trials of cells that the grid no longer has leave the study, but stay with all that is stored of them; what was imported into
    it stays in it.
    A failed trial stays failed (`retry` queues it again), a cancelled one is queued again, and so is a done one whose model an
    earlier version looked at without measuring its traits. Submitting the same study twice changes nothing but the time.
    Of a `share` only its trials are queued; those of the grid that are in the study already stay in it.
    """
    name, samples = plan.study.name, plan.samples
    assert samples is not None, "the data set is at hand when a study is submitted"
    with transaction(db):
        if share is not None:
            plan = only(plan, share, trials_of(db, name) or (), tuning.cells_of(db, name))
        claimed, asked, wanted = _what_scores_say(db, name), _what_findings_ask(db, name), _what_trials_need(db, name)
        store_study(db, plan.study, plan.info, samples, data_root)
        judged = tuning.arrange(db, plan, samples, data_root)
        _store_attacks(db, name, plan.study.attacks)
        audits.want(db, name, wanted_audits(plan.study.attacks, plan.study.threat, plan.study.audit))
        leaving = _leaving(db, plan, judged)
        _store_trials(db, plan, judged, leaving)
        # Where the study wants what it wanted, of the same trials, a done one is done still; and scored, unless more is known.
        settled = well_scored(db, name) if _what_trials_need(db, name) == wanted else set()
        for (trial_id,) in db.execute(
            "SELECT trial_id FROM study_trial WHERE study = ? AND state <> 'running'", (name,)
        ).fetchall():
            if trial_id not in settled:
                settle_in(db, name, trial_id)
        db.execute(
            "UPDATE study_trial SET state = 'queued' WHERE study = ? AND state = 'done' "
            "AND trial_id IN (SELECT value FROM json_each(?))",
            (name, json.dumps(sorted(traits.lacking(db, samples, trials_of(db, name) or ())))),
        )
        if _what_scores_say(db, name) != claimed:
            _forget_scores(db, name)
        if _what_findings_ask(db, name) != asked:  # verdicts on other questions; the error that they cost stays spent
            db.execute("DELETE FROM settled WHERE study = ?", (name,))
        return _count(db, plan, judged, leaving)


def _what_scores_say(db: Database, study: str) -> tuple[object, ...]:
    """What a stored score refers to: other samples, another threat or other radii make it another number."""
    row = db.execute("SELECT samples, threat_norm, threat_eps FROM study WHERE name = ?", (study,)).fetchone()
    radii = db.execute(
        "SELECT DISTINCT a.norm, e.value FROM study_attack sa JOIN attack a ON a.id = sa.attack_id, "
        "json_each(a.spec, '$.eps') e WHERE sa.study = ? ORDER BY 1, 2",
        (study,),
    )
    return row, radii.fetchall()


def _what_trials_need(db: Database, study: str) -> tuple[object, ...]:
    """What makes a trial of the study done and what its scores are made of: test images, threat, attacks, audits; and which
    trials there are, since what all of them were attacked with counts."""
    return (
        db.execute("SELECT samples, threat_norm, threat_eps FROM study WHERE name = ?", (study,)).fetchone(),
        db.execute("SELECT attack_id, position FROM study_attack WHERE study = ? ORDER BY 1", (study,)).fetchall(),
        db.execute("SELECT spec_id FROM study_audit WHERE study = ? ORDER BY 1", (study,)).fetchall(),
        db.execute("SELECT trial_id FROM study_trial WHERE study = ? ORDER BY 1", (study,)).fetchall(),
    )


def _what_findings_ask(db: Database, study: str) -> tuple[object, ...]:
    """What a settled claim is about: the attacks, and where they are read. More test images are more data on the same."""
    row = db.execute("SELECT threat_norm, threat_eps FROM study WHERE name = ?", (study,)).fetchone()
    attacks = db.execute("SELECT attack_id FROM study_attack WHERE study = ? ORDER BY attack_id", (study,))
    return row, attacks.fetchall()


def _forget_scores(db: Database, study: str) -> None:
    """Those of trials that are to be attacked again: until then they would stand for what the study no longer asks."""
    for table in ("score", "robustness", "outcome"):
        db.execute(
            f"DELETE FROM {table} WHERE study = ? AND trial_id IN "
            "(SELECT trial_id FROM study_trial WHERE study = ? AND state <> 'done')",
            (study, study),
        )


def preview(db: Database, plan: Plan, share: Share | None = None) -> Submission:
    """What `submit` would return of that share alone, without writing; the database may not know the study."""
    judged = [tuning.judge(db, cell) for cell in plan.cells]
    leaving = _leaving(db, plan, judged)  # the other shares stay
    if share is not None:
        plan = only(plan, share)
        judged = [tuning.judge(db, cell) for cell in plan.cells]
    return _count(db, plan, judged, leaving)


def _store_attacks(db: Database, study: str, attacks: Sequence[AttackSpec]) -> None:
    db.execute("DELETE FROM study_attack WHERE study = ?", (study,))
    for position, attack in enumerate(attacks):
        store_attack(db, attack)
        db.execute(
            "INSERT INTO study_attack (study, attack_id, position) VALUES (?, ?, ?)", (study, attack.id, position)
        )


def _placed(plan: Plan, judged: Sequence[Judged]) -> list[tuple[int, TrialSpec, str | None]]:
    """(place, trial, what of it was chosen) of all that the study compares, as far as learning rates are chosen."""
    given: list[tuple[int, TrialSpec, str | None]] = [(place, trial, None) for place, trial in plan.placed]
    return given + [(place, trial, one.mark) for one in judged for place, trial in one.compared]


def _leaving(db: Database, plan: Plan, judged: Sequence[Judged]) -> tuple[str, ...]:
    """The trials of the stored study of that name that the plan lacks.

    No grid names imported trials, so only another data set makes them leave; nor the seeds that settle a finding, which stay as
    long as their variant does.
    """
    trials = [trial for _, trial, _ in _placed(plan, judged)]
    rows = db.execute(
        "SELECT st.trial_id FROM study_trial st JOIN trial t ON t.id = st.trial_id WHERE st.study = :study "
        "AND st.trial_id NOT IN (SELECT value FROM json_each(:trials)) "
        "AND NOT (t.imported IS NOT NULL AND json_extract(t.spec, '$.dataset') = :data) "
        "AND NOT (t.variant_id IN (SELECT value FROM json_each(:variants)) AND EXISTS "
        "(SELECT 1 FROM settling_trial x WHERE x.study = st.study AND x.trial_id = st.trial_id)) "
        "ORDER BY st.position, st.trial_id",
        {
            "study": plan.study.name,
            "data": plan.info.identity,
            "trials": json.dumps([trial.id for trial in trials]),
            "variants": json.dumps(list({trial.variant_id for trial in trials})),
        },
    )
    return tuple(str(trial_id) for (trial_id,) in rows.fetchall())


def _store_trials(db: Database, plan: Plan, judged: Sequence[Judged], leaving: Sequence[str]) -> None:
    study, placed = plan.study.name, _placed(plan, judged)
    store_trials(db, plan.info.source.name, [trial for _, trial, _ in placed])
    db.conn.executemany(
        "DELETE FROM study_trial WHERE study = ? AND trial_id = ?", [(study, trial_id) for trial_id in leaving]
    )
    db.conn.executemany(
        "INSERT INTO study_trial (study, trial_id, position, state, tuned) VALUES (?, ?, ?, 'queued', ?) "
        "ON CONFLICT (study, trial_id) DO UPDATE SET position = excluded.position, tuned = excluded.tuned",
        [(study, trial.id, place, mark) for place, trial, mark in placed],
    )


def _count(db: Database, plan: Plan, judged: Sequence[Judged], leaving: tuple[str, ...]) -> Submission:
    """Hold the plan against what is stored, trial by trial, whether or not the study itself is; `judged` are its cells. Only what
    is stored of those trials is read: a file may hold a hundred times as many."""
    candidates = [one.cell.trying(value).id for one in judged for value in one.wanted]
    trials = [trial.id for trial in (*plan.trials, *(trial for one in judged for _, trial in one.compared))]
    asked = json.dumps([*trials, *candidates])
    wanted = [attack.id for attack in plan.study.attacks]
    known = {
        str(trial_id): _Known(bool(trained), bool(removed), bool(failed))
        for trial_id, trained, removed, failed in db.execute(
            "SELECT t.id, t.weights IS NOT NULL, t.weights_removed, t.failure IS NOT NULL FROM json_each(?) wanted "
            "CROSS JOIN trial t ON t.id = wanted.value",
            (asked,),
        )
    }
    evaluated: dict[str, dict[str, str]] = {}
    wanted_of_audits = [spec.id for spec in wanted_audits(plan.study.attacks, plan.study.threat, plan.study.audit)]
    rows = db.execute(
        "SELECT e.trial_id, e.attack_id, e.state FROM json_each(:asked) wanted "
        "CROSS JOIN evaluation e ON e.trial_id = wanted.value AND e.samples = :samples UNION ALL "
        "SELECT a.trial_id, a.spec_id, a.state FROM json_each(:asked) wanted "
        "CROSS JOIN audit a ON a.trial_id = wanted.value AND a.samples = :samples",
        {"asked": asked, "samples": plan.samples},
    )
    for trial_id, attack_id, state in rows:
        evaluated.setdefault(trial_id, {})[attack_id] = state
    counts = {"new": 0, "done": 0, "failed": 0, "trained": 0}
    missing = audits_missing = unmeasured = 0
    lacking = set() if plan.samples is None else traits.lacking(db, plan.samples, trials)
    for trial_id in trials:
        done = evaluated.get(trial_id, {})
        state = _planned_state(known.get(trial_id), done, [*wanted, *wanted_of_audits])
        counts[state] += 1
        unmeasured += state == "done" and trial_id in lacking
        missing += sum(attack not in done for attack in wanted)
        audits_missing += sum(audit not in done for audit in wanted_of_audits)
    undecided = sum(len(one.cell.places) for one in judged if isinstance(one.step, More))
    counts["new"] += undecided
    counts["failed"] += sum(len(one.cell.places) for one in judged if isinstance(one.step, Hopeless))
    return Submission(
        study=plan.study.name,
        trials=plan.size,
        evaluations=plan.size * len(wanted),
        evaluations_missing=missing + undecided * len(wanted),
        audits=plan.size * len(wanted_of_audits),
        audits_missing=audits_missing + undecided * len(wanted_of_audits),
        tuning=len(candidates),
        tuning_missing=sum(not (one := known.get(trial)) or not (one.trained or one.failed) for trial in candidates),
        undecided=undecided,
        traits_missing=unmeasured,
        leaving=leaving,
        **counts,
    )


@dataclass(frozen=True)
class _Known:
    """What is stored of a trial's training."""

    trained: bool
    removed: bool
    failed: bool


def _planned_state(trial: _Known | None, evaluated: Mapping[str, str], wanted: Sequence[str]) -> str:
    if trial is None:
        return "new"
    if trial.failed or any(evaluated.get(attack) == "failed" for attack in wanted):
        return "failed"
    if not trial.trained:
        return "new"
    if all(attack in evaluated for attack in wanted):
        return "done"
    return "new" if trial.removed else "trained"
