"""What a worker and its children tell each other beside a job and its events. Torch-free, picklable."""

from __future__ import annotations

from dataclasses import dataclass

from core.events import Event
from core.jobs.orders import AnyJob, Job


@dataclass(frozen=True)
class HostLanes:
    """A child's first message where it is to run many trials of one device instead of one job (`lane_host`)."""

    device: str
    threads: int
    memory_fraction: float | None
    """Share of a CUDA device's memory that all of them together may take."""
    lanes: int
    """How many it may run at once; `Limit` changes that."""


@dataclass(frozen=True)
class Run:
    """To a host: begin a trial in a lane of its own."""

    key: str
    job: Job


@dataclass(frozen=True)
class Stop:
    """To a child: the job of this key is to stop at its next batch and to leave a checkpoint."""

    key: str


@dataclass(frozen=True)
class Limit:
    """To a host: it may run so many trials at once from now on. Whoever sends it keeps to that; the host only tells it on."""

    lanes: int


@dataclass(frozen=True)
class Told:
    """From a host: an event of one of its trials."""

    key: str
    event: Event


@dataclass(frozen=True)
class Look:
    """From a host: what its lanes did in `seconds`. Memory in bytes of the device."""

    lanes: int
    """How many it was allowed meanwhile."""
    training: bool
    """Whether so many trained all the time; else the work says nothing about `lanes`."""
    seconds: float
    work: int
    """Images that went through models in training, each once for every slope taken."""
    reserved: int
    """Held by the host's tensors, or kept for them."""
    free: int
    """That it could still take."""


@dataclass(frozen=True)
class Spoilt:
    """From a host, its last message: nothing in its process can use the device any more."""

    reason: str


Order = AnyJob | HostLanes
"""The first message to a child."""
ToChild = Order | Run | Stop | Limit
FromChild = Event | Told | Look | Spoilt
