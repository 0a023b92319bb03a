"""What the driver and its stations tell each other. Torch-free, picklable; both ends are the same version of this program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.events import Event
from core.executors.protocol import Slot
from core.jobs.orders import Job


@dataclass(frozen=True)
class Setup:
    """All that a station knows of its driver. `slot` is the device as its own process sees it."""

    home: str
    """The id of the driver's home: what the spools of a machine are told apart by."""
    driver: str
    """The id of this driver, which another one after it does not have."""
    slot: Slot
    node: str
    environment: Mapping[str, str | None]
    """The driver's own, as far as it decides how a library uses threads; None: not set there."""


@dataclass(frozen=True)
class Carried:
    """A file of an earlier attempt: that attempt's folder, its name there, and its bytes, or what Ray knows them by."""

    attempt: str
    name: str
    content: Any


@dataclass(frozen=True)
class Piece:
    """Bytes `at` … of a file of a data set."""

    path: str
    """Below the parcel's folder."""
    at: int
    content: Any
    """As in `Carried`."""


@dataclass(frozen=True)
class Parcel:
    """The files that a data set is read from, for a machine that lacks them. `digest` names what they hold."""

    digest: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True)
class Order:
    """To a station: a trial to run. The paths in `job` are those of the driver's machine."""

    key: str
    job: Job
    carried: tuple[Carried, ...]
    parcel: Parcel | None
    leftover: str | None = None
    """What this station has kept of it for a driver that died (`Leftover`)."""


@dataclass(frozen=True)
class Cancel:
    """To a station: stop the trial at its next batch, or kill it `now`."""

    key: str
    now: bool


@dataclass(frozen=True)
class Recorded:
    """To a station: what a trial told is in the driver's database up to the spooled piece of this number; `ended`: to its end."""

    key: str
    piece: int
    ended: bool


@dataclass(frozen=True)
class Forget:
    """To a station: a leftover is of no use any more."""

    leftover: str


ToStation = Order | Cancel | Recorded | Forget


@dataclass(frozen=True)
class Leftover:
    """What a station found in the spool of its machine: part of an attempt whose driver died. `id` is where it lies."""

    id: str
    trial_id: str
    pieces: int


@dataclass(frozen=True)
class Arrived:
    """A station's first words, with what it found in the spool: nothing is sent to it before that is known."""

    version: str
    leftovers: tuple[Leftover, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Told:
    """From a station: an event of a trial, with files that belong into its folder before the event is worth anything.

    `piece` is the spooled piece that holds it, or the last one before it.
    """

    key: str
    event: Event
    piece: int
    files: tuple[tuple[str, bytes | Path], ...] = ()
    """Name → content; while it has not been sent yet, the place of the file."""


@dataclass(frozen=True)
class Report:
    """From a station, several times a second at most: what has been told since the last one, and how it stands."""

    told: tuple[Told, ...]
    rooms: int
    """How many trials it wants to have, at work or waiting."""
    waiting: tuple[str, ...]
    """Those that have not begun."""
    leftovers: tuple[Leftover, ...] = ()
    """Found since the last report."""
    notes: tuple[str, ...] = ()
