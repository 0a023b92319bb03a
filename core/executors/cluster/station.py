"""A station: what runs trials on one device of a cluster's machine, for a driver elsewhere. Knows nothing of Ray; torch-free.

An ordinary executor of that device runs them, in a thread of its own which also writes the spool; whoever holds the station
gives it messages and takes its reports.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from core.events import (
    LAST_EVENTS,
    AttackProgress,
    Crashed,
    Event,
    Stopped,
    TrainingProgress,
)
from core.executors.cluster import parcels, spool
from core.executors.cluster.attempt import Attempt, begun, remove, retold, weight, with_content, worth
from core.executors.cluster.messages import (
    Arrived,
    Cancel,
    Forget,
    Leftover,
    Order,
    Recorded,
    Report,
    Setup,
    Told,
    ToStation,
)
from core.executors.disk import unwritable
from core.executors.lanes import LanesExecutor

_TURN_SECONDS = 0.05
_IDLE_SECONDS = 0.5
_REPORT_SECONDS = 0.25
"""Between two reports."""
_REPORT_BYTES = 64 << 20
"""Of files, in a report that has more than one."""
_AHEAD_SECONDS = 2.0
_MOST_AHEAD = 16
"""A station asks for as many trials beyond those at work as it gets through in that time, and no more than so many each: they
would wait for a long one here while another machine is free."""
_ADOPT_SECONDS = 2.0
_OTHERS_SECONDS = 10.0
"""How long a first look into the spool waits for the stations of a driver that is just dying."""


class Station:
    """Runs on one device what it is told to. `fetch` gives the bytes of what was put for all machines."""

    def __init__(self, setup: Setup, fetch: parcels.Fetch) -> None:
        self._setup = setup
        self._fetch = fetch
        self._inbox: deque[ToStation] = deque()
        self._outbox: deque[Told] = deque()
        self._leftovers: list[Leftover] = []
        self._notes: list[str] = []
        self._changed = threading.Condition()
        """Guards the four above, and is told of each change of them."""
        self._closing = False
        self._ready = threading.Event()
        self._failed: Exception | None = None
        self._waiting: deque[Order] = deque()
        self._work: dict[str, Attempt] = {}
        self._unrecorded: dict[str, Path] = {}
        """Of each attempt whose end the driver has not recorded: what is of no use here after that."""
        self._past: dict[str, spool.Past] = {}
        """Of dead stations, by where it lies."""
        self._seconds: float | None = None
        """That a trial takes here, on average of late."""
        self._rooms = 1
        self._reported = -1e9
        for name, value in setup.environment.items():  # a cluster's own idea of threads would be another result's
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._thread = threading.Thread(target=self._live, name="station", daemon=True)
        self._thread.start()

    def arrived(self) -> Arrived:
        """Once the spool of this machine has been looked through. Raises what kept it from that."""
        self._ready.wait()
        if self._failed is not None:
            raise self._failed
        return Arrived(spool.version(), *self._found())

    def take(self, messages: Sequence[ToStation]) -> None:
        """What the driver asks for, in order."""
        with self._changed:
            self._inbox += messages
            self._changed.notify_all()

    def report(self, patience: float) -> Report:
        """What has been told, once there is something or `patience` seconds are over; not too soon after the last one."""
        deadline = time.monotonic() + patience
        with self._changed:
            while not (self._closing or self._outbox or self._leftovers or self._notes):
                if not self._changed.wait(max(0.0, deadline - time.monotonic())):
                    break
        time.sleep(max(0.0, self._reported + _REPORT_SECONDS - time.monotonic()))
        told: list[Told] = []
        size = 0
        with self._changed:
            while self._outbox:
                size += weight(self._outbox[0])
                if told and size > _REPORT_BYTES:
                    break
                told.append(self._outbox.popleft())
            waiting = tuple(order.key for order in self._waiting)
        self._reported = time.monotonic()
        return Report(tuple(with_content(one) for one in told), self._rooms, waiting, *self._found())

    def _found(self) -> tuple[tuple[Leftover, ...], tuple[str, ...]]:
        """What the spool had since this was asked last, and what is to be said of it."""
        with self._changed:
            leftovers, notes = tuple(self._leftovers), tuple(self._notes)
            self._leftovers.clear()
            self._notes.clear()
        return leftovers, notes

    def close(self) -> None:
        """Take in what was told, kill what still runs, and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(10)

    # --- in the station's thread, which the fork server must not outlive ---

    def _live(self) -> None:
        try:
            self._root = spool.scratch()
            self._session = spool.Session(self._root, self._setup.home, self._setup.driver)
            self._inner = LanesExecutor([self._setup.slot], self._session.folder / "children.log")
            self._inner.warm()
            deadline = time.monotonic() + _OTHERS_SECONDS
            while self._adopt() and time.monotonic() < deadline:
                time.sleep(0.2)
        except Exception as error:
            self._failed = error
            return
        finally:
            self._ready.set()
        try:
            self._work_on()
        except Exception:
            traceback.print_exc()
            os._exit(1)  # a station that hears nothing more must not look alive
        finally:
            self._inner.close()
            self._session.close()

    def _work_on(self) -> None:
        adopted = time.monotonic()
        while True:
            with self._changed:
                if not (self._inbox or self._work or self._waiting or self._closing):
                    self._changed.wait(_IDLE_SECONDS)
                messages = list(self._inbox)
                self._inbox.clear()
            for message in messages:
                self._take(message)
            if self._closing and not messages:
                return
            while self._waiting and len(self._work) < len(self._inner.capacity()):
                with self._changed:
                    order = self._waiting.popleft()
                self._begin(order)
            for key, event in self._inner.poll(_TURN_SECONDS if self._work else 0.0):
                self._tell(key, event)
            self._rooms = self._rooms_now()
            if time.monotonic() - adopted > _ADOPT_SECONDS:
                adopted = time.monotonic()
                self._adopt()

    def _rooms_now(self) -> int:
        lanes = len(self._inner.capacity())
        if not self._seconds:
            return lanes
        return lanes + min(_MOST_AHEAD * lanes, int(_AHEAD_SECONDS * lanes / self._seconds))

    def _take(self, message: ToStation) -> None:
        match message:
            case Order():
                with self._changed:
                    self._waiting.append(message)
            case Cancel(key, now):
                waiting = next((order for order in self._waiting if order.key == key), None)
                if waiting is not None:
                    with self._changed:
                        self._waiting.remove(waiting)
                    self._put(Told(key, Stopped(), 0))
                else:
                    self._inner.cancel(key, now=now)
            case Recorded(key, piece, ended):
                folder = self._unrecorded.get(key)
                if folder is not None and ended:
                    del self._unrecorded[key]
                    remove(folder)
                elif key in self._work:
                    spool.drop(self._work[key].job.folder, piece)
            case Forget(leftover):
                left = self._past.pop(leftover, None)
                if left is not None:
                    remove(left.folder)

    def _begin(self, order: Order) -> None:
        left = self._past.pop(order.leftover, None) if order.leftover is not None else None
        try:
            if left is not None and (told := retold(order, left)):
                self._unrecorded[order.key] = left.folder
                for one in told:
                    self._put(one)
                return
            job, data = order.job, self._root / "data"
            folder = self._session.attempt(job.trial.id, job.attempt)
            work = begun(order, left, folder, self._setup.slot.device, data, self._fetch)
        except Exception as error:  # a disk that is full, data that was lost on the way
            self._put(Told(order.key, self._lost(error), 0))
            return
        self._work[order.key] = work
        self._unrecorded[order.key] = work.job.folder.parent
        self._inner.submit(order.key, work.job)

    def _tell(self, key: str, event: Event) -> None:
        """One event of a trial at work, into the spool where it lasts, and on its way."""
        work = self._work.get(key)
        if work is None:  # given up, and killed since
            return
        if isinstance(event, Crashed):
            event = self._named(event)
        try:
            event, files = work.kept(event, self._setup.node)
        except OSError as error:
            self._put(Told(key, self._lost(error), work.pieces))
            self._inner.cancel(key, now=True)
            del self._work[key]
            return
        if isinstance(event, LAST_EVENTS):
            del self._work[key]
            took = time.monotonic() - work.began
            self._seconds = took if self._seconds is None else 0.7 * self._seconds + 0.3 * took
        self._put(Told(key, event, work.pieces, files))

    def _put(self, told: Told) -> None:
        with self._changed:
            if isinstance(told.event, TrainingProgress | AttackProgress):
                # Only the last word on how far a trial is counts.
                before = next((one for one in reversed(self._outbox) if one.key == told.key), None)
                if before is not None and isinstance(before.event, TrainingProgress | AttackProgress):
                    self._outbox.remove(before)
            self._outbox.append(told)
            self._changed.notify_all()

    def _adopt(self) -> bool:
        """Take over what dead stations have left; whether living ones of another driver are about."""
        folders, others = self._session.adopt()
        for folder in folders:
            found, notes = spool.past(folder)
            for left in [left for left in found if not worth(left)]:
                found.remove(left)
                remove(left.folder)
            for left in found:
                self._past[str(left.folder)] = left
            with self._changed:
                self._notes += [f"{self._setup.node}: {note}" for note in notes]
                self._leftovers += [Leftover(str(left.folder), left.trial.id, len(left.kept)) for left in found]
                self._changed.notify_all()
        return others

    def _lost(self, error: Exception) -> Crashed:
        """For what is no trial's fault."""
        if isinstance(error, OSError):
            with contextlib.suppress(OSError):
                return self._named(unwritable(error, self._root))
        return self._named(Crashed(str(error) or type(error).__name__, None, trial_at_fault=False))

    def _named(self, crash: Crashed) -> Crashed:
        return replace(crash, reason=f"{crash.reason} (on {self._setup.node})")
