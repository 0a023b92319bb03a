"""What keeps a trial from starting though a slot is free: too little disk, a device that others have filled or that is lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from app.worker import gpu_trouble
from app.worker.driver import Gpu, ask_driver
from app.worker.visible import visible_gpus
from core.errors import BadInput
from core.events import AuditFailed, Crashed, EvaluationFailed, Event, LookFailed, TrialFailed
from core.executors.protocol import Slot
from core.records.study import Study
from storage import queue
from storage.home import Home

if TYPE_CHECKING:
    from sqlite_utils import Database

LEAST_DISK = 64 << 20
"""Bytes that must be free for a trial to start: a checkpoint, its successor beside it, and the database's log."""
_CONTEXT = 600 << 20
"""Bytes that CUDA takes for a process before the first tensor."""
_UNKNOWN_NEED = 2 << 30
"""Bytes asked for while no trial has been measured on a GPU in this home."""


def low_disk(home: Home, free: Callable[[Home], int] | None = None) -> str | None:
    """Why nothing starts for want of disk space, None if there is enough."""
    left = (free or free_disk)(home)
    if left >= LEAST_DISK:
        return None
    return f"only {left / 2**20:.0f} MiB of disk are free in {home.root}; free some space"


def refuse_precision(study: Study, slots: Sequence[Slot]) -> None:
    """Raises BadInput for a study whose precision needs another device than these."""
    precision = study.training.precision
    if precision in ("fp16", "tf32") and not all(slot.device.startswith("cuda") for slot in slots):
        raise BadInput(
            f"{study.name}: training.precision: {precision} needs CUDA; use bf16 or fp32 on {slots[0].device}"
        )


def refuse_full_disk(home: Home) -> None:
    """Raises BadInput where nothing could start for want of disk space; the home is there."""
    low = low_disk(home)
    if low is not None:
        raise BadInput(f"{low}, or use --home")


def free_disk(home: Home) -> int:
    """Bytes free where the home lies; 0 once it is gone."""
    try:
        return shutil.disk_usage(home.root).free
    except OSError:
        return 0


def disk_for(home: Home) -> int:
    """Bytes free where the home lies, or would lie if it were made."""
    place = home.root
    while not place.exists() and place != place.parent:
        place = place.parent
    return shutil.disk_usage(place).free


def crowded(
    db: Database,
    slots: Sequence[Slot],
    gpus: Callable[[], Sequence[Gpu]] = visible_gpus,
    at_work: Collection[str] = (),
) -> Mapping[str, str]:
    """Device → why a trial waits for it: those of `slots` that are CUDA devices with too little free memory, or are lost.

    Needed is what the largest trial measured so far on a GPU took, and a quarter more, beside CUDA's own share; a slot
    with a memory fraction needs no more than that. So a device that somebody else has filled makes trials wait.

    On devices `at_work` trials of this worker run already, and fill them as they may: these are only asked whether they are
    lost. Whether one more lane fits, the executor finds.
    """
    asked = {slot.device: slot for slot in slots if slot.device.startswith("cuda")}
    if not asked:
        return {}
    waiting = asked.keys() - set(at_work)
    peak = queue.peak_memory_on_gpus(db) if waiting else None
    wanted = _CONTEXT + int(1.25 * peak) if peak else _UNKNOWN_NEED
    found = {gpu.name: gpu for gpu in gpus()}
    reasons = {}
    for name, slot in asked.items():
        gpu = found.get(name)
        if gpu is None or gpu.fault is not None:
            reasons[name] = _lost(name, gpu)
            continue
        if name in at_work:
            continue
        limit = gpu.total if slot.memory_fraction is None else int(gpu.total * slot.memory_fraction)
        need = min(wanted, int(0.9 * limit))
        if gpu.free < need:
            reasons[name] = (
                f"{name} has {gpu.free / 2**30:.1f} GiB free of {gpu.total / 2**30:.1f}, {need / 2**30:.1f} needed: "
                "other processes fill it"
            )
    return reasons


def lost(device: str, gpus: Callable[[], Sequence[Gpu]] = visible_gpus) -> str | None:
    """Why a CUDA device can be used no more, None while NVML finds nothing wrong with it."""
    gpu = next((gpu for gpu in gpus() if gpu.name == device), None)
    return _lost(device, gpu) if gpu is None or gpu.fault is not None else None


def loss_behind(event: Event, device: str, gpus: Callable[[], Sequence[Gpu]] = visible_gpus) -> str | None:
    """Why an event that tells of a failure is not the trial's fault: NVML says that its device can be used no more.

    None for all other events, and for a failure on a device that NVML finds nothing wrong with.
    """
    failed = isinstance(event, TrialFailed | EvaluationFailed | LookFailed | AuditFailed | Crashed)
    return lost(device, gpus) if failed and device.startswith("cuda") else None


def _lost(name: str, gpu: Gpu | None) -> str:
    if gpu is not None and gpu.fault is not None:
        return gpu_trouble.lost(name, gpu.fault)
    driver = ask_driver()
    # One that is lost altogether no longer tells the name that it was asked for by.
    faults = [driver.fault, *(board.gpu.fault for board in driver.boards)]
    fault = next((fault for fault in faults if fault is not None), None)
    return f"{name} is gone; the driver no longer shows it" if fault is None else gpu_trouble.lost(name, fault)
