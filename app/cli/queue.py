"""`status`, `wait`, `cancel`, `retry`, `priority`, `gc`: the queue, seen and steered."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.cli.context import chosen_study, complete_study, context_of
from app.cli.output import emit_document, emit_json, table, width
from app.context import Context
from app.report.text import distinct
from core.errors import BadInput, ExitCode, NotFound, Unavailable
from core.names import short_id

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.report.status import UnfinishedTrial
    from storage.changes import Change
    from storage.tuning import Stages

Answer = TypeVar("Answer")
Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Trials = Annotated[list[str] | None, typer.Argument(help="Ids, or beginnings of ids.", metavar="[TRIAL]...")]
_SHOWN = 12
_REASON = 36
"""Characters that a reason has beside a long name: "all 2 slots are busy, 12 before it" and more."""
_NO_WORKER_SECONDS = 3.0
"""How long `wait` gives a worker that is just being started, or replaced, to show up."""


def register(app: typer.Typer) -> None:
    app.command("status", epilog="Examples: innate status; innate status --study quick --json")(status)
    app.command("wait", epilog="Example: innate wait && innate results (after innate run study.toml --detach)")(wait)
    app.command("cancel", epilog="Examples: innate cancel 1f00ba4d; innate cancel --study quick")(cancel)
    app.command("retry", epilog="Examples: innate retry 1f00ba4d; innate retry --all")(retry)
    app.command(
        "priority",
        epilog="Examples: innate priority 1f00ba4d 10; innate priority 1f00 8a77 -5",
        context_settings={"ignore_unknown_options": True},  # -5 is a number here
    )(priority)
    app.command("gc", epilog="Examples: innate gc --dry-run; innate gc --retention none")(gc)


def status(
    ctx: typer.Context,
    study: Annotated[
        str | None, typer.Option("--study", help="Only of this study.", autocompletion=complete_study)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every trial, not only the first of a state.")] = False,
    stalled_after: Annotated[
        float, typer.Option(min=0.1, help="Seconds of silence after which a running trial is called stalled.")
    ] = 180.0,
    as_json: Json = False,
) -> None:
    """What runs and how far it is, what waits and why, what failed and why."""
    from app.cli.worker import describe, how_full
    from app.report import status as told
    from app.worker.narration import in_words

    context = context_of(ctx)
    db = context.reading()
    view = told.worker_view(db, context.lived_in)
    counts = told.totals(db, view, study)
    left = told.seconds_left(db, view, study)
    if as_json:
        rows = told.unfinished(db, view, study, stalled_after)
        emit_document({"status": [row.as_row() for row in rows], "worker": [{**view.as_row(), "seconds_left": left}]})
        return
    for line in [*describe(view)[:2], *map(how_full, view.lanes)]:
        typer.echo(line)
    if left is not None and any(counts.values()):
        typer.echo(f"about {in_words(left)} until the queue is empty")
    for line in _tuning(db, study):
        typer.echo(line)
    if not any(counts.values()):
        typer.echo("nothing is queued, running or failed; innate run quick, or innate run study.toml --detach")
    shown = {
        state: told.page(
            db,
            view,
            counts,
            0,
            total if everything else _SHOWN,
            states=(state,),
            study=study,
            stalled_after=stalled_after,
        )
        for state, total in counts.items()
        if total
    }
    names = _names([row for rows in shown.values() for row in rows])
    for state, show in (("running", _running), ("queued", _queued), ("failed", _failed)):
        if state in shown:
            typer.echo(f"\n{counts[state]:,} {state}")
            typer.echo(show(shown[state], names))
            if len(shown[state]) < counts[state]:
                typer.echo(f"and {counts[state] - len(shown[state]):,} more; --all shows them")


def wait(
    ctx: typer.Context,
    study: Annotated[
        str | None,
        typer.Option("--study", help="The study; the one run last if not given.", autocompletion=complete_study),
    ] = None,
    as_json: Json = False,
) -> None:
    """Wait until a study is done. Exit code 1 if a trial failed, 4 if no worker is there to finish it."""
    from app.report.status import worker_view
    from storage import tuning
    from storage.one_file import OpenedFile

    context = context_of(ctx)
    db = context.reading(hint=False)
    name = chosen_study(db, study)
    if name is None:
        raise NotFound("there is no study to wait for; none has been run yet")
    file = OpenedFile.at(context.database)
    alive_at = time.monotonic()
    told = ""
    while True:
        file.require()
        reached = tuning.stages(db, name)
        if not reached.open:
            break
        view = worker_view(db, context.lived_in)
        if view.alive:
            alive_at = time.monotonic()
        elif time.monotonic() - alive_at > _NO_WORKER_SECONDS:
            raise Unavailable(
                f"{name} is not done ({_in_words(reached)}) and no worker is running: innate worker start"
            )
        now = f"{name}: {_in_words(reached)}" + (f"; {view.state}: {view.reason}" if view.state == "paused" else "")
        if now != told:
            context.say(now)
            told = now
        time.sleep(0.5)
    if as_json:
        settled = {state: reached.trials.get(state, 0) for state in ("done", "failed", "cancelled")}
        undecided = {"undecided": reached.to_come} if reached.tuning else {}
        emit_json("wait", [{"study": name, **settled, "failed": reached.failed, **undecided}])
    context.say(f"{name}: {_in_words(reached)}")
    if reached.failed:
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))


def cancel(
    ctx: typer.Context,
    trials: Trials = None,
    study: Annotated[
        str | None,
        typer.Option("--study", help="All of a study; with trials: in this study only.", autocompletion=complete_study),
    ] = None,
    as_json: Json = False,
) -> None:
    """Take trials out of the queue; one that runs stops with a checkpoint. innate retry queues them again."""
    from storage.changes import Cancel
    from storage.studies import study_row

    if not trials and not study:
        raise BadInput("cancel: name trials, or a study with --study")
    context = context_of(ctx)
    db = context.writing()
    if study:
        study_row(db, study)
    ids = tuple(_ids(db, trials)) if trials else None
    cancelled = _perform(context, db, Cancel(ids, study)).cancelled
    _report(context, f"cancelled {_trials(len(cancelled))}", cancelled, as_json=as_json)


def retry(
    ctx: typer.Context,
    trials: Trials = None,
    everything: Annotated[bool, typer.Option("--all", help="Every failed trial.")] = False,
    as_json: Json = False,
) -> None:
    """Queue failed and cancelled trials again; the worker, or the next innate run, takes them."""
    from storage import queries
    from storage.changes import Retry

    if bool(trials) == everything:
        raise BadInput("retry: name trials, or --all (and not both)")
    context = context_of(ctx)
    db = context.writing()
    ids = sorted(queries.failed_trials(db)) if everything else _ids(db, trials or [])
    queued = _perform(context, db, Retry(tuple(ids))).queued
    _report(context, f"queued {_trials(len(queued))} again", queued, as_json=as_json)


def priority(
    ctx: typer.Context,
    trials: Annotated[list[str], typer.Argument(help="Ids, then the priority.", metavar="TRIAL... N")],
    as_json: Json = False,
) -> None:
    """Run trials before those of lower priority; 0 unless set, higher first, negative last."""
    from storage.changes import Prioritise

    *names, number = trials
    try:
        value = int(number)
    except ValueError:
        raise BadInput(
            f"priority: the last word is a whole number, not {number!r}: innate priority TRIAL... N"
        ) from None
    if not names:
        raise BadInput("priority: name at least one trial before the number")
    if abs(value) > 10**9:
        raise BadInput(f"priority: {value} is beyond ±1,000,000,000")
    context = context_of(ctx)
    db = context.writing()
    ids = _ids(db, names)
    queued = _perform(context, db, Prioritise(tuple(ids), value)).queued
    if as_json:
        emit_json("priority", [{"trial_id": trial, "priority": value} for trial in ids])
    context.say(f"priority {value} for {_trials(len(ids))}, {queued} of them queued")


def gc(
    ctx: typer.Context,
    retention: Annotated[
        str | None,
        typer.Option(help="From now on keep all checkpoints, the last (the weights), or none once all is evaluated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove checkpoints that the retention setting lets go, and whatever nothing refers to."""
    from storage.changes import Sweep
    from storage.worker_state import RETENTIONS

    if retention is not None and retention not in RETENTIONS:
        raise BadInput(f"--retention {retention}: not one of {', '.join(RETENTIONS)}")
    context = context_of(ctx)
    done = _perform(context, context.writing(), Sweep(retention, dry_run))
    if as_json:
        emit_json("gc", [{**asdict(done), "dry_run": dry_run}])
    verb = "would remove" if dry_run else "removed"
    models = f", the weights of {done.weights} models" if done.weights else ""
    context.say(
        f"{verb} {len(done.removed)} files and folders, {done.bytes / 2**20:.1f} MiB{models} "
        f"(retention: {done.retention})"
    )


