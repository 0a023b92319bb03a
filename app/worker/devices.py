"""Which slots this machine has, found without torch: GPUs through NVML, cores through the scheduler's mask."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from core.errors import BadInput, Unavailable
from core.executors.protocol import Slot


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA device that a child would see, under torch's name for it ("cuda:0"). Memory in bytes.

    `uuid` stays the same whatever order devices are counted in; CUDA's numbers do not.
    """

    name: str
    uuid: str
    model: str
    total: int
    free: int
    utilisation: float | None = None
    """Share of the last sampling period in which a kernel ran."""


@contextmanager
def _nvml() -> Iterator[Any]:
    """NVML while the block runs; None on a machine without the NVIDIA driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield None
        return
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def visible_gpus(environment: Mapping[str, str] = os.environ) -> Sequence[Gpu]:
    """The devices that a child would see, in CUDA's order: NVML's list, narrowed by CUDA_VISIBLE_DEVICES.

    Numbers in that variable count in PCI order, which the children are given too (CUDA_DEVICE_ORDER).
    """
    with _nvml() as nvml:
        if nvml is None:
            return []
        found = []
        for index in range(int(nvml.nvmlDeviceGetCount())):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            found.append(
                Gpu(
                    name="",
                    uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
                    model=_text(nvml.nvmlDeviceGetName(handle)),
                    total=int(memory.total),
                    free=int(memory.free),
                    utilisation=_utilisation(nvml, handle),
                )
            )
    chosen = _narrowed(found, environment.get("CUDA_VISIBLE_DEVICES"))
    return [
        Gpu(f"cuda:{number}", gpu.uuid, gpu.model, gpu.total, gpu.free, gpu.utilisation)
        for number, gpu in enumerate(chosen)
    ]


def memory_of_processes(uuids: Sequence[str]) -> dict[int, int]:
    """Process id → bytes that it holds on these devices, as far as the driver tells (in containers it may not)."""
    held: dict[int, int] = {}
    with _nvml() as nvml:
        for uuid in uuids if nvml is not None else ():
            try:
                handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
                for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                    held[int(process.pid)] = held.get(int(process.pid), 0) + int(process.usedGpuMemory or 0)
            except nvml.NVMLError:
                continue
    return held


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _utilisation(nvml: Any, handle: Any) -> float | None:
    try:
        return float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except nvml.NVMLError:
        return None


def _narrowed(gpus: Sequence[Gpu], names: str | None) -> list[Gpu]:
    """What CUDA makes of the variable: it stops reading at the first name that is no device, "-1" by convention."""
    if names is None:
        return list(gpus)
    chosen: list[Gpu] = []
    for name in (part.strip() for part in names.split(",")):
        if name.isdigit():
            match = list(gpus[int(name) : int(name) + 1])
        else:
            match = [gpu for gpu in gpus if name and gpu.uuid.startswith(name)]
        if len(match) != 1 or match[0] in chosen:
            break
        chosen += match
    return chosen


def has_mps() -> bool:
    """Whether this is a Mac with a GPU that torch can use."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def cores() -> int:
    """The cores this process may use, which in a container or under taskset are fewer than the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolve_slots(
    devices: Sequence[str],
    slots: int | None,
    threads: int | None,
    memory_fraction: float | None = None,
    gpus: Callable[[], Sequence[Gpu]] = visible_gpus,
) -> Sequence[Slot]:
    """The slots for `--device` (any number of them; none is auto), `--slots`, `--threads`, `--memory-fraction`.

    CPU: one slot per core, one thread each, so that digests do not depend on how many cores there are (on two cores that
    also beats one slot of two threads). GPU: one per device unless `slots` asks for more; slots that share a device
    share its memory evenly unless `memory_fraction` says how much each may take. Raises BadInput for a device that is
    not spelled right, Unavailable for one that is not there.
    """
    names = list(dict.fromkeys(name for device in devices or ("auto",) for name in _named(device, gpus)))
    if slots is None:
        per_cpu = max(1, cores() // (threads or 1))
        chosen = [name for name in names for _ in range(per_cpu if name == "cpu" else 1)]
    else:
        chosen = [names[number % len(names)] for number in range(slots)]
    return [Slot(name, threads or 1, _fraction(name, chosen.count(name), memory_fraction)) for name in chosen]


def _fraction(device: str, sharing: int, asked: float | None) -> float | None:
    if not device.startswith("cuda"):
        return None
    if asked is not None:
        if not 0 < asked <= 1 or asked * sharing > 1 + 1e-9:
            raise BadInput(
                f"--memory-fraction {asked:g}: expected more than 0 and at most 1/{sharing}, "
                f"as {sharing} slot{'s share' if sharing > 1 else ' takes'} {device}"
            )
        return asked
    return 1 / sharing if sharing > 1 else None


def _named(device: str, gpus: Callable[[], Sequence[Gpu]]) -> list[str]:
    kind, colon, index = device.partition(":")
    if (
        (colon and not index)
        or kind not in ("auto", "cpu", "cuda", "mps")
        or (index and (kind != "cuda" or not index.isdigit()))
    ):
        raise BadInput(f"--device {device}: expected auto, cpu, cuda, cuda:N or mps")
    if kind == "auto":
        kind = "cuda" if gpus() else "mps" if has_mps() else "cpu"
    if kind == "cuda":
        there = [gpu.name for gpu in gpus()]
        if not there:
            raise Unavailable(f"--device {device}: no NVIDIA GPU is visible here; use --device cpu")
        if index and device not in there:
            raise Unavailable(f"--device {device}: this machine shows {len(there)} GPU(s), counted from 0")
        return [device] if index else there
    if kind == "mps" and not has_mps():
        raise Unavailable("--device mps: this is no Apple-silicon Mac; use --device cpu")
    return [kind]
