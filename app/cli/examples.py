"""`examples`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from app.cli.context import context_of
from app.cli.output import width
from core.errors import BadInput


def register(app: typer.Typer) -> None:
    app.command(
        "examples", epilog="Examples: innate examples 1f00ba4d --attack pgd; innate examples 1f00ba4d -o a.png"
    )(examples)


def examples(
    ctx: typer.Context,
    trial: Annotated[str, typer.Argument(help="An id, or the beginning of one.")],
    attack: Annotated[str | None, typer.Option(help="Only of this attack.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a PNG instead.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 4,
) -> None:
    """Adversarial images: clean | adversarial | amplified difference."""
    from app.report import images
    from storage import queries
    from storage.export import beside
    from storage.trial import examples as stored_examples

    context = context_of(ctx)
    db = context.reading()
    rows = stored_examples(db, queries.find_trial(db, trial), attack)[:limit]
    if output is not None:
        if output.suffix.lower() != ".png":
            raise BadInput(f"--output {output}: only PNG is written; name it something.png")
        with beside(output, context.in_use, force=True) as partial:
            images.write_png(rows, partial)
        for row in rows:
            context.say(images.caption(row))
        context.say(f"wrote {output}")
        return
    for row in rows:
        typer.echo(f"{images.caption(row)}; difference × {images.triptych(row)[3]:.3g}")
        typer.echo(images.in_terminal(row, width(), colour=context.colour and sys.stdout.isatty()))
        typer.echo()
