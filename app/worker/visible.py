"""What CUDA_VISIBLE_DEVICES leaves of a machine's GPUs, and where CUDA stops reading it: what a child will see.

A child has the worker's environment, and numbers in the variable count in PCI order (CUDA_DEVICE_ORDER). A GPU in MIG mode is
used by its instances alone, and one process by one instance: as soon as CUDA shows an instance, it shows nothing beside it. So
that instance is cuda:0 in every child, the first that is named or, without the variable, the first that there is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from app.worker.driver import Board, Driver, Gpu, ask_driver
from app.worker.torch_build import TorchBuild, installed_torch

VARIABLE = "CUDA_VISIBLE_DEVICES"
_HIDING = ("", "none", "void", "nodevfiles")
"""What batch systems write for no GPU at all, beside a negative number."""


class Why(Enum):
    """What is wrong with an entry of the variable."""

    NO_SUCH_NUMBER = "no such number"
    NO_SUCH_NAME = "no such name"
    AMBIGUOUS = "the beginning of several names"
    NO_INSTANCE = "in MIG mode, without an instance"
    TWICE = "named twice"


@dataclass(frozen=True)
class Stopped:
    """The entry at which CUDA stops reading; none after it counts. One that comes twice takes all before it along."""

    entry: str
    why: Why


@dataclass(frozen=True)
class Visible:
    """The devices of a child, in CUDA's order and with torch's names, and what keeps others from being among them."""

    gpus: Sequence[Gpu] = ()
    driver: Driver = field(default_factory=Driver)
    torch: TorchBuild | None = None
    variable: str | None = None
    stopped: Stopped | None = None
    """None also where the variable ends on purpose, as with "-1"."""
    left_out: int = 0
    """Devices that were named, or are there and not hidden, and that CUDA does not show beside a MIG instance."""

    @property
    def without_cuda(self) -> bool:
        """Whether torch could use none of them."""
        return self.torch is not None and self.torch.cuda is None

    @property
    def usable(self) -> Sequence[Gpu]:
        """Those that trials can run on, as far as is known before they do."""
        return [] if self.without_cuda else [gpu for gpu in self.gpus if gpu.fault is None]


def look(environment: Mapping[str, str] = os.environ) -> Visible:
    """What a child with this environment would see now."""
    driver, variable = ask_driver(), environment.get(VARIABLE)
    if variable is None:
        named, stopped = [gpu for board in driver.boards for gpu in _devices(board)], None
    else:
        named, stopped = _named(driver.boards, variable)
    instance = next((gpu for gpu in named if gpu.uuid.startswith("MIG-")), None)
    shown = named if instance is None else [instance]
    gpus = [
        Gpu(f"cuda:{number}", gpu.uuid, gpu.model, gpu.total, gpu.free, gpu.utilisation, gpu.fault)
        for number, gpu in enumerate(shown)
    ]
    return Visible(gpus, driver, installed_torch(), variable, stopped, len(named) - len(shown))


def visible_gpus(environment: Mapping[str, str] = os.environ) -> Sequence[Gpu]:
    """The devices of `look`, those that are lost among them: they keep their place."""
    return look(environment).gpus


def _devices(board: Board) -> Sequence[Gpu]:
    return [board.gpu] if board.parts is None else list(board.parts.values())


def _named(boards: Sequence[Board], variable: str) -> tuple[list[Gpu], Stopped | None]:
    """What CUDA makes of the variable: it stops at the first entry that is no device. torch takes an entry that comes twice
    for no device at all."""
    chosen: list[Gpu] = []
    for entry in (part.strip() for part in variable.split(",")):
        if entry.lower() in _HIDING or re.match(r"-\d", entry):
            break
        found = _device(boards, entry)
        if isinstance(found, Why):
            return chosen, Stopped(entry, found)
        if found in chosen:
            return [], Stopped(entry, Why.TWICE)
        chosen.append(found)
    return chosen, None


def _device(boards: Sequence[Board], entry: str) -> Gpu | Why:
    number = re.match(r"\+?([0-9]+)", entry)  # as strtoul reads it: "1st" is 1
    if number:
        place = int(number[1])
        return _first(boards[place]) if place < len(boards) else Why.NO_SUCH_NUMBER
    older = re.fullmatch(r"MIG-(GPU-[^/]+)/(\d+)/(\d+)", entry)
    if older:
        for board in boards:
            if board.gpu.uuid == older[1] and board.parts is not None:
                return board.parts.get((int(older[2]), int(older[3]))) or Why.NO_SUCH_NAME
        return Why.NO_SUCH_NAME
    if entry.startswith("MIG-"):
        parts = [part for board in boards if board.parts is not None for part in board.parts.values()]
        match = [part for part in parts if part.uuid.startswith(entry)]
        return match[0] if len(match) == 1 else Why.AMBIGUOUS if match else Why.NO_SUCH_NAME
    begun = [board for board in boards if board.gpu.uuid.startswith(entry)]
    return _first(begun[0]) if len(begun) == 1 else Why.AMBIGUOUS if begun else Why.NO_SUCH_NAME


def _first(board: Board) -> Gpu | Why:
    devices = _devices(board)
    return devices[0] if devices else Why.NO_INSTANCE
