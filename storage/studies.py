"""Studies: submitting one, seeing beforehand what that would do, adding attacks, listing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.audit import AuditSpec
from core.datasets import describe, parse_source
from core.errors import BadInput, NotFound
from core.names import short_id
from core.records.attack import AttackSpec
from core.records.data import DatasetInfo, DatasetSource
from core.records.study import Plan, Study
from core.records.trial import TrialSpec
from core.registry import nearest
from core.study.share import Share, only
from core.study.tuning import Hopeless, More
from core.verdict.audited import wanted_audits
from storage import audits, content, traits, tuning
from storage.database import transaction
from storage.reading import Json, columns, read
from storage.rows import ListedStudy, StudyRow
from storage.specs import store_attack, store_study, store_trials
from storage.states import settle_in
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


def add_attack(db: Database, study: str, trial_ids: Sequence[str], attack: AttackSpec) -> int:
    """Have `attack` tried on trials of `study` beside the study's own attacks; returns how many have yet to be attacked.

    Raises NotFound for a trial that is not in the study, BadInput for one that has no weights.
    """
    with transaction(db):
        store_attack(db, attack)
        missing = 0
        for trial_id in trial_ids:
            row = db.execute(
                "SELECT st.state, t.weights FROM study_trial st JOIN trial t ON t.id = st.trial_id "
                "WHERE st.study = ? AND st.trial_id = ?",
                (study, trial_id),
            ).fetchone()
            if row is None:
                raise NotFound(f"trial {short_id(trial_id)} is not in study {study}")
            state, weights = row
            if weights is None:
                raise BadInput(f"trial {short_id(trial_id)} has no weights yet ({state}); train it first: innate run")
            db.execute(
                "INSERT OR IGNORE INTO trial_attack (study, trial_id, attack_id) VALUES (?, ?, ?)",
                (study, trial_id, attack.id),
            )
            # An attack that failed before is asked for again by naming it.
            db.execute(
                "DELETE FROM evaluation WHERE trial_id = ? AND attack_id = ? AND state = 'failed' "
                "AND samples = (SELECT samples FROM study WHERE name = ?)",
                (trial_id, attack.id, study),
            )
            if state != "running":
                missing += settle_in(db, study, trial_id) == "queued"
        return missing


def add_audits(db: Database, study: str, specs: Sequence[AuditSpec]) -> int:
    """Have these audits made of every model of `study` from now on; returns how many trials are to be audited."""
    with transaction(db):
        audits.want(db, study, specs)
        missing = 0
        for trial_id, state in db.execute(
            "SELECT trial_id, state FROM study_trial WHERE study = ? AND state IN ('done', 'queued')", (study,)
        ).fetchall():
            waits = settle_in(db, study, trial_id) == "queued"
            missing += waits and (state == "done" or bool(audits.missing(db, study, trial_id)))
        return missing


def attacks_tried(db: Database, study: str) -> list[AttackSpec]:
    """The study's own attacks; where it has none, those that were added to its trials."""
    own = "SELECT a.spec FROM study_attack sa JOIN attack a ON a.id = sa.attack_id WHERE sa.study = ? ORDER BY sa.position"
    added = "SELECT DISTINCT a.spec FROM trial_attack ta JOIN attack a ON a.id = ta.attack_id WHERE ta.study = ? ORDER BY a.id"
    for sql in (own, added):
        found = [AttackSpec.from_json(json.loads(spec)) for (spec,) in db.execute(sql, (study,)).fetchall()]
        if found:
            return found
    return []


def score_grid(db: Database, study: str) -> tuple[float, ...]:
    """The ε, ascending, that `curve_area` and `innate` of a study integrate over, from 0: those that its own attacks have in the
    score's norm; where they only have distances, the score's."""
    rows = db.execute(
        "SELECT DISTINCT e.value FROM study s JOIN study_attack sa ON sa.study = s.name JOIN attack a ON a.id = sa.attack_id, "
        "json_each(a.spec, '$.eps') e WHERE s.name = ? AND a.norm = s.threat_norm ORDER BY 1",
        (study,),
    )
    found = tuple(float(eps) for (eps,) in rows.fetchall())
    threat = study_row(db, study).threat
    return found or (() if threat is None else (threat.eps,))


def added_attacks(db: Database, study: str) -> list[AttackSpec]:
    """The attacks that were added to any trial of `study`, each once, in the order in which they were first asked for."""
    rows = db.execute(
        "SELECT a.spec FROM trial_attack ta JOIN attack a ON a.id = ta.attack_id WHERE ta.study = ? "
        "AND ta.attack_id NOT IN (SELECT attack_id FROM study_attack WHERE study = ta.study) GROUP BY a.id ORDER BY a.name, a.id",
        (study,),
    )
    return [AttackSpec.from_json(json.loads(spec)) for (spec,) in rows.fetchall()]


def trained_trials(db: Database, study: str) -> list[str]:
    """Ids of the trials of `study` that have weights, or had and can have them again, and neither failed nor were cancelled."""
    rows = db.execute(
        "SELECT st.trial_id FROM study_trial st JOIN trial t ON t.id = st.trial_id WHERE st.study = ? "
        "AND t.weights IS NOT NULL AND NOT (t.weights_removed AND t.imported IS NOT NULL) "
        "AND st.state IN ('done', 'queued', 'running') ORDER BY st.position",
        (study,),
    )
    return [str(trial_id) for (trial_id,) in rows.fetchall()]


def done_trials(db: Database, study: str) -> list[str]:
    """Ids of the trials of `study` that lack nothing."""
    rows = db.execute("SELECT trial_id FROM study_trial WHERE study = ? AND state = 'done' ORDER BY position", (study,))
    return [str(trial_id) for (trial_id,) in rows.fetchall()]


