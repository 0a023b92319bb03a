"""Looks at every picture of a folder, in parallel, and keeps what was seen: a file whose status has not changed since is
not read again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from core.datasets.pictures import Look, look
from core.errors import BadInput

Report = Callable[[str], None]
"""Hears, in a sentence now and then, how far a long piece of work is."""


def quietly(_: str) -> None:
    """A Report that nobody hears."""


T = TypeVar("T")
R = TypeVar("R")

_VERSION = 1
"""Of the note; another one is not read."""
_RACY_NS = 2_000_000_000
"""A file changed so shortly before it was looked at may change again without its status showing it: it is read again."""
_MOST_THREADS = 16
_TELL_SECONDS = 5.0

_Status = tuple[int, int, int]
"""Size, and the nanoseconds of the last change of the content and of the file's status."""


def survey(root: Path, paths: Sequence[Path], cache: Path, report: Report) -> list[Look]:
    """A look at each of `paths`, files below `root`, in their order. Raises BadInput for one that is no picture.

    What was seen is noted under `cache`, where that can be written.
    """
    note = cache / "folders" / f"{hashlib.sha256(os.fsencode(root)).hexdigest()[:32]}.json"
    known = _read(note)
    began = time.time_ns()
    found: dict[str, tuple[_Status, Look]] = {}
    unread: list[tuple[str, _Status, Path]] = []
    names = [str(path)[len(str(root)) + 1 :] for path in paths]
    for name, path in zip(names, paths, strict=True):
        status = _status(path)
        if name in known and known[name][0] == status:
            found[name] = known[name]
        else:
            unread.append((name, status, path))
    if unread:
        looks = in_parallel(look, [path for _, _, path in unread], "looked at", report)
        for (name, status, _), seen in zip(unread, looks, strict=True):
            found[name] = (status, seen)
        _write(note, {name: entry for name, entry in {**known, **found}.items() if not _racy(entry[0], began)})
    return [found[name][1] for name in names]


def in_parallel(work: Callable[[T], R], items: Sequence[T], done: str, report: Report) -> Iterator[R]:
    """`work` of each item, in order; decoders and digests let go of the interpreter, so threads use every core.

    `report` hears every few seconds how many are `done`. Nothing more is begun once one raises.
    """
    began, told = time.monotonic(), False
    threads = min(_MOST_THREADS, _cores())
    with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
        warnings.simplefilter("ignore")  # what decoders have to say is told by exceptions and traits
        try:
            for number, result in enumerate(pool.map(work, items), 1):
                yield result
                now = time.monotonic()
                if now - began > _TELL_SECONDS and number < len(items):
                    began, told = now, True
                    report(f"{number:,} of {len(items):,} pictures {done}")
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    if told:
        report(f"{len(items):,} pictures {done}")


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def _status(path: Path) -> _Status:
    try:
        status = path.stat()
    except OSError as error:
        raise BadInput.at("dataset", f"{path}: cannot be read ({error.strerror}); mend or remove it") from None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _racy(status: _Status, noted: int) -> bool:
    return max(status[1:]) > noted - _RACY_NS


def _read(note: Path) -> dict[str, tuple[_Status, Look]]:
    try:
        content = json.loads(note.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            return {}
        return {
            name: ((size, changed, status), Look(**{**seen, "traits": tuple(seen["traits"])}))
            for name, (size, changed, status, seen) in content["files"].items()
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _write(note: Path, files: dict[str, tuple[_Status, Look]]) -> None:
    """Beside and renamed; a cache that cannot be written is not used."""
    with contextlib.suppress(OSError):
        note.parent.mkdir(parents=True, exist_ok=True)
        content = {name: [*status, asdict(seen)] for name, (status, seen) in files.items()}
        with tempfile.NamedTemporaryFile("w", dir=note.parent, prefix=".note-", delete=False, encoding="utf-8") as file:
            json.dump({"version": _VERSION, "files": content}, file, separators=(",", ":"))
        Path(file.name).replace(note)
