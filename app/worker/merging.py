"""Merging under the lock of the home: while a worker lives it is refused, since a merge takes as long as the other file is large,
and a worker that merged would answer nobody meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.worker.owner import acquire, holder, told_of
from core.errors import Unavailable
from storage import queue
from storage.database import empty
from storage.home import Home
from storage.merge.merging import Merged, Report, merge
from storage.merge.opened import opened
from storage.merge.weights import Copied, copy_weights

if TYPE_CHECKING:
    from sqlite_utils import Database

_WAIT_SECONDS = 10.0
"""For short commands that hold the lock."""


@contextmanager
def owning(home: Home) -> Iterator[None]:
    """The home to oneself. Raises Unavailable while somebody works on it."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while (ownership := acquire(home, "innate merge")) is None:
        who = holder(home)
        if who is not None and who.works:
            pid = "" if who.pid is None else f" (pid {who.pid})"
            raise Unavailable(
                f"{home.root}: {who.role}{pid} works on it, and a merge wants it alone: innate worker stop, then merge again"
            )
        if who is not None and (who.role is None or time.monotonic() > deadline):
            raise Unavailable(told_of(home, who))
        time.sleep(0.1)
    try:
        yield
    finally:
        ownership.release()


def merge_in(
    home: Home, writing: Callable[[], Database], database: Path, report: Report, *, checkpoints: bool, dry: bool
) -> tuple[Merged, Copied | None]:
    """Bring one database into the home and, with `checkpoints`, the weights beside it. Raises what `merge` and `owning` raise."""
    if not home.database.exists():
        with opened(database):  # no home is made for what is no database
            pass
        if dry:
            return merge(empty(), database, report, dry=True), None
    db = writing()
    with owning(home):
        queue.reclaim(db)  # nobody works: what a killed worker left running runs no more
        merged = merge(db, database, report, dry=dry)
        return merged, copy_weights(db, home, database, report) if checkpoints and not dry else None
