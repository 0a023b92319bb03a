"""Taking results elsewhere. Every file is written beside its place and renamed, so none is ever half there."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from storage.database import connect, in_words
from storage.destinations import InUse, refuse_in_use
from storage.listing import Filter, page
from storage.queries import results
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database


LISTING_ENDINGS = (".csv", ".json", ".jsonl")


def export_sqlite(db: Database, dest: Path, study: str | None, own: InUse, *, force: bool = False) -> int:
    """A copy of the database, views included; with `study`, of what belongs to it only. Returns the number of trials."""
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
            if study is not None:
                copy.execute("DELETE FROM study WHERE name <> ?", (study,))
                for table in ("evaluation", "trial"):
                    key = "id" if table == "trial" else "trial_id"
                    copy.execute(f"DELETE FROM {table} WHERE {key} NOT IN (SELECT trial_id FROM study_trial)")
            copy.execute("DELETE FROM command")
            trials = int(copy.execute("SELECT count(*) FROM trial").fetchone()[0])
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            copy.execute("VACUUM")
        finally:
            copy.conn.close()
    return trials


def export_rows(db: Database, dest: Path, kind: str, study: str | None, own: InUse, *, force: bool = False) -> int:
    """v_results as "csv" or "jsonl", one line per row; returns the number of rows."""
    refuse_in_use(dest, own)
    if study is not None:
        study_row(db, study)
    rows = results(db, study)
    columns = [column[0] for column in db.execute("SELECT * FROM v_results LIMIT 0").description]
    with beside(dest, own, force=force) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        if kind == "csv":
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            for row in rows:
                writer.writerow({key: _flat(value) for key, value in row.items()})
        else:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    return len(rows)


def export_listing(
    db: Database,
    dest: Path,
    chosen: Filter,
    order: str | None,
    own: InUse,
    *,
    descending: bool = False,
    force: bool = False,
) -> int:
    """The filtered table of runs in its order, one row each, as the ending of `dest` says: .csv, .json or .jsonl.

    Returns the number of rows. Raises BadInput for another ending.
    """
    if dest.suffix not in LISTING_ENDINGS:
        raise BadInput(f"{dest}: name it {', '.join(LISTING_ENDINGS)}; the ending decides the format")
    refuse_in_use(dest, own)
    rows = page(db, chosen, order, descending=descending)
    with beside(dest, own, force=force) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        if dest.suffix == ".csv":
            writer = csv.DictWriter(file, list(rows[0]) if rows else ["study", "trial_id"])
            writer.writeheader()
            writer.writerows([{key: _flat(value) for key, value in row.items()} for row in rows])
        elif dest.suffix == ".json":
            json.dump(rows, file, ensure_ascii=False, indent=1)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return len(rows)


@contextmanager
def beside(dest: Path, own: InUse, *, force: bool) -> Iterator[Path]:
    """A temporary path that becomes `dest` if all goes well; what is no ordinary file (a device, a pipe, a link) is
    written into, never replaced.

    Raises BadInput if `dest` is a file that exists (unless `force`) or cannot be written, and, whatever `force` says, if
    it is one of `own` or a database that is open.
    """
    try:
        _refuse(dest, own, force=force)
        into = dest.is_symlink() or (dest.exists() and not dest.is_file())
        folder = Path(tempfile.gettempdir()) if into else dest.parent
        partial = folder / f".{dest.name}.partial-{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield partial
            _refuse(dest, own, force=force)  # it may have been made, or opened, since
            if into:
                _pour(partial, dest, own)
            else:
                partial.rename(dest)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{dest}: cannot be written: {error.strerror or error}") from None


def _refuse(dest: Path, own: InUse, *, force: bool) -> None:
    refuse_in_use(dest, own)
    if dest.is_dir():
        raise BadInput(f"{dest}: is a folder; name a file in it")
    if dest.is_file() and not force:
        raise BadInput(f"{dest}: exists already; name another, or add --force")


def _pour(partial: Path, dest: Path, own: InUse) -> None:
    """Copy into what `dest` leads to. It is emptied only once it is open, and known not to be one of `own`."""
    with partial.open("rb") as source, os.fdopen(os.open(dest, os.O_WRONLY | os.O_CREAT, 0o666), "wb") as target:
        found = os.fstat(target.fileno())
        mine = own.has_open(found)
        if mine is not None:
            raise BadInput(f"{dest}: is {mine}, which innate itself uses; name another file")
        if stat.S_ISREG(found.st_mode):
            target.truncate(0)
        shutil.copyfileobj(source, target)


def _flat(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value
