"""The spool of a machine: what a station has worked out is on its disk until the driver has recorded it, whoever dies meanwhile.

    <scratch>/<home>/<driver>-<number>/lock          held by the living station that the folder belongs to
                                      /<trial>/<attempt>/   the attempt's folder: weights, checkpoints, pieces
    <scratch>/data/<digest>/                         data sets, for all homes

A piece is a file that is whole or not there. A folder whose lock nobody holds is what a dead station has left, and belongs to the
first that takes the lock. Nothing of it is read that another user could have written.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import os
import pickle
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import Unavailable
from core.events import Event
from core.records.trial import TrialSpec

_MAGIC = b"innate spool 1\n"
_SUFFIX = ".piece"
_OLD_SECONDS = 30 * 86_400.0
"""What no driver has asked for in so long is removed."""


def version() -> str:
    """Of this program: a piece is read by the version alone that wrote it."""
    try:
        return importlib.metadata.version("innate")
    except importlib.metadata.PackageNotFoundError:
        return "?"


def scratch() -> Path:
    """The folder of this machine and user for spools and data sets: INNATE_SCRATCH, else below the system's temporary folder.

    Raises Unavailable where somebody else owns it or may write to it.
    """
    asked = os.environ.get("INNATE_SCRATCH")
    place = Path(asked) if asked else Path(tempfile.gettempdir()) / f"innate-{os.getuid()}"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = place.lstat()
    except OSError as error:
        raise Unavailable(f"{place}: cannot be made ({error.strerror}); INNATE_SCRATCH moves it") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise Unavailable(f"{place}: others can write there; INNATE_SCRATCH names another folder for spools")
    return place


@dataclass(frozen=True)
class Kept:
    """An event in the spool. `asked` tells apart orders that differ in what is known already (`replay`)."""

    event: Event
    asked: str = ""


@dataclass(frozen=True)
class Page:
    """What one piece holds."""

    version: str
    trial: TrialSpec
    attempt: int
    kept: tuple[Kept, ...]
    files: tuple[tuple[str, str], ...] = ()
    """Of the attempt's folder, that these events promise: name → SHA-256."""


@dataclass(frozen=True)
class Past:
    """An attempt that was left behind: its folder, and its events in order as far as they are whole and not recorded."""

    folder: Path
    trial: TrialSpec
    kept: tuple[Kept, ...]


@dataclass
class Session:
    """A station's own folder. `number` tells apart the stations of one driver on one machine."""

    root: Path
    home: str
    driver: str
    folder: Path = field(init=False)
    _locks: list[int] = field(default_factory=list)
    _taken: set[Path] = field(default_factory=set)

    def __post_init__(self) -> None:
        place = self.root / self.home
        place.mkdir(mode=0o700, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.driver}-", dir=place))
        self._take(self.folder)

    def attempt(self, trial_id: str, number: int) -> Path:
        """The folder of an attempt of this station, made."""
        folder = self.folder / trial_id / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def adopt(self) -> tuple[list[Path], bool]:
        """(folders of dead stations that are this one's from now on, whether living ones of another driver are left)."""
        found, others = [], False
        for folder in sorted((self.root / self.home).iterdir()):
            if folder in self._taken or not folder.is_dir():
                continue
            if not self._take(folder):
                others = others or not folder.name.startswith(f"{self.driver}-")
            elif time.time() - folder.stat().st_mtime > _OLD_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                found.append(folder)
        return found, others

    def _take(self, folder: Path) -> bool:
        try:
            descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:  # another station has just removed it
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            alive = os.path.samestat(os.fstat(descriptor), (folder / "lock").stat())
        except OSError:
            alive = False
        if not alive:
            os.close(descriptor)
            return False
        self._locks.append(descriptor)
        self._taken.add(folder)
        return True

    def close(self) -> None:
        """Give up the folders; those that hold nothing any more go."""
        for folder in self._taken:
            with contextlib.suppress(OSError):
                if all(entry.name in ("lock", "children.log") for entry in folder.iterdir()):
                    shutil.rmtree(folder, ignore_errors=True)
        for descriptor in self._locks:
            os.close(descriptor)
        self._locks.clear()


def write(folder: Path, number: int, page: Page) -> None:
    """Keep a piece in an attempt's folder: it is on the disk when this returns. Raises OSError."""
    payload = pickle.dumps(page, protocol=pickle.HIGHEST_PROTOCOL)
    place(folder, f"{number:06d}{_SUFFIX}", _MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n" + payload)


def place(folder: Path, name: str, content: bytes) -> None:
    """Write a file beside, fsync, rename, fsync the folder: it is whole or not there. Raises OSError."""
    partial = folder / f"{name}.partial"
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(folder / name)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def drop(folder: Path, upto: int) -> None:
    """Remove the pieces up to this number: the driver has recorded them. The first stays, which says whose folder it is and what
    the attempt runs on: whoever goes on with it needs that."""
    for path in folder.glob(f"*{_SUFFIX}"):
        if 1 < int(path.stem) <= upto:
            path.unlink(missing_ok=True)


def past(session: Path) -> tuple[list[Past], list[str]]:
    """(the attempts that a session's folder holds, what of it is damaged or foreign and was left aside, a line each)."""
    found, notes = [], []
    for folder in sorted(session.glob("*/*")):
        pages, wrong = _pages(folder)
        notes += wrong
        if pages:
            kept = tuple(one for page in pages for one in page.kept)
            found.append(Past(folder, pages[0].trial, kept))
    return found, notes


def _pages(folder: Path) -> tuple[list[Page], list[str]]:
    """The pieces in order up to the first that cannot be used: what comes after it may rest on it."""
    pages: list[Page] = []
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        page = _read(path)
        wrong = None
        if page is None:
            wrong = "is damaged"
        elif page.version != version():
            wrong = f"is of innate {page.version}"
        elif page.trial.id != folder.parent.name or (pages and page.trial != pages[0].trial):
            wrong = "belongs to another trial"
        elif not _files_whole(folder, page.files):
            wrong = "lacks the file that it tells of"
        if wrong is not None:
            return pages, [f"{path} {wrong} and is left aside"]
        assert page is not None
        pages.append(page)
    return pages, []


def _read(path: Path) -> Page | None:
    try:
        content = path.read_bytes()
    except OSError:
        return None
    head = len(_MAGIC) + 65
    payload = content[head:]
    if content[:head] != _MAGIC + hashlib.sha256(payload).hexdigest().encode() + b"\n":
        return None
    try:
        page = pickle.loads(payload)  # ours by its digest, in a folder that only this user writes
    except Exception:  # of a version whose records were others
        return None
    return page if isinstance(page, Page) else None


def _files_whole(folder: Path, files: Sequence[tuple[str, str]]) -> bool:
    return all(digest_of(folder / name) == digest for name, digest in files)


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """No other process of this machine is within the same lock meanwhile."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
