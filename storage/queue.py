"""The queue: claiming a trial, handing it back, settling, failing, crashing, cancelling. Only the owner of a home calls these."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from core.datasets import stored_source
from core.jobs.orders import AuditOrder, EvaluationSpec
from core.records.data import DatasetSource
from core.records.outcome import DiagnosisSpec
from core.records.trial import TrialSpec
from storage import audits, traits
from storage.content import met
from storage.database import transaction
from storage.evidence import left_standing, standing_for
from storage.states import lacks_clean, missing_attacks, missing_looks, settle_in, where_it_is
from storage.tuning import companion, is_companion

if TYPE_CHECKING:
    from sqlite_utils import Database

CRASHES_IN_A_ROW = 5
"""A trial whose process dies this often without a finished epoch or evaluation in between is given up."""
_RECENT = 3000
"""Attempts, the last ones, that tell how much memory a trial needs: it is asked once a second, and no file is passed for that."""


@dataclass(frozen=True)
class Claim:
    """A trial taken from the queue, with everything missing of it in every study that waits for it."""

    trial_id: str
    attempt_id: int
    number: int
    """Of the attempt, from 1."""
    trial: TrialSpec
    source: DatasetSource
    data_root: Path | None
    """Of the study that waited for it first; None if it named none."""
    evaluations: tuple[EvaluationSpec, ...]
    clean: tuple[int | None, ...]
    earlier_attempts: tuple[int, ...]
    diagnoses: tuple[DiagnosisSpec, ...] = ()
    traits: tuple[int | None, ...] = ()
    """The test subsets on which its traits are still to be measured."""
    audits: tuple[AuditOrder, ...] = ()
    met: str | None = None
    """Digest of what this home met under the data set's name, where the program does not know the real set itself."""


def reclaim(db: Database) -> int:
    """What a new owner does first: trials that the last one left running go back to the queue. Returns how many."""
    with transaction(db):
        db.execute(
            "UPDATE attempt SET ended_at = ?, exit_kind = 'lost', reason = 'its worker ended' WHERE ended_at IS NULL",
            (time.time(),),
        )
        rows = db.execute("SELECT study, trial_id FROM study_trial WHERE state = 'running'").fetchall()
        for study, trial_id in rows:
            settle_in(db, study, trial_id)
        return len(rows)


def claim(db: Database, study: str | None = None, device: str | None = None) -> Claim | None:
    """The next queued trial (of `study` and its tuning, or of any): highest priority, then the study's order; None without any.

    `device` is where it will run.

    A trial that is running for one study, or still stopping after it was cancelled there, is not claimed for another;
    what is missing for that one comes after.
    """
    # Asked before the write lock is taken: an idle worker looks several times a second and must keep nobody waiting.
    if next_trial(db, study) is None:
        return None
    with transaction(db):
        trial_id = next_trial(db, study)
        return None if trial_id is None else _take(db, trial_id, device)


def next_trial(db: Database, study: str | None = None) -> str | None:
    """The trial that `claim` would take."""
    for condition, values in _steps(db, study):
        row = db.execute(
            f"SELECT trial_id FROM study_trial st WHERE state = 'queued' {condition} "
            "AND NOT EXISTS (SELECT 1 FROM attempt a WHERE a.trial_id = st.trial_id AND a.ended_at IS NULL) "
            "ORDER BY priority DESC, study, position LIMIT 1",
            values,
        ).fetchone()
        if row is not None:
            return str(row[0])
    return None


def _steps(db: Database, study: str | None) -> Iterator[tuple[str, tuple[int | str, ...]]]:
    """The queue in parts, in their order. Of one study each priority that there is by itself, so that none of the others' trials
    are passed to get to its own."""
    if study is None:
        yield "", ()
        return
    below = 2**63 - 1
    while (row := db.execute(_NEXT_PRIORITY, (below,)).fetchone())[0] is not None:
        (below,) = row
        # In the order in which the studies are claimed.
        yield from (("AND priority = ? AND study = ?", (below, name)) for name in sorted((study, companion(study))))


