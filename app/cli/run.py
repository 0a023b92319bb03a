"""`run`, `plan`: what makes trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.cluster import Address, ExecutorName, GpuShare, cluster_asked, joined
from app.cli.context import complete_preset, context_of
from app.cli.output import emit_json, emit_rows
from app.cli.worker import (
    Crafting,
    Device,
    Fraction,
    Lanes,
    Slots,
    Threads,
    begin,
    check_crafting,
    slots_asked,
)
from app.context import Context
from core.errors import BadInput, ExitCode, Unavailable

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.worker.cluster import Cluster
    from app.worker.timing import Timings, Wanted
    from core.executors.protocol import Slot
    from core.records.study import Plan
    from storage.submitting import Submission

Spec = Annotated[
    str,
    typer.Argument(
        help="A preset, a study file, or - for stdin, whose paths start here.",
        autocompletion=complete_preset,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Set a key, such as training.epochs=1; repeatable."),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--share", metavar="I/N", help="Only the I-th of N shares, one for each machine; merge brings them together."
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Yes, more than 10,000 trials.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]


def register(app: typer.Typer) -> None:
    app.command(
        "run", epilog="Examples: innate run quick; innate run study.toml --set training.epochs=1 --set test_samples=50"
    )(run)
    app.command("plan", epilog="Examples: innate plan paper-mnist --set seeds=1; innate plan study.toml --measure")(
        plan
    )


def run(
    ctx: typer.Context,
    spec: Spec,
    sets: Set = None,
    slots: Slots = None,
    device: Device = None,
    threads: Threads = None,
    memory_fraction: Fraction = None,
    lanes: Lanes = None,
    crafting: Crafting = "auto",
    executor: ExecutorName = "process",
    address: Address = None,
    gpu_share: GpuShare = None,
    detach: Annotated[
        bool,
        typer.Option(
            "--detach",
            "-d",
            help="Queue it, make sure a worker runs if there is something to do, and leave: innate wait, status.",
        ),
    ] = False,
    share: Part = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Train and attack what is missing of a study, then print the leaderboard and a chart. Ctrl-C stops, the same
    command resumes."""
    from app.report.portrait import other_content_warning
    from app.worker import foreground
    from app.worker.conditions import refuse_full_disk, refuse_precision
    from core import datasets
    from core.study.plan import examine
    from core.study.resolve import load_study, refuse_large_grid
    from core.study.share import parse_share
    from storage import content, tuning

    context = context_of(ctx)
    if context.read_only:
        raise BadInput("--db opens a database to read only; run writes: use --home DIR")
    part = None if share is None else parse_share(share)
    study = load_study(spec, sets or ())
    check_crafting(crafting)
    asked = cluster_asked(executor, address, gpu_share, slots, device, threads, memory_fraction, lanes)
    cluster = None if asked is None or detach else joined(context, asked)
    if cluster is not None:
        resolved: Sequence[Slot] = cluster.slots
    elif asked is None:
        resolved = slots_asked(context, slots, device, threads, memory_fraction, lanes)
    else:
        resolved = ()
    if resolved:
        refuse_precision(study, resolved)
    # Nothing is written to the home before the study is known to fit its data; the owner of the home plans it.
    refuse_large_grid(study, large=yes)
    datasets.fetch(study.source, context.home.data_root, context.say, context.home.cache)
    met = content.met(context.reading(hint=False))
    info = examine(study, context.home.data_root, context.home.cache, large=yes, met=met, report=context.say)
    if info.other_content:
        context.say(other_content_warning(info))
    for note in info.notes:
        context.say(f"{info.source.name}: {note}")
    db = context.writing()
    refuse_full_disk(context.home)
    submission = foreground.submit(db, context.home, study, part)
    _announce(context, submission)
    if part is not None:
        context.say(
            f"share {part.number} of {part.of}: the other trials of {study.name} are left to other machines; innate merge "
            "brings them together"
        )
    if detach:
        if tuning.stages(db, study.name).open:
            try:
                begin(context, resolved, crafting, succeed=True, cluster=asked)
            except Unavailable as error:
                raise Unavailable(f"{study.name} is queued, but {error}") from None
            context.say("queued; innate status shows it, innate wait waits for it, innate results has what is done")
        else:
            context.say("nothing is left to do, so no worker is started; innate results has what is done")
        if as_json:
            emit_json("run", [submission.as_json()])
        return
    finished = work_on(context, db, study.name, resolved, crafting, cluster)
    _close(context, db, study.name, finished=finished, as_json=as_json)


