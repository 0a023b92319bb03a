"""The small contract between a worker and whatever runs its jobs; one test class runs against every executor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.events import Event
from core.jobs.orders import AnyJob


@dataclass(frozen=True)
class Slot:
    """Room for one trial at a time: a device ("cpu", "cuda:0", "mps"), the CPU threads and the share of the device's
    memory that it may use (None: all that is free)."""

    device: str
    threads: int
    memory_fraction: float | None = None


class Executor(Protocol):
    """Carries jobs to where they run and their events back; knows nothing of storage.

    A job is known by the key that `submit` was given. Its events come in order, and the last one is one of
    `events.LAST_EVENTS`; only then is its slot free again.
    """

    def capacity(self) -> Sequence[Slot]:
        """The slots, busy or not."""
        ...

    def submit(self, key: str, job: AnyJob) -> None:
        """Start `job`; its device and threads are those of the slot that the caller chose."""
        ...

    def poll(self, timeout: float) -> Sequence[tuple[str, Event]]:
        """The events since the last call, waiting up to `timeout` seconds for the first."""
        ...

    def cancel(self, key: str, *, now: bool = False) -> None:
        """Ask a job to stop at its next batch and leave a checkpoint; `now` kills it. Unknown keys are ignored."""
        ...

    def close(self) -> None:
        """Kill what still runs and give everything back. Nothing outlives it."""
        ...
