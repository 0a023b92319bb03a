"""`findings`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import chosen_study, complete_study, context_of
from app.cli.output import emit_document, emit_json, width
from app.cli.results import Study
from core.errors import BadInput

if TYPE_CHECKING:
    from app.context import Context


def register(app: typer.Typer) -> None:
    app.command(
        "findings",
        epilog="Examples: innate findings; innate findings --study quick --json; innate findings --settle --budget 2; "
        "innate findings --study defaults --beside tuned",
    )(findings)


def findings(
    ctx: typer.Context,
    study: Study = None,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STUDY",
            help="Ask the claims of this study, too, and set the answers side by side; repeatable.",
            autocompletion=complete_study,
        ),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(help="Points that a difference must exceed to matter; 0.5 if not given.")
    ] = None,
    settle: Annotated[
        bool,
        typer.Option("--settle", help="Look, keep the verdicts, and queue the seeds that would settle what is open."),
    ] = False,
    budget: Annotated[
        float | None, typer.Option(metavar="HOURS", help="With --settle: queue no more than takes so long here.")
    ] = None,
    about: Annotated[
        list[str] | None,
        typer.Option(metavar="WHAT", help="With --settle: only claims, or the effects of a factor; repeatable."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document; differences are fractions.")] = False,
) -> None:
    """What a study says: the paper's claims and every factor's effects, each supported, contradicted or inconclusive."""
    from app.report.described import rank_rows, variance_rows
    from app.report.findings import as_rows, page
    from app.report.findings import findings as found_of
    from app.report.replication import side_by_side

    if margin is not None and not 0.0 <= margin < 100.0:
        raise BadInput(f"--margin {margin:g}: give points of accuracy, from 0 to below 100")
    for option, given in (("--budget", budget), ("--about", about)):
        if given is not None and not settle:
            raise BadInput(f"{option}: goes with --settle")
    if settle and beside:
        raise BadInput("--beside: a study is settled by itself; leave out --settle or --beside")
    if budget is not None and not 0.0 < budget < math.inf:
        raise BadInput(f"--budget {budget:g}: give hours, above 0")
    context = context_of(ctx)
    db = context.reading()
    name = chosen_study(db, study)
    if name is None:
        if as_json:
            emit_json("findings", [])
        else:
            context.say("no study yet; start one: innate run quick --set seeds=3")
        return
    if settle:
        _settle(context, name, margin, budget, about or (), as_json=as_json)
        return
    found = [found_of(db, each, margin) for each in dict.fromkeys([name, *(beside or ())])]
    if as_json:
        emit_document(
            {
                "findings": [row for one in found for row in as_rows(one)],
                "ranks": [row for one in found for row in rank_rows(one.study, one.described)],
                "variance": [row for one in found for row in variance_rows(one.study, one.described)],
            }
        )
    else:
        typer.echo(side_by_side(found, width()) if beside else page(found[0], width()))


def _settle(
    context: Context, study: str, margin: float | None, hours: float | None, about: Sequence[str], *, as_json: bool
) -> None:
    """One look: what it would cost is said first, then it is kept, and exactly that is queued."""
    from app.report.settle import outlook
    from app.report.settle_words import as_rows, cost_text, told
    from app.worker import changes

    db = context.writing()
    found = outlook(db, study, margin, hours, about)
    context.say(cost_text(found))
    done = changes.perform(db, context.home, found.change)
    if as_json:
        emit_json("settle", as_rows(found))
    else:
        typer.echo(told(found, width()))
    if done.added:
        context.say(
            f"added {done.added} trials; innate worker start trains them, then look again: innate findings --settle"
        )
