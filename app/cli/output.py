"""How data leaves: one JSON document, or a plain table that fits the terminal (80 columns when piped)."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from app.report import text

if TYPE_CHECKING:
    from storage.reading import Json, Options, Record

SCHEMA_VERSION = 1


def emit_rows(noun: str, rows: Iterable[Record]) -> None:
    """The document of records, each with its fields."""
    from storage.reading import as_json

    emit_json(noun, [as_json(row) for row in rows])


def emit_json(noun: str, rows: Iterable[Options]) -> None:
    """`{"schema_version": 1, noun: [row, …]}` on stdout; NaN and infinities become null."""
    emit_document({noun: rows})


def emit_document(nouns: Mapping[str, Iterable[Options]]) -> None:
    """The same with more than one kind of row."""
    document: Options = {"schema_version": SCHEMA_VERSION, **{noun: list(rows) for noun, rows in nouns.items()}}
    typer.echo(_written(document, indent=2 if sys.stdout.isatty() else None))


def _written(document: Json, indent: int | None) -> str:
    """Nearly all documents hold no NaN, which takes longer to look for than to write them."""
    try:
        return json.dumps(document, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), ensure_ascii=False, indent=indent)


def width() -> int:
    """Columns to fill: the terminal's, 80 when piped."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), fill: int = -1) -> str:
    """`app.report.text.table`, as wide as the terminal."""
    return text.table(headings, rows, width(), right=right, fill=fill)


def _finite(value: Json) -> Json:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
