"""`reproduce`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import context_of
from app.cli.output import emit_json, width
from app.cli.worker import Json, slots_asked
from core.errors import ExitCode
from core.names import short_id

if TYPE_CHECKING:
    from app.context import Context
    from app.worker.reproduction import Original, Rerun
    from core.executors.protocol import Slot


def register(app: typer.Typer) -> None:
    app.command(
        "reproduce", epilog="Examples: innate reproduce 1f00ba4d; innate --db study.db reproduce 1f00ba4d --json"
    )(reproduce)


def reproduce(
    ctx: typer.Context,
    trial: Annotated[str, typer.Argument(help="An id, or the beginning of one.")],
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, cuda:N or mps; the kind it was trained on if not given.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, max=1024, help="CPU threads; as many as it was trained with if not given.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a trial again, and say whether it is bit-identical, within tolerance, or different, and why. Nothing stored changes;
    exit code 1 if it is different."""
    from app.report.labels import Made, trial_label
    from app.report.reproduction import as_row, compare, page
    from app.worker.reproduction import original
    from storage import queries
    from storage.studies import document

    context = context_of(ctx)
    db = context.reading()
    before = original(db, context.database.parent / "checkpoints", queries.find_trial(db, trial))
    (slot,) = slots_asked(context, 1, [device or before.device], threads or before.threads)
    label = trial_label(Made.of_spec(before.trial), document(db, before.study))
    again = _train(context, before, slot, label)
    if not again.finished:
        context.say("stopped; nothing was kept")
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    for note in again.notes:
        context.say(note)
    found = compare(before, again)
    if as_json:
        emit_json("reproduce", [as_row(found)])
    else:
        typer.echo(page(found, f"{before.study}: {label}", width()))
    if found.verdict == "different":
        raise typer.Exit(int(ExitCode.TRIAL_FAILED))


def _train(context: Context, before: Original, slot: Slot, label: str) -> Rerun:
    """With a bar in a terminal; epochs as lines where they are asked for."""
    from app.cli.progress import one_bar
    from app.worker.foreground import StopSignals
    from app.worker.reproduction import train_again
    from core.events import EpochFinished, Event, TrainingProgress

    threads = f"{slot.threads} thread{'' if slot.threads == 1 else 's'}"
    context.say(f"training {short_id(before.trial.id)} ({label}) again on {slot.device}, {threads}")
    with (
        one_bar(colour=context.colour, quiet=context.quiet) as advance,
        StopSignals().installed() as stop,
    ):

        def told(event: Event) -> None:
            match event:
                case TrainingProgress():
                    share = (event.epoch - 1 + event.batch / event.batches) / event.epochs
                    advance(share, f"epoch {event.epoch} of {event.epochs}")
                case EpochFinished(record) if context.verbose:
                    context.say(f"epoch {record.epoch}: loss {record.loss:.6g}, accuracy {100 * record.accuracy:.1f} %")

        return train_again(before, context.home, slot, stop, told, context.say)
