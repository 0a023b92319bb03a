"""`findings`."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.context import chosen_study, context_of
from app.cli.output import emit_document, emit_json, width
from app.cli.results import Study
from core.errors import BadInput


def register(app: typer.Typer) -> None:
    app.command(
        "findings",
        epilog="Examples: innate findings; innate findings --study quick --json; innate findings --margin 1",
    )(findings)


def findings(
    ctx: typer.Context,
    study: Study = None,
    margin: Annotated[
        float | None, typer.Option(help="Points that a difference must exceed to matter; 0.5 if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; differences are fractions.")] = False,
) -> None:
    """What a study says: the paper's claims and every factor's effects, each supported, contradicted or inconclusive."""
    from app.report.described import rank_rows, variance_rows
    from app.report.findings import as_rows, page
    from app.report.findings import findings as found_of
    from core.verdict.decisions import MARGIN

    margin = MARGIN if margin is None else margin
    if not 0.0 <= margin < 100.0:
        raise BadInput(f"--margin {margin:g}: give points of accuracy, from 0 to below 100")
    context = context_of(ctx)
    db = context.reading()
    name = chosen_study(db, study)
    if name is None:
        if as_json:
            emit_json("findings", [])
        else:
            context.say("no study yet; start one: innate run quick --set seeds=3")
        return
    found = found_of(db, name, margin)
    if as_json:
        emit_document(
            {
                "findings": as_rows(found),
                "ranks": rank_rows(name, found.described),
                "variance": variance_rows(name, found.described),
            }
        )
    else:
        typer.echo(page(found, width()))
