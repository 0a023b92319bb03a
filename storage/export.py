"""Taking results elsewhere. Every file is written beside its place and renamed, so none is ever half there."""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput, NotFound
from core.names import short_id
from storage import listing
from storage.database import connect, in_words
from storage.destinations import InUse, refuse_in_use
from storage.listing import COLUMNS, Filter, page
from storage.queries import count_trials, results, trials
from storage.reading import Json, as_json
from storage.rows import FoundTrial, ResultRow
from storage.studies import study_row
from storage.tuning import companion

if TYPE_CHECKING:
    from sqlite_utils import Database


LISTING_ENDINGS = (".csv", ".json", ".jsonl")


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
            copy.execute("VACUUM")
        finally:
            copy.conn.close()
    return count


def export_rows(db: Database, dest: Path, kind: str, study: str | None, own: InUse, *, force: bool = False) -> int:
    """v_results as "csv" or "jsonl", one line per row, those of trials in no study last; returns the number of rows."""
    refuse_in_use(dest, own)
    if study is not None:
        study_row(db, study)
    rows = [as_json(row) for row in results(db, study)]
    with beside(dest, own, force=force) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        if kind == "csv":
            writer = csv.DictWriter(file, [field.name for field in fields(ResultRow)])
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
    in_studies: bool = True,
    outside: bool = False,
    force: bool = False,
) -> int:
    """The filtered table of runs in its order, one row each, as the ending of `dest` says: .csv, .json or .jsonl. `in_studies`:
    the runs of studies; `outside`: then those in no study, which have no scores.

    Returns the number of rows. Raises BadInput for another ending.
    """
    refuse_in_use(dest, own)
    found: list[FoundTrial] = []
    found += page(db, chosen, order, descending=descending) if in_studies else []
    found += listing.outside(db, chosen, order, descending=descending) if outside else []
    rows = [{name: row.get(name) for name in COLUMNS} for row in map(as_json, found)]
    return export_table(dest, rows, COLUMNS if rows else ("study", "trial_id"), own, force=force)


def export_table(
    dest: Path, rows: Sequence[Mapping[str, Json]], columns: Sequence[str], own: InUse, *, force: bool = False
) -> int:
    """`rows` with these columns, as the ending of `dest` says. Returns their number; raises BadInput for another ending."""
    if dest.suffix not in LISTING_ENDINGS:
        raise BadInput(f"{dest}: name it {', '.join(LISTING_ENDINGS)}; the ending decides the format")
    with beside(dest, own, force=force) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        if dest.suffix == ".csv":
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows([{key: _flat(value) for key, value in row.items()} for row in rows])
        elif dest.suffix == ".json":
            json.dump(list(rows), file, ensure_ascii=False, indent=1)
        else:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return len(rows)


def export_weights(
    db: Database, checkpoints: Path, dest: Path, study: str | None, own: InUse, *, force: bool = False
) -> int:
    """A folder of state dicts named by trial, and manifest.json that says what each is; returns the number of models, without
    `study` those that are in no study too.

    `checkpoints` is the folder that stored paths are relative to. Raises NotFound where no weights are there.
    """
    refuse_in_use(dest, own)
    rows = {row.trial_id: row for row in (listing.anywhere(db) if study is None else trials(db, study))}
    stored = dict(db.execute("SELECT id, weights FROM trial WHERE weights IS NOT NULL").fetchall())
    found = [
        (f"{short_id(trial)}.pt", row, checkpoints / stored[trial])
        for trial, row in rows.items()
        if trial in stored and (checkpoints / stored[trial]).is_file()
    ]
    if not found:
        raise NotFound(f"export weights: no trained model{f' in study {study}' if study else ''} has its weights here")
    try:
        if dest.exists() and (not dest.is_dir() or any(dest.iterdir())) and not force:
            raise BadInput(f"{dest}: exists already and is not an empty folder; name another, or add --force")
        for name in (*(name for name, _, _ in found), "manifest.json"):
            refuse_in_use(dest / name, own)  # before the first is written, so that it is all of them or none
        dest.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{dest}: cannot be written: {error.strerror}") from None
    for name, _, source in found:
        with beside(dest / name, own, force=force) as partial:
            shutil.copyfile(source, partial)
    manifest = [{"file": name, **as_json(row)} for name, row, _ in found]
    with beside(dest / "manifest.json", own, force=force) as partial:
        partial.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
    return len(found)


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


def _flat(value: Json) -> Json:
    return json.dumps(value) if isinstance(value, dict | list) else value
