"""The lane host: a child that runs many trials of one device at once, each in a lane, which is a thread of its own. Imports
torch: for children only.

What a trial comes to is its own; only an error that spoils the process, or its death, costs all of them.
"""

from __future__ import annotations

import gc
import os
import queue
import socket
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from core import datasets
from core.datasets.arrays import Arrays
from core.datasets.staging import free_memory
from core.environment import memory_held
from core.events import LAST_EVENTS, Crashed, Event, Started, Trained
from core.executors import wire
from core.executors.disk import unwritable
from core.executors.messages import FromChild, HostLanes, Limit, Look, Run, Spoilt, Stop, Told
from core.jobs.company import Company
from core.jobs.orders import Job
from core.jobs.trial import run_trial, settle_process, settle_thread
from core.lanes.alone import ALONE
from core.lanes.faults import spoils_process
from core.lanes.lane import Lane, open_lane
from core.records.data import DatasetSource

LOOK_SECONDS = 0.5
_KEPT = 4
"""Data sets that stay decoded in memory."""
_SPOILT = 3
"""Exit code of a host whose process can use its device no more."""

RunTrial = Callable[[Job, Callable[[], bool], Company], Iterator[Event]]


def host(sock: socket.socket, order: HostLanes, run: RunTrial = run_trial) -> int:
    """Run what the worker asks for until it is gone, which ends the process."""
    settle_process(order.device, order.threads, order.memory_fraction)
    gc.collect()
    gc.freeze()  # a lane's end collects what the trial left behind, and need not look at all of torch each time
    hosting = _Host(sock, order, run)
    threading.Thread(target=hosting.look_on, name="look", daemon=True).start()
    while True:
        try:
            message = wire.receive(sock)
        except (EOFError, OSError):
            os._exit(1)  # the worker is gone; nobody is left to tell
        hosting.take(message)


@dataclass
class _Running:
    """One trial under way. `training`: its steps count from when `lane.work` first moves until it is trained. `crowd`: the most
    trials beside it since it last told anything; those that took its memory may be gone when it hears that none is left."""

    lane: Lane | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    training: bool = False
    crowd: int = 0


_Inbox = queue.SimpleQueue[tuple[str, Job, _Running]]


