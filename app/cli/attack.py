"""`attack`: more attacks on what is trained, one by name or a ladder of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import chosen_study, complete_study, context_of
from app.cli.output import emit_rows, width
from app.cli.run import work_on
from app.cli.worker import Crafting, Device, Fraction, Lanes, Slots, Threads, check_crafting, slots_asked
from app.context import Context
from core.errors import BadInput, ExitCode, NotFound
from core.names import short_id

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.executors.protocol import Slot
    from storage.reading import Options
    from storage.rows import ResultRow

Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def register(app: typer.Typer) -> None:
    app.command(
        "attack",
        epilog="Examples: innate attack 1f00ba4d --attack pgd --eps 0.1,8/255 --set steps=100; "
        "innate attack 1f00ba4d --escalate; "
        "innate attack --study quick --level; innate attack --study quick --audit --set depth=full",
    )(attack)


def attack(
    ctx: typer.Context,
    trials: Annotated[
        list[str] | None, typer.Argument(help="Ids, or beginnings of ids.", metavar="TRIAL", show_default=False)
    ] = None,
    name: Annotated[str | None, typer.Option("--attack", help="See innate attacks.")] = None,
    escalate: Annotated[
        bool,
        typer.Option("--escalate", help="Ever stronger attacks on what still stands, until the verdict is settled."),
    ] = False,
    level: Annotated[
        bool,
        typer.Option("--level", help="Attack every model of the study with all that any of them was attacked with."),
    ] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Audit the study's models: harder attacks on a sample of what stands.")
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
    lanes: Lanes = None,
    crafting: Crafting = "auto",
    as_json: Json = False,
) -> None:
    """Attack trained trials more, without training again. What it breaks counts in a model's own worst case and goes into the
    verdict; rankings count it once all models of the study have had it (--level)."""
    from core.study.resolve import apply_overrides

    asked = {"--attack": name is not None, "--escalate": escalate, "--level": level, "--audit": audit}
    chosen = [flag for flag, given in asked.items() if given]
    if len(chosen) != 1:
        raise BadInput("attack: name an attack with --attack, or give --escalate, --level or --audit (one, not both)")
    of_study = level or audit
    if of_study and trials:
        raise BadInput(f"attack {chosen[0]}: takes all trials of a study; name it with --study, and no trial")
    if not of_study and not trials:
        raise BadInput(f"attack {chosen[0]}: name the trials, by ids or beginnings of ids; innate trials lists them")
    if sets and (escalate or level):
        raise BadInput(f"attack {chosen[0]}: takes no --set; its attacks are what they are")
    if eps is not None and of_study:
        raise BadInput(f"attack {chosen[0]}: takes no --eps; the radii are the study's")
    context = context_of(ctx)
    if chosen_study(context.reading(hint=False), study) is None:  # before a home is made for nothing
        raise NotFound("attack: no study has been run yet; see innate presets")
    db = context.writing()
    check_crafting(crafting)
    how = _How(slots_asked(context, slots, device, threads, memory_fraction, lanes), crafting, as_json)
    options = apply_overrides({}, sets or ())
    if of_study:
        _whole_study(context, db, chosen_study(db, study), options if audit else None, how)
    else:
        _some_trials(context, db, trials or (), study, name, options, eps, how)


@dataclass(frozen=True)
class _How:
    """Where the attacks are carried out, and how their results are told."""

    slots: Sequence[Slot]
    crafting: str
    as_json: bool


def _some_trials(
    context: Context,
    db: Database,
    trials: Sequence[str],
    study: str | None,
    name: str | None,
    options: Options,
    eps: str | None,
    how: _How,
) -> None:
    """One attack by name, or the ladder, on the trials that were named."""
    from app.worker import attacking
    from storage import queries

    ids = list(dict.fromkeys(queries.find_trial(db, prefix) for prefix in trials))
    name_of_study = study or attacking.study_of(db, ids)
    if name is None:
        _escalate(context, db, name_of_study, ids, eps, how.slots, how.crafting, as_json=how.as_json)
        return
    radii = None if eps is None else [part.strip() for part in eps.split(",")]
    added = attacking.add(db, context.home, name_of_study, ids, name, options, radii)
    context.say(f"{name_of_study}: {added.missing} of {len(ids)} trials to attack with {name}")
    if not work_on(context, db, name_of_study, how.slots, how.crafting):
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    _show(attacking.results_of(db, added, ids), as_json=how.as_json)
    if attacking.any_failed(db, ids):
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))


def _whole_study(context: Context, db: Database, study: str | None, options: Options | None, how: _How) -> None:
    """All models of a study audited (`options` of the audit), or attacked alike."""
    from app.report.attack_cost import cost_text
    from app.report.harder import level
    from app.report.worst_cases import worst_case_table
    from app.worker import changes
    from storage import queries, queue
    from storage.changes import Audit, Level

    assert study is not None, "there is one"
    queued = changes.perform(db, context.home, Level(study) if options is None else Audit(study, options))
    if not queued.wanted:
        context.say(f"{study}: all models have had the same attacks already, and no audit broke any")
    elif queued.trials == 0:
        context.say(f"{study}: nothing is missing of {', '.join(queued.wanted)}")
    else:
        cost = f"; {cost_text(level(db, study).cost, len(how.slots))}" if options is None else ""
        context.say(f"{study}: {queued.trials} trials still lack {', '.join(queued.wanted)}{cost}")
        if not work_on(context, db, study, how.slots, how.crafting):
            context.say("stopped; the same command goes on")
            raise typer.Exit(int(ExitCode.INTERRUPTED))
    rows = queries.robustness(db, study)
    if how.as_json:
        emit_rows("robustness", rows)
    elif rows:
        typer.echo(worst_case_table(rows, width()))
    if queue.remaining(db, study).get("failed"):
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
    """Climb the ladder and say how far it went. Whoever works on the queue goes on after a stop, or the same command."""
    from app.worker import changes, escalation
    from storage import queries
    from storage.changes import Escalate

    threat = escalation.threat_of(db, study, eps)
    queued = changes.perform(db, context.home, Escalate(study, tuple(trials), threat))
    if queued.rungs:
        reached = sorted({rung.rung for rung in queued.rungs})
        where = f"rung {', '.join(map(str, reached))} of {queued.of}"
        context.say(f"{study}: {where} on {len(queued.rungs)} of {len(trials)} trials, on the samples that still stand")
        if not work_on(context, db, study, slots, crafting):
            context.say("stopped; the same command goes on")
            raise typer.Exit(int(ExitCode.INTERRUPTED))
    rows = [escalation.summary(db, study, trial, threat) for trial in trials]
    if as_json:
        emit_rows("escalation", rows)
    else:
        for row in rows:
            typer.echo("\n".join(escalation.in_lines(row)))
    climbed = {rung.trial_id for rung in queued.rungs}
    if any(row.trial_id in climbed for row in queries.trials(db, study, state="failed")):
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))
