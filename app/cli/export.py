"""`export`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from app.cli.context import complete_study, context_of
from app.cli.output import STDOUT, emit_file
from core.errors import BadInput
from core.registry import nearest

KINDS = ("sqlite", "csv", "jsonl", "weights")
TEXTS = ("csv", "jsonl")
"""Those that can go to stdout."""


def register(app: typer.Typer) -> None:
    app.command(
        "export",
        epilog="Examples: innate export sqlite results.db --no-examples; innate export csv quick.csv --study quick",
    )(export)


def export(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help=", ".join(KINDS) + ".", autocompletion=lambda: list(KINDS))],
    dest: Annotated[Path, typer.Argument(help="A file, or - for stdout (csv, jsonl); for weights a folder.")],
    study: Annotated[str | None, typer.Option("--study", help="Only this one.", autocompletion=complete_study)] = None,
    examples: Annotated[
        bool,
        typer.Option(
            "--examples/--no-examples", help="With sqlite: adversarial images, too, which are most of its size."
        ),
    ] = True,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Take results elsewhere: the database, v_results as csv or jsonl, or the trained weights."""
    from storage.export import export_rows, export_sqlite, export_weights, write_rows

    if kind not in KINDS:
        raise BadInput(f"export {kind}: not one of {', '.join(KINDS)}{nearest(kind, KINDS)}")
    if not examples and kind != "sqlite":
        raise BadInput(f"--no-examples: goes with export sqlite; {kind} has no images")
    if dest == STDOUT and kind not in TEXTS:
        raise BadInput(f"export {kind} -: cannot go to stdout, only {' and '.join(TEXTS)} can; name a file")
    context = context_of(ctx)
    db = context.reading()
    if kind == "weights":
        checkpoints = context.database.parent / "checkpoints"
        count, what = export_weights(db, checkpoints, dest, study, context.in_use, force=force), "models"
    elif kind == "sqlite":
        count, what = export_sqlite(db, dest, study, context.in_use, examples=examples, force=force), "trials"
    elif dest == STDOUT:
        stream = io.StringIO()
        count, what = write_rows(db, stream, kind, study), "rows"
        emit_file(stream.getvalue())
    else:
        count, what = export_rows(db, dest, kind, study, context.in_use, force=force), "rows"
    context.say(f"wrote {count} {what} to {'stdout' if dest == STDOUT else dest}")