_NEXT_PRIORITY = "SELECT max(priority) FROM study_trial WHERE state = 'queued' AND priority < ?"


def _take(db: Database, trial_id: str, device: str | None) -> Claim:
    rows = list(
        db.query(
            "SELECT s.name, s.test_samples, s.samples, s.document, s.source_kind, s.data_root FROM study_trial st "
            "JOIN study s ON s.name = st.study WHERE st.trial_id = ? AND st.state = 'queued' ORDER BY s.name",
            (trial_id,),
        )
    )
    # Two studies may ask for the same attack on the same samples: it is carried out once.
    evaluations = {
        (attack.id, row["test_samples"]): EvaluationSpec(
            attack, row["test_samples"], left_standing(db, row["name"], trial_id, attack)
        )
        for row in rows
        for attack in missing_attacks(db, row["name"], trial_id)
    }
    clean = dict.fromkeys(row["test_samples"] for row in rows if lacks_clean(db, row["name"], trial_id))
    diagnoses = dict.fromkeys(look for row in rows for look in missing_looks(db, row["name"], trial_id))
    unmeasured = dict.fromkeys(
        row["test_samples"]
        for row in rows
        if not is_companion(row["name"]) and traits.missing(db, row["name"], trial_id)
    )
    orders = {
        (spec.id, row["test_samples"]): AuditOrder(
            spec,
            row["test_samples"],
            standing_for(db, row["name"], trial_id, spec),
            audits.passes_so_far(db, trial_id, row["samples"]),
            len(audits.wanted(db, row["name"])),
        )
        for row in rows
        for spec in audits.missing(db, row["name"], trial_id)
    }
    earlier = tuple(
        int(number)
        for (number,) in db.execute("SELECT number FROM attempt WHERE trial_id = ? ORDER BY number", (trial_id,))
    )
    number = (earlier[-1] if earlier else 0) + 1
    attempt = db.execute(
        "INSERT INTO attempt (trial_id, number, started_at, device) VALUES (?, ?, ?, ?)",
        (trial_id, number, time.time(), device),
    ).lastrowid
    db.execute(
        "UPDATE study_trial SET state = 'running', reason = NULL WHERE trial_id = ? AND state = 'queued'", (trial_id,)
    )
    spec = json.loads(db.execute("SELECT spec FROM trial WHERE id = ?", (trial_id,)).fetchone()[0])
    root = rows[0]["data_root"]
    assert attempt is not None
    return Claim(
        trial_id=trial_id,
        attempt_id=attempt,
        number=number,
        trial=TrialSpec.from_json(spec),
        source=stored_source(json.loads(rows[0]["document"])["dataset"]),
        data_root=None if root is None else Path(root),
        evaluations=tuple(evaluations.values()),
        clean=tuple(clean),
        earlier_attempts=earlier,
        diagnoses=tuple(diagnoses),
        traits=tuple(unmeasured),
        audits=tuple(orders.values()),
        met=met(db).get(rows[0]["source_kind"]),
    )


def release(db: Database, attempt_id: int, exit_kind: str) -> None:
    """The trial goes back to the queue as it is: it was stopped, or its worker is ending."""
    with transaction(db):
        trial_id = _end(db, attempt_id, exit_kind, None, None)
        _requeue(db, trial_id)


def settle(db: Database, attempt_id: int) -> None:
    """The job came to its end: each study that waited for the trial learns where it now stands."""
    with transaction(db):
        trial_id = _end(db, attempt_id, "finished", None, None)
        for study in _running_in(db, trial_id):
            settle_in(db, study, trial_id)


def fail(db: Database, attempt_id: int, reason: str, traceback: str) -> None:
    """The trial cannot be trained as it is specified; in every study that has it, it has failed."""
    with transaction(db):
        trial_id = _end(db, attempt_id, "failed", reason, traceback)
        _fail(db, trial_id, reason)