def plan(
    ctx: typer.Context,
    spec: Spec,
    sets: Set = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Time a few batches of what was never run here, about a minute at most."),
    ] = False,
    device: Device = None,
    threads: Threads = None,
    share: Part = None,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Show a study's grid before it runs: what is new, done, failed; what is tuned by; how long it may take."""
    from app.report.forecast import NOTHING, forecast, measured_on, wanted
    from app.report.plan_page import plan_page, time_text
    from core import datasets
    from core.study.plan import make_plan
    from core.study.resolve import load_study
    from core.study.share import only, parse_share
    from storage import content
    from storage.submitting import preview

    context = context_of(ctx)
    home = context.home
    if (device or threads) and not measure:
        raise BadInput("--device and --threads say where --measure is to measure; add --measure")
    part = None if share is None else parse_share(share)
    study = load_study(spec, sets or ())
    fault = datasets.damaged(study.source, home.data_root, home.cache)
    if fault is not None:
        raise BadInput(fault)
    met = content.met(context.reading(hint=False))
    planned = make_plan(study, home.data_root, home.cache, large=yes, met=met, report=context.say)
    db = context.reading(hint=False)
    portrait = datasets.portray(planned.info, home.data_root, home.cache)
    submission = preview(db, planned, part)
    if part is not None:
        planned = only(planned, part)
    lacking = wanted(db, planned, submission)
    timed = _measured(context, planned, lacking, device, threads) if measure else NOTHING
    seconds = forecast(db, planned, submission, timed)
    measured = bool(lacking) and seconds is not None
    if as_json:
        row = {
            **submission.as_json(),
            "forecast_seconds": seconds,
            "forecast_measured_on": measured_on(lacking, timed) if measured else [],
            "dataset": planned.info.source.name,
            "dataset_identity": planned.info.identity,
            "data": None if portrait is None else portrait.as_json(),
            "notes": list(planned.info.notes),
        }
        emit_json("plan", [row])
        return
    typer.echo(plan_page(planned, portrait, submission, time_text(submission, seconds, lacking, timed)))


def _measured(
    context: Context, planned: Plan, lacking: Wanted, device: list[str] | None, threads: int | None
) -> Timings:
    """Of what is lacking; raises BadInput where nothing can be measured."""
    from app.cli.progress import one_bar
    from app.report.forecast import NOTHING
    from app.worker import timing
    from app.worker.conditions import refuse_precision
    from app.worker.foreground import StopSignals

    if not lacking:
        context.say("--measure: how fast such trials go is known here, so nothing is measured")
        return NOTHING
    timing.refuse_absent(planned, context.home)
    slots = slots_asked(context, None, device, threads)
    refuse_precision(planned.study, slots)
    context.say(f"measuring {len(lacking)} trainings and attacks on {slots[0].device}, a few batches each …")
    with one_bar(colour=context.colour, quiet=context.quiet) as advance, StopSignals().installed() as stop:
        found = timing.measure(
            context.home, planned, lacking, slots, stop, lambda done: advance(done / len(lacking), "measuring")
        )
    if found is None:
        context.say("stopped; nothing is kept")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    return found


def work_on(
    context: Context, db: Database, name: str, slots: Any, crafting: str, cluster: Cluster | None = None
) -> bool:
    """Work on the stored study and its tuning, or follow them, with the display; False if stopped before the end."""
    from app.cli.progress import Progress, console_for_stderr
    from app.worker import foreground
    from storage import tuning
    from storage.studies import stored_study, stored_trials

    console = console_for_stderr(colour=context.colour)
    with foreground.StopSignals().installed() as stop:
        progress = Progress(
            stored_study(db, name),
            lambda: [*stored_trials(db, name), *stored_trials(db, tuning.companion(name))],
            lambda: tuning.stages(db, name),
            console,
            stop,
            quiet=context.quiet,
            verbose=context.verbose,
        )
        try:
            return foreground.work_on(db, context.home, name, slots, progress, stop, crafting, cluster)
        finally:
            progress.close()
            if cluster is not None:
                cluster.close()


def _close(context: Context, db: Database, study: str, *, finished: bool, as_json: bool) -> None:
    """The leaderboard and a chart; the exit code says whether all went well."""
    from app.cli.results import after_run
    from storage import queries, tuning

    if not finished:
        context.say(f"stopped; the same command goes on with {study}")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    if as_json:
        emit_rows("results", queries.leaderboard(db, study))
    else:
        typer.echo(after_run(db, context, study))
    reached = tuning.stages(db, study)
    if reached.to_come:
        waiting = "1 trial waits" if reached.to_come == 1 else f"{reached.to_come} trials wait"
        context.say(f"{waiting} for a learning rate whose candidates were cancelled; the same command trains those")
    if reached.failed:
        context.say(
            f"{reached.failed} trial{'s' if reached.failed > 1 else ''} failed; see innate "
            f"{f'tuning --study {study}' if reached.hopeless else f'trials --study {study} --state failed'}"
        )
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))


def _announce(context: Context, submission: Submission) -> None:
    states = (
        (submission.new, "to train"),
        (submission.trained, "to attack"),
        (submission.done - submission.traits_missing, "done"),
        (submission.traits_missing, "done but to look at"),
        (submission.failed, "failed before"),
    )
    counts = [f"{count} {words}" for count, words in states if count]
    told = f"{submission.trials} trials ({', '.join(counts)})"
    if submission.tuning:
        left = f" ({submission.tuning_missing} to train)" if submission.tuning_missing else ""
        told = f"tuning: {submission.tuning} candidates{left}, then {told}"
    context.say(f"{submission.study}: {told}")
    if submission.leaving:
        from app.report.leaving import leaving_text

        context.say(f"{submission.study}: left by {leaving_text(submission.leaving)}")
