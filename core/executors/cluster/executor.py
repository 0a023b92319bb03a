"""Carries trials to the machines of a Ray cluster: the driver's side. It writes the files that come back, and nothing else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import BadInput, InnateError
from core.events import LAST_EVENTS, Crashed, Event, Finished, Stopped, TrialFailed, Waiting
from core.executors.cluster import spool
from core.executors.cluster.connection import Connection
from core.executors.cluster.fleet import Answer, Fleet, Station, Wanted, in_a_line
from core.executors.cluster.messages import Arrived, Cancel, Carried, Forget, Order, Recorded, Report, Told
from core.executors.cluster.parcels import Parcels
from core.executors.disk import unwritable
from core.executors.protocol import Lanes, Slot
from core.jobs.orders import AnyJob, Job

_FILES = ("weights.pt", "last.pt")
"""Of an earlier attempt, what a trial may go on from."""
_INLINE_BYTES = 1 << 20
"""Larger files go through Ray's object store."""
_WAITING_SECONDS = 20.0
_DEATHS = 3
"""Stations that a trial may take along while their machines live on, before it is to blame."""


@dataclass
class _Sent:
    """A trial on its way or at work; `station` None: its station died before it was begun."""

    order: Order
    station: Station | None
    told_at: float = field(default_factory=time.monotonic)


