"""`worker start|status|stop|pause|resume|drain|logs`: the detached worker."""

from __future__ import annotations

import datetime
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from app.cli.cluster import Address, ExecutorName, GpuShare, cluster_asked
from app.cli.context import context_of
from app.cli.output import emit_json
from app.context import Context
from app.worker.log import last_lines
from core.errors import BadInput, NotFound, Unavailable
from core.lanes.alone import MOST_LANES
from core.names import short_id

if TYPE_CHECKING:
    from app.report.status import DeviceLanes, WorkerView
    from app.worker.cluster import Asked
    from core.executors.protocol import Slot
    from storage.changes import Change

Answer = TypeVar("Answer")
Json = Annotated[bool, typer.Option("--json", help="One JSON document.")]
Slots = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1024,
        help="Trials at a time, on all devices (with ray: CPU slots of each machine); one per core if not given.",
    ),
]
Lanes = Annotated[
    int | None, typer.Option(min=1, max=MOST_LANES, help="Trials at a time on each GPU; as many as pay if not given.")
]
Device = Annotated[list[str] | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps; repeatable.")]
Threads = Annotated[int | None, typer.Option(min=1, max=1024, help="CPU threads per slot; 1 keeps digests comparable.")]
Crafting = Annotated[str, typer.Option(help="Precision of attack gradients: auto (fp32), fp32, or tf32 on a GPU.")]
Fraction = Annotated[
    float | None,
    typer.Option("--memory-fraction", help="Share of a GPU's memory that all its trials together may take."),
]

_IDS = 6
"""Short ids in a line of 80 columns."""

group = typer.Typer(
    help="The detached worker: trains and attacks what is queued, whatever becomes of your terminal.",
    epilog="Examples: innate worker start; innate worker status; innate worker logs -f",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="worker", short_help="The detached worker: trains and attacks what is queued.")


@group.command("start", epilog="Examples: innate worker start; innate worker start --device cuda:0 --lanes 8")
def start(
    ctx: typer.Context,
    slots: Slots = None,
    device: Device = None,
    threads: Threads = None,
    memory_fraction: Fraction = None,
    lanes: Lanes = None,
    crafting: Crafting = "auto",
    executor: ExecutorName = "process",
    address: Address = None,
    gpu_share: GpuShare = None,
    as_json: Json = False,
) -> None:
    """Start the worker in the background; returns once it works, or says why not."""
    context = context_of(ctx)
    context.writing().conn.close()
    check_crafting(crafting)
    cluster = cluster_asked(executor, address, gpu_share, slots, device, threads, memory_fraction, lanes)
    if cluster is None:
        begin(context, slots_asked(context, slots, device, threads, memory_fraction, lanes), crafting)
    else:
        begin(context, (), crafting, cluster=cluster)
    _emit(context, as_json)


def slots_asked(
    context: Context,
    slots: int | None,
    device: list[str] | None,
    threads: int | None,
    memory_fraction: float | None = None,
    lanes: int | None = None,
) -> Sequence[Slot]:
    """The slots of these options, once what there is to know of their GPUs has been said. Raises as `resolve_slots`."""
    from app.worker.devices import remarks, resolve_slots

    resolved = resolve_slots(device or (), slots, threads, memory_fraction, lanes=lanes)
    for remark in remarks(device or ()):
        context.say(remark)
    return resolved


def begin(
    context: Context,
    slots: Sequence[Slot],
    crafting: str,
    *,
    succeed: bool = False,
    cluster: Asked | None = None,
) -> None:
    """Make sure that a worker lives, and say which."""
    from app.worker import control, login
    from app.worker.devices import in_words

    started = control.start(context.home, slots, crafting, succeed=succeed, cluster=cluster)
    if started.waits_for is not None:
        context.say(f"an innate run (pid {started.waits_for}) owns this home; the worker takes over when it ends")
    elif started.already:
        context.say(f"a worker is running already (pid {started.pid})")
    else:
        where = in_words(slots) if cluster is None else "on a Ray cluster"
        context.say(f"worker started (pid {started.pid}, {where})")
        warning = login.logout_warning()
        if warning:
            context.say(warning)
    view = _view(context)
    if view.state == "paused":
        context.say(f"the queue is paused ({view.reason}): innate worker resume")


@group.command("status", epilog="Example: innate worker status --json")
def status(ctx: typer.Context, as_json: Json = False) -> None:
    """Whether a worker lives, its heartbeat, devices and slots."""
    context = context_of(ctx)
    if as_json:
        _emit(context, as_json)
        return
    for line in describe(_view(context)):
        typer.echo(line)


@group.command("stop", epilog="Examples: innate worker stop; innate worker stop --now")
def stop(
    ctx: typer.Context,
    now: Annotated[
        bool, typer.Option("--now", help="Kill what runs; at most an epoch and an attack are lost.")
    ] = False,
    as_json: Json = False,
) -> None:
    """End the worker: finish batches, write checkpoints, hand the trials back."""
    from app.worker import control

    context = context_of(ctx)
    _refuse_read_only(context)
    pid = control.stop(context.home, now=now)
    if pid is None:
        raise Unavailable(f"no worker is running in {context.home.root}")
    context.say(f"worker {pid} stopped; innate worker start goes on")
    _emit(context, as_json)


@group.command("pause", epilog='Example: innate worker pause --reason "the GPU is needed until six"')
def pause(
    ctx: typer.Context,
    reason: Annotated[
        str, typer.Option(help="Shown to whoever asks why nothing runs.")
    ] = "innate worker resume goes on",
    as_json: Json = False,
) -> None:
    """Hand back what runs, with checkpoints, and start nothing until resume. Frees the GPUs' memory."""
    from storage.changes import Pause

    changed = _ask(ctx, Pause(reason)).changed
    context = context_of(ctx)
    context.say("paused; innate worker resume goes on" if changed else "the queue was paused already")
    _emit(context, as_json)


@group.command("resume", epilog="Example: innate worker resume")
def resume(ctx: typer.Context, as_json: Json = False) -> None:
    """Undo pause and drain."""
    from storage.changes import Resume

    context = context_of(ctx)
    changed = _ask(ctx, Resume()).changed
    context.say("resumed" if changed else "the queue was not paused")
    if not _view(context).alive:
        context.say("no worker is running: innate worker start")
    _emit(context, as_json)


@group.command("drain", epilog="Example: innate worker drain")
def drain(ctx: typer.Context, as_json: Json = False) -> None:
    """Finish what runs, start nothing more, then end the worker."""
    from storage.changes import Drain

    running = _ask(ctx, Drain()).running
    context = context_of(ctx)
    context.say(f"draining: {running} trial{'' if running == 1 else 's'} to finish, then the worker ends")
    _emit(context, as_json)


@group.command("logs", epilog="Examples: innate worker logs; innate worker logs -f --lines 5")
def logs(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes; Ctrl-C ends.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines.")] = 40,
    as_json: Json = False,
) -> None:
    """The worker's log."""
    if follow and as_json:
        raise BadInput("logs: --json is one document, --follow has no end: use one of them")
    path = context_of(ctx).lived_in.worker_log
    if not path.exists():
        raise NotFound(f"{path}: no worker has written a log here yet")
    found = last_lines(path, lines)
    if as_json:
        emit_json("logs", [{"line": line} for line in found])
        return
    for line in found:
        typer.echo(line)
    if follow:
        _follow(path)


def _follow(path: Path) -> None:
    """Print what is added, also after the log was rotated."""
    stream = path.open(encoding="utf-8", errors="replace")
    try:
        stream.seek(0, 2)
        while True:
            line = stream.readline()
            if line:
                typer.echo(line, nl=False)
                continue
            time.sleep(0.3)
            try:
                rotated = path.stat().st_ino != _inode(stream.fileno())
            except OSError:
                continue
            if rotated:
                for rest in stream:
                    typer.echo(rest, nl=False)
                stream.close()
                stream = path.open(encoding="utf-8", errors="replace")
    finally:
        stream.close()


def _inode(descriptor: int) -> int:
    import os

    return os.fstat(descriptor).st_ino


def describe(view: WorkerView) -> list[str]:
    """The worker in a few lines."""
    from app.worker.narration import in_words

    if view.state == "blocked":
        return [f"no worker is running: {view.reason}"]
    if not view.alive:
        return [f"no worker is running{f' ({view.reason})' if view.reason else ''}: innate worker start"]
    what = "innate run" if view.role == "innate run" else "worker"
    head = f"{what} {view.pid or '?'}: {view.state}{f' - {view.reason}' if view.reason else ''}"
    lines = [head]
    if view.started_at is not None:
        since = datetime.datetime.fromtimestamp(view.started_at).strftime("%Y-%m-%d %H:%M")
        beat = max(0.0, time.time() - (view.heartbeat_at or 0.0))
        lines.append(f"since {since}, {view.finished} trials ended, last heartbeat {in_words(beat)} ago")
    for slot in view.slots:
        if slot.lanes is None:
            state = short_id(slot.trial_id) if slot.trial_id else slot.waits or "free"
            lines.append(f"  slot {slot.number + 1}  {slot.where}, {slot.threads} thread(s)  {state}")
    for lanes in view.lanes:
        lines.append(how_full(lanes))
        ids = [short_id(trial_id) for trial_id in lanes.trials]
        lines += [f"    {' '.join(ids[first : first + _IDS])}" for first in range(0, len(ids), _IDS)]
    return lines


def how_full(lanes: DeviceLanes) -> str:
    """A device's lanes in a line."""
    return f"  {lanes.device}  {lanes.told}{f': {lanes.waits}' if lanes.waits else ''}"


def check_crafting(crafting: str) -> None:
    if crafting not in ("auto", "fp32", "tf32"):
        raise BadInput(f"--crafting {crafting}: not one of auto, fp32, tf32")


def _emit(context: Context, as_json: bool) -> None:
    """With --json, what every command on the worker prints: how it stands after it."""
    if as_json:
        emit_json("worker", [_view(context).as_row()])


def _view(context: Context) -> WorkerView:
    from app.report.status import worker_view

    db = context.reading()
    try:
        return worker_view(db, context.lived_in)
    finally:
        db.conn.close()


def _ask(ctx: typer.Context, change: Change[Answer]) -> Answer:
    from app.worker.changes import perform

    context = context_of(ctx)
    return perform(context.writing(), context.home, change)


def _refuse_read_only(context: Context) -> None:
    if context.read_only:
        raise BadInput("--db opens a database to read only; this command steers a worker: use --home DIR")