def crash(
    db: Database, attempt_id: int, reason: str, exit_code: int | None, at_fault: bool, memory_needed: int | None = None
) -> None:
    """The process died. Back to the queue, unless it was the trial's own fault too often in a row.

    `memory_needed` bytes of its device were not enough: it waits until there are more.
    """
    with transaction(db):
        trial_id = _end(db, attempt_id, "crashed", reason if exit_code is None else f"{reason} [{exit_code}]", None)
        if memory_needed is not None:
            db.execute(
                "UPDATE trial SET peak_memory = max(coalesce(peak_memory, 0), ?) WHERE id = ?",
                (memory_needed, trial_id),
            )
        if at_fault:
            db.execute("UPDATE trial SET crashes = crashes + 1 WHERE id = ?", (trial_id,))
            crashes = db.execute("SELECT crashes FROM trial WHERE id = ?", (trial_id,)).fetchone()[0]
            if crashes >= CRASHES_IN_A_ROW:
                _fail(db, trial_id, f"{reason}, {crashes} times in a row")
                return
        _requeue(db, trial_id)


def retry(db: Database, trial_ids: Sequence[str]) -> list[str]:
    """Queue failed and cancelled trials again, forgetting why; returns which were."""
    with transaction(db):
        queued = []
        for trial_id in trial_ids:
            db.execute("UPDATE trial SET failure = NULL, crashes = 0 WHERE id = ?", (trial_id,))
            db.execute("DELETE FROM evaluation WHERE trial_id = ? AND state = 'failed'", (trial_id,))
            db.execute("DELETE FROM audit WHERE trial_id = ? AND state = 'failed'", (trial_id,))
            rows = db.execute(
                "SELECT study FROM study_trial WHERE trial_id = ? AND state IN ('failed', 'cancelled')", (trial_id,)
            ).fetchall()
            for (study,) in rows:
                settle_in(db, study, trial_id)
            # A cell in which nothing could be trained is judged again once this has ended.
            db.execute(
                "UPDATE tuning_cell SET reason = NULL WHERE (study, position) IN "
                "(SELECT study, position FROM tuning_candidate WHERE trial_id = ?)",
                (trial_id,),
            )
            if rows:
                queued.append(trial_id)
        return queued


def cancel(db: Database, trial_ids: Sequence[str] | None, study: str | None) -> list[str]:
    """Take queued and running trials out of the queue: these, or all of `study`; in `study` and its tuning only if it is named.

    Returns the ids of those that were cancelled. The attempt of a running one goes on until its worker stops it. A trial that
    waited for nothing but attacks that were added to it loses those, and is done as it was before.
    """
    conditions, values = ["state IN ('queued', 'running')"], []
    if study is not None:
        conditions.append("study IN (?, ?)")
        values += [study, companion(study)]
    with transaction(db):
        cancelled: dict[str, None] = {}
        for trial_id in trial_ids if trial_ids is not None else (None,):
            chosen, parameters = list(conditions), list(values)
            if trial_id is not None:
                chosen.append("trial_id = ?")
                parameters.append(trial_id)
            rows = db.execute(
                f"UPDATE study_trial SET state = 'cancelled', reason = 'cancelled' WHERE {' AND '.join(chosen)} "
                "RETURNING study, trial_id",
                parameters,
            ).fetchall()
            cancelled.update((str(row[1]), None) for row in rows)
            for name, one in rows:
                if _withdraw_added(db, name, one) and where_it_is(db, name, one)[0] == "done":
                    settle_in(db, name, one)
        return list(cancelled)


def _withdraw_added(db: Database, study: str, trial_id: str) -> bool:
    """Forget the attacks that were added to the trial and have not been tried; whether there were any."""
    gone = db.execute(
        "DELETE FROM trial_attack WHERE study = :study AND trial_id = :trial AND attack_id NOT IN (SELECT attack_id "
        "FROM evaluation WHERE trial_id = :trial AND samples = (SELECT samples FROM study WHERE name = :study))",
        {"study": study, "trial": trial_id},
    )
    return bool(gone.rowcount)


