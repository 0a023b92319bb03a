"""What a worker writes down while a trial runs. Each function is one transaction, so a kill loses whole steps only."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from core.events import (
    Audited,
    AuditFailed,
    CleanEvaluated,
    Diagnosed,
    EpochRecord,
    EvaluationFailed,
    EvaluationFinished,
    Started,
    Trained,
    TraitsMeasured,
)
from core.identity import digest
from core.verdict.trust import trust_of_diagnosis, trust_of_evaluation
from core.verdict.trust.entry import Evaluated
from storage import audits, traits
from storage.content import remember
from storage.copies import set_aside
from storage.database import transaction
from storage.home import Home
from storage.outcomes import clean_outcome, packed
from storage.states import done_in, settle_in, where_it_is
from storage.verdicts import read_distances, rescore

if TYPE_CHECKING:
    from sqlite_utils import Database


def record_started(db: Database, attempt_id: int, event: Started) -> None:
    """Provenance of the attempt, and the epochs it takes over (a killed worker may have missed the last of them)."""
    content = dict(event.environment)
    environment = digest(content)
    with transaction(db):
        db.execute("INSERT OR IGNORE INTO environment (id, content) VALUES (?, ?)", (environment, json.dumps(content)))
        db.execute(
            "UPDATE attempt SET pid = ?, device = ?, environment_id = ?, data = ? WHERE id = ?",
            (event.pid, content.get("device"), environment, event.data, attempt_id),
        )
        trial_id = _trial_of(db, attempt_id)
        identity = db.execute("SELECT json_extract(spec, '$.dataset') FROM trial WHERE id = ?", (trial_id,)).fetchone()[
            0
        ]
        remember(db, str(identity), event.data)
        db.execute("UPDATE trial SET initial_digest = ? WHERE id = ?", (event.initial_digest, trial_id))
        _store_epochs(db, trial_id, event.resumed)


def record_epochs(
    db: Database, trial_id: str, records: Sequence[EpochRecord], ended_at: Sequence[float] | None = None
) -> None:
    """Finished epochs, and when each of them ended (Unix seconds; now, if not given); the same epoch again replaces itself."""
    if not records:
        return
    with transaction(db):
        _store_epochs(db, trial_id, records, [time.time()] * len(records) if ended_at is None else ended_at)
        db.execute("UPDATE trial SET crashes = 0 WHERE id = ?", (trial_id,))


def record_trained(db: Database, attempt_id: int, event: Trained, home: Home) -> None:
    """The weights exist. Their path is kept relative to the checkpoints folder, so that a home can be moved."""
    with transaction(db):
        trial_id = _trial_of(db, attempt_id)
        (before,) = db.execute("SELECT final_digest FROM trial WHERE id = ?", (trial_id,)).fetchone()
        if before not in (
            None,
            event.final_digest,
        ):  # trained again, on other hardware: nothing found of those holds for these
            set_aside(db, trial_id)
        _store_epochs(db, trial_id, event.history)
        db.execute(
            "UPDATE trial SET weights = ?, weights_removed = 0, initial_digest = ?, final_digest = ?, train_seconds = ?, "
            "peak_memory = ? "
            "WHERE id = ?",
            (
                event.weights.relative_to(home.checkpoints).as_posix(),
                event.initial_digest,
                event.final_digest,
                sum(record.seconds for record in event.history) if event.history else None,
                event.peak_memory,
                trial_id,
            ),
        )


def record_clean(db: Database, trial_id: str, event: CleanEvaluated) -> None:
    """The clean outcome on one set of test samples."""
    outcome = event.outcome
    with transaction(db):
        db.execute(
            "INSERT OR REPLACE INTO clean (trial_id, samples, count, classes, accuracy, majority_share, "
            "top_prediction_share, correct) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                trial_id,
                event.samples,
                len(outcome.correct),
                outcome.classes,
                float(outcome.correct.mean()),
                outcome.majority_share,
                outcome.top_prediction_share,
                packed(outcome.correct),
            ),
        )


def record_evaluation(db: Database, attempt_id: int, event: EvaluationFinished) -> None:
    """One attack's ledgers and examples, and the scores of every study that this one completes for the trial. Dropped where it
    was asked for of other weights (`_is_of_other_weights`)."""
    with transaction(db):
        trial_id = _trial_of(db, attempt_id)
        if _is_of_other_weights(db, trial_id, event.samples):
            return
        evaluated = Evaluated(event.attack, event.ledgers, event.traces)
        trust, reasons = trust_of_evaluation(clean_outcome(db, trial_id, event.samples), evaluated)
        evaluation = _insert_evaluation(
            db,
            event,
            trial_id,
            attempt_id,
            state="done",
            trust=trust,
            trust_reasons=json.dumps([reason.text for reason in reasons]),
            count=len(event.ledgers[0].survived),
            forward_passes=event.forward_passes,
            backward_passes=event.backward_passes,
            seconds=event.seconds,
            batch_size=event.batch_size,
            crafting=event.crafting,
            notes=json.dumps(event.notes),
            traces=json.dumps([trace.as_json() for trace in event.traces]),
        )
        for position, ledger in enumerate(event.ledgers):
            db.execute(
                "INSERT INTO ledger (evaluation_id, position, eps, survived, robust_accuracy, adversarial_accuracy) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (
                    evaluation,
                    position,
                    ledger.eps,
                    int(ledger.survived.sum()),
                    float(ledger.survived.mean()),
                    ledger.adversarial_accuracy,
                ),
            )
            distances = None if ledger.distances is None else ledger.distances.astype("<f4").tobytes()
            db.execute(
                "INSERT INTO ledger_content (evaluation_id, position, bitmap, distances) VALUES (?, ?, ?, ?)",
                (evaluation, position, packed(ledger.survived), distances),
            )
        _store_examples(db, evaluation, event)
        if any(ledger.distances is not None for ledger in event.ledgers):
            for study in _studies_of(db, trial_id, event.samples):
                read_distances(db, study, trial_id)
        db.execute("UPDATE trial SET crashes = 0 WHERE id = ?", (trial_id,))
        _settle_completed(db, trial_id)


def record_diagnosis(db: Database, attempt_id: int, event: Diagnosed) -> None:
    """A look at the model itself, and the verdict that now includes it in every study where the trial is done."""
    diagnosis = event.diagnosis
    with transaction(db):
        trial_id = _trial_of(db, attempt_id)
        db.execute(
            "INSERT OR REPLACE INTO diagnosis (trial_id, samples, norm, eps, content, trust, made_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                trial_id,
                event.samples,
                diagnosis.norm,
                diagnosis.eps,
                json.dumps(diagnosis.as_json()),
                trust_of_diagnosis(diagnosis)[0],
                time.time(),
            ),
        )
        for study in done_in(db, trial_id, event.samples):
            rescore(db, study, trial_id)


def record_traits(db: Database, attempt_id: int, event: TraitsMeasured) -> None:
    """What was measured of the model; no verdict hangs on it."""
    with transaction(db):
        traits.record(db, _trial_of(db, attempt_id), event)


def record_audit(db: Database, attempt_id: int, event: Audited) -> None:
    """What an audit found, and the scores of every study that it completes for the trial, or whose verdict now includes it.
    Dropped where it was asked for of other weights (`_is_of_other_weights`)."""
    with transaction(db):
        trial_id = _trial_of(db, attempt_id)
        if _is_of_other_weights(db, trial_id, event.samples):
            return
        audits.record(db, trial_id, attempt_id, event)
        db.execute("UPDATE trial SET crashes = 0 WHERE id = ?", (trial_id,))
        _settle_completed(db, trial_id)
        for study in done_in(db, trial_id, event.samples):
            rescore(db, study, trial_id)


def record_failed_audit(db: Database, attempt_id: int, event: AuditFailed) -> None:
    """An audit that could not be carried out, with the reason."""
    with transaction(db):
        audits.record_failed(db, _trial_of(db, attempt_id), attempt_id, event)


def record_failed_evaluation(db: Database, attempt_id: int, event: EvaluationFailed) -> None:
    """An attack that could not be carried out, with the reason."""
    with transaction(db):
        trial_id = _trial_of(db, attempt_id)
        _insert_evaluation(
            db, event, trial_id, attempt_id, state="failed", reason=event.reason, traceback=event.traceback
        )


def _insert_evaluation(
    db: Database,
    event: EvaluationFinished | EvaluationFailed,
    trial_id: str,
    attempt_id: int,
    **columns: Any,
) -> int:
    """Insert the evaluation's row in place of an earlier one; returns its id."""
    key = (trial_id, event.attack.id, event.samples)
    db.execute("DELETE FROM evaluation WHERE trial_id = ? AND attack_id = ? AND samples = ?", key)
    (data,) = db.execute("SELECT data FROM attempt WHERE id = ?", (attempt_id,)).fetchone()
    names = ["trial_id", "attack_id", "samples", "attempt_id", "data", "finished_at", *columns]
    cursor = db.execute(
        f"INSERT INTO evaluation ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        (*key, attempt_id, data, time.time(), *columns.values()),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _store_epochs(
    db: Database, trial_id: str, records: Sequence[EpochRecord], ended_at: Sequence[float] | None = None
) -> None:
    """Without `ended_at`, epochs that are told a second time keep theirs."""
    moments = ended_at if ended_at is not None else [None] * len(records)
    db.conn.executemany(
        "INSERT INTO epoch (trial_id, epoch, loss, accuracy, validation_accuracy, lr, seconds, probe_accuracy, ended_at) "
        "VALUES (:trial_id, :epoch, :loss, :accuracy, :validation_accuracy, :lr, :seconds, :probe_accuracy, :ended_at) "
        "ON CONFLICT (trial_id, epoch) DO UPDATE SET loss = excluded.loss, accuracy = excluded.accuracy, "
        "validation_accuracy = excluded.validation_accuracy, lr = excluded.lr, seconds = excluded.seconds, "
        "probe_accuracy = excluded.probe_accuracy, ended_at = coalesce(excluded.ended_at, ended_at)",
        [
            {"trial_id": trial_id, "ended_at": moment, **asdict(record)}
            for record, moment in zip(records, moments, strict=True)
        ],
    )


