"""`doctor`: whether this machine and home are fit to work."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import context_of
from app.cli.output import emit_json, table
from app.context import Context
from core.errors import ExitCode, InnateError

if TYPE_CHECKING:
    from storage.home import Home

_LOW_DISK = 1 << 30


def register(app: typer.Typer) -> None:
    app.command("doctor", epilog="Example: innate doctor --json")(doctor)


def doctor(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False
) -> None:
    """Check home, database, lock, devices, disk, data sets. A machine without a GPU is fine."""
    rows = [{"check": name, "status": status, "detail": detail} for name, status, detail in _checks(context_of(ctx))]
    if as_json:
        emit_json("doctor", rows)
    else:
        typer.echo(table(["check", "status", "detail"], [list(row.values()) for row in rows]))
    if any(row["status"] == "bad" for row in rows):
        raise typer.Exit(int(ExitCode.BAD_INPUT))


def _checks(context: Context) -> Iterator[tuple[str, str, str]]:
    """(what, "ok" | "note" | "bad", words)."""
    from importlib.metadata import PackageNotFoundError, version

    home = context.home
    yield "python", "ok", f"{sys.version.split()[0]} at {sys.executable}"
    for package in ("innate", "torch", "torchvision"):
        try:
            yield package, "ok", version(package)
        except PackageNotFoundError:
            yield package, "bad", "not installed"
    yield _home(home)
    yield _database(context)
    yield _lock(home)
    yield _logout()
    yield _devices()
    yield _memory()
    yield _disk(home)
    yield from _data_sets(home)
    encoding = (sys.stdout.encoding or "").lower()
    size = shutil.get_terminal_size()
    unicode = "ok" if "utf" in encoding else "note"
    yield (
        "terminal",
        unicode,
        f"{os.environ.get('TERM', 'no TERM')}, {size.columns}×{size.lines}, {encoding or 'no encoding'}",
    )


def _home(home: Home) -> tuple[str, str, str]:
    from storage.home import file_system_of, refuse_network

    place = home.root
    try:
        refuse_network(place, file_system_of)
    except InnateError as error:
        return "home", "bad", str(error)
    if not place.exists():
        while not place.exists() and place != place.parent:
            place = place.parent
        if not os.access(place, os.W_OK):
            return "home", "bad", f"{home.root} cannot be made: {place} is not writable; use --home DIR"
        return "home", "ok", f"{home.root} (will be made by the first run)"
    if not place.is_dir() or not os.access(place, os.W_OK):
        return "home", "bad", f"{home.root} is not a folder that can be written; use --home DIR"
    return "home", "ok", str(home.root)


def _database(context: Context) -> tuple[str, str, str]:
    from storage.database import connect, faults
    from storage.queries import count_trials
    from storage.schema import SCHEMA_VERSION

    if not context.database.exists():
        return "database", "note", f"{context.database} is not there yet"
    try:
        db = connect(context.database, read_only=True)
        wrong, trials = faults(db), count_trials(db)
    except InnateError as error:
        return "database", "bad", str(error)
    if wrong is not None:
        return "database", "bad", f"{context.database}: {wrong}; restore a backup"
    return "database", "ok", f"sound, schema {SCHEMA_VERSION}, {trials} trials"


def _lock(home: Home) -> tuple[str, str, str]:
    from app.worker.owner import holder, told_of

    who = holder(home)
    if who is None:
        return "worker", "ok", "none; the home is free"
    if not who.proven:
        # Nothing can be run beside a stranger; a worker in another container is no fault.
        return "worker", "bad" if who.role is None else "note", told_of(home, who)
    return "worker", "ok", f"{who.role}, pid {who.pid}, owns the home"


def _logout() -> tuple[str, str, str]:
    from app.worker.login import logout_warning

    warning = logout_warning()
    return "logout", "note" if warning else "ok", warning or "a detached worker outlives your login"


def _devices() -> tuple[str, str, str]:
    from app.worker.devices import cores, has_mps, visible_gpus

    found = [
        f"{cores()} CPU cores",
        *(
            f"{gpu.name} {gpu.model} ({gpu.free / 2**30:.1f} of {gpu.total / 2**30:.1f} GiB free)"
            for gpu in visible_gpus()
        ),
        *(["Apple GPU"] if has_mps() else []),
    ]
    return "devices", "ok", ", ".join(found) + ("" if len(found) > 1 else " (no GPU: trials run on the CPU)")


def _memory() -> tuple[str, str, str]:
    import psutil

    memory = psutil.virtual_memory()
    low = "note" if memory.available < _LOW_DISK else "ok"
    return "memory", low, f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}"


def _disk(home: Home) -> tuple[str, str, str]:
    place: Path = home.root
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    return "disk", "note" if free < _LOW_DISK else "ok", f"{free / 2**30:.1f} GiB free"


def _data_sets(home: Home) -> Iterator[tuple[str, str, str]]:
    from core.datasets import DATASETS, parse_source, problem

    here = []
    for name, entry in DATASETS.items():
        if entry.load is None:
            continue
        fault = problem(parse_source(name, home.root), home.data_root)
        if fault is None:
            here.append(name)
        elif "is missing" not in fault:
            yield "data set", "note", fault
    yield "data sets", "ok", f"at hand: {', '.join(here)} (root {home.data_root})"
