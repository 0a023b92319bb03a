"""`published`: tables that others published, with their source."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.output import emit_json, width


def register(app: typer.Typer) -> None:
    app.command("published", epilog="Examples: innate published; innate published madry-mnist --json")(published)


def published(
    table: Annotated[
        str | None, typer.Argument(metavar="TABLE", help="One of them; a list of all if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document, a row for each result.")] = False,
) -> None:
    """Tables of robustness that others published, with their source; innate results --published sets one beside yours."""
    from app.report import published as tables
    from app.report.published.comparable import row_json
    from app.report.published.words import in_full, listed

    chosen = tables.all_published() if table is None else (tables.published(table),)
    if as_json:
        emit_json("published", [row_json(row, one) for one in chosen for row in one.rows])
    elif table is None:
        typer.echo(listed(chosen, width()))
    else:
        typer.echo(in_full(chosen[0], width()))