def _store_examples(db: Database, evaluation: int, event: EvaluationFinished) -> None:
    db.conn.executemany(
        "INSERT INTO example (evaluation_id, position, sample, eps, label, clean_prediction, adversarial_prediction, "
        "clean_confidence, adversarial_confidence, shape, clean, adversarial) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                evaluation,
                position,
                example.sample,
                example.eps,
                example.label,
                example.clean_prediction,
                example.adversarial_prediction,
                example.clean_confidence,
                example.adversarial_confidence,
                json.dumps(example.clean.shape),
                example.clean.astype("<f4").tobytes(),
                example.adversarial.astype("<f4").tobytes(),
            )
            for position, example in enumerate(event.examples)
        ],
    )


def _is_of_other_weights(db: Database, trial_id: str, samples: str) -> bool:
    """Whether a job was asked for what was missing of weights that it then trained to others (`record_trained`): their clean
    outcome is gone, and the job, which was not asked for one, brings none. All of it is asked for again."""
    row = db.execute("SELECT 1 FROM clean WHERE trial_id = ? AND samples = ?", (trial_id, samples)).fetchone()
    return row is None


def _settle_completed(db: Database, trial_id: str) -> None:
    """Done, with its scores, in the transaction of the ledgers that complete it; anything else waits for the job's end."""
    for (study,) in db.execute(
        "SELECT study FROM study_trial WHERE trial_id = ? AND state = 'running'", (trial_id,)
    ).fetchall():
        if where_it_is(db, study, trial_id)[0] == "done":
            settle_in(db, study, trial_id)


def _studies_of(db: Database, trial_id: str, samples: str) -> list[str]:
    """The studies that have the trial and these test samples."""
    rows = db.execute(
        "SELECT st.study FROM study_trial st JOIN study s ON s.name = st.study WHERE st.trial_id = ? AND s.samples = ?",
        (trial_id, samples),
    )
    return [str(study) for (study,) in rows.fetchall()]


def _trial_of(db: Database, attempt_id: int) -> str:
    return str(db.execute("SELECT trial_id FROM attempt WHERE id = ?", (attempt_id,)).fetchone()[0])