def unwanted(db: Database, trial_ids: Sequence[str]) -> list[str]:
    """Which of these trials, all under way, no study waits for any more."""
    return [
        trial_id
        for trial_id in trial_ids
        if not db.execute(
            "SELECT 1 FROM study_trial WHERE trial_id = ? AND state = 'running' LIMIT 1", (trial_id,)
        ).fetchone()
    ]


def prioritise(db: Database, trial_ids: Sequence[str], priority: int) -> int:
    """Claim these trials before those of lower priority (0 unless set); returns how many of them are queued."""
    with transaction(db):
        queued = 0
        for trial_id in trial_ids:
            db.execute("UPDATE study_trial SET priority = ? WHERE trial_id = ?", (priority, trial_id))
            queued += bool(
                db.execute("SELECT 1 FROM study_trial WHERE trial_id = ? AND state = 'queued'", (trial_id,)).fetchone()
            )
        return queued


def remaining(db: Database, study: str) -> dict[str, int]:
    """How many trials of `study` are in each state; states without trials are absent."""
    return {
        str(state): int(count)
        for state, count in db.execute(
            "SELECT state, count(*) FROM study_trial WHERE study = ? GROUP BY state", (study,)
        )
    }


def unfinished_counts(db: Database) -> dict[str, int]:
    """How many trials are queued and how many running, whatever the study; a trial of two studies counts once."""
    return {
        str(state): int(count)
        for state, count in db.execute(
            "SELECT state, count(DISTINCT trial_id) FROM study_trial WHERE state IN ('queued', 'running') GROUP BY state"
        )
    }


@dataclass(frozen=True)
class Unfinished:
    """What of a study is queued (how many), and running (which)."""

    queued: int
    running: frozenset[str]


def unfinished_by_study(db: Database, study: str | None = None) -> dict[str, Unfinished]:
    """Study → what is left of it (and of its tuning, if it is named); studies with nothing left are absent."""
    chosen, values = ("AND study IN (?, ?)", (study, companion(study))) if study is not None else ("", ())
    running: dict[str, set[str]] = {}
    for name, trial_id in db.execute(
        f"SELECT study, trial_id FROM study_trial WHERE state = 'running' {chosen}", values
    ):
        running.setdefault(str(name), set()).add(str(trial_id))
    queued = {
        str(name): int(count)
        for name, count in db.execute(
            f"SELECT study, count(*) FROM study_trial WHERE state = 'queued' {chosen} GROUP BY study", values
        )
    }
    return {
        name: Unfinished(queued.get(name, 0), frozenset(running.get(name, ())))
        for name in sorted(queued.keys() | running.keys())
    }


def weights_path(db: Database, trial_id: str) -> str | None:
    """The weights' path relative to the checkpoints folder, None while untrained or once removed."""
    row = db.execute("SELECT weights FROM trial WHERE id = ? AND NOT weights_removed", (trial_id,)).fetchone()
    return None if row is None else row[0]


def weights_removed(db: Database, trial_id: str) -> bool:
    """Whether the trial was trained and its weights have been removed since."""
    return bool(db.execute("SELECT 1 FROM trial WHERE id = ? AND weights_removed", (trial_id,)).fetchone())


def is_imported(db: Database, trial_id: str) -> bool:
    """Whether the weights were trained elsewhere: nothing here could make them again."""
    return bool(db.execute("SELECT 1 FROM trial WHERE id = ? AND imported IS NOT NULL", (trial_id,)).fetchone())


def is_under_way(db: Database, trial_id: str) -> bool:
    """Whether an attempt of the trial has not ended."""
    return bool(db.execute("SELECT 1 FROM attempt WHERE trial_id = ? AND ended_at IS NULL", (trial_id,)).fetchone())


def under_way(db: Database) -> set[str]:
    """The trials with an attempt that has not ended."""
    return {str(row[0]) for row in db.execute("SELECT trial_id FROM attempt WHERE ended_at IS NULL")}


def known_trials(db: Database) -> set[str]:
    """The ids of all trials."""
    return {str(row[0]) for row in db.execute("SELECT id FROM trial")}


