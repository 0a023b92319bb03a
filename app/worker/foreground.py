"""`innate run` in the foreground: be the worker if nobody is, else follow whoever is until it ends or is done."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from app.worker import changes
from app.worker.cluster import Cluster, executor_for
from app.worker.loop import Stop, Watcher, Worker
from app.worker.owner import FOREGROUND, acquire, holder, told_of
from core.errors import Unavailable
from core.executors.protocol import Slot
from core.records.study import Study
from core.study.share import Share
from storage import queue, tuning, verdicts, worker_state
from storage.changes import Submit
from storage.home import Home
from storage.one_file import OpenedFile
from storage.submitting import Submission

if TYPE_CHECKING:
    from sqlite_utils import Database

_FOLLOW_SECONDS = 1.0


class Audience(Watcher, Protocol):
    """A watcher that can also be told that somebody else does the work."""

    def following(self, pid: int | None, running: Sequence[worker_state.RunningRow]) -> None: ...


class StopSignals:
    """Signals (Ctrl-C, SIGTERM and hang-up unless named) as a degree of urgency: the first asks, the second insists."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers or (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        self.level = Stop.NO

    def __call__(self) -> Stop:
        return self.level

    @contextmanager
    def installed(self) -> Iterator[StopSignals]:
        def more(*_: object) -> None:
            self.level = Stop.NOW if self.level else Stop.CLEANLY

        before = {number: signal.signal(number, more) for number in self._numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def work_on(
    db: Database,
    home: Home,
    study: str,
    slots: Sequence[Slot],
    audience: Audience,
    stop: StopSignals,
    crafting: str,
    cluster: Cluster | None = None,
) -> bool:
    """Work on or follow `study` until nothing of it is queued or running; False if stopped before that.

    The study has been submitted. Whichever process owns the home does the work; when it ends with this study still
    open, this one takes over. A worker that was drained counts as stopped. With a `cluster` the work is done there. Raises
    Unavailable once the database that was opened is no longer the home's.
    """
    file = OpenedFile.at(home.database)
    while tuning.stages(db, study).open:
        if stop():
            return False
        file.require()
        ownership = acquire(home, FOREGROUND)
        if ownership is None:
            who = holder(home)
            if who is not None and who.role is None:
                raise Unavailable(told_of(home, who))
            if who is not None and who.works:
                audience.following(who.pid, list(worker_state.running_rows(db).values()))
            audience.tick()
            time.sleep(_FOLLOW_SECONDS if not stop() else 0)
            continue
        try:
            queue.reclaim(db)
            verdicts.score_late(db)
            executor = executor_for(home, db, slots, cluster, audience.noted)
            worker = Worker(home, db, executor, audience, ownership, role=FOREGROUND, crafting=crafting, file=file)
            if not worker.work(study, stop):
                return False
        finally:
            ownership.release()
    return True


def submit(db: Database, home: Home, study: Study, share: Share | None = None) -> Submission:
    """Queue a study, or one share of it, through the owner if there is one."""
    part = None if share is None else (share.number, share.of)
    return changes.perform(db, home, Submit(study.document, study.name, home.data_root, part))
