"""`attack`: more attacks on what is trained, one by name or a ladder of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import complete_study, context_of
from app.cli.output import emit_rows
from app.cli.run import work_on
from app.cli.worker import Crafting, Device, Fraction, Slots, Threads, check_crafting
from app.context import Context
from core.errors import BadInput, ExitCode
from core.names import short_id

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.executors.protocol import Slot
    from storage.changes import Climb
    from storage.rows import ResultRow

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def register(app: typer.Typer) -> None:
    app.command(
        "attack",
        epilog="Examples: innate attack 1f00ba4d --attack pgd --eps 0.1,8/255 --set steps=100; innate attack 1f00ba4d --escalate",
    )(attack)


def attack(
    ctx: typer.Context,
    trials: Annotated[list[str], typer.Argument(help="Ids, or beginnings of ids.", metavar="TRIAL...")],
    name: Annotated[str | None, typer.Option("--attack", help="See innate attacks.")] = None,
    escalate: Annotated[
        bool,
        typer.Option("--escalate", help="Ever stronger attacks on what still stands, until the verdict is settled."),
    ] = False,
    eps: Annotated[
        str | None, typer.Option(help="Radii, such as 0.1,8/255; the study's if not given, its score ε to escalate.")
    ] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option, such as steps=100; repeatable.")
    ] = None,
    study: Annotated[
        str | None,
        typer.Option("--study", help="In which study; the last run that has it.", autocompletion=complete_study),
    ] = None,
    slots: Slots = None,
    device: Device = None,
    threads: Threads = None,
    memory_fraction: Fraction = None,
    crafting: Crafting = "auto",
    as_json: Json = False,
) -> None:
    """Try another attack on trained trials, without training again. It stands in the results beside the study's own
    attacks, and leaves the study's scores alone; what it finds goes into the verdict."""
    from app.worker import attacking
    from app.worker.devices import resolve_slots
    from core.study.resolve import apply_overrides
    from storage import queries

    if escalate == (name is not None):
        raise BadInput("attack: name an attack with --attack, or climb the ladder with --escalate (and not both)")
    if escalate and sets:
        raise BadInput("attack --escalate: takes no --set; its rungs are what they are")
    context = context_of(ctx)
    db = context.writing()
    check_crafting(crafting)
    resolved = resolve_slots(device or (), slots, threads, memory_fraction)
    ids = list(dict.fromkeys(queries.find_trial(db, prefix) for prefix in trials))
    name_of_study = study or attacking.study_of(db, ids)
    if name is None:
        _escalate(context, db, name_of_study, ids, eps, resolved, crafting, as_json=as_json)
        return
    radii = None if eps is None else [part.strip() for part in eps.split(",")]
    added = attacking.add(db, context.home, name_of_study, ids, name, apply_overrides({}, sets or ()), radii)
    context.say(f"{name_of_study}: {added.missing} of {len(ids)} trials to attack with {name}")
    if not work_on(context, db, name_of_study, resolved, crafting):
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    _show(attacking.results_of(db, added, ids), as_json=as_json)
    if attacking.any_failed(db, ids):
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))


def _show(rows: Sequence[ResultRow], *, as_json: bool) -> None:
    if as_json:
        emit_rows("results", rows)
        return
    for row in rows:
        middle = "" if row.median_distance is None else f", median distance {row.median_distance:.3g}"
        typer.echo(
            f"{short_id(row.trial_id)}  {row.attack} {row.norm} ε = {row.eps:g}: {row.robust_accuracy:.1%}{middle}"
        )


def _escalate(
    context: Context,
    db: Database,
    study: str,
    trials: list[str],
    eps: str | None,
    slots: Sequence[Slot],
    crafting: str,
    *,
    as_json: bool,
) -> None:
    """Climb the ladder and say how far it went. The same command goes on after a stop."""
    from app.worker import attacking, escalation

    def work(queued: Climb) -> bool:
        reached = sorted({rung.rung for rung in queued.rungs})
        where = f"rung {', '.join(map(str, reached))} of {queued.of}"
        context.say(f"{study}: {where} on {len(queued.rungs)} of {len(trials)} trials, on the samples that still stand")
        return work_on(context, db, study, slots, crafting)

    threat = escalation.threat_of(db, study, eps)
    climbed = attacking.climb(db, context.home, study, trials, threat, work)
    if not climbed.finished:
        context.say("stopped; the same command goes on")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    rows = [escalation.summary(db, study, trial, threat) for trial in trials]
    if as_json:
        emit_rows("escalation", rows)
    else:
        for row in rows:
            typer.echo("\n".join(escalation.in_lines(row)))
    if climbed.failed:
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))
