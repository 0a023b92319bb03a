"""`query`."""

from __future__ import annotations

import csv
import itertools
import json
import math
import sys
import textwrap
from base64 import b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import context_of
from app.cli.output import SCHEMA_VERSION, emit_json, file_on_stdout, table, width
from app.terminal.characters import visible, visible_quoted
from core.errors import BadInput, Unavailable

if TYPE_CHECKING:
    from app.context import Context
    from storage.question import Answer, Value
    from storage.reading import Options
    from storage.views import View

_SHOWN = 1000
"""Rows that a table shows unless told otherwise: it is laid out as a whole."""
_NARROWEST = 8
"""Characters that a column keeps where the table is wider than the terminal."""


def register(app: typer.Typer) -> None:
    app.command(
        "query",
        epilog="Examples: innate query 'SELECT optimizer, innate FROM v_leaderboard ORDER BY innate DESC'; "
        "innate query --csv 'SELECT * FROM v_results WHERE eps = :eps' --param eps=0.1 > eps.csv; "
        "innate query --file question.sql --json; innate query --schema v_results",
    )(query)


def query(
    ctx: typer.Context,
    sql: Annotated[
        str | None, typer.Argument(help="One SELECT; - reads it from stdin. With --schema the name of a view.")
    ] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the SQL from this file.")] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="NAME=VALUE",
            help='What :NAME stands for; repeatable. A number is one, null is NULL, "0.1" in quotes is text.',
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=0, help=f"At most so many rows; a table shows {_SHOWN} if not given.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Stop after so long.")] = 30.0,
    schema: Annotated[bool, typer.Option("--schema", help="What the views hold, column by column.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="NULL is empty, a BLOB hex digits.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; a BLOB is base64.")] = False,
) -> None:
    """Ask the database anything that one SELECT can ask; it only ever reads."""
    if as_csv and as_json:
        raise BadInput("query: --csv or --json, not both")
    if schema:
        if as_csv or file is not None or parameters or limit is not None:
            raise BadInput("query --schema: goes with the name of a view and --json alone")
        _describe(sql, as_json=as_json)
        return
    if not 0.0 < seconds < math.inf:
        raise BadInput(f"--seconds {seconds:g}: give a time above 0")
    from storage.question import ask

    context = context_of(ctx)
    given = _given(parameters or ())
    text = _text_of(sql, file)
    answer = ask(context.reading_only(), text, given, seconds)
    if not (as_csv or as_json):
        _as_table(context, answer, limit)
        return
    rows = itertools.islice(answer.rows, limit)
    count = _as_csv(answer.columns, rows) if as_csv else _as_json(answer.columns, rows)
    _tell_rest(context, answer, count, limit)


def _text_of(sql: str | None, file: Path | None) -> str:
    """The SQL that is meant. Raises BadInput where it is given twice or not at all, or is no text."""
    if (sql is None) == (file is None):
        raise BadInput("query: give the SQL, such as 'SELECT * FROM v_leaderboard', or --file FILE (and not both)")
    if file is None and sql != "-":
        return sql or ""
    try:
        content = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise BadInput(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file or 'stdin'}: is not UTF-8 text") from None


def _given(parameters: Sequence[str]) -> dict[str, Value]:
    """`--param NAME=VALUE` as a mapping. Raises BadInput for anything else."""
    found: dict[str, Value] = {}
    for one in parameters:
        name, separator, text = one.partition("=")
        name = name.strip().lstrip(":")
        if not separator or not name.isidentifier():
            raise BadInput(f"--param {one}: expected NAME=VALUE, such as eps=0.1")
        if name in found:
            raise BadInput(f"--param {name}: is given twice")
        try:
            value = json.loads(text, parse_constant=str)  # NaN is a name like any other
        except ValueError:
            value = text
        found[name] = text if isinstance(value, dict | list) else value
    return found


def _as_json(columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> int:
    """The document of `emit_json`, row by row as they come: it may be larger than the memory. Returns the number of rows."""
    count = 0
    out = file_on_stdout()
    out.write(f'{{"schema_version": {SCHEMA_VERSION}, "rows": [')
    for row in rows:
        document = {name: _plain(value) for name, value in zip(columns, row, strict=True)}
        out.write(f"{',' if count else ''}\n{visible_quoted(json.dumps(document, ensure_ascii=False))}")
        count += 1
    out.write("]}\n")
    return count


def _plain(value: Value) -> int | float | str | None:
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _as_csv(columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> int:
    writer = csv.writer(file_on_stdout(), lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([value.hex() if isinstance(value, bytes) else value for value in row])
        count += 1
    return count


def _as_table(context: Context, answer: Answer, limit: int | None) -> None:
    room = width()
    cells, numeric, known = list[list[str]](), [True] * len(answer.columns), [False] * len(answer.columns)
    for row in itertools.islice(answer.rows, _SHOWN if limit is None else limit):
        cells.append([_cell(value, room + 1) for value in row])
        for place, value in enumerate(row):
            numeric[place] &= isinstance(value, int | float | None)
            known[place] |= value is not None
    shown = len(cells)
    headings, cells, left_out, cut = _fitted([visible(name, in_cell=True) for name in answer.columns], cells, room)
    numbers = [place for place in range(len(headings)) if numeric[place] and known[place]]
    typer.echo(table(headings, cells, right=numbers))
    if left_out:
        context.say(f"no room for {', '.join(left_out)}: name fewer columns, or take --csv or --json")
    if cut:
        context.say("… stands for what a column has no room for; --csv and --json have all of it")
    _tell_rest(context, answer, shown, limit)


def _tell_rest(context: Context, answer: Answer, shown: int, limit: int | None) -> None:
    """Say that there was nothing, or that there is more than was shown: how much, unless `limit` was asked for, which is often a
    way not to wait for the rest. What is shown stands, also where the time is up before the rest has been seen."""
    try:
        more = sum(1 for _ in itertools.islice(answer.rows, None if limit is None else 1))
    except Unavailable:
        context.say(f"there may be more than these {shown} rows: the time was up before all had been looked at")
        return
    if more and limit is not None:
        context.say(f"there are more than these {shown} rows; a larger --limit shows more")
    elif more:
        context.say(
            f"{more} more row{'' if more == 1 else 's'} after the first {shown}; --limit {shown + more} shows all"
        )
    elif not shown:
        context.say("no rows")


def _cell(value: Value, longest: int) -> str:
    """A value in a table: numbers to six digits, text to `longest` characters, of which no more could be shown."""
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return f"{value:.6g}" if isinstance(value, float) else visible(str(value)[:longest], in_cell=True)[:longest]


def _fitted(
    headings: Sequence[str], rows: Sequence[Sequence[str]], room: int
) -> tuple[list[str], list[list[str]], list[str], bool]:
    """Headings and rows in `room` columns: the widest are cut, as little as will do, and where eight characters each are still
    too many the last columns go. Also which went, and whether any cell was cut."""
    sizes = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    kept = len(sizes)
    while kept > 1 and sum(min(size, _NARROWEST) for size in sizes[:kept]) + 2 * (kept - 1) > room:
        kept -= 1
    sizes, free = sizes[:kept], room - 2 * (kept - 1)
    widest = max(sizes)
    while sum(min(size, widest) for size in sizes) > free and widest > _NARROWEST:
        widest -= 1

    def fitting(cells: Sequence[str]) -> list[str]:
        return [cell if len(cell) <= widest else f"{cell[: widest - 1]}…" for cell in cells[:kept]]

    return fitting(headings), [fitting(row) for row in rows], list(headings[kept:]), widest < max(sizes)


def _describe(name: str | None, *, as_json: bool) -> None:
    from core.registry import nearest
    from storage.views import VIEWS

    chosen = [view for view in VIEWS if name in (None, view.name)]
    if not chosen:
        names = [view.name for view in VIEWS]
        raise BadInput(f"query --schema {name}: there is no such view{nearest(str(name), names)}")
    if as_json:
        emit_json("views", [_as_document(view) for view in chosen])
    else:
        typer.echo("\n\n".join(_page(view) for view in chosen))


def _as_document(view: View) -> Options:
    return {
        "view": view.name,
        "row": view.row,
        "about": view.about,
        "columns": [
            {
                "name": column.name,
                "type": column.type,
                "unit": column.unit,
                "low": column.low,
                "high": column.high,
                "choices": list(column.choices),
                "meaning": column.meaning,
                "null": column.null or None,
            }
            for column in view.columns
        ],
    }


def _page(view: View) -> str:
    """A view for people: its columns with their types, and what they mean beside them."""
    names = [[column.name, column.type] for column in view.columns]
    room = max(24, width() - sum(max(len(name[place]) for name in names) for place in range(2)) - 4)
    lines = [
        [*(name if number == 0 else ("", "")), part]
        for name, column in zip(names, view.columns, strict=True)
        for number, part in enumerate(textwrap.wrap(column.told, room))
    ]
    head = textwrap.wrap(f"{view.name}: one row per {view.row}. {view.about}", width(), subsequent_indent="  ")
    return "\n".join(head) + "\n" + table(["column", "type", "meaning"], lines)
