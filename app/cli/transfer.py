"""`transfer`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import chosen_study, context_of
from app.cli.output import emit_file, emit_json, width
from app.cli.results import BY, Study, one_of, pairs
from app.cli.worker import Crafting, Threads, check_crafting, slots_asked
from app.context import Context
from core.errors import ExitCode, NotFound
from core.names import short_id

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.report.transfer_matrix import Matrix
    from app.worker.transfer_plan import TransferPlan
    from core.jobs.orders import TransferJob
    from storage.reading import Options
    from storage.rows import TransferResult

FORMATS = ("table", "json", "csv")


def register(app: typer.Typer) -> None:
    app.command(
        "transfer",
        epilog="Examples: innate transfer; innate transfer --attack mi-fgsm --eps 8/255; innate transfer --by optimizer",
    )(transfer)


def transfer(
    ctx: typer.Context,
    study: Study = None,
    attack: Annotated[
        str | None, typer.Option(help="pgd, mi-fgsm, bim, fgsm or noise; the study's if not given.")
    ] = None,
    eps: Annotated[str | None, typer.Option(help="One radius; the study's score ε if not given.")] = None,
    norm: Annotated[str | None, typer.Option(help="linf or l2; the study's score norm if not given.")] = None,
    sets: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="An option, such as steps=100; repeatable.")
    ] = None,
    where: Annotated[list[str] | None, typer.Option(help="Only these, such as optimizer=adam; repeatable.")] = None,
    limit: Annotated[int | None, typer.Option(min=2, help="At most so many models.")] = None,
    samples: Annotated[int | None, typer.Option(min=2, help="Only the first so many test images.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = None,
    threads: Threads = None,
    crafting: Crafting = "auto",
    by: Annotated[str | None, typer.Option(help=f"Average over all but one factor: {', '.join(BY)}.")] = None,
    form: Annotated[str, typer.Option("--format", help=", ".join(FORMATS) + ".")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Try the adversarial images of each trained model on the others, as a matrix. What was tried before is kept, so
    after Ctrl-C the same command goes on."""
    from app.worker.transfer_plan import Wish, plan_transfer, refuse_too_few, results, transfer_job
    from core.study.resolve import apply_overrides

    form = "json" if as_json else form
    one_of(form, FORMATS, "--format")
    if by is not None:
        one_of(by, BY, "--by")
    check_crafting(crafting)
    context = context_of(ctx)
    db = context.writing()
    name = chosen_study(db, study)
    if name is None:
        raise NotFound("transfer: there is no study yet; start with: innate run quick")
    (slot,) = slots_asked(context, 1, [device] if device else None, threads)
    options = apply_overrides({}, sets or ())
    plan = plan_transfer(db, context.home, Wish(name, attack, eps, norm, options, pairs(where or ()), limit, samples))
    _say_left_out(context, plan)
    refuse_too_few(plan)
    left_out: dict[str, str] = {}
    if plan.wanted:
        job = transfer_job(db, context.home, plan, slot, crafting, context.say)
        finished, left_out = _work(context, db, job, plan)
        if not finished:
            raise typer.Exit(int(ExitCode.INTERRUPTED))
    _show(plan, results(db, plan), by, form, left_out)
    if left_out:
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))


def _say_left_out(context: Context, plan: TransferPlan) -> None:
    """Which trials have no weights to use."""
    study = plan.wish.study
    if plan.untrained:
        are = "s are" if plan.untrained > 1 else " is"
        context.say(f"{study}: {plan.untrained} trial{are} not trained and left out")
    if plan.gone:
        context.say(f"{study}: left out, their weights are no longer on disk: {', '.join(map(short_id, plan.gone))}")


def _show(
    plan: TransferPlan, rows: Sequence[TransferResult], by: str | None, form: str, left_out: Collection[str]
) -> None:
    """The matrix as `form`; in the table without the models that could not be used."""
    from app.report import transfer_matrix
    from app.report.study_charts import SIGNS
    from storage.reading import as_json

    if form != "table":
        levels = _by_rows(transfer_matrix.by_factor(plan.trials, rows, by)) if by else None
        _emit(form, [as_json(row) for row in rows] if levels is None else levels)
        return
    kept = [trial for trial in plan.trials if trial.trial_id not in left_out]
    matrix = transfer_matrix.by_factor(kept, rows, by) if by else transfer_matrix.of_trials(kept, rows)
    typer.echo(transfer_matrix.drawn(transfer_matrix.title(plan.wish.study, rows), matrix, SIGNS, width()))


def _by_rows(matrix: Matrix) -> list[Options]:
    return [
        {
            f"source_{matrix.by}": matrix.names[source],
            f"target_{matrix.by}": matrix.names[target],
            "transfer_rate": None if value is None else value / 100.0,
            "n": (matrix.pairs or {})[source, target],
        }
        for (source, target), value in sorted(matrix.values.items())
    ]


def _emit(form: str, rows: Sequence[Options]) -> None:
    if form == "json":
        emit_json("transfer", rows)
        return
    import csv
    import io

    stream = io.StringIO()
    if rows:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    emit_file(stream.getvalue())


def _work(context: Context, db: Database, job: TransferJob, plan: TransferPlan) -> tuple[bool, dict[str, str]]:
    """Carry it out with a bar in a terminal: whether it came to its end, and the models left out."""
    from app.cli.progress import one_bar
    from app.report.variants import trial_labels
    from app.worker import transfers
    from app.worker.foreground import StopSignals
    from core.events import TransferProgress

    names = trial_labels(plan.trials)
    cells = sum(len(targets) for targets in job.wanted.values())
    attack = job.attack
    steps = f", {attack.params['steps']} steps" if "steps" in attack.params else ""
    context.say(
        f"{attack.name} {attack.norm} ε = {attack.eps[0]:g}{steps}: {len(job.wanted)} of {len(names)} models have yet to "
        f"craft, for {cells} of {len(names) ** 2} pairs"
    )
    with (
        one_bar(colour=context.colour, quiet=context.quiet) as advance,
        StopSignals().installed() as stop,
    ):

        def shown(event: TransferProgress) -> None:
            advance(event.share, names[event.source_id])

        outcome = transfers.carry_out(db, context.home, job, plan.digests, stop, shown)
    for trial_id, reason in outcome.left_out.items():
        context.say(f"left out: {names[trial_id]} ({short_id(trial_id)}): {reason}")
    for note in outcome.notes:
        context.say(note)
    if not outcome.finished:
        context.say(f"stopped; {outcome.rows} of {len(job.wanted)} rows are kept, the same command goes on")
    return outcome.finished, outcome.left_out
