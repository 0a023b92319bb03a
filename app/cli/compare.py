"""`compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.context import complete_study, context_of
from app.cli.output import emit_json, width

SIDE = "A trial or variant by its id, a variant as `innate results` calls it, or a level: FACTOR=LEVEL."


def register(app: typer.Typer) -> None:
    app.command(
        "compare",
        epilog="Examples: innate compare 1f00ba4d 8a779aaf; innate compare 'adam relu' 'rmsprop relu'; "
        "innate compare optimizer=adam 'optimizer=sgd lr=0.1'",
    )(compare)


def compare(
    ctx: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help=SIDE)],
    second: Annotated[str, typer.Argument(metavar="B", help="Another of the same kind.")],
    study: Annotated[
        str | None,
        typer.Option(
            "--study", help="The study; the one run last that has both if not given.", autocompletion=complete_study
        ),
    ] = None,
    score: Annotated[
        str | None, typer.Option(help="The score beside the accuracies (see innate scores); innate if not given.")
    ] = None,
    eps: Annotated[str | None, typer.Option(help="The worst case at this attacked ε, not the study's own.")] = None,
    chosen: Annotated[
        str | None,
        typer.Option("--filter", help="Only trials that a filter of the screens leaves, such as 'clean>0.9'."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, accuracies as fractions.")] = False,
) -> None:
    """What differs between two trials, variants or levels: how they were made, and their results in pairs."""
    from app.report.comparison import as_rows, compared
    from app.report.comparison_page import comparison_page
    from core.verdict.scoring import SCORES
    from storage.listing import EVERYTHING, parse_filter

    name = SCORES.find(score or "innate", "--score").name
    found = compared(
        context_of(ctx).reading(hint=False),
        study,
        first,
        second,
        name,
        eps,
        parse_filter(chosen) if chosen else EVERYTHING,
    )
    if as_json:
        emit_json("compare", as_rows(found))
    else:
        typer.echo(comparison_page(found, width()))
