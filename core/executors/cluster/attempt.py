"""An attempt on a cluster's machine: its folder there, the files that it begins with, and what of it is kept and sent back."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from core.events import Crashed, EpochFinished, Event, Started, Stopped, Trained
from core.executors.cluster import parcels, spool
from core.executors.cluster.messages import Order, Told
from core.executors.cluster.replay import LASTING, Asked, replayed
from core.jobs.orders import Job

WEIGHTS, LAST = "weights.pt", "last.pt"
"""As `core.training.checkpoints` names them, which imports torch."""
_CHECKPOINT_SECONDS = 60.0
"""So often a checkpoint goes to the driver: what the death of a machine may cost of a long training."""

Files = tuple[tuple[str, Path], ...]
"""Name in the attempt's folder → the file here."""


@dataclass
class Attempt:
    """One that this machine was sent. `job` has this machine's paths."""

    order: Order
    job: Job
    had: frozenset[Path]
    """Files of earlier attempts that came from the driver, by their place here."""
    asked: Asked = field(init=False)
    began: float = field(default_factory=time.monotonic)
    pieces: int = 0
    """How many are in the spool."""
    _checkpoint_at: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.asked = Asked(self.job)

    def kept(self, event: Event, node: str) -> tuple[Event, Files]:
        """An event as the driver is to have it, with its files; in the spool from now on, if it lasts. Raises OSError."""
        files: Files = ()
        match event:
            case Started():
                event = replace(event, environment={**event.environment, "node": node})
            case Trained():
                event, files = self._trained(event)
            case EpochFinished() if time.monotonic() - self._checkpoint_at > _CHECKPOINT_SECONDS:
                self._checkpoint_at = time.monotonic()
                files = _there(self.job.folder, LAST)
            case Stopped() | Crashed():
                files = _there(self.job.folder, LAST)
        known = isinstance(event, Trained) and not files  # the driver has these weights
        if isinstance(event, LASTING) and not known:
            digests = tuple((name, spool.digest_of(path) or "") for name, path in files)
            self.pieces += 1
            lasting = (spool.Kept(event, self.asked.of(event)),)
            page = spool.Page(spool.version(), self.job.trial, self.job.attempt, lasting, digests)
            spool.write(self.job.folder, self.pieces, page)
        return event, files

    def _trained(self, event: Trained) -> tuple[Trained, Files]:
        """With the path that the weights have, or will have, at the driver's."""
        home = self.order.job.folder
        if event.weights in self.had:
            return replace(event, weights=home.parent / event.weights.parent.name / WEIGHTS), ()
        if event.weights.parent != self.job.folder:  # of an attempt whose driver died before it knew
            event.weights.rename(self.job.folder / WEIGHTS)
        return replace(event, weights=home / WEIGHTS), ((WEIGHTS, self.job.folder / WEIGHTS),)


def begun(
    order: Order, left: spool.Past | None, folder: Path, device: str, data: Path, fetch: parcels.Fetch
) -> Attempt:
    """An order with all that it needs in `folder` and, of its data set, below `data`; a training that a dead driver's station has
    `left` goes on. Raises OSError."""
    job, had = order.job, set()
    for carried in order.carried:
        place = folder.parent / carried.attempt
        place.mkdir(exist_ok=True)
        spool.place(place, carried.name, fetch(carried.content))
        had.add(place / carried.name)
    earlier = [folder.parent / path.name for path in job.earlier]
    if left is not None:
        place = folder.parent / f"left by {left.folder.name}"
        shutil.rmtree(place, ignore_errors=True)
        left.folder.rename(place)
        remove(left.folder)
        earlier.append(place)
    here = replace(job, folder=folder, earlier=tuple(earlier), device=device)
    there = parcels.laid_down(order.parcel, data, fetch)
    return Attempt(order, parcels.reading_from(here, there), frozenset(had))


def retold(order: Order, left: spool.Past) -> Sequence[Told]:
    """What a dead driver's station has worked out of this very trial; nothing where none of it answers the order."""
    told = []
    for event in replayed(order.job, left.trial, left.kept):
        files: Files = ()
        if isinstance(event, Trained):
            event, files = replace(event, weights=order.job.folder / WEIGHTS), ((WEIGHTS, left.folder / WEIGHTS),)
        elif isinstance(event, Stopped):
            files = _there(left.folder, LAST)
        told.append(Told(order.key, event, 0, files))
    return told


def worth(left: spool.Past) -> bool:
    """Whether there is anything that another attempt could take from it, beyond what it ran on."""
    return bool(left.kept[1:] or _there(left.folder, WEIGHTS) or _there(left.folder, LAST))


def remove(folder: Path) -> None:
    """A trial's or an attempt's, with the one above it if that is empty then."""
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()


def weight(told: Told) -> int:
    """Bytes of its files; a checkpoint is gone once its training has ended."""
    total = 0
    for _, path in told.files:
        with contextlib.suppress(OSError):
            total += path.stat().st_size if isinstance(path, Path) else 0
    return total


def with_content(told: Told) -> Told:
    """With the bytes of its files; one that is gone is left out."""
    files: list[tuple[str, bytes | Path]] = []
    for name, path in told.files:
        with contextlib.suppress(OSError):
            files.append((name, path.read_bytes() if isinstance(path, Path) else path))
    return replace(told, files=tuple(files))


def _there(folder: Path, name: str) -> Files:
    return ((name, folder / name),) if (folder / name).exists() else ()