class RayExecutor:
    """Trials in batches to long-lived stations, one on each device (`station`).

    A trial that was begun ends with its station, blamelessly; one that was not goes to another. `home` is the id of the home
    whose trials these are. `say` hears what there is to know of the cluster, `done` knows which trials need nothing more. Other
    jobs than trials are not for clusters.
    """

    def __init__(
        self,
        connection: Connection,
        wanted: Wanted,
        home: str,
        say: Callable[[str], None],
        done: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._connection = connection
        self._done = done
        self._say = say
        self._fleet = Fleet(connection, wanted, home, say)
        self._refs: dict[str, Any] = {}
        """What was put for the stations, by the names that orders have for it."""
        self._parcels = Parcels(self._put)
        self._sent: dict[str, _Sent] = {}
        self._events: list[tuple[str, Event]] = []
        """To be given at the next poll."""
        self._given: dict[str, tuple[Station, Recorded]] = {}
        """What the last poll gave: recorded by the time of the next one."""
        self._deaths: Counter[str] = Counter()
        self._settled = False
        self._alone_since: float | None = time.monotonic()
        """Since when no station lives; None once one does, and after that was said."""

    def capacity(self) -> Sequence[Slot]:
        """As many rooms as the stations ask for. None before their spools were read: what lies there need not be done again."""
        self._settled = self._settled or self._fleet.settled
        if not self._settled:
            return ()
        return [station.slot for station in self._fleet.stations if station.ready for _ in range(station.rooms)]

    def lanes(self) -> Mapping[str, Lanes]:
        return {}

    def submit(self, key: str, job: AnyJob) -> None:
        """Sent with the next poll, and all else that goes to the same station."""
        if not isinstance(job, Job):
            raise TypeError(f"a cluster runs trials, no {type(job).__name__}")
        try:
            order = Order(key, job, tuple(self._carried(job)), self._parcels.of(job))
        except InnateError as error:
            self._events.append((key, TrialFailed(str(error))))
            return
        except OSError as error:
            self._events.append((key, Crashed(f"{error.strerror}: {error.filename}", None, trial_at_fault=False)))
            return
        self._sent[key] = _Sent(order, None)
        self._place(key)

    def poll(self, timeout: float) -> Sequence[tuple[str, Event]]:
        for station, recorded in self._given.values():
            station.unsent.insert(0, recorded)  # before a new attempt of the same trial
        self._given.clear()
        for station in self._fleet.look():
            self._lose(station, None)
        for key, sent in self._sent.items():
            if sent.station is None:
                self._place(key)
        for station in self._fleet.stations:
            self._fleet.send(station, self._refs)
        for answer in self._fleet.answers(0.0 if self._events else timeout):
            self._take(answer)
        self._tell_of_waiting()
        events, self._events = self._events, []
        return events

    def cancel(self, key: str, *, now: bool = False) -> None:
        sent = self._sent.get(key)
        if sent is None:
            return
        station = sent.station
        if station is None or sent.order in station.unsent:
            if station is not None:
                station.unsent.remove(sent.order)
            self._end(key)
            self._events.append((key, Stopped()))
        else:
            station.unsent.append(Cancel(key, now))

    def close(self) -> None:
        self._fleet.close(self._refs)
        self._sent.clear()
        self._events.clear()
        self._given.clear()
        self._refs.clear()
        self._connection.close()

    # --- trials to their stations ---

    def _put(self, content: bytes) -> str:
        ref = self._connection.ray.put(content)
        self._refs[ref.hex()] = ref
        return str(ref.hex())

    def _carried(self, job: Job) -> list[Carried]:
        found = []
        for folder in job.earlier:
            for name in _FILES:
                file = folder / name
                if file.is_file():
                    content = file.read_bytes()
                    found.append(
                        Carried(folder.name, name, content if len(content) <= _INLINE_BYTES else self._put(content))
                    )
        return found

    def _place(self, key: str) -> None:
        """Give a trial to the station that holds part of it already, else to one with room, on the machine that was chosen for it
        if there is one."""
        sent = self._sent[key]
        trial_id, node = sent.order.job.trial.id, sent.order.job.node
        ready = [station for station in self._fleet.stations if station.ready]
        holders = [station for station in ready if trial_id in station.leftovers]
        if holders:
            station = max(holders, key=lambda one: one.leftovers[trial_id].pieces)
            sent.order = _with_leftover(sent.order, station.leftovers.pop(trial_id).id)
        else:
            if not ready:
                return
            # A trial that was left over, or whose station died, may have taken the room that was meant.
            station = max(ready, key=lambda one: (one.free > 0, one.node.name == node, -len(one.keys)))
        sent.station = station
        station.keys.add(key)
        station.unsent.append(sent.order)

    def _end(self, key: str) -> None:
        sent = self._sent.pop(key)
        if sent.station is not None:
            sent.station.keys.discard(key)
        for carried in sent.order.carried:
            if isinstance(carried.content, str):
                self._refs.pop(carried.content, None)

    def _tell_of_waiting(self) -> None:
        """A trial that waits for its turn elsewhere is silent and not stalled."""
        now = time.monotonic()
        for key, sent in self._sent.items():
            if now - sent.told_at > _WAITING_SECONDS and (sent.station is None or not sent.station.has_begun(key)):
                sent.told_at = now
                self._events.append((key, Waiting()))
        if self._alone_since is not None and any(station.ready for station in self._fleet.stations):
            self._alone_since = None
        elif self._alone_since is not None and now - self._alone_since > _WAITING_SECONDS:
            self._alone_since = None
            self._say("waiting: no machine of the cluster has the devices, or all are taken by others")

    # --- what stations say ---

    def _take(self, answer: Answer) -> None:
        station = answer.station
        if station not in self._fleet.stations:
            return
        if answer.error is not None:
            self._lose(station, answer.error)
            return
        report = answer.content
        if isinstance(report, Arrived | Report):
            for note in report.notes:
                self._say(note)
            for leftover in report.leftovers:
                if self._done(leftover.trial_id):
                    station.unsent.append(Forget(leftover.id))
                else:
                    station.leftovers[leftover.trial_id] = leftover
        if not isinstance(report, Report):
            return
        station.rooms, station.waiting = report.rooms, frozenset(report.waiting)
        for told in report.told:
            self._take_told(station, told)

    def _take_told(self, station: Station, told: Told) -> None:
        sent = self._sent.get(told.key)
        if sent is None or sent.station is not station:
            return
        event, job = told.event, sent.order.job
        try:
            for name, content in told.files:
                assert isinstance(content, bytes)
                _store(job.folder, name, content)
        except OSError as error:
            station.unsent.append(Cancel(told.key, now=True))
            self._end(told.key)
            self._events.append((told.key, _unwritten(error, job.folder)))
            return
        ended = isinstance(event, LAST_EVENTS)
        self._events.append((told.key, event))
        self._given[told.key] = station, Recorded(told.key, told.piece, ended)
        sent.told_at = time.monotonic()
        if ended:
            self._end(told.key)
        if isinstance(event, Finished):
            self._forget(job.trial.id)

    def _forget(self, trial_id: str) -> None:
        """A trial is done: what machines have kept of it is of no use."""
        self._deaths.pop(trial_id, None)
        for station in self._fleet.stations:
            leftover = station.leftovers.pop(trial_id, None)
            if leftover is not None:
                station.unsent.append(Forget(leftover.id))

    def _lose(self, station: Station, error: Exception | None) -> None:
        alive = self._fleet.drop(station, error)
        if not any(one.ready for one in self._fleet.stations):
            self._alone_since = self._alone_since or time.monotonic()
        self._given = {key: given for key, given in self._given.items() if given[0] is not station}
        node = station.node.name
        reason = f"its station on {node} was lost: {in_a_line(error)}" if alive else f"{node} has left the cluster"
        # One that cannot be reached may be on a machine that is just going.
        ended = alive and type(error).__name__ != "ActorUnavailableError"
        lost = [key for key in sorted(station.keys) if station.has_begun(key)]
        for key in sorted(station.keys):
            sent = self._sent[key]
            if key not in lost:
                sent.station, sent.order = None, _with_leftover(sent.order, None)
                continue
            trial_id = sent.order.job.trial.id
            self._deaths[trial_id] += ended
            blamed = len(lost) == 1 and self._deaths[trial_id] >= _DEATHS
            self._end(key)
            self._events.append((key, Crashed(reason, None, trial_at_fault=blamed, beside=len(lost) - 1, node=node)))
        station.keys.clear()


def _with_leftover(order: Order, leftover: str | None) -> Order:
    return Order(order.key, order.job, order.carried, order.parcel, leftover)


def _store(folder: Path, name: str, content: bytes) -> None:
    """A file that came back, whole, on the disk. Raises OSError, also where the home is gone: nothing makes that again."""
    if name not in _FILES:
        raise BadInput(f"{name}: no file of an attempt")
    folder.parent.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    spool.place(folder, name, content)


def _unwritten(error: OSError, folder: Path) -> Crashed:
    try:
        return unwritable(error, folder)
    except OSError:
        return Crashed(f"{error.strerror}: {error.filename or folder}", None, trial_at_fault=False)
