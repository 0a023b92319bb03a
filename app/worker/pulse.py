"""What each running trial is at, from the events it sends: the rows behind `status`."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from app.worker.driver import memory_of_processes
from core.events import AttackProgress, CleanEvaluated, Event, Started, Trained, TrainingProgress
from core.executors.protocol import Slot
from storage.worker_state import AttackPhase, LoadingPhase, Phase, RunningRow, TrainedPhase, TrainingPhase


@dataclass
class Pulse:
    """One running trial, as last heard of."""

    trial_id: str
    slot_number: int
    slot: Slot
    pid: int | None = None
    phase: Phase = field(default_factory=LoadingPhase)
    share: float | None = None
    rate: float | None = None
    clean: float | None = None
    """Clean accuracy, once known."""
    began_at: float = field(default_factory=time.time)
    progress_mark: float = field(default_factory=time.monotonic)
    _phase_key: object = None
    _phase_began: float = 0.0
    _share_at_start: float = 0.0

    def take(self, event: Event) -> None:
        """Take in one event."""
        self.progress_mark = time.monotonic()
        match event:
            case Started():
                self.pid = event.pid
            case TrainingProgress():
                self.phase = TrainingPhase(event.epoch, event.epochs, event.loss, event.accuracy)
                self._moved("training", (event.epoch - 1 + event.batch / max(1, event.batches)) / event.epochs)
                self.rate = event.samples_per_second
            case Trained():
                self.phase, self.share, self.rate = TrainedPhase(), None, None
            case CleanEvaluated():
                self.clean = float(event.correct.mean())
            case AttackProgress():
                self.phase = AttackPhase(event.attack.id, event.attack.name, event.eps, event.survivors, event.total)
                self._moved((event.attack.id, event.eps), event.done / max(1, event.total))
                elapsed = self.progress_mark - self._phase_began
                settled = event.done - self._share_at_start * event.total
                self.rate = settled / elapsed if elapsed > 0 and settled > 0 else None

    def _moved(self, phase: object, share: float) -> None:
        if phase != self._phase_key:
            self._phase_key, self._phase_began, self._share_at_start = phase, self.progress_mark, share
        self.share = share

    def seconds_left(self) -> float | None:
        """Of the phase, at the pace since its first sign; None before there is a pace."""
        if self.share is None or self.share <= self._share_at_start:
            return None
        elapsed = self.progress_mark - self._phase_began
        return elapsed * (1 - self.share) / (self.share - self._share_at_start)

    def live(self, memory: int | None) -> RunningRow:
        """The row that others read."""
        return RunningRow(
            trial_id=self.trial_id,
            slot=self.slot_number,
            device=self.slot.device,
            pid=self.pid,
            phase=self.phase,
            share=self.share,
            rate=self.rate,
            memory=memory,
            seconds_left=self.seconds_left(),
            began_at=self.began_at,
            progress_mark=self.progress_mark,
        )


def rows(pulses: Sequence[Pulse], uuids: Mapping[str, str]) -> list[RunningRow]:
    """Every pulse with the memory that its process holds: on its GPU where the driver tells, else resident. Trials that share
    a process are told an equal part each.

    `uuids` maps "cuda:N" to the device's UUID. What processes of another machine hold is not known.
    """
    here = [pulse for pulse in pulses if pulse.slot.node is None]
    on_gpus = sorted({uuids[pulse.slot.device] for pulse in here if pulse.slot.device in uuids})
    held = memory_of_processes(on_gpus) if on_gpus else {}
    sharing = Counter(pulse.pid for pulse in here)
    whole = {pid: held.get(pid or -1) or _resident(pid) for pid in sharing}
    return [
        pulse.live(None if pulse.slot.node is not None else _part(whole[pulse.pid], sharing[pulse.pid]))
        for pulse in pulses
    ]


def _part(memory: int | None, sharing: int) -> int | None:
    return None if memory is None else memory // sharing


def _resident(pid: int | None) -> int | None:
    if pid is None:
        return None
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
