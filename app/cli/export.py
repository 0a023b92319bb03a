"""`export`."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import Annotated

import typer

from app.cli.context import complete_study, context_of
from app.cli.output import STDOUT, emit_file
from core.errors import BadInput
from core.registry import nearest

KINDS = ("sqlite", "csv", "jsonl", "parquet", "datasette", "weights")
_WITH_IMAGES = ("sqlite", "datasette")
_TO_STDOUT = ("csv", "jsonl")


def register(app: typer.Typer) -> None:
    app.command(
        "export",
        epilog="Examples: innate export sqlite results.db --no-examples; innate export csv quick.csv --study quick; "
        "innate export parquet tables; innate export datasette site --no-examples",
    )(export)


def export(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help=", ".join(KINDS) + ".", autocompletion=lambda: list(KINDS))],
    dest: Annotated[
        Path, typer.Argument(help="A file, - for stdout (csv, jsonl); for parquet, datasette, weights a folder.")
    ],
    study: Annotated[str | None, typer.Option("--study", help="Only this one.", autocompletion=complete_study)] = None,
    examples: Annotated[
        bool,
        typer.Option(
            "--examples/--no-examples",
            help="With sqlite and datasette: adversarial images, too, which are most of its size.",
        ),
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Take results elsewhere: the database, v_results as csv or jsonl, every view as parquet, or the trained weights."""
    from storage.export import export_datasette, export_parquet, export_rows, export_sqlite, export_weights, write_rows

    if kind not in KINDS:
        raise BadInput(f"export {kind}: not one of {', '.join(KINDS)}{nearest(kind, KINDS)}")
    if not examples and kind not in _WITH_IMAGES:
        raise BadInput(f"--no-examples: goes with export {' and '.join(_WITH_IMAGES)}; {kind} has no images")
    if dest == STDOUT and kind not in _TO_STDOUT:
        raise BadInput(f"export {kind} -: only {' and '.join(_TO_STDOUT)} can go to stdout; name a place")
    context = context_of(ctx)
    db = context.reading()
    if kind == "weights":
        checkpoints = context.database.parent / "checkpoints"
        count, what = export_weights(db, checkpoints, dest, study, context.in_use, force=force), "models"
    elif kind == "parquet":
        count, what = export_parquet(db, dest, study, context.in_use, force=force), "rows"
    elif kind == "datasette":
        count = export_datasette(db, dest, study, context.in_use, examples=examples, force=force)
        what = "trials"
    elif kind == "sqlite":
        count, what = export_sqlite(db, dest, study, context.in_use, examples=examples, force=force), "trials"
    elif dest == STDOUT:
        stream = io.StringIO()
        count, what = write_rows(db, stream, kind, study), "rows"
        emit_file(stream.getvalue())
    else:
        count, what = export_rows(db, dest, kind, study, context.in_use, force=force), "rows"
    context.say(f"wrote {count} {what} to {'stdout' if dest == STDOUT else dest}")
    if kind == "datasette":
        from storage.export.datasette import DATABASE, METADATA

        context.say(f"show it: {shlex.join(['datasette', str(dest / DATABASE), '-m', str(dest / METADATA)])}")
