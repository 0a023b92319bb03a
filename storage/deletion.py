"""Forgetting trials and studies. What another study still has stays; what is running is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import BadInput, Unavailable
from core.names import short_id
from storage.database import transaction
from storage.studies import study_row
from storage.tuning import companion, is_companion

if TYPE_CHECKING:
    from sqlite_utils import Database


def delete_study(db: Database, name: str) -> list[str]:
    """Remove a study with the candidates of its tuning, and the trials of both that no other study has; returns the ids of
    those, whose files may go.

    Raises NotFound for an unknown study, BadInput for one of candidates alone, Unavailable while one of its trials runs.
    """
    with transaction(db):
        study_row(db, name)
        if is_companion(name):
            raise BadInput(f"{name} holds what learning rates are chosen by, and goes with its study")
        names = (name, companion(name))
        _refuse_running(db, "SELECT trial_id FROM study_trial WHERE study IN (?, ?)", names)
        orphans = [
            str(row[0])
            for row in db.execute(
                "SELECT DISTINCT st.trial_id FROM study_trial st WHERE st.study IN (:study, :tuning) AND NOT EXISTS (SELECT 1 "
                "FROM study_trial o WHERE o.trial_id = st.trial_id AND o.study NOT IN (:study, :tuning))",
                {"study": name, "tuning": companion(name)},
            )
        ]
        db.execute("DELETE FROM study WHERE name IN (?, ?)", names)
        _forget(db, orphans)
        return orphans


def delete_trials(db: Database, trial_ids: Sequence[str]) -> list[str]:
    """Remove trials from every study, with all results; returns their ids. Raises Unavailable while one runs."""
    with transaction(db):
        for trial_id in trial_ids:
            _refuse_running(db, "SELECT ?", (trial_id,))
        _forget(db, trial_ids)
        return list(trial_ids)


def outside(db: Database, study: str | None = None) -> list[str]:
    """The trials that are in no study, candidates that learning rates were chosen by too; only those whose last was `study`, or
    its tuning, if it is named."""
    chosen, values = ("", ()) if study is None else ("WHERE study IN (?, ?)", (study, companion(study)))
    rows = db.execute(f"SELECT trial_id FROM left_trial {chosen} ORDER BY trial_id", values)
    return [str(trial_id) for (trial_id,) in rows.fetchall()]


def _refuse_running(db: Database, chosen: str, values: Sequence[str]) -> None:
    row = db.execute(
        f"SELECT trial_id FROM attempt WHERE ended_at IS NULL AND trial_id IN ({chosen}) LIMIT 1", values
    ).fetchone()
    if row is not None:
        trial = short_id(str(row[0]))
        raise Unavailable(f"trial {trial} is running; stop it first: innate cancel {trial}")


def _forget(db: Database, trial_ids: Sequence[str]) -> None:
    db.conn.executemany("DELETE FROM evaluation WHERE trial_id = ?", [(trial_id,) for trial_id in trial_ids])
    db.conn.executemany("DELETE FROM trial WHERE id = ?", [(trial_id,) for trial_id in trial_ids])
    db.execute(
        "DELETE FROM environment WHERE id NOT IN (SELECT environment_id FROM attempt WHERE environment_id NOTNULL)"
    )
    db.execute("DELETE FROM note WHERE variant_id NOTNULL AND variant_id NOT IN (SELECT variant_id FROM trial)")
    # A set that nothing was run on may be met anew: the first copy may have been a bad one.
    db.execute(
        "DELETE FROM dataset_content WHERE name NOT IN (SELECT dataset_identity FROM study) "
        "AND name NOT IN (SELECT json_extract(spec, '$.dataset') FROM trial)"
    )