def peak_memory_on_gpus(db: Database) -> int | None:
    """Bytes that the largest trial measured on a GPU took, of the last few thousand attempts; None while none has been.

    What was measured is what its process took, and is divided by the lanes that this had at the trial's last attempt.
    """
    row = db.execute(
        "SELECT max(t.peak_memory / max(1, coalesce(json_extract(e.content, '$.lanes'), 1))) FROM "
        "(SELECT id, trial_id, environment_id, device FROM attempt ORDER BY id DESC LIMIT ?) a CROSS JOIN trial t "
        "ON t.id = a.trial_id LEFT JOIN environment e ON e.id = a.environment_id WHERE t.peak_memory IS NOT NULL "
        "AND a.id = (SELECT max(id) FROM attempt WHERE trial_id = t.id AND device LIKE 'cuda%')",
        (_RECENT,),
    ).fetchone()
    return None if row[0] is None else int(row[0])


def seconds_per_trial(db: Database) -> float | None:
    """Mean wall time of the last attempts that came to their end; None if there is none."""
    row = db.execute(
        "SELECT avg(ended_at - started_at) FROM (SELECT ended_at, started_at FROM attempt "
        "WHERE exit_kind = 'finished' ORDER BY id DESC LIMIT 50)"
    ).fetchone()
    return None if row[0] is None else float(row[0])


def seconds_by_study(db: Database) -> dict[str, float]:
    """Study → mean wall time of its attempts that came to their end, among the last few hundred of all."""
    return {
        str(study): float(seconds)
        for study, seconds in db.execute(
            "SELECT st.study, avg(a.ended_at - a.started_at) FROM "
            "(SELECT trial_id, started_at, ended_at, exit_kind FROM attempt ORDER BY id DESC LIMIT 300) a "
            "CROSS JOIN study_trial st ON st.trial_id = a.trial_id WHERE a.exit_kind = 'finished' GROUP BY st.study"
        )
    }


def is_complete(db: Database, trial_id: str) -> bool:
    """Whether every study that has the trial has all it wants of it."""
    states = db.execute("SELECT DISTINCT state FROM study_trial WHERE trial_id = ?", (trial_id,)).fetchall()
    return [str(state) for (state,) in states] == ["done"] and not is_under_way(db, trial_id)


def remove_weights(db: Database, trial_id: str) -> bool:
    """Note that the weights of a complete trial are about to go; False if it is not complete.

    The trial stays done; whatever is asked of it later trains it again, to the same weights.
    """
    with transaction(db):
        complete = is_complete(db, trial_id)
        if complete:
            db.execute("UPDATE trial SET weights_removed = 1 WHERE id = ?", (trial_id,))
        return complete


def _end(db: Database, attempt_id: int, exit_kind: str, reason: str | None, traceback: str | None) -> str:
    db.execute(
        "UPDATE attempt SET ended_at = ?, exit_kind = ?, reason = ?, traceback = ? WHERE id = ?",
        (time.time(), exit_kind, reason, traceback, attempt_id),
    )
    return str(db.execute("SELECT trial_id FROM attempt WHERE id = ?", (attempt_id,)).fetchone()[0])


def _running_in(db: Database, trial_id: str) -> list[str]:
    rows = db.execute("SELECT study FROM study_trial WHERE trial_id = ? AND state = 'running'", (trial_id,))
    return [str(study) for (study,) in rows.fetchall()]


def _requeue(db: Database, trial_id: str) -> None:
    db.execute("UPDATE study_trial SET state = 'queued' WHERE trial_id = ? AND state = 'running'", (trial_id,))


def _fail(db: Database, trial_id: str, reason: str) -> None:
    db.execute("UPDATE trial SET failure = ? WHERE id = ?", (reason, trial_id))
    db.execute(
        "UPDATE study_trial SET state = 'failed', reason = ? WHERE trial_id = ? AND state IN ('running', 'queued')",
        (reason, trial_id),
    )
