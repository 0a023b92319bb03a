"""Many trials of a device at once in one child of its own, its lane host; other jobs in a child each. Imports no torch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.events import LAST_EVENTS, Crashed, Event, Finished, Stopped, TrialFailed
from core.executors.messages import FromChild, HostLanes, Limit, Look, Run, Spoilt, Stop, Told
from core.executors.process import ProcessExecutor
from core.executors.protocol import Lanes, Slot
from core.executors.tuning import Tuner
from core.jobs.orders import AnyJob, Job

_SHARED_END = "ended with the process that it shared with a trial that did not stop"


class Suspects:
    """Trials that may have taken their process along: each runs alone, on whatever device, until it has come to an end."""

    def __init__(self) -> None:
        self._deaths: dict[str, int] = {}
        """Trial id → the number of the death that it may be to blame for."""
        self._counted = 0

    def __contains__(self, job: Job) -> bool:
        return job.trial.id in self._deaths

    def died(self, jobs: Collection[Job]) -> None:
        """The process of these died. A suspect that was alone is to blame, and those of the same death are cleared."""
        if len(jobs) == 1:
            (alone,) = (job.trial.id for job in jobs)
            death = self._deaths.get(alone)
            for trial in [trial for trial, number in self._deaths.items() if number == death]:
                del self._deaths[trial]
        self._counted += 1
        for job in jobs:
            self._deaths[job.trial.id] = self._counted

    def clear(self, job: Job) -> None:
        """It has come to its end."""
        self._deaths.pop(job.trial.id, None)


@dataclass
class _Device:
    """A device whose trials share a host. `running` are in it, `waiting` are to be, in this order."""

    slot: Slot
    suspects: Suspects
    tuner: Tuner = field(default_factory=Tuner)
    held: int | None = None
    """More lanes than that, its memory has not held."""
    host: str | None = None
    """What its child is known by, while there is one."""
    ending: bool = False
    """Its host was killed, or told that it is of no use any more, and has not ended yet."""
    spoilt: str | None = None
    told: int = 0
    """How many lanes the host knows of."""
    running: dict[str, Job] = field(default_factory=dict)
    waiting: deque[tuple[str, Job]] = field(default_factory=deque)
    killed: set[str] = field(default_factory=set)
    idle_since: float | None = None

    @property
    def allowed(self) -> int:
        asked = self.slot.lanes
        if asked is None:
            return self.tuner.lanes
        return asked if self.held is None else min(asked, self.held)

    @property
    def busy(self) -> int:
        return len(self.running) + len(self.waiting)

    @property
    def alone(self) -> bool:
        """Whether a suspect runs or waits, so that nothing new begins beside it."""
        return any(job in self.suspects for job in (*self.running.values(), *(job for _, job in self.waiting)))


class LanesExecutor:
    """Trials on CUDA, and on any slot with a number of lanes, go to their device's host; all else to a `ProcessExecutor`.

    A host is started on demand and ended once it had nothing to do for `IDLE_SECONDS`, which gives the device's memory back.
    What a device has shown, its number of lanes and its suspects, is kept as long as this executor.
    """

    IDLE_SECONDS = 5.0

    def __init__(self, slots: Sequence[Slot], log: Path) -> None:
        self._processes = ProcessExecutor([slot for slot in slots if not _hosted(slot)], log)
        self._slots = tuple(slots)
        suspects = Suspects()
        self._devices = {slot.device: _Device(slot, suspects) for slot in slots if _hosted(slot)}
        self._hosts = 0
        self._withdrawn: list[str] = []
        """Jobs that were cancelled before they were let in."""

    def capacity(self) -> Sequence[Slot]:
        found: list[Slot] = []
        for slot in self._slots:
            device = self._devices.get(slot.device) if _hosted(slot) else None
            if device is None:
                found.append(slot)
            else:
                # What comes while a suspect is on its way would only wait.
                rooms = device.busy if device.alone else device.allowed
                found += [replace(slot, lanes=None)] * rooms
        return found

    def lanes(self) -> Mapping[str, Lanes]:
        return {
            name: Lanes(
                allowed=device.allowed,
                busy=device.busy,
                asked=device.slot.lanes,
                settled=device.slot.lanes is not None or device.tuner.settled,
                alone=device.alone,
            )
            for name, device in self._devices.items()
        }

    def pids(self) -> dict[str, int]:
        """The process of each running job that has one by now."""
        found = self._processes.pids()
        hosts = {device.host: device for device in self._devices.values()}
        return {
            key: pid for child, pid in found.items() for key in (hosts[child].running if child in hosts else [child])
        }

    def warm(self) -> None:
        """As `ProcessExecutor.warm`."""
        self._processes.warm()

    def submit(self, key: str, job: AnyJob) -> None:
        device = self._devices.get(job.device) if isinstance(job, Job) else None
        if device is None or not isinstance(job, Job):
            self._processes.submit(key, job)
            return
        device.waiting.append((key, job))
        self._let_in(device)

    def poll(self, timeout: float) -> Sequence[tuple[str, Event]]:
        hosts = {device.host: device for device in self._devices.values() if device.host is not None}
        events: list[tuple[str, Event]] = [(key, Stopped()) for key in self._withdrawn]
        self._withdrawn.clear()
        for child, message in self._processes.messages(0.0 if events else timeout):
            if child in hosts:
                events += self._take(hosts[child], message)
            elif not isinstance(message, Told | Look | Spoilt):
                events.append((child, message))
        for device in self._devices.values():
            self._let_in(device)
            self._end_idle(device)
        return events

    def cancel(self, key: str, *, now: bool = False) -> None:
        for device in self._devices.values():
            if key in device.running:
                if now:  # a thread cannot be killed
                    device.killed.add(key)
                    self._kill(device)
                else:
                    self._send(device, Stop(key))
                return
            for waiting in device.waiting:
                if waiting[0] == key:  # it has not begun: nothing to stop or to lose
                    device.waiting.remove(waiting)
                    self._withdrawn.append(key)
                    return
        self._processes.cancel(key, now=now)

    def close(self) -> None:
        self._processes.close()
        for device in self._devices.values():
            device.running.clear()
            device.waiting.clear()
            device.killed.clear()
            device.host, device.ending = None, False
        self._withdrawn.clear()

    # --- trials in and out of a host ---

    def _let_in(self, device: _Device) -> None:
        while device.waiting and not device.ending:
            key, job = device.waiting[0]
            if device.running and (
                self._runs_alone(device) or job in device.suspects or len(device.running) >= device.allowed
            ):
                return
            device.waiting.popleft()
            if device.host is None:
                self._start(device)
            self._tell_limit(device)
            device.running[key] = job
            device.idle_since = None
            self._send(device, Run(key, job))

    @staticmethod
    def _runs_alone(device: _Device) -> bool:
        return any(job in device.suspects for job in device.running.values())

    def _start(self, device: _Device) -> None:
        self._hosts += 1
        device.host = f"host {self._hosts} of {device.slot.device}"
        device.told = device.allowed
        slot = device.slot
        self._processes.start(device.host, HostLanes(slot.device, slot.threads, slot.memory_fraction, device.told))

    def _tell_limit(self, device: _Device) -> None:
        if device.host is not None and device.told != device.allowed:
            device.told = device.allowed
            self._send(device, Limit(device.told))

    def _send(self, device: _Device, message: Run | Stop | Limit) -> None:
        if device.host is not None:
            self._processes.send(device.host, message)

    def _kill(self, device: _Device) -> None:
        if device.host is not None:
            device.ending = True
            self._processes.cancel(device.host, now=True)

    def _end_idle(self, device: _Device) -> None:
        if device.host is None or device.ending or device.running:
            return
        now = time.monotonic()
        device.idle_since = now if device.idle_since is None else device.idle_since
        if now - device.idle_since >= self.IDLE_SECONDS:
            self._kill(device)

    # --- what a host tells ---

    def _take(self, device: _Device, message: FromChild) -> list[tuple[str, Event]]:
        match message:
            case Told(key, event):
                return self._told(device, key, event)
            case Look():
                device.tuner.take(message)
                self._tell_limit(device)
            case Spoilt(reason):
                device.ending, device.spoilt = True, reason
            case Crashed():
                return self._ended(device, message)
        return []

    def _told(self, device: _Device, key: str, event: Event) -> list[tuple[str, Event]]:
        job = device.running.get(key)
        if job is None:
            return []
        if isinstance(event, LAST_EVENTS):
            del device.running[key]
            device.killed.discard(key)
            if isinstance(event, Finished | TrialFailed):
                device.suspects.clear(job)
            if isinstance(event, Crashed) and event.beside and event.memory_needed is not None:
                # Those that still run fit, as it seems. Where all ran out at once, half of them may.
                fit = max(len(device.running), (event.beside + 2) // 2)
                device.held = min(fit, device.allowed)
                device.tuner.hold(fit)
                self._tell_limit(device)
        return [(key, event)]

    def _ended(self, device: _Device, end: Crashed) -> list[tuple[str, Event]]:
        """The host is gone, and with it all that ran in it."""
        lost, killed, spoilt = dict(device.running), set(device.killed), device.spoilt
        asked = device.ending and spoilt is None
        device.running.clear()
        device.killed.clear()
        device.host, device.ending, device.spoilt, device.idle_since = None, False, None, None
        beside = len(lost) - 1
        if asked:
            shared = Crashed(_SHARED_END, end.exit_code, trial_at_fault=False, beside=beside)
            killed_ones = Crashed("killed on request", end.exit_code, trial_at_fault=False)
            return [(key, killed_ones if key in killed else shared) for key in lost]
        if not end.trial_at_fault:  # what forks the hosts died
            return [(key, replace(end, beside=beside)) for key in lost]
        reason = end.reason if spoilt is None else f"the training process lost its device: {spoilt}"
        if lost:
            device.suspects.died(lost.values())
        return [(key, Crashed(reason, end.exit_code, trial_at_fault=beside == 0, beside=beside)) for key in lost]


def _hosted(slot: Slot) -> bool:
    return slot.lanes is not None or slot.device.startswith("cuda")
