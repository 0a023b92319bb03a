"""Every view as a Parquet file, which keeps what CSV loses: types, NULL, and what each column means."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from storage.destinations import InUse
from storage.export.place import folder_beside
from storage.studies import study_row
from storage.tuning import companion
from storage.views import VIEWS, Column, View

if TYPE_CHECKING:
    from sqlite_utils import Database

_ROW_GROUP = 10_000
"""Rows that are in memory at a time."""


def export_parquet(db: Database, dest: Path, study: str | None, own: InUse, *, force: bool = False) -> int:
    """A folder `dest` with VIEW.parquet of every view, as they are at one moment; with `study`, of what belongs to it only.

    Returns the number of rows in all. Raises BadInput where pyarrow is not installed, NotFound for an unknown study.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise BadInput("export parquet: needs pyarrow, which is not installed: pip install 'innate[parquet]'") from None
    if study is not None:
        study_row(db, study)
    written = 0
    with folder_beside(dest, [_file(view) for view in VIEWS], own, force=force) as partial:
        db.conn.execute("BEGIN")  # what others write meanwhile is in none of the files
        try:
            for view in VIEWS:
                schema = _schema(pyarrow, view)
                with parquet.ParquetWriter(partial / _file(view), schema, compression="zstd") as writer:
                    for rows in _rows(db, view, study):
                        arrays = [
                            pyarrow.array(_typed(column, values), field.type)
                            for column, values, field in zip(view.columns, zip(*rows, strict=True), schema, strict=True)
                        ]
                        writer.write_batch(pyarrow.record_batch(arrays, schema=schema))
                        written += len(rows)
        finally:
            db.conn.execute("ROLLBACK")
    return written


def _file(view: View) -> str:
    return f"{view.name}.parquet"


def _schema(pyarrow: Any, view: View) -> Any:
    """Types, and what is said of the columns; tools that read Parquet show the metadata of a file and of its fields."""
    types = {
        "text": pyarrow.string(),
        "json": pyarrow.string(),
        "integer": pyarrow.int64(),
        "real": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
    }
    fields = [
        pyarrow.field(column.name, types[column.type], metadata={"description": column.told, "unit": column.unit})
        for column in view.columns
    ]
    about = {"innate.version": version("innate"), "view": view.name, "row": view.row, "description": view.about}
    return pyarrow.schema(fields, metadata=about)


def _rows(db: Database, view: View, study: str | None) -> Iterator[list[tuple[Any, ...]]]:
    names = ", ".join(f'"{column.name}"' for column in view.columns)
    sql, values = f"SELECT {names} FROM {view.name}", []
    if study is not None:
        values = [study, companion(study)]  # what its learning rates were chosen by is part of it
        of_study = view.columns[0].name == "study"
        within = (
            "study IN (?, ?)" if of_study else "trial_id IN (SELECT trial_id FROM study_trial WHERE study IN (?, ?))"
        )
        sql += f" WHERE {within}"
    cursor = db.execute(sql, values)
    while rows := cursor.fetchmany(_ROW_GROUP):
        yield rows


def _typed(column: Column, values: Sequence[Any]) -> Sequence[Any]:
    return [None if value is None else bool(value) for value in values] if column.type == "boolean" else values