def _names(rows: Sequence[UnfinishedTrial]) -> Names:
    """(study, trial id) → what differs within its study, and the study where there are several."""
    from storage.tuning import study_of

    several = len({study_of(row.study) for row in rows}) > 1
    return {(row.study, row.trial_id): f"{study_of(row.study)}: {row.label}" if several else row.label for row in rows}


Names = dict[tuple[str, str], str]


def _running(rows: Sequence[UnfinishedTrial], names: Names) -> str:
    from app.report.progress import phase_figures, phase_name
    from app.worker.narration import in_words

    lines = []
    for row in rows:
        now = row.running
        phase = f"{'STALLED in ' if row.stalled else ''}{phase_name(None if now is None else now.phase)}"
        told = [phase]
        if now is not None:
            far = "" if now.share is None else f"{now.share:.0%}"
            if now.seconds_left is not None:
                far += f", {in_words(now.seconds_left)} left"
            told = [
                now.device,
                f"{phase} ({far})" if far else phase,
                phase_figures(now.phase),
                "" if now.rate is None else f"{now.rate:,.0f} images/s",
                "" if now.memory is None else f"{now.memory / 2**20:,.0f} MiB",
            ]
        lines.append(f"{short_id(row.trial_id)}  {names[row.study, row.trial_id]}")
        lines.append(f"  {', '.join(part for part in told if part)}")
        if row.learns_nothing:
            lines.append(f"  LEARNS NOTHING: its accuracy is that of guessing; innate cancel {short_id(row.trial_id)}")
    return "\n".join(lines)


