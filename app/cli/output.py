"""How data leaves: one JSON document, or a plain table that fits the terminal (80 columns when piped).

Pages are printed in the terminal's encoding; JSON, and what has the form of a file, is UTF-8 wherever it goes.
"""

from __future__ import annotations

import codecs
import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import typer

from app.report import text
from app.terminal.characters import visible, visible_quoted
from app.terminal.streams import undisturbed

if TYPE_CHECKING:
    from storage.reading import Json, Options, Record

SCHEMA_VERSION = 1
STDOUT = Path("-")
"""As the name of a file that is to be written."""


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
    written = _written(document, indent=2 if sys.stdout.isatty() else None)
    typer.echo(visible_quoted(written).encode())


def _written(document: Options, indent: int | None) -> str:
    """Nearly all documents hold no NaN, which takes longer to look for than to write them."""
    try:
        return json.dumps(document, ensure_ascii=False, indent=indent, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(document), ensure_ascii=False, indent=indent)


def emit_file(content: str) -> None:
    """What may become a file, byte by byte as it would be exported; in a terminal as it can be shown there."""
    typer.echo(content.replace("\r\n", "\n") if sys.stdout.isatty() else content.encode(), nl=False)


def file_on_stdout() -> TextIO:
    """For the same, piece by piece: UTF-8, but in a terminal, which shows what it can."""
    if sys.stdout.isatty():
        return sys.stdout
    sys.stdout.flush()
    return cast(TextIO, codecs.getwriter("utf-8")(sys.stdout.buffer))


def draw(picture: str, *, pixels: bool = False) -> None:
    """A chart or an image of coloured characters: colours come through to the terminal, nothing else that commands it does, but
    for an image in `pixels`, which consists of commands."""
    typer.echo(picture if pixels else visible(picture, drawing=True), file=undisturbed(sys.stdout))


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
