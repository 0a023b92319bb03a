"""What no writer may overwrite: the databases, locks and weights in use here, and any database that is open elsewhere.

A database that is replaced under whoever has it open is lost, its write-ahead log with it; so `--force` does not help.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.errors import BadInput
from core.paths import given
from storage.home import Home

SIDE_FILES = ("-wal", "-shm", "-journal")
"""What SQLite appends to a database's name for the files that it keeps beside it while it is open."""
_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True)
class InUse:
    """What a process is working with. `files` are compared by inode, `folders` with all that is in them."""

    files: tuple[Path, ...]
    folders: tuple[Path, ...] = ()

    def has_open(self, found: os.stat_result) -> Path | None:
        """Which of the files, or of those that SQLite keeps beside them, this inode is."""
        for file in self.files:
            for path in (file, *_side_files(file)):
                one = _stat(path)
                if one is not None and os.path.samestat(one, found):
                    return path
        return None


def in_use(home: Home, database: Path) -> InUse:
    """What `home` consists of, and the home of `database` where `--db` names another one."""
    homes = [home]
    beside = Home(Path(os.path.realpath(database)).parent)
    if beside.database.name == Path(os.path.realpath(database)).name:
        homes.append(beside)
    files = [database, *(file for each in homes for file in (each.database, each.lock, each.successor_lock))]
    return InUse(
        tuple(dict.fromkeys(files)), tuple(folder for each in homes for folder in (each.checkpoints, each.incoming))
    )


def refuse_in_use(dest: Path, own: InUse) -> None:
    """Raises BadInput if writing `dest` would harm a database: one of `own` or one that is open, or what belongs to it.

    Links are followed: what counts is the file that would be written, and what lies beside that one. Raises BadInput also for
    what can be no path.
    """
    given(dest, "destination")
    places = _places(dest)
    found = _stat(dest)
    mine = own.has_open(found) if found is not None else _one_of(places, own.files)
    if mine is not None:
        raise BadInput(f"{dest}: is {mine}, which innate itself uses; name another file")
    for place in places:
        for folder in own.folders:
            if any(_same(parent, folder) for parent in (place, *place.parents)):
                raise BadInput(f"{dest}: is in {folder}, where innate keeps its weights; name another place")
        there = _stat(place)
        if there is not None and stat.S_ISDIR(there.st_mode):
            continue
        for path in _side_files(place):
            if os.path.lexists(path):
                raise BadInput(
                    f"{dest}: has {path.name} beside it, so a database is open there or was not closed; name another file"
                )
        owner = _database_with(place)
        if owner is not None:
            raise BadInput(f"{dest}: is what SQLite calls a file that belongs to {owner}; name another file")


def _places(dest: Path) -> list[Path]:
    """Where the file would stand: under its own name, and where links lead."""
    return list(dict.fromkeys([Path(os.path.realpath(dest.parent)) / dest.name, Path(os.path.realpath(dest))]))


def _one_of(places: Iterable[Path], files: Iterable[Path]) -> Path | None:
    """Which of `files`, though neither is there yet, would be made: a fresh home's database has a name already."""
    for file in files:
        for path in (file, *_side_files(file)):
            real = Path(os.path.realpath(path))
            for place in places:
                # Some file systems take no notice of capitals; what exists is told by its inode anyway.
                if (
                    _stat(path) is None
                    and place.name.casefold() == real.name.casefold()
                    and (place.parent == real.parent or _same(place.parent, real.parent))
                ):
                    return path
    return None


def _database_with(place: Path) -> Path | None:
    """The database to which a file of this name would belong."""
    for ending in SIDE_FILES:
        if place.name.lower().endswith(ending) and len(place.name) > len(ending):
            database = place.with_name(place.name[: -len(ending)])
            if _is_database(database):
                return database
    return None


def _is_database(path: Path) -> bool:
    """By its first bytes; one that cannot be read is taken for a database, and so is an empty file, which may be one."""
    found = _stat(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) in (_MAGIC, b"")
    except OSError:
        return True


def _side_files(database: Path) -> list[Path]:
    return [database.with_name(database.name + ending) for ending in SIDE_FILES if database.name]


def _same(one: Path, other: Path) -> bool:
    first, second = _stat(one), _stat(other)
    return first is not None and second is not None and os.path.samestat(first, second)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
