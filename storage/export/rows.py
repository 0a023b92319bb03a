"""Rows as lines of text: CSV, JSON and JSON lines."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from core.errors import BadInput
from storage import listing
from storage.destinations import InUse, refuse_in_use
from storage.export.place import beside
from storage.listing import COLUMNS, Filter, page
from storage.queries import each_result
from storage.reading import Json, as_json
from storage.rows import FoundTrial, ResultRow
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database


LISTING_ENDINGS = (".csv", ".json", ".jsonl")


def export_rows(db: Database, dest: Path, kind: str, study: str | None, own: InUse, *, force: bool = False) -> int:
    """`write_rows` into a file."""
    refuse_in_use(dest, own)
    if study is not None:
        study_row(db, study)
    with beside(dest, own, force=force) as partial, partial.open("w", encoding="utf-8", newline="") as file:
        count = write_rows(db, file, kind, study)
        file.flush()
        os.fsync(file.fileno())
    return count


def write_rows(db: Database, file: TextIO, kind: str, study: str | None) -> int:
    """v_results as "csv" or "jsonl", one line per row; returns the number of rows. Raises NotFound for an unknown study."""
    if study is not None:
        study_row(db, study)
    count, writer = 0, csv.DictWriter(file, [field.name for field in fields(ResultRow)])
    if kind == "csv":
        writer.writeheader()
    for row in map(as_json, each_result(db, study)):
        count += 1
        if kind == "csv":
            writer.writerow({key: _flat(value) for key, value in row.items()})
        else:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return count


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


def _flat(value: Json) -> Json:
    return json.dumps(value) if isinstance(value, dict | list) else value
