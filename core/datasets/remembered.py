"""What was worked out from whole files, kept until one of them changes, so that a plan or a listing reads none of them."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from core.identity import digest

T = TypeVar("T")


def stamp(files: Sequence[Path]) -> str:
    """What tells that files were changed or replaced: place, size and times of each, digested.

    The time of the last change of the entry is in it too: a copy that keeps the modification time still has another.
    Raises OSError.
    """
    stats = [(str(path), path.stat()) for path in files]
    return digest([[path, found.st_size, found.st_mtime_ns, found.st_ctime_ns] for path, found in stats])


def remembered(
    cache: Path | None,
    what: str,
    key: str,
    make: Callable[[], T],
    plain: Callable[[T], Any],
    restored: Callable[[Any], T],
) -> T:
    """`make()`, kept in `cache` under `what` and `key` as the JSON data that `plain` makes of it; what it raises is not kept.

    Without a cache, or with one that cannot be read, understood or written, it is made each time.
    """
    if cache is None:
        return make()
    path = cache / "known" / f"{what}-{key}.json"
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
        return restored(json.loads(path.read_text(encoding="utf-8")))
    found = make()
    with contextlib.suppress(OSError):
        _store(path, json.dumps(plain(found)))
    return found


def _store(path: Path, text: str) -> None:
    """Whole or not there, whoever else writes the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, building = tempfile.mkstemp(dir=path.parent, prefix=".building-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(building).replace(path)
    except BaseException:
        Path(building).unlink(missing_ok=True)
        raise
