"""`transfer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.context import chosen_study, context_of
from app.cli.output import emit_json, width
from app.cli.results import BY, Study, one_of, pairs
from app.cli.worker import Crafting, Threads, check_crafting
from app.context import Context
from core.errors import BadInput, ExitCode, NotFound
from core.names import short_id

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.report.transfer_matrix import Matrix
    from core import records
    from core.executors.protocol import Slot
    from core.jobs import orders
    from core.records import AttackSpec
    from storage.rows import Options, TrialRow
    from storage.transfers import Weights

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
    from app.report import transfer_matrix
    from app.report.study_charts import SIGNS
    from app.worker.devices import resolve_slots
    from core.jobs.transfer_attack import transfer_attack
    from storage import queries, transfers
    from storage.rows import as_json as plain
    from storage.studies import study_row

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
    stored = _stored(db, name)
    channels, height, breadth = study_row(db, name).shape
    spec = transfer_attack(stored, (channels, height, breadth), attack, norm, eps, _options(sets))
    (slot,) = resolve_slots([device] if device else (), 1, threads)
    weights = transfers.weights_of(db, name)
    trials = _with_weights(context, name, queries.trials(db, name, pairs(where or ())), weights)[:limit]
    if len(trials) < 2:
        found = "one trained model" if trials else "no trained model"
        raise BadInput(
            f"transfer: study {name} has {found} to use{' with this --where' if where else ''}; two are needed"
        )
    ids = [trial.trial_id for trial in trials]
    digest = _digest(context, db, name, stored, samples)
    done = transfers.known(db, spec.id, digest)
    wanted = {one: tuple(other for other in ids if (one, other) not in done) for one in ids}
    wanted = {one: others for one, others in wanted.items() if others}
    finished, left_out = True, dict[str, str]()
    if wanted:
        job = _job(context, db, name, stored, spec, slot, crafting, samples, {one: weights[one] for one in ids}, wanted)
        finished, left_out = _work(context, db, job, trials, {one: weights[one].digest for one in ids})
    if not finished:
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    rows = transfers.rows(db, name, spec.id, digest, ids)
    if form != "table":
        _emit(form, _by_rows(transfer_matrix.by_factor(trials, rows, by)) if by else [plain(row) for row in rows])
    else:
        kept = [trial for trial in trials if trial.trial_id not in left_out]
        matrix = transfer_matrix.by_factor(kept, rows, by) if by else transfer_matrix.of_trials(kept, rows)
        typer.echo(transfer_matrix.drawn(transfer_matrix.title(name, rows), matrix, SIGNS, width()))
    if left_out:
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))


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
    typer.echo(stream.getvalue(), nl=False)


# --- what it takes ---


def _stored(db: Database, name: str) -> records.Study:
    from storage.studies import stored_study

    return stored_study(db, name)


def _options(sets: Sequence[str] | None) -> dict[str, Any]:
    from core.study.resolve import apply_overrides

    return apply_overrides({}, sets or ())


def _with_weights(
    context: Context, study: str, trials: Sequence[TrialRow], weights: Mapping[str, Weights]
) -> list[TrialRow]:
    """The trials whose weights are there; says which others are left out."""
    kept: list[TrialRow] = []
    gone, untrained = [], 0
    for trial in trials:
        known = weights.get(trial.trial_id)
        if known is None:
            untrained += 1
        elif known.path is None or not (context.home.checkpoints / known.path).is_file():
            gone.append(short_id(trial.trial_id))
        else:
            kept.append(trial)
    if untrained:
        context.say(f"{study}: {untrained} trial{'s are' if untrained > 1 else ' is'} not trained and left out")
    if gone:
        context.say(f"{study}: left out, their weights are no longer on disk: {', '.join(gone)}")
    return kept


def _digest(context: Context, db: Database, name: str, stored: records.Study, samples: int | None) -> str:
    """Of the test images to use: the study's, or the first `samples` of them."""
    from core import datasets
    from core.datasets.subsets import samples_digest, stratified
    from storage.studies import data_root, study_row

    row = study_row(db, name)
    if samples is None:
        return row.samples
    root = data_root(db, name) or context.home.data_root
    labels = datasets.test_labels(stored.source, root, context.home.cache)
    indices = stratified(labels, row.test_samples, "test_samples")
    if samples > len(indices):
        raise BadInput(f"--samples {samples}: the study {name} is tested on {len(indices):,} images")
    return samples_digest(indices[:samples])


def _job(
    context: Context,
    db: Database,
    name: str,
    stored: records.Study,
    spec: AttackSpec,
    slot: Slot,
    crafting: str,
    samples: int | None,
    weights: Mapping[str, Weights],
    wanted: Mapping[str, tuple[str, ...]],
) -> orders.TransferJob:
    """The job, once the data set is known to be there and to be what the models were trained on."""
    from core import datasets
    from core.jobs.orders import TrainedTrial, TransferJob
    from storage.studies import data_root, study_row

    row = study_row(db, name)
    root = data_root(db, name) or context.home.data_root
    datasets.fetch(stored.source, root, context.say)
    if datasets.describe(stored.source, root, context.home.cache).identity != row.dataset_identity:
        raise BadInput(f"transfer: the content of {row.dataset} has changed since {name} was run; run it again first")
    checkpoints = context.home.checkpoints
    return TransferJob(
        attack=spec,
        models=tuple(
            TrainedTrial(trial_id, known.trial, checkpoints / known.path)
            for trial_id, known in weights.items()
            if known.path is not None
        ),
        wanted=dict(wanted),
        source=stored.source,
        test_samples=row.test_samples,
        samples=samples,
        data_root=root,
        cache=context.home.cache,
        device=slot.device,
        threads=slot.threads,
        crafting=crafting,
        memory_fraction=slot.memory_fraction,
    )


def _work(
    context: Context,
    db: Database,
    job: orders.TransferJob,
    trials: Sequence[TrialRow],
    digests: Mapping[str, str],
) -> tuple[bool, dict[str, str]]:
    """Carry it out with a bar in a terminal: whether it came to its end, and the models left out."""
    from app.cli.progress import console_for_stderr
    from app.report.variants import trial_labels
    from app.worker import transfers
    from app.worker.foreground import StopSignals
    from core.events import TransferProgress

    names = trial_labels(trials)
    cells = sum(len(targets) for targets in job.wanted.values())
    attack = job.attack
    steps = f", {attack.params['steps']} steps" if "steps" in attack.params else ""
    context.say(
        f"{attack.name} {attack.norm} ε = {attack.eps[0]:g}{steps}: {len(job.wanted)} of {len(names)} models have yet to "
        f"craft, for {cells} of {len(names) ** 2} pairs"
    )
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = console_for_stderr(colour=context.colour)
    columns = (BarColumn(), TaskProgressColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    hidden = context.quiet or not console.is_terminal
    with (
        Progress(*columns, console=console, transient=True, disable=hidden) as bar,
        StopSignals().installed() as stop,
    ):
        task = bar.add_task("loading", total=1.0)

        def shown(event: TransferProgress) -> None:
            bar.update(task, completed=event.share, description=names[event.source_id])

        outcome = transfers.carry_out(db, context.home, job, digests, stop, shown)
    for trial_id, reason in outcome.left_out.items():
        context.say(f"left out: {names[trial_id]} ({short_id(trial_id)}): {reason}")
    for note in outcome.notes:
        context.say(note)
    if not outcome.finished:
        context.say(f"stopped; {outcome.rows} of {len(job.wanted)} rows are kept, the same command goes on")
    return outcome.finished, outcome.left_out
