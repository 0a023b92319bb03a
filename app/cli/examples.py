"""`examples`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import context_of
from app.cli.output import draw, width
from core.errors import BadInput, NotFound
from core.names import short_id

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.trial import ExampleRow

_HEIGHT = 40
"""Lines for a sample on several models."""


def register(app: typer.Typer) -> None:
    app.command(
        "examples",
        epilog="Examples: innate examples 1f00ba4d --attack pgd; innate examples 1f00ba4d -o a.png; "
        "innate examples 1f00ba4d 8a779aaf --sample 17",
    )(examples)


def examples(
    ctx: typer.Context,
    trials: Annotated[list[str], typer.Argument(metavar="TRIAL…", help="Ids, or the beginnings of them.")],
    attack: Annotated[str | None, typer.Option(help="Only of this attack.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write a PNG instead.")] = None,
    sample: Annotated[
        int | None, typer.Option(help="Only of this test sample; of several trials side by side.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many of each trial.")] = 4,
) -> None:
    """Adversarial images: clean | adversarial | amplified difference; of several trials side by side, those of a sample."""
    from app.report import images, pixel_terminal
    from storage import queries
    from storage.export import beside

    context = context_of(ctx)
    db = context.reading()
    found = {trial: _of(db, trial, attack, sample) for trial in (queries.find_trial(db, prefix) for prefix in trials)}
    rows = [row for several in found.values() for row in several[:limit]]
    if output is not None:
        if output.suffix.lower() != ".png":
            raise BadInput(f"--output {output}: only PNG is written; name it something.png")
        with beside(output, context.in_use, force=True) as partial:
            images.write_png(rows, partial)
        for row in rows:
            context.say(images.caption(row))
        context.say(f"wrote {output}")
        return
    colour = context.colour and sys.stdout.isatty()
    kind = pixel_terminal.protocol() if colour else None
    if len(found) == 1:
        for row in rows:
            typer.echo(f"{images.caption(row)}; difference × {images.triptych(row)[3]:.3g}")
            text = (
                images.in_terminal(row, width(), colour=colour)
                if kind is None
                else pixel_terminal.in_pixels([images.triptych(row)[:3]], kind)
            )
            draw(f"{text}\n", pixels=kind is not None)
        return
    shown = [(short_id(trial), several[0]) for trial, several in found.items()]
    numbers = dict.fromkeys(row.sample for _, row in shown)
    if len(numbers) > 1:
        raise BadInput(f"these trials: name one sample for all of them, such as --sample {next(iter(numbers))}")
    for name, row in shown:
        typer.echo(f"{name}: {images.caption(row)}")
    draw(
        images.beside(shown, width(), _HEIGHT, colour=colour)
        if kind is None
        else pixel_terminal.in_pixels(images.grid([row for _, row in shown]), kind),
        pixels=kind is not None,
    )


def _of(db: Database, trial: str, attack: str | None, sample: int | None) -> list[ExampleRow]:
    """Raises NotFound where there is none, also none of that sample."""
    from storage.trial import examples as stored_examples

    rows = stored_examples(db, trial, attack)
    kept = [row for row in rows if sample is None or row.sample == sample]
    if not kept:
        known = ", ".join(str(number) for number in sorted({row.sample for row in rows}))
        raise NotFound(f"trial {short_id(trial)} has no adversarial image of sample {sample}; of {known}")
    return kept
