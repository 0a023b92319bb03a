"""`attack`: more attacks on what is trained, one by name or a ladder of them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.context import complete_study, context_of
from app.cli.output import emit_json, emit_rows
from app.cli.run import work_on
from app.cli.worker import Crafting, Device, Fraction, Slots, Threads, check_crafting
from app.context import Context
from core.errors import BadInput, ExitCode
from core.names import short_id

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.records import Study

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
    from app.worker import changes
    from app.worker.devices import resolve_slots
    from core.attacks import ATTACKS
    from core.study.resolve import apply_overrides
    from storage import queries
    from storage.changes import Attack
    from storage.studies import stored_study

    if escalate == (name is not None):
        raise BadInput("attack: name an attack with --attack, or climb the ladder with --escalate (and not both)")
    if escalate and sets:
        raise BadInput("attack --escalate: takes no --set; its rungs are what they are")
    context = context_of(ctx)
    db = context.writing()
    check_crafting(crafting)
    resolved = resolve_slots(device or (), slots, threads, memory_fraction)
    ids = list(dict.fromkeys(queries.find_trial(db, prefix) for prefix in trials))
    name_of_study = study or _study_of(db, ids)
    options: dict[str, Any] = apply_overrides({}, sets or ())
    stored = stored_study(db, name_of_study)
    if name is None:
        _escalate(context, db, name_of_study, ids, eps, resolved, crafting, as_json=as_json)
        return
    if eps is not None or not ATTACKS.find(name, "--attack").minimum_norm:
        options["eps"] = _radii(eps, stored, options)
    done = changes.perform(db, context.home, Attack(name_of_study, tuple(ids), name, options))
    context.say(f"{name_of_study}: {done.missing} of {len(ids)} trials to attack with {name}")
    finished = work_on(context, db, name_of_study, resolved, crafting)
    if not finished:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    rows = [
        row for trial in ids for row in queries.results(db, name_of_study, trial) if row.attack_id == done.attack_id
    ]
    if as_json:
        emit_rows("results", rows)
    else:
        for row in rows:
            middle = row.median_distance
            typer.echo(
                f"{short_id(row.trial_id)}  {name} {row.norm} ε = {row.eps:g}: {row.robust_accuracy:.1%}"
                + ("" if middle is None else f", median distance {middle:.3g}")
            )
    if any(one.state == "failed" for trial in ids for one in queries.trial_detail(db, trial).studies):
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))


def _escalate(
    context: Context,
    db: Database,
    study: str,
    trials: list[str],
    eps: str | None,
    slots: Any,
    crafting: str,
    *,
    as_json: bool,
) -> None:
    """Rung after rung, all trials at once, each until its own verdict is settled. The same command goes on after a stop."""
    from app.worker import changes, escalation
    from storage import queries
    from storage.changes import Escalate

    threat = escalation.threat_of(db, study, eps)
    climbing, failed = list(trials), False
    while climbing:
        done = changes.perform(db, context.home, Escalate(study, tuple(climbing), threat))
        climbing = [rung.trial_id for rung in done.rungs]
        if not climbing:
            break
        reached = sorted({rung.rung for rung in done.rungs})
        where = f"rung {', '.join(map(str, reached))} of {done.of}"
        context.say(f"{study}: {where} on {len(climbing)} of {len(trials)} trials, on the samples that still stand")
        if not work_on(context, db, study, slots, crafting):
            context.say("stopped; the same command goes on")
            raise typer.Exit(int(ExitCode.INTERRUPTED))
        states = {row.trial_id: row.state for row in queries.trials(db, study)}
        failed = failed or any(states[trial] == "failed" for trial in climbing)
        climbing = [trial for trial in climbing if states[trial] == "done"]
    rows = [escalation.summary(db, study, trial, threat) for trial in trials]
    if as_json:
        emit_json("escalation", [asdict(row) for row in rows])
    else:
        for row in rows:
            typer.echo("\n".join(escalation.in_lines(row)))
    if failed:
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))


def _radii(eps: str | None, stored: Study, options: dict[str, Any]) -> list[str | float]:
    if eps is not None:
        return [part.strip() for part in eps.split(",")]
    from core.attacks import parse_norm

    norm = parse_norm(options["norm"], "--set norm") if "norm" in options else "linf"
    known = sorted({radius for attack in stored.attacks if attack.norm == norm for radius in attack.eps})
    if not known:
        raise BadInput(f"--eps: the study {stored.name} attacks nothing in {norm}; give radii such as --eps 0.1,8/255")
    return list(known)


def _study_of(db: Database, trials: list[str]) -> str:
    """The study run last that has all of `trials`."""
    from storage.studies import study_with

    found = study_with(db, trials)
    if found is None:
        raise BadInput("attack: no study has all of these trials; name fewer at a time")
    return found
