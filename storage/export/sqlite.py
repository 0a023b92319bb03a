"""A copy of the database, or of what belongs to one study."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from storage.database import connect, in_words
from storage.destinations import InUse, refuse_in_use
from storage.export.place import beside
from storage.queries import count_trials
from storage.studies import study_row
from storage.tuning import companion

if TYPE_CHECKING:
    from sqlite_utils import Database


def export_sqlite(
    db: Database, dest: Path, study: str | None, own: InUse, *, examples: bool = True, force: bool = False
) -> int:
    """A copy of the database, views included; with `study`, of what belongs to it only. Returns the number of trials.

    Without `examples` it has no adversarial images, which are most of its bytes and in no score. Where this machine keeps named
    data sets is nobody else's business.
    """
    refuse_in_use(dest, own)
    if study is not None:
        study_row(db, study)
    with beside(dest, own, force=force) as partial:
        try:
            db.conn.execute("VACUUM INTO ?", (str(partial),))
        except sqlite3.Error as error:
            raise in_words(error, dest) from error
        copy = connect(partial)
        try:
            copy.execute("PRAGMA secure_delete = ON")  # what goes leaves nothing to be read in the file
            if study is not None:
                copy.execute("DELETE FROM study WHERE name NOT IN (?, ?)", (study, companion(study)))
                for table in ("evaluation", "trial"):
                    key = "id" if table == "trial" else "trial_id"
                    copy.execute(f"DELETE FROM {table} WHERE {key} NOT IN (SELECT trial_id FROM study_trial)")
            if not examples:
                copy.execute("DELETE FROM example")
            copy.execute("DELETE FROM command")
            copy.execute("UPDATE study SET data_root = NULL")
            count = count_trials(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            if study is not None or not examples:
                copy.execute("VACUUM")
        finally:
            copy.conn.close()
    return count
