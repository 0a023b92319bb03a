"""`import`: weights that were trained elsewhere, as a trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import complete_study, context_of
from app.cli.output import emit_rows
from app.cli.worker import Crafting, Device, Fraction, Slots, Threads, check_crafting
from app.context import Context
from app.report.text import percent
from core.errors import BadInput, ExitCode, NotFound
from core.names import short_id

if TYPE_CHECKING:
    from sqlite_utils import Database

    from core.records import Choice


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
    from app.worker.devices import resolve_slots
    from app.worker.importing import Foreign, take_in
    from storage import queue

    context = context_of(ctx)
    if context.read_only:
        raise BadInput("--db opens a database to read only; import writes: use --home DIR")
    if not weights.exists():
        raise NotFound(f"{weights}: there is no such file")
    check_crafting(crafting)
    resolved = resolve_slots(device or (), slots, threads, memory_fraction)
    foreign = Foreign(weights, *_choices(architecture, activation, sets or []), dataset, Path.cwd(), study, label, seed)
    admitted = take_in(context.reading(hint=False), context.writing, context.home, foreign, context.say)
    trial, joined = admitted.trial_id, admitted.study
    context.say(
        f"{short_id(trial)}: these weights were imported before; they are the same trial"
        if admitted.known
        else f"{short_id(trial)}: imported into the study {joined}"
    )
    db = context.writing()
    counts = queue.remaining(db, joined)
    if counts.get("queued", 0) + counts.get("running", 0) > 1:
        context.say(
            f"other trials of {joined} wait too: innate worker start works on all of them, and then on this one"
        )
    elif not work_on(context, db, joined, resolved, crafting):
        context.say("stopped; the same command goes on")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    _tell(context, db, joined, trial, as_json=as_json)


def _choices(architecture: str, activation: str, sets: list[str]) -> tuple[Choice, Choice]:
    """Both with every option resolved; raises BadInput for unknown names and options."""
    from core.models.activations import ACTIVATIONS
    from core.models.architectures import ARCHITECTURES
    from core.records import Choice
    from core.registry import resolve_options
    from core.study.resolve import apply_overrides

    entry = ARCHITECTURES.find(architecture, "--architecture")
    function = ACTIVATIONS.find(activation, "--activation")
    options = apply_overrides({}, sets)
    of_activation = options.pop("activation", {})
    if not isinstance(of_activation, dict):
        raise BadInput(f"--set activation={of_activation}: name it with --activation; its options are activation.KEY")
    return (
        Choice(entry.name, resolve_options(entry, options, "architecture")),
        Choice(function.name, resolve_options(function, of_activation, "activation")),
    )


def _tell(context: Context, db: Database, study: str, trial_id: str, *, as_json: bool) -> None:
    """The trial's row; the exit code says whether it could be evaluated."""
    from storage import queries

    (row,) = (row for row in queries.trials(db, study) if row.trial_id == trial_id)
    if as_json:
        emit_rows("trials", [row])
    else:
        verdict = f", trust {row.trust}" if row.trust else ""
        typer.echo(
            f"{short_id(trial_id)}  {row.architecture} {row.activation} on {row.dataset}: {row.state}, "
            f"clean {percent(row.clean_accuracy)} %{verdict}"
        )
    if row.state == "failed":
        context.say(f"{short_id(trial_id)}: {row.reason}")
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))
    context.say(f"next: innate attack {short_id(trial_id)} --attack pgd --eps 0.1")


def _architectures() -> list[str]:
    from core.models.architectures import ARCHITECTURES

    return list(ARCHITECTURES)
