"""The small contract between a worker and whatever runs its jobs; one test class runs against every executor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from core.events import Event
from core.jobs.orders import AnyJob


@dataclass(frozen=True)
class Slot:
    """Room for one trial at a time: a device ("cpu", "cuda:0", "mps"), the CPU threads and the share of the device's
    memory that it may use (None: all that is free).

    Whoever makes an executor gives one for each CUDA device, which stands for as many rooms as `lanes` says (None: as many
    as prove to pay); they share its threads and memory. On other devices None is one trial in a process of its own.
    """

    device: str
    threads: int
    memory_fraction: float | None = None
    lanes: int | None = None
    node: str | None = None
    """The machine of a cluster that has the device; None: this one."""


@dataclass(frozen=True)
class Lanes:
    """How a device stands whose trials share a process."""

    allowed: int
    """How many it runs at once."""
    busy: int
    asked: int | None
    """How many were asked for; None: `allowed` is found by measuring."""
    settled: bool
    """Whether that search is over."""
    alone: bool = False
    """Whether a trial runs alone that may have taken others along when its process died."""


class Executor(Protocol):
    """Carries jobs to where they run and their events back; knows nothing of storage.

    A job is known by the key that `submit` was given. Its events come in order, and the last one is one of
    `events.LAST_EVENTS`; only then is its slot free again.
    """

    def capacity(self) -> Sequence[Slot]:
        """The slots, busy or not. It may change between two calls; where it shrinks, what is busy goes on to its end and nothing
        new begins until there are fewer."""
        ...

    def lanes(self) -> Mapping[str, Lanes]:
        """Device → how its lanes stand; devices whose trials have a process each are absent."""
        ...

    def submit(self, key: str, job: AnyJob) -> None:
        """Start `job`; its device and threads are those of the slot that the caller chose."""
        ...

    def poll(self, timeout: float) -> Sequence[tuple[str, Event]]:
        """The events since the last call, waiting up to `timeout` seconds for the first. Whoever calls again has recorded those
        that the call before gave."""
        ...

    def cancel(self, key: str, *, now: bool = False) -> None:
        """Ask a job to stop at its next batch and leave a checkpoint; `now` kills it. Unknown keys are ignored."""
        ...

    def close(self) -> None:
        """Kill what still runs and give everything back. Nothing outlives it."""
        ...
