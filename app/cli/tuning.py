"""`tuning`."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.context import chosen_study, context_of
from app.cli.output import emit_rows, width
from app.cli.results import Study
from core.errors import NotFound


def register(app: typer.Typer) -> None:
    app.command("tuning", epilog="Examples: innate tuning; innate tuning --study paper --json")(tuning)


def tuning(
    ctx: typer.Context,
    study: Study = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, a row per candidate.")] = False,
) -> None:
    """What a study's learning rates were chosen by: the best of each cell, what was tried, what it cost."""
    from app.report.tuning import tuning_table
    from storage.tuning import ledger

    db = context_of(ctx).reading()
    name = chosen_study(db, study)
    rows = [] if name is None else ledger(db, name)
    if not rows and name is not None:
        raise NotFound(f'{name}: chooses no learning rates; a study with training.hyperparameters = "tuned" does')
    if as_json:
        emit_rows("tuning", rows)
    elif name is not None:
        typer.echo(tuning_table(name, rows, width()))
