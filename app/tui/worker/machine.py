"""What the machine does at this moment: load of the cores, memory, disk, GPUs. Measured off the event loop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil

from app.worker import conditions
from app.worker.driver import Gpu
from app.worker.visible import visible_gpus
from storage.home import Home

_WITHOUT_GPU_SECONDS = 30.0
"""How long a machine that showed no GPU is not asked again: looking for a driver that is not there costs time too."""


@dataclass(frozen=True)
class Machine:
    """Loads are shares of 1, one for each core that this process may use; memory and disk in bytes."""

    cores: Sequence[float] | None
    """None at the first look: a load is what happened between two."""
    memory_used: int
    memory_total: int
    disk_free: int
    gpus: Sequence[Gpu]
    trouble: str | None = None
    """What the NVIDIA driver complains of."""


@dataclass
class Gauges:
    """Reads the machine; one thread at a time."""

    find_gpus: Callable[[], Sequence[Gpu]] = visible_gpus
    _primed: bool = False
    _no_gpu_until: float = field(default=-1e9)

    def read(self, home: Home) -> Machine:
        loads = psutil.cpu_percent(interval=None, percpu=True)
        if hasattr(os, "sched_getaffinity"):
            loads = [loads[core] for core in sorted(os.sched_getaffinity(0)) if core < len(loads)] or loads
        memory = psutil.virtual_memory()
        gpus, trouble = self._gpus()
        cores = [load / 100 for load in loads] if self._primed else None
        self._primed = True
        return Machine(cores, memory.total - memory.available, memory.total, conditions.disk_for(home), gpus, trouble)

    def _gpus(self) -> tuple[Sequence[Gpu], str | None]:
        if time.monotonic() < self._no_gpu_until:
            return (), None
        try:
            gpus = self.find_gpus()
        except Exception as error:  # a driver that fails must not take the other numbers with it
            return (), f"the NVIDIA driver says: {error}"
        if not gpus:
            self._no_gpu_until = time.monotonic() + _WITHOUT_GPU_SECONDS
        return gpus, None
