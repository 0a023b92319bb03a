"""Where an export goes: written beside its place and renamed, so that nothing is ever half there."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import BadInput
from storage.destinations import InUse, refuse_in_use


@contextmanager
def beside(dest: Path, own: InUse, *, force: bool) -> Iterator[Path]:
    """A temporary path that becomes `dest` if all goes well; what is no ordinary file (a device, a pipe, a link) is
    written into, never replaced.

    Raises BadInput if `dest` is a file that exists (unless `force`) or cannot be written, and, whatever `force` says, if
    it is one of `own` or a database that is open.
    """
    try:
        _refuse(dest, own, force=force)
        into = dest.is_symlink() or (dest.exists() and not dest.is_file())
        folder = Path(tempfile.gettempdir()) if into else dest.parent
        partial = folder / f".{dest.name}.partial-{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield partial
            _refuse(dest, own, force=force)  # it may have been made, or opened, since
            if into:
                _pour(partial, dest, own)
            else:
                partial.rename(dest)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise BadInput(f"{dest}: cannot be written: {error.strerror or error}") from None


@contextmanager
def folder_beside(dest: Path, names: Collection[str], own: InUse, *, force: bool) -> Iterator[Path]:
    """A folder that becomes `dest` if all goes well, with the files `names` in it; whole or not there.

    `dest` may be an empty folder, with `force` also one that holds nothing but files of these names. Raises BadInput for any
    other that exists, for one that cannot be written, and whatever `force` says if a file of `own` would be harmed.
    """
    try:
        place = Path(os.path.realpath(dest))
        partial, old = (place.with_name(f".{place.name}.{word}-{os.getpid()}") for word in ("partial", "old"))
        _refuse_folder(dest, place, names, own, force=force)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            for name in names:
                with (partial / name).open("rb") as file:
                    os.fsync(file.fileno())
            _refuse_folder(dest, place, names, own, force=force)  # it may have been made, or filled, since
            if place.exists():
                place.rename(old)
            partial.rename(place)
        finally:
            if old.exists() and not place.exists():
                old.rename(place)
            for left in (partial, old):
                shutil.rmtree(left, ignore_errors=True)
    except OSError as error:
        raise BadInput(f"{dest}: cannot be written: {error.strerror or error}") from None


def _refuse_folder(dest: Path, place: Path, names: Collection[str], own: InUse, *, force: bool) -> None:
    for name in names:
        refuse_in_use(place / name, own)
    if not place.is_dir():
        refuse_in_use(dest, own)
        if os.path.lexists(place):
            raise BadInput(f"{dest}: is no folder; name one that is empty, or a new one")
        return
    if place == Path.cwd():
        raise BadInput(f"{dest}: is the folder that you are in, which is to be replaced as a whole; name one in it")
    found = sorted(entry.name for entry in place.iterdir())
    if found and not force:
        raise BadInput(f"{dest}: exists already and is not empty; name another folder, or add --force")
    strange = [name for name in found if name not in names or not (place / name).is_file()]
    if strange:
        raise BadInput(f"{dest}: holds {strange[0]}, which is no part of such an export; name another folder")


def _refuse(dest: Path, own: InUse, *, force: bool) -> None:
    refuse_in_use(dest, own)
    if dest.is_dir():
        raise BadInput(f"{dest}: is a folder; name a file in it")
    if dest.is_file() and not force:
        raise BadInput(f"{dest}: exists already; name another, or add --force")


def _pour(partial: Path, dest: Path, own: InUse) -> None:
    """Copy into what `dest` leads to. It is emptied only once it is open, and known not to be one of `own`."""
    with partial.open("rb") as source, os.fdopen(os.open(dest, os.O_WRONLY | os.O_CREAT, 0o666), "wb") as target:
        found = os.fstat(target.fileno())
        mine = own.has_open(found)
        if mine is not None:
            raise BadInput(f"{dest}: is {mine}, which innate itself uses; name another file")
        if stat.S_ISREG(found.st_mode):
            target.truncate(0)
        shutil.copyfileobj(source, target)