class _Host:
    def __init__(self, sock: socket.socket, order: HostLanes, run: RunTrial) -> None:
        self._sock = sock
        self._device = torch.device(order.device)
        self._fraction = order.memory_fraction
        self._lanes = order.lanes
        self._run = run
        self._shelf = Shelf()
        self._running: dict[str, _Running] = {}
        self._idle: list[_Inbox] = []
        """Of the threads that wait for a trial."""
        self._changing = threading.Lock()
        """Held while `_running` and `_idle` change, and while they are looked through."""
        self._sending = threading.Lock()

    def take(self, message: Run | Stop | Limit) -> None:
        match message:
            case Run(key, job):
                with self._changing:
                    running = self._running[key] = _Running()
                    for one in self._running.values():
                        one.crowd = max(one.crowd, len(self._running) - 1)
                    inbox = self._idle.pop() if self._idle else None
                if inbox is None:
                    inbox = queue.SimpleQueue()
                    threading.Thread(target=self._trial_after_trial, args=(inbox,), daemon=True).start()
                inbox.put((key, job, running))
            case Stop(key):
                asked = self._running.get(key)
                if asked is not None:
                    asked.stop.set()
            case Limit(lanes):
                self._lanes = lanes

    # --- in a thread of its own ---

    def _trial_after_trial(self, inbox: _Inbox) -> None:
        """Threads and their lanes stay: a library's workspace belongs to a thread and a stream, and is never given back."""
        settle_thread()
        lane: Lane | None = None
        while True:
            key, job, running = inbox.get()
            threading.current_thread().name = key
            try:
                lane = running.lane = lane or open_lane(self._device)
                last = self._told_to_its_end(lane, key, job, running)
            except Exception as error:
                if spoils_process(error):
                    self._end(str(error).splitlines()[0])
                traceback.print_exc()
                last = Crashed(f"{type(error).__name__}: {error}", None)  # what would have ended a process of its own
            running.lane, threading.current_thread().name = None, "idle lane"
            self._give_back(key, inbox)
            self._send(Told(key, last))

    def _told_to_its_end(self, lane: Lane, key: str, job: Job, running: _Running) -> Event:
        """The trial's last event, which is told once what it held is given back: then there is room for another."""
        lane.work, lane.share = 0, 1 / self._lanes
        company = Company(self._lanes, lambda: running.crowd, self._shelf.load)
        try:
            with lane.entered():
                for event in self._run(job, running.stop.is_set, company):
                    if isinstance(event, LAST_EVENTS):
                        return event
                    if isinstance(event, Started | Trained):
                        running.training = isinstance(event, Started) and event.to_train
                    self._send(Told(key, event))
                    with self._changing:
                        running.crowd = len(self._running) - 1
        except OSError as error:
            return unwritable(error, job.folder)
        finally:
            lane.wait()
        return Crashed("the trial ended without a word", None)

    def _give_back(self, key: str, inbox: _Inbox) -> None:
        """The thread is free, and what the trial held of the device goes back to torch; to the device where torch would keep
        more than it leaves to others."""
        with ALONE:  # a graph that is destroyed while another lane records would spoil that one
            gc.collect()
            with self._changing:
                del self._running[key]
                self._idle.append(inbox)
            if self._device.type == "cuda" and self._free() < memory_held(str(self._device)):
                torch.cuda.empty_cache()

    # --- what it tells ---

    def look_on(self) -> None:
        """Tell of the work and the memory twice a second, while there is work."""
        before, at = self._counts(), time.monotonic()
        while True:
            time.sleep(LOOK_SECONDS)
            lanes, now, counts = self._lanes, time.monotonic(), self._counts()
            if before or counts:
                throughout = {key for key, work in counts.items() if work and before.get(key)}
                self._send(
                    Look(
                        lanes=lanes,
                        training=len(throughout) == lanes == len(before) == len(counts),
                        seconds=now - at,
                        work=sum(counts[key] - before[key] for key in throughout),
                        reserved=memory_held(str(self._device)) if self._device.type == "cuda" else 0,
                        free=self._free(),
                    )
                )
            before, at = counts, now

    def _counts(self) -> dict[str, int]:
        """The work of each trial so far; 0 for one that does not train."""
        with self._changing:
            return {
                key: one.lane.work if one.training and one.lane is not None else 0 for key, one in self._running.items()
            }

    def _free(self) -> int:
        """Bytes that the process could still take."""
        if self._device.type == "cuda" and self._fraction is not None:
            free, total = torch.cuda.mem_get_info(self._device)
            return max(0, min(free, int(total * self._fraction) - memory_held(str(self._device))))
        return free_memory(self._device)

    def _send(self, message: FromChild) -> None:
        with self._sending:
            try:
                wire.send(self._sock, message)
            except OSError:
                os._exit(1)

    def _end(self, reason: str) -> None:
        """Nothing can be saved of what runs: its tensors are out of reach."""
        self._send(Spoilt(reason))
        os._exit(_SPOILT)


class Shelf:
    """Data sets as `datasets.load_planned` reads them, each once for all who ask for the same; the last few stay."""

    def __init__(self, load: Callable[..., tuple[Arrays, str]] = datasets.load_planned) -> None:
        self._load = load
        self._places: OrderedDict[Any, _Place] = OrderedDict()
        self._placing = threading.Lock()
        self._decoding = threading.Lock()
        """Decoders set what a process has once, as how warnings are shown: one at a time."""

    def load(
        self, source: DatasetSource, data_root: Path, cache: Path, identity: str, met: str | None = None
    ) -> tuple[Arrays, str]:
        """As `datasets.load_planned`, which raises for each who asks while it cannot be read."""
        asked = (source, data_root, cache, identity, met)
        with self._placing:
            place = self._places.setdefault(asked, _Place())
            self._places.move_to_end(asked)
            while len(self._places) > _KEPT:
                self._places.popitem(last=False)
        with place.filling:
            if place.found is None:
                with self._decoding:
                    place.found = self._load(*asked)
            return place.found


@dataclass
class _Place:
    filling: threading.Lock = field(default_factory=threading.Lock)
    found: tuple[Arrays, str] | None = None
