"""`guide`."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    app.command("guide", epilog="Examples: innate guide; innate guide > innate.md")(guide)


def guide() -> None:
    """One page that explains the whole tool, to a person or a program that never saw it."""
    from app.report.guide import guide as page

    typer.echo(page(), nl=False)
