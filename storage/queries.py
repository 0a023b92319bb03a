"""What listings, charts and exports read: records, from the views wherever a view has them. Never changes anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.errors import BadInput, NotFound
from core.plugged import owner
from core.registry import nearest
from storage import listing
from storage.reading import Options, columns, read, stream
from storage.rows import (
    AuditedRow,
    EpochRow,
    ResultRow,
    RobustnessRow,
    ScoreRow,
    TrainingRow,
    TrialRow,
    VariantRow,
    WorstCaseRow,
)
from storage.studies import study_row
from storage.tuning import companion

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.audit import AuditSpec
    from core.records.attack import AttackSpec, Threat

STATES = ("queued", "running", "done", "failed", "cancelled")
FILTERS = ("dataset", "architecture", "optimizer", "activation", "defense", "seed", "state", "trust")
"""Columns of v_trials that `--where` can name."""


def find_trial(db: Database, prefix: str) -> str:
    """The one trial whose id begins with `prefix`; raises NotFound, or BadInput for a prefix of several or of no hex."""
    if not re.fullmatch(r"[0-9a-fA-F]{1,64}", prefix):
        raise BadInput(f"{prefix!r} is no trial id: ids are hex digits, as `innate trials` shows them")
    start = prefix.lower()
    rows = db.execute("SELECT id FROM trial WHERE id >= ? AND id < ? || 'g' LIMIT 3", (start, start)).fetchall()
    if not rows:
        raise NotFound(f"there is no trial {prefix!r}; see `innate trials`")
    if len(rows) > 1:
        raise BadInput(f"{prefix!r} begins several trial ids ({', '.join(str(row[0])[:12] for row in rows)}, …)")
    return str(rows[0][0])


def count_trials(db: Database) -> int:
    """How many trials there are, whatever their studies."""
    return int(db.execute("SELECT count(*) FROM trial").fetchone()[0])


def trials(
    db: Database,
    study: str | None = None,
    where: Mapping[str, str] | None = None,
    state: str | None = None,
    limit: int | None = None,
    offset: int = 0,
    *,
    chosen: listing.Filter | None = None,
    order: str | None = None,
    descending: bool = False,
) -> list[TrialRow]:
    """Rows of v_trials that are in a study, in the order of their studies unless `order` names a key of listing.KEYS.

    Raises BadInput for an unknown filter or state, NotFound for a study.
    """
    wanted = chosen_trials(db, study, where, state, chosen or listing.EVERYTHING)
    return listing.trials(
        db, wanted, order or "study", descending=descending, offset=offset, limit=-1 if limit is None else limit
    )


def chosen_trials(
    db: Database, study: str | None, where: Mapping[str, str] | None, state: str | None, chosen: listing.Filter
) -> listing.Filter:
    """`chosen` narrowed down as `trials` does. Raises as it does."""
    if study is not None:
        study_row(db, study)
        chosen = chosen.narrowed("study", study)
    if state is not None:
        if state not in STATES:
            raise BadInput(f"--state {state}: not one of {', '.join(STATES)}{nearest(state, STATES)}")
        chosen = chosen.narrowed("state", state)
    for key, value in (where or {}).items():
        if key not in FILTERS:
            raise BadInput(f"--where {key}: not one of {', '.join(FILTERS)}{nearest(key, FILTERS)}")
        chosen = chosen.narrowed(key, value)
    return chosen


def unfinished(db: Database, study: str | None = None) -> list[TrialRow]:
    """Trials of studies that are running, queued or failed, of one study and its tuning if it is named."""
    if study is not None:
        study_row(db, study)
    chosen = "AND study IN (?, ?)" if study is not None else ""
    return read(
        db,
        TrialRow,
        f"SELECT {columns(TrialRow)} FROM trial_in_study WHERE state IN ('running', 'queued', 'failed') {chosen} "
        "ORDER BY study, position",
        _with_tuning(study),
    )


def unfinished_rows(db: Database, study: str | None = None) -> dict[str, int]:
    """How many rows `unfinished` has in each state; states without any are absent."""
    if study is not None:
        study_row(db, study)
    return {
        str(state): int(count)
        for state, count in db.execute(
            "SELECT state, count(*) FROM study_trial WHERE state IN ('running', 'queued', 'failed') "
            f"{'AND study IN (?, ?)' if study is not None else ''} GROUP BY state",
            _with_tuning(study),
        )
    }


def _with_tuning(study: str | None) -> list[str]:
    """The values of a condition `study IN (?, ?)`: a study and that of its candidates; none where no study is named."""
    return [] if study is None else [study, companion(study)]


def in_line(db: Database, states: Sequence[str], study: str | None, offset: int, limit: int) -> list[TrialRow]:
    """Trials of studies in these states, from place `offset`, in the order in which they are claimed; only they are read."""
    chosen = f"st.state IN ({', '.join('?' * len(states))})" + (" AND st.study IN (?, ?)" if study is not None else "")
    return read(
        db,
        TrialRow,
        f"SELECT {columns(TrialRow, 'v')} FROM (SELECT st.study, st.trial_id FROM study_trial st "
        f"WHERE {chosen} ORDER BY st.priority DESC, st.study, st.position LIMIT ? OFFSET ?) k "
        "CROSS JOIN trial_in_study v ON v.study = k.study AND v.trial_id = k.trial_id "
        "ORDER BY v.priority DESC, v.study, v.position",
        [*states, *_with_tuning(study), limit, offset],
    )


@dataclass(frozen=True)
class Place:
    """What decides when a trial of a study is claimed."""

    state: str
    priority: int
    study: str
    position: int


def before_in_line(
    db: Database, states: Sequence[str], row: Place | TrialRow, study: str | None = None, *, claimable: bool = False
) -> int:
    """How many trials × studies in these states (of `study` and its tuning, if named) are claimed before `row`'s priority, study
    and position; `claimable`: without those that an attempt is still under way for."""
    conditions = [f"state IN ({', '.join('?' * len(states))})"]
    values: list[str | int] = [*states]
    if study is not None:
        conditions.append("study IN (?, ?)")
        values += _with_tuning(study)
    conditions.append("(priority > ? OR (priority = ? AND (study < ? OR (study = ? AND position < ?))))")
    values += [row.priority, row.priority, row.study, row.study, row.position]
    if claimable:
        conditions.append(
            "NOT EXISTS (SELECT 1 FROM attempt a WHERE a.trial_id = study_trial.trial_id AND a.ended_at IS NULL)"
        )
    sql = f"SELECT count(*) FROM study_trial WHERE {' AND '.join(conditions)}"
    return int(db.execute(sql, values).fetchone()[0])


def place_in_line(db: Database, study: str, trial_id: str) -> Place | None:
    """Where a trial of a study stands in line, None if it is gone."""
    sql = f"SELECT {columns(Place)} FROM study_trial WHERE study = ? AND trial_id = ?"
    return next(iter(read(db, Place, sql, (study, trial_id))), None)


def priorities(db: Database, trial_ids: Sequence[str]) -> dict[str, int]:
    """Trial id → its priority, the highest where studies differ."""
    return {
        trial_id: int(found[0])
        for trial_id in trial_ids
        if (found := db.execute("SELECT max(priority) FROM study_trial WHERE trial_id = ?", (trial_id,)).fetchone())
        and found[0] is not None
    }


def failed_trials(db: Database) -> list[str]:
    """The ids of all that failed in any study. Of candidates that learning rates are chosen by only those for whose failure
    nothing could be chosen: the others have told what they were asked."""
    rows = db.execute(
        "SELECT DISTINCT st.trial_id FROM study_trial st JOIN study s ON s.name = st.study WHERE st.state = 'failed' "
        "AND (s.tuning_of IS NULL OR EXISTS (SELECT 1 FROM tuning_candidate k JOIN tuning_cell c ON c.study = k.study "
        "AND c.position = k.position WHERE k.trial_id = st.trial_id AND k.study = s.tuning_of AND c.reason IS NOT NULL))"
    )
    return [str(trial_id) for (trial_id,) in rows.fetchall()]


def ended_since(db: Database, moment: float) -> int:
    """How many attempts came to their own end, done or failed, since `moment` (Unix seconds); of the last 2,000."""
    return sum(ends_since(db, moment).values())


def ends_since(db: Database, moment: float, most: int = 2000) -> dict[str, int]:
    """How many of the last `most` attempts came to their own end since `moment` (Unix seconds), by how: finished, failed."""
    rows = db.execute(
        "SELECT exit_kind, count(*) FROM (SELECT ended_at, exit_kind FROM attempt ORDER BY id DESC LIMIT ?) "
        "WHERE exit_kind IN ('finished', 'failed') AND ended_at > ? GROUP BY exit_kind",
        (most, moment),
    )
    return {str(kind): int(count) for kind, count in rows.fetchall()}


@dataclass(frozen=True)
class TrainingTime:
    """How long a trial was trained: `train_samples` None is all of its data set."""

    epochs: int
    train_samples: int | None
    seconds: float
    architecture_options: Options
    defense: str
    defense_options: Options


def training_times(db: Database, dataset: str, architecture: str, most: int = 500) -> list[TrainingTime]:
    """Of the last `most` trials of a data set and an architecture that were trained."""
    return read(
        db,
        TrainingTime,
        "SELECT json_extract(training, '$.epochs') AS epochs, train_samples, train_seconds AS seconds, architecture_options, "
        "defense, defense_options FROM trial WHERE train_seconds > 0 AND dataset = ? AND architecture = ? "
        "ORDER BY created_at DESC LIMIT ?",
        (dataset, architecture, most),
    )


@dataclass(frozen=True)
class AttackTime:
    """Mean seconds per image of attacks alike on models of one architecture with these options."""

    seconds: float
    architecture_options: Options


def attack_times(db: Database, attack: AttackSpec, architecture: str, most: int = 20_000) -> list[AttackTime]:
    """Of the last `most` attacks with the same name, norm and steps on an architecture; none if none was made."""
    return read(
        db,
        AttackTime,
        "SELECT avg(each) AS seconds, architecture_options FROM (SELECT e.seconds / e.count AS each, t.architecture_options "
        "FROM evaluation e CROSS JOIN trial t ON t.id = e.trial_id WHERE e.state = 'done' AND t.architecture = ? "
        "AND e.attack_id IN (SELECT id FROM attack WHERE name = ? AND norm = ? AND json_extract(spec, '$.params.steps') IS ?) "
        "ORDER BY e.id DESC LIMIT ?) GROUP BY architecture_options",
        (architecture, attack.name, attack.norm, attack.params.get("steps"), most),
    )


def audit_times(db: Database, spec: AuditSpec, architecture: str) -> list[AttackTime]:
    """Mean seconds of the same audit of models of an architecture; none if none was made."""
    return read(
        db,
        AttackTime,
        "SELECT avg(a.seconds) AS seconds, t.architecture_options FROM audit a JOIN trial t ON t.id = a.trial_id "
        "WHERE a.state = 'done' AND a.spec_id = ? AND t.architecture = ? GROUP BY t.architecture_options",
        (spec.id, architecture),
    )


def leaderboard(db: Database, study: str) -> list[VariantRow]:
    """Rows of v_leaderboard, best `innate` first; variants without a score last."""
    study_row(db, study)
    return read(
        db,
        VariantRow,
        f"SELECT {columns(VariantRow)} FROM v_leaderboard WHERE study = ? ORDER BY innate DESC NULLS LAST, variant_id",
        (study,),
    )


_TRIAL_COLUMNS = (
    "t.variant_id, t.architecture, t.optimizer, t.activation, t.defense, t.seed, "
    "t.architecture_options, coalesce(json_patch(t.optimizer_options, st.tuned), t.optimizer_options) AS optimizer_options, "
    "t.activation_options, t.defense_options"
)


def scores(db: Database, study: str, name: str, among: Sequence[str] | None = None) -> list[ScoreRow]:
    """One row per scored trial (of these, if any are named): the factors, variant, seed, trust, and the score's value with its
    interval over samples. Scores stay while more attacks are waited for. A plugin's score that came after the trial is worked
    out from what became of each image."""
    study_row(db, study)
    found = _stored_scores(db, study, name, among)
    return (
        found if owner(name) is None else _with_late(db, study, name, found, _stored_scores(db, study, "innate", among))
    )


def _with_late(
    db: Database, study: str, name: str, found: Sequence[ScoreRow], usual: Sequence[ScoreRow]
) -> list[ScoreRow]:
    from core.verdict.scoring import SCORES
    from core.verdict.scoring.trial_scores import score_of
    from storage.image_outcomes import stored

    rows = {row.trial_id: row for row in found}
    lacking = {row.trial_id: row for row in usual if row.trial_id not in rows}
    for one in stored(db, study, list(lacking)) if lacking else ():
        late = score_of(SCORES[name], one.found, bound=one.bound)
        usual_row = lacking.pop(one.trial_id)
        rows[one.trial_id] = replace(
            usual_row, value=late.value, low=late.low, high=late.high, upper_bound=int(late.bound)
        )
    unknown = {key: replace(row, value=None, low=None, high=None) for key, row in lacking.items()}
    rows |= unknown
    return [rows[row.trial_id] for row in usual]


def _stored_scores(db: Database, study: str, name: str, among: Sequence[str] | None) -> list[ScoreRow]:
    some = "" if among is None else "AND st.trial_id IN (SELECT value FROM json_each(?)) "
    return read(
        db,
        ScoreRow,
        f"SELECT t.id AS trial_id, {_TRIAL_COLUMNS}, st.trust, st.trust_reasons, sc.value, sc.low, sc.high, sc.upper_bound "
        "FROM study_trial st JOIN trial t ON t.id = st.trial_id "
        "JOIN score sc ON sc.study = st.study AND sc.trial_id = st.trial_id AND sc.name = ? "
        f"WHERE st.study = ? {some}AND st.state IN ('done', 'queued', 'running') ORDER BY st.position",
        (name, study, *([] if among is None else [json.dumps(list(among))])),
    )


def results(db: Database, study: str | None = None, trial_id: str | None = None) -> list[ResultRow]:
    """Rows of v_results, of one study and one trial if named; those of trials that are in no study last."""
    return list(each_result(db, study, trial_id))


def each_result(db: Database, study: str | None = None, trial_id: str | None = None) -> Iterator[ResultRow]:
    """The same one by one, all as of the moment of the first, whoever writes meanwhile; SQLite sorts them in a file."""
    conditions = [(column, value) for column, value in (("study", study), ("trial_id", trial_id)) if value is not None]
    sql = f"SELECT {columns(ResultRow)} FROM {'v_results' if study is None else 'result_in_study'}"
    if conditions:
        sql += " WHERE " + " AND ".join(f"{column} = ?" for column, _ in conditions)
    sql += " ORDER BY study NULLS LAST, variant_id, seed, attack, norm, eps"
    return stream(db, ResultRow, sql, [value for _, value in conditions])


def robustness(db: Database, study: str | None = None, trial_id: str | None = None) -> list[RobustnessRow]:
    """Rows of v_robustness, of one study and one trial if named."""
    conditions = [(column, value) for column, value in (("study", study), ("trial_id", trial_id)) if value is not None]
    sql = f"SELECT {columns(RobustnessRow)} FROM v_robustness"
    if conditions:
        sql += " WHERE " + " AND ".join(f"{column} = ?" for column, _ in conditions)
    values = [value for _, value in conditions]
    if study is None and trial_id is not None:  # they stand by study: all would be passed for those of one trial
        sql += " AND study IN (SELECT st.study FROM study_trial st WHERE st.trial_id = ?)"
        values.append(trial_id)
    sql += " ORDER BY study, variant_id, seed, norm, eps"
    return read(db, RobustnessRow, sql, values)


def worst_cases(db: Database, study: str, norm: str) -> list[WorstCaseRow]:
    """Of every scored trial of a study in one norm, ε ascending; quick for ten thousand."""
    sql = (
        "SELECT trial_id, eps, compared_accuracy AS accuracy FROM robustness WHERE study = ? AND norm = ? "
        "ORDER BY trial_id, eps"
    )
    return read(db, WorstCaseRow, sql, (study, norm))


def is_audited(db: Database, study: str) -> bool:
    """Whether a worst case of a scored trial of the study rests on an audit."""
    found = db.execute("SELECT 1 FROM robustness WHERE audit_id NOTNULL AND study = ? LIMIT 1", (study,))
    return found.fetchone() is not None


def audited(db: Database, study: str, at: Threat) -> list[AuditedRow]:
    """What audits say of every scored trial of a study at one norm and ε."""
    sql = f"SELECT {columns(AuditedRow)} FROM v_robustness WHERE study = ? AND norm = ? AND eps = ?"
    return read(db, AuditedRow, sql, (study, at.norm, at.eps))


def waiting_trials(db: Database, study: str) -> int:
    """How many scored trials of a study are to be attacked more."""
    row = db.execute(
        "SELECT count(*) FROM study_trial st WHERE st.study = ? AND st.state IN ('queued', 'running') "
        "AND EXISTS (SELECT 1 FROM score sc WHERE sc.study = st.study AND sc.trial_id = st.trial_id)",
        (study,),
    ).fetchone()
    return int(row[0])


def waiting_attacks(db: Database, study: str) -> list[str]:
    """Names of the attacks that scored trials of a study are still to be attacked with, "audit" for an audit that is due."""
    rows = db.execute(
        "WITH waiting AS (SELECT st.trial_id FROM study_trial st WHERE st.study = :study AND st.state IN ('queued', 'running') "
        "AND EXISTS (SELECT 1 FROM score sc WHERE sc.study = st.study AND sc.trial_id = st.trial_id)), "
        "wanted AS (SELECT w.trial_id, sa.attack_id FROM waiting w JOIN study_attack sa ON sa.study = :study "
        "UNION SELECT w.trial_id, ta.attack_id FROM waiting w JOIN trial_attack ta ON ta.study = :study AND "
        "ta.trial_id = w.trial_id) "
        "SELECT DISTINCT a.name FROM wanted x JOIN attack a ON a.id = x.attack_id WHERE NOT EXISTS (SELECT 1 FROM evaluation e "
        "WHERE e.trial_id = x.trial_id AND e.attack_id = x.attack_id "
        "AND e.samples = (SELECT samples FROM study WHERE name = :study)) "
        "UNION SELECT 'audit' WHERE EXISTS (SELECT 1 FROM waiting w JOIN study_audit sa ON sa.study = :study WHERE NOT EXISTS "
        "(SELECT 1 FROM audit d WHERE d.trial_id = w.trial_id AND d.spec_id = sa.spec_id "
        "AND d.samples = (SELECT samples FROM study WHERE name = :study)))",
        {"study": study},
    )
    return [str(name) for (name,) in rows.fetchall()]


def training(db: Database, study: str) -> list[TrainingRow]:
    """Rows of v_training for the trials of a study, with their factors."""
    study_row(db, study)
    return read(
        db,
        TrainingRow,
        f"SELECT {columns(EpochRow, 'v')}, {_TRIAL_COLUMNS} "
        "FROM study_trial st JOIN trial t ON t.id = st.trial_id JOIN v_training v ON v.trial_id = t.id "
        "WHERE st.study = ? ORDER BY st.position, v.epoch",
        (study,),
    )


def classes(db: Database, study: str) -> int:
    """Of the data set of a study; 0 where there is no such study."""
    row = db.execute("SELECT json_array_length(class_names) FROM study WHERE name = ?", (study,)).fetchone()
    return 0 if row is None or row[0] is None else int(row[0])


def trial_epochs(db: Database, trial_id: str, last: int = -1) -> list[EpochRow]:
    """Rows of v_training of one trial, upwards; only the `last` few if so asked."""
    sql = f"SELECT {columns(EpochRow)} FROM v_training WHERE trial_id = ? ORDER BY epoch DESC LIMIT ?"
    return read(db, EpochRow, sql, (trial_id, last))[::-1]