def studies(db: Database) -> list[ListedStudy]:
    """All studies, the one run last first, with their trials per state; not those of candidates (`storage.tuning`)."""
    return read(
        db,
        ListedStudy,
        "SELECT s.name AS study, s.description, s.dataset, count(st.trial_id) AS trials, "
        + ", ".join(
            f"count(*) FILTER (WHERE st.state = '{state}') AS {state}"
            for state in ("done", "running", "queued", "failed", "cancelled")
        )
        + ", (SELECT count(*) FROM study_attack sa WHERE sa.study = s.name) AS attacks, s.threat_norm, s.threat_eps, "
        "s.created_at, s.run_at, coalesce(n.text, '') AS note, coalesce(n.tags, '[]') AS tags FROM study s "
        "LEFT JOIN study_trial st ON st.study = s.name LEFT JOIN note n ON n.study = s.name AND n.variant_id IS NULL "
        "WHERE s.tuning_of IS NULL "
        "GROUP BY s.name ORDER BY s.run_at DESC, s.name",
    )


def studies_with_grid(db: Database) -> list[ListedStudy]:
    """Those of `studies` that train models, without the ones that only hold imported trials."""
    rows = db.execute("SELECT name FROM study WHERE json_extract(document, '$.architectures') IS NOT NULL")
    names = {str(name) for (name,) in rows.fetchall()}
    return [row for row in studies(db) if row.study in names]


def latest_study(db: Database) -> str | None:
    """The study run last, None if there is none."""
    row = db.execute("SELECT name FROM study WHERE tuning_of IS NULL ORDER BY run_at DESC, name LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def study_with(db: Database, trial_ids: Sequence[str]) -> str | None:
    """The study run last that has all of these trials, None if there is none."""
    marks = ", ".join("?" * len(trial_ids))
    row = db.execute(
        "SELECT s.name FROM study s JOIN study_trial st ON st.study = s.name "
        f"WHERE s.tuning_of IS NULL AND st.trial_id IN ({marks}) GROUP BY s.name HAVING count(*) = ? "
        "ORDER BY s.run_at DESC LIMIT 1",
        [*trial_ids, len(set(trial_ids))],
    ).fetchone()
    return None if row is None else str(row[0])


def trials_of(db: Database, name: str) -> frozenset[str] | None:
    """The trials of a study, None where no study is called so."""
    if not db.execute("SELECT 1 FROM study WHERE name = ?", (name,)).fetchone():
        return None
    rows = db.execute("SELECT trial_id FROM study_trial WHERE study = ?", (name,))
    return frozenset(str(trial_id) for (trial_id,) in rows)


def study_row(db: Database, name: str) -> StudyRow:
    """The stored study; raises NotFound with the nearest name."""
    for row in read(db, StudyRow, f"SELECT {columns(StudyRow)} FROM study WHERE name = ?", (name,)):
        return row
    names = [str(row[0]) for row in db.execute("SELECT name FROM study")]
    raise NotFound(f"there is no study {name!r}{nearest(name, names) if names else '; none has been run yet'}")


def document(db: Database, name: str) -> dict[str, Json]:
    """The study in the study file's own keys; raises NotFound."""
    study_row(db, name)
    (text,) = db.execute("SELECT document FROM study WHERE name = ?", (name,)).fetchone()
    return dict(json.loads(text))


def stored_study(db: Database, name: str) -> Study:
    """The study as it was submitted, resolved; without axes where it only holds imported trials. Raises NotFound."""
    from core.study.resolve import study_from  # listings, which need no study resolved, do without pydantic

    return replace(study_from(document(db, name), f"study {name}"), name=name)


def stored_dataset(db: Database, name: str, root: Path, cache: Path) -> DatasetInfo:
    """The data set of a stored study, read from where the study was told that it lies, else from `root`.

    Raises NotFound for a study that is not there, BadInput for content that cannot be used, or is not what it was run on.
    """
    planned = study_row(db, name).dataset_identity
    info = describe(stored_study(db, name).source, data_root(db, name) or root, cache, content.met(db))
    if info.digest is not None and info.identity != planned:
        raise BadInput(
            f"study {name}: the content of {info.source.kind} has changed since it was run; put that back, or run the study "
            "again: innate run"
        )
    return info


@dataclass(frozen=True)
class OwnDataset:
    """A `folder:` or `npz:` set that a stored study is on, and what its content was when that study was run last."""

    study: str
    source: DatasetSource
    identity: str


def own_datasets(db: Database) -> list[OwnDataset]:
    """Those of all studies, by study."""
    rows = db.execute(
        "SELECT name, json_extract(document, '$.dataset'), dataset_identity FROM study "
        "WHERE source_path IS NOT NULL AND tuning_of IS NULL ORDER BY name"
    )
    return [
        OwnDataset(
            str(study), parse_source(written if written[:1] != "{" else json.loads(written), Path("/")), str(identity)
        )
        for study, written, identity in rows.fetchall()
    ]


def stored_trials(db: Database, name: str) -> list[TrialSpec]:
    """The trials of a stored study, in its order, imported ones too."""
    rows = db.execute(
        "SELECT t.spec FROM study_trial st JOIN trial t ON t.id = st.trial_id WHERE st.study = ? ORDER BY st.position",
        (name,),
    )
    return [TrialSpec.from_json(json.loads(spec)) for (spec,) in rows.fetchall()]


def data_root(db: Database, name: str) -> Path | None:
    """Where the study was told that its data set lies; None if it was not."""
    root = study_row(db, name).data_root
    return None if root is None else Path(root)


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
