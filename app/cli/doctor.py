"""`doctor`: whether this machine and home are fit to work."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import context_of
from app.cli.output import emit_json, table, width
from app.context import Context
from core.errors import BadInput, ExitCode, InnateError

if TYPE_CHECKING:
    from core.records.data import DatasetSource
    from storage.home import Home
    from storage.studies import OwnDataset

_LOW_DISK = 1 << 30
_LEAST_ROOM = 20


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
        typer.echo(table(["check", "status", "detail"], list(_folded(rows))))
    if any(row["status"] == "bad" for row in rows):
        raise typer.Exit(int(ExitCode.BAD_INPUT))


def _folded(rows: Sequence[Mapping[str, str]]) -> Iterator[list[str]]:
    """Details over as many lines as they take: one that is cut says neither what is wrong nor what to do."""
    taken = [max(len(column), *(len(row[column]) for row in rows)) + 2 for column in ("check", "status")]
    room = max(width() - sum(taken), _LEAST_ROOM)
    for row in rows:
        first, *others = textwrap.wrap(row["detail"], room, break_on_hyphens=False) or [""]
        yield [row["check"], row["status"], first]
        yield from (["", "", part] for part in others)


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
    yield from _merged(context)
    yield _lock(home)
    yield _logout()
    yield from _devices()
    yield _memory()
    yield _disk(home)
    yield from _data_sets(context)
    yield from _plugins()
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


def _merged(context: Context) -> Iterator[tuple[str, str, str]]:
    """What merged homes tell otherwise, where there is any."""
    from storage.copies import count
    from storage.database import connect

    try:
        found = count(connect(context.database, read_only=True)) if context.database.exists() else 0
    except InnateError:
        return  # said above
    if found:
        trials = "1 trial" if found == 1 else f"{found:,} trials"
        yield "merged", "note", f"{trials} with other weights elsewhere: innate merge --conflicts"


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


def _devices() -> Iterator[tuple[str, str, str]]:
    from app.worker.devices import cores, has_mps
    from app.worker.gpu_trouble import driver_and_torch, hidden, refusal, remarks
    from app.worker.visible import look

    seen = look()
    found = [
        f"{cores()} CPU cores",
        *(
            f"{gpu.name} {gpu.model} ({gpu.free / 2**30:.1f} of {gpu.total / 2**30:.1f} GiB free)"
            for gpu in seen.gpus
            if gpu.fault is None
        ),
        *(["Apple GPU"] if has_mps() else []),
    ]
    wrong = refusal(seen)
    none = hidden(seen) or ("" if wrong else "no GPU: trials run on the CPU")
    yield "devices", "ok", ", ".join(found) + (f" ({none})" if len(found) == 1 and none else "")
    if seen.driver.boards:
        yield "CUDA", "ok", driver_and_torch(seen)
    if wrong is not None:
        yield "GPU", "bad", f"{wrong}; --device cpu trains on the CPU all the same"
    for remark in remarks(seen):
        yield "GPU", "note", remark


def _memory() -> tuple[str, str, str]:
    import psutil

    memory = psutil.virtual_memory()
    low = "note" if memory.available < _LOW_DISK else "ok"
    return "memory", low, f"{memory.available / 2**30:.1f} GiB free of {memory.total / 2**30:.1f}"


def _disk(home: Home) -> tuple[str, str, str]:
    from app.worker.conditions import disk_for

    free = disk_for(home)
    return "disk", "note" if free < _LOW_DISK else "ok", f"{free / 2**30:.1f} GiB free"


def _plugins() -> Iterator[tuple[str, str, str]]:
    """Each plugin with what it adds, or why it adds nothing, and what of it was refused."""
    from core import plugged
    from core.attacks import ATTACKS
    from core.datasets import DATASETS
    from core.models.architectures import ARCHITECTURES
    from core.training.defenses import DEFENSES
    from core.verdict.scoring import SCORES

    if plugged.turned_off():
        yield "plugins", "note", f"turned off by {plugged.OFF}"
        return
    found = plugged.installed()
    if not found:
        yield "plugins", "ok", "none installed"
    for one in found:
        title = f"{one.name} {one.version} (package {one.package})"
        if one.fault is not None:
            remedy = f"mend or uninstall {one.package}, or set {plugged.OFF}=1"
            yield "plugin", "bad", f"{title} could not be loaded: {one.fault}; {remedy}"
            continue
        registries = (ARCHITECTURES, ATTACKS, DATASETS, DEFENSES, SCORES)
        names = [name for registry in registries for name, owner in registry.adopted.owners.items() if owner is one]
        yield "plugin", "ok", f"{title}: {', '.join(names) or 'adds nothing'}"
        for registry in registries:
            for owner, words in registry.adopted.refused:
                if owner is one:
                    yield "plugin", "bad", f"{title}: {words}; it was left out: tell the author of {one.package}"
        for remark in one.remarks:
            yield "plugin", "note", f"{title} {remark}"


def _data_sets(context: Context) -> Iterator[tuple[str, str, str]]:
    """What each set at hand looks like, or what is wrong with it. A home that is not there yet is not made for its cache."""
    home = context.home
    if home.root.is_dir():
        yield from _looked_at(context, home.cache)
        return
    with tempfile.TemporaryDirectory(prefix="innate-") as folder:
        yield from _looked_at(context, Path(folder))


def _looked_at(context: Context, cache: Path) -> Iterator[tuple[str, str, str]]:
    from core import datasets
    from storage.content import met
    from storage.studies import own_datasets

    root = context.home.data_root
    try:
        db = context.reading(hint=False)
        known, own = met(db), own_datasets(db)
    except InnateError:  # a database that cannot be read is told in a row of its own
        known, own = {}, []
    here = []
    for name, entry in datasets.DATASETS.items():
        if entry.load is None:
            continue
        source = datasets.parse_source(name, root)
        try:
            fault = datasets.damaged(source, root, cache)
        except BadInput as error:  # the code of a plugin, which cannot tell
            fault = error.words
        if fault is not None:
            yield "data set", "note", fault
            continue
        for status, words in _portrayed(source, root, cache, known):
            here += [name] if status == "ok" else []
            yield "data set", status, words
    for source, studies in _by_place(own).items():
        for status, words in _portrayed(source, root, cache, known, studies):
            yield "data set", status, words
    yield "data sets", "ok", f"at hand: {', '.join(here)} (root {root})"


def _by_place(own: Sequence[OwnDataset]) -> dict[DatasetSource, dict[str, str]]:
    """Each set with the studies that are on it, and its identity in each."""
    found: dict[DatasetSource, dict[str, str]] = {}
    for one in own:
        found.setdefault(one.source, {})[one.study] = one.identity
    return found


def _portrayed(
    source: DatasetSource,
    root: Path,
    cache: Path,
    met: Mapping[str, str],
    studies: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[tuple[str, str]]:
    """(status, words) of a set, nothing of one that is not at hand; `studies` with its identity when they were run."""
    from app.report.portrait import dataset_label, portrait_line
    from core import datasets

    try:
        info = datasets.describe(source, root, cache, met)
        portrait = datasets.portray(info, root, cache)
    except BadInput as error:
        of = f" of {', '.join(studies)}" if studies else ""
        yield "note", f"data set {source.name}{of}: {error.words}"
        return
    if portrait is None:
        return
    changed = [study for study, identity in studies.items() if identity != info.identity]
    words = f"{dataset_label(info)}: {portrait_line(portrait)}"
    if changed:
        words += f"; its content has changed since {', '.join(changed)} was run"
    yield "note" if changed or info.other_content else "ok", words
