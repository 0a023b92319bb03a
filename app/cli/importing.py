"""`import`: weights that were trained elsewhere, as a trial."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import complete_study, context_of
from app.cli.output import emit_document
from app.cli.worker import Crafting, Device, Fraction, Lanes, Slots, Threads, check_crafting, slots_asked
from app.context import Context
from app.report.text import percent
from core.errors import BadInput, ExitCode, NotFound
from core.names import short_id
from core.paths import given
from core.registry import parse_number

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from sqlite_utils import Database

    from core.records.choice import Choice


def register(app: typer.Typer) -> None:
    app.command(
        "import",
        epilog="Examples: innate import net.pt --architecture resnet18 --dataset cifar10 --mean 0.4914,0.4822,0.4465 "
        "--deviation 0.247,0.2435,0.2616 --expect-clean 0.953; "
        "innate import mlp.pt --architecture mlp --dataset digits --set batch_norm=true --set norm=before; "
        "innate import checkpoint.pt --key ema --architecture lenet5 --dataset mnist --set normalise=false",
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
    key: Annotated[
        str | None,
        typer.Option(
            help="Of several state_dicts in the file, the one to take, such as ema; dots between keys within keys."
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            metavar="NUMBERS", help="Subtracted from pixels in [0, 1]: one number, or one per channel: 0.49,0.48,0.45."
        ),
    ] = None,
    deviation: Annotated[
        str | None,
        typer.Option(metavar="NUMBERS", help="What they are divided by then: one number, or one per channel."),
    ] = None,
    expect_clean: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="The accuracy on the test half that they are known to have, such as 0.942: refused if it is another, by more "
            "than 3 standard errors, or half a point if that is more.",
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
    lanes: Lanes = None,
    crafting: Crafting = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Take weights that were trained elsewhere in as a trial. They are checked first, on the data set's own images; images
    are given in [0, 1], normalised as --mean and --deviation or the architecture's option `normalise` say. The same tensors can
    be several functions: what the file does not prove is asked for, and a guess is a reason of trust. Never trained here, only
    attacked."""
    from app.cli.run import work_on
    from app.worker.importing import Foreign, take_in
    from core.jobs.orders import Stated
    from storage import queue

    context = context_of(ctx)
    if context.read_only:
        raise BadInput("--db opens a database to read only; import writes: use --home DIR")
    given(weights, "WEIGHTS")
    if not weights.exists():
        raise NotFound(f"{weights}: there is no such file")
    check_crafting(crafting)
    resolved = slots_asked(context, slots, device, threads, memory_fraction, lanes)
    chosen, function, stated_options = _choices(architecture, activation, sets or [])
    stated = Stated(
        key=key,
        norm=chosen.options.get("norm", stated_options.get("norm")),
        normalise_stated="normalise" in stated_options,
        mean=None if mean is None else _numbers("--mean", mean),
        deviation=None if deviation is None else _numbers("--deviation", deviation, above_zero=True),
        expect_clean=None if expect_clean is None else _share("--expect-clean", expect_clean),
    )
    foreign = Foreign(weights, chosen, function, dataset, Path(), study, label, seed, stated)
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


def _choices(architecture: str, activation: str, sets: list[str]) -> tuple[Choice, Choice, Mapping[str, Any]]:
    """Both with every option resolved, and the architecture's as they were given; raises BadInput for unknown names and
    options."""
    from core.models.activations import ACTIVATIONS
    from core.models.architectures import ARCHITECTURES
    from core.models.architectures import resolve as resolve_architecture
    from core.records.choice import Choice
    from core.registry import resolve_options
    from core.study.resolve import apply_overrides

    ARCHITECTURES.find(architecture, "--architecture")
    function = ACTIVATIONS.find(activation, "--activation")
    options = apply_overrides({}, sets)
    of_activation = options.pop("activation", {})
    if not isinstance(of_activation, dict):
        raise BadInput(f"--set activation={of_activation}: name it with --activation; its options are activation.KEY")
    return (
        resolve_architecture(architecture, options, "architecture"),
        Choice(function.name, resolve_options(function, of_activation, "activation")),
        options,
    )


def _numbers(option: str, text: str, *, above_zero: bool = False) -> tuple[float, ...]:
    """Numbers between commas, for pixels in [0, 1]."""
    numbers = tuple(parse_number(part, option) for part in text.split(","))
    for number in numbers:
        if above_zero and number <= 0:
            raise BadInput(f"{option} {text}: pixels are divided by it, so it must be above 0")
        if number > 1.5:
            raise BadInput(f"{option} {text}: is for pixels in [0, 1], not for those in [0, 255]; divide it by 255")
    return numbers


def _share(option: str, text: str) -> float:
    number = parse_number(text, option)
    if not 0 < number <= 1:
        better = f"{number / 100:g}" if 1 < number <= 100 else "0.942"
        raise BadInput(f"{option} {text}: is a share above 0 and at most 1, not a percentage; write {better}")
    return number


def _tell(context: Context, db: Database, study: str, trial_id: str, *, as_json: bool) -> None:
    """The trial's row; the exit code says whether it could be evaluated."""
    from storage import queries, reading
    from storage.import_records import import_record

    (row,) = (row for row in queries.trials(db, study) if row.trial_id == trial_id)
    if as_json:
        record = import_record(db, trial_id)
        emit_document(
            {"trials": [reading.as_json(row)], "imports": [] if record is None else [reading.as_json(record)]}
        )
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
