"""`import`: weights that were trained elsewhere, as a trial."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.context import complete_study, context_of
from app.cli.output import emit_rows
from app.cli.worker import Crafting, Device, Fraction, Slots, Threads, check_crafting
from app.context import Context
from app.report.text import percent
from core.errors import BadInput, ExitCode, InnateError, NotFound, Unavailable
from core.names import short_id

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.events import Imported
    from core.executors.protocol import Executor
    from core.jobs.orders import ImportJob
    from core.records import Choice, TrialSpec


def register(app: typer.Typer) -> None:
    app.command(
        "import",
        epilog="Examples: innate import net.pt --architecture resnet18 --dataset cifar10; "
        "innate import mlp.pt --architecture mlp --dataset digits --set 'hidden=[64,64]' --set batch_norm=true",
    )(import_)


def import_(
    ctx: typer.Context,
    weights: Annotated[Path, typer.Argument(help="A torch file with a state_dict.", metavar="WEIGHTS")],
    architecture: Annotated[
        str, typer.Option(help="See innate architectures.", autocompletion=lambda: _architectures())
    ],
    dataset: Annotated[str, typer.Option(help="A data set's name, folder:PATH or npz:PATH.")],
    activation: Annotated[str, typer.Option(help="See innate activations.")] = "relu",
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="An option of the architecture, such as batch_norm=true, or of the activation: activation.alpha=0.5; "
            "repeatable.",
        ),
    ] = None,
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            help="Into this study, under its attacks; imported-DATASET if not given.",
            autocompletion=complete_study,
        ),
    ] = None,
    label: Annotated[str | None, typer.Option(help="What to call it; the file's name if not given.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63 - 1, help="The seed it was trained with, if known.")
    ] = None,
    slots: Slots = None,
    device: Device = None,
    threads: Threads = None,
    memory_fraction: Fraction = None,
    crafting: Crafting = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Take weights that were trained elsewhere in as a trial. They are checked first, on the data set's own images; images
    are given in [0, 1], normalised as the architecture's option `normalise` says. Never trained here, only attacked."""
    from app.cli.run import work_on
    from app.worker import changes
    from app.worker.conditions import refuse_full_disk
    from app.worker.devices import resolve_slots
    from core import datasets
    from core.datasets import parse_source
    from core.jobs.orders import ImportJob
    from core.models import architectures
    from core.records import TrialSpec
    from storage import imports, queue
    from storage.changes import Arrival, Import
    from storage.home import file_system_of, refuse_network

    context = context_of(ctx)
    if context.read_only:
        raise BadInput("--db opens a database to read only; import writes: use --home DIR")
    if not weights.exists():
        raise NotFound(f"{weights}: there is no such file")
    check_crafting(crafting)
    resolved = resolve_slots(device or (), slots, threads, memory_fraction)
    structure, function = _choices(architecture, activation, sets or [])
    source = parse_source(dataset, Path.cwd())
    root = context.home.data_root
    datasets.fetch(source, root, context.say)
    info = imports.study_to_join(context.reading(hint=False), context.home, source, study, root).info
    architectures.check(structure, info.shape, "--architecture")
    refuse_network(context.home.root, file_system_of)
    unknown = TrialSpec(info.identity, None, structure, function, None, None, None, 0)
    staged = context.home.incoming / uuid.uuid4().hex
    job = ImportJob(weights.resolve(), unknown, source, root, context.home.cache, staged)
    try:
        found = _checked(job)
        for note in found.notes:
            context.say(f"{weights}: {note}")
        db = context.writing()
        refuse_full_disk(context.home)
        arrival = Arrival(
            found.trial,
            found.weights.relative_to(context.home.root),
            found.final_digest,
            found.environment,
            job.weights,
            label,
            seed,
        )
        named = dataset if source.path is None else f"{source.kind}:{source.path}"
        admitted = changes.perform(db, context.home, Import(named, root, study, arrival))
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    trial, joined = admitted.trial_id, admitted.study
    context.say(
        f"{short_id(trial)}: these weights were imported before; they are the same trial"
        if admitted.known
        else f"{short_id(trial)}: imported into the study {joined}"
    )
    counts = queue.remaining(db, joined)
    if counts.get("queued", 0) + counts.get("running", 0) > 1:
        context.say(
            f"other trials of {joined} wait too: innate worker start works on all of them, and then on this one"
        )
    elif not work_on(context, db, joined, resolved, crafting):
        context.say("stopped; the same command goes on")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    _tell(context, db, joined, found.trial, as_json=as_json)


def _choices(architecture: str, activation: str, sets: list[str]) -> tuple[Choice, Choice]:
    """Both with every option resolved; raises BadInput for unknown names and options."""
    from core.models.activations import ACTIVATIONS
    from core.models.architectures import ARCHITECTURES
    from core.records import Choice
    from core.registry import resolve_options
    from core.study.resolve import apply_overrides

    entry = ARCHITECTURES.find(architecture, "--architecture")
    function = ACTIVATIONS.find(activation, "--activation")
    options: dict[str, Any] = apply_overrides({}, sets)
    of_activation = options.pop("activation", {})
    if not isinstance(of_activation, dict):
        raise BadInput(f"--set activation={of_activation}: name it with --activation; its options are activation.KEY")
    return (
        Choice(entry.name, resolve_options(entry, options, "architecture")),
        Choice(function.name, resolve_options(function, of_activation, "activation")),
    )


def _checked(job: ImportJob) -> Imported:
    """What a child makes of the file; raises BadInput with its reason, Unavailable if the child cannot do its work.

    A home that does not exist yet is not made for a file that may be of no use, so the child's log lies elsewhere; it stays
    where it can say what went wrong.
    """
    from core.executors.process import ProcessExecutor
    from core.executors.protocol import Slot

    folder = Path(tempfile.mkdtemp(prefix="innate-"))
    executor = ProcessExecutor([Slot("cpu", 1)], folder / "children.log")
    keep = False
    try:
        executor.submit("import", job)
        return _answer(executor, job)
    except Unavailable:
        keep = True
        raise
    finally:
        executor.close()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def _answer(executor: Executor, job: ImportJob) -> Imported:
    from core.events import Crashed, Finished, Imported, TrialFailed

    found: list[Imported] = []
    while True:
        for _, event in executor.poll(0.2):
            match event:
                case Imported():
                    found.append(event)
                case TrialFailed(reason, traceback):
                    raise InnateError(reason) if traceback else BadInput(reason)
                case Crashed(reason):
                    raise Unavailable(f"{job.weights}: {reason}; nothing was imported")
                case Finished():
                    return found[0]


def _tell(context: Context, db: Database, study: str, trial: TrialSpec, *, as_json: bool) -> None:
    """The trial's row; the exit code says whether it could be evaluated."""
    from storage import queries

    (row,) = (row for row in queries.trials(db, study) if row.trial_id == trial.id)
    if as_json:
        emit_rows("trials", [row])
    else:
        verdict = f", trust {row.trust}" if row.trust else ""
        typer.echo(
            f"{short_id(trial.id)}  {row.architecture} {row.activation} on {row.dataset}: {row.state}, "
            f"clean {percent(row.clean_accuracy)} %{verdict}"
        )
    if row.state == "failed":
        context.say(f"{short_id(trial.id)}: {row.reason}")
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))
    context.say(f"next: innate attack {short_id(trial.id)} --attack pgd --eps 0.1")


def _architectures() -> list[str]:
    from core.models.architectures import ARCHITECTURES

    return list(ARCHITECTURES)
