"""`report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import chosen_study, complete_study, context_of
from app.cli.output import STDOUT, emit_file
from app.cli.results import one_of
from core.errors import BadInput, NotFound

if TYPE_CHECKING:
    from app.report.document.record import Report

FORMATS = {"markdown": (".md", ".markdown"), "html": (".html", ".htm")}
"""With the endings that ask for them."""


def register(app: typer.Typer) -> None:
    app.command(
        "report", epilog="Examples: innate report; innate report quick -o quick.html; innate report quick -o quick.md"
    )(report)


def report(
    ctx: typer.Context,
    study: Annotated[
        str | None,
        typer.Argument(help="The study; the one run last if not given.", autocompletion=complete_study),
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A .md or .html file; - is Markdown on stdout.")
    ] = STDOUT,
    form: Annotated[
        str | None, typer.Option("--format", help="markdown or html; the file's ending says it if not given.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Write a study up: question, design, methods, results, trust, findings, limits, environment, and how to have it again."""
    from app.report.document.write_up import write_up
    from storage.export import beside

    form = _form(output, form)
    context = context_of(ctx)
    db = context.reading()
    name = chosen_study(db, study)
    if name is None:
        raise NotFound("report: there is no study yet; start with: innate run quick")
    if output == STDOUT:
        emit_file(_written(write_up(db, name), form))
        return
    with beside(output, context.in_use, force=force) as partial:
        partial.write_text(_written(write_up(db, name), form), encoding="utf-8")
    context.say(f"wrote {output}")


def _form(output: Path, asked: str | None) -> str:
    """One of FORMATS; raises BadInput where neither `--format` nor the ending says which."""
    if asked is not None:
        return one_of(asked, tuple(FORMATS), "--format")
    if output == STDOUT:
        return "markdown"
    for form, endings in FORMATS.items():
        if output.suffix.lower() in endings:
            return form
    raise BadInput(f"--output {output}: name it .md or .html, or say --format markdown or html")


def _written(report: Report, form: str) -> str:
    from app.report.document.markdown import markdown
    from app.report.document.page import html_page

    return markdown(report) if form == "markdown" else html_page(report)
