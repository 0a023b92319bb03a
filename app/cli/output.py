"""How data leaves: one JSON document, or a plain table that fits the terminal (80 columns when piped)."""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import typer

SCHEMA_VERSION = 1


def emit_json(noun: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """`{"schema_version": 1, noun: [row, …]}` on stdout; NaN and infinities become null."""
    emit_document({noun: rows})


def emit_document(nouns: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
    """The same with more than one kind of row."""
    document = {
        "schema_version": SCHEMA_VERSION,
        **{noun: [_finite(dict(row)) for row in rows] for noun, rows in nouns.items()},
    }
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def width() -> int:
    """Columns to fill: the terminal's, 80 when piped."""
    return shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), fill: int = -1) -> str:
    """Columns of text, two spaces apart. `right` names columns to align right; `fill` the one that is cut with "…" when a
    line would be wider than the terminal (the last by default)."""
    sizes = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]
    fill %= len(sizes)
    overflow = sum(sizes) + 2 * (len(sizes) - 1) - width()
    if overflow > 0:
        sizes[fill] = max(8, sizes[fill] - overflow)

    def line(cells: Sequence[str]) -> str:
        shown = []
        for index, (cell, size) in enumerate(zip(cells, sizes, strict=True)):
            cut = cell if len(cell) <= size else cell[: size - 1] + "…"
            shown.append(cut.rjust(size) if index in right else cut.ljust(size))
        return "  ".join(shown).rstrip()

    return "\n".join([line(headings), line(["─" * size for size in sizes]), *(line(row) for row in rows)])


def percent(value: float | None) -> str:
    """A share of 1 as a percentage with one decimal; "-" where there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