def _queued(rows: Sequence[UnfinishedTrial], names: Names) -> str:
    ranked = any(row.priority for row in rows)
    what = _short_of(rows, names, len("priority") + 2 if ranked else 0)
    lines = [
        [short_id(row.trial_id), name, *([str(row.priority)] if ranked else []), row.waits_for or ""]
        for row, name in zip(rows, what, strict=True)
    ]
    return table(["trial", "what", *(["priority"] if ranked else []), "waits because"], lines)


def _failed(rows: Sequence[UnfinishedTrial], names: Names) -> str:
    what = _short_of(rows, names, 0)
    lines = [[short_id(row.trial_id), name, row.reason or ""] for row, name in zip(rows, what, strict=True)]
    return table(["trial", "what", "reason (innate show TRIAL has more)"], lines)


def _short_of(rows: Sequence[UnfinishedTrial], names: Names, between: int) -> list[str]:
    """The names, as long as a reason behind them has room; `between` characters stand between the two."""
    room = width() - len(short_id("0" * 64)) - 4 - between - _REASON
    return distinct([names[row.study, row.trial_id] for row in rows], room)


def _in_words(reached: Stages) -> str:
    """Both stages, or the one that there is."""
    trials = {**reached.trials, "failed": reached.failed, "to come": reached.to_come}
    told = _counted(trials) or "no trials"
    return f"tuning: {_counted(reached.tuning)}; then: {told}" if reached.tuning else told


def _tuning(db: Database, study: str | None) -> list[str]:
    """How far each study is that still chooses learning rates."""
    from storage import queue, tuning

    lines = []
    for name in filter(tuning.is_companion, queue.unfinished_by_study(db, study)):
        reached = tuning.stages(db, tuning.study_of(name))
        done, of = reached.tuned
        lines.append(
            f"{tuning.study_of(name)}: tuning, {done:,} of {of:,} candidates done; {reached.to_come:,} trials to come"
        )
    return lines


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items()) if count)


def _ids(db: Database, prefixes: list[str]) -> list[str]:
    from storage.queries import find_trial

    return list(dict.fromkeys(find_trial(db, prefix) for prefix in prefixes))


def _perform(context: Context, db: Database, change: Change[Answer]) -> Answer:
    from app.worker.changes import perform

    return perform(db, context.home, change)


def _report(context: Context, what: str, trials: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        emit_json("trials", [{"trial_id": trial} for trial in trials])
    context.say(what)


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"
