"""What the NVIDIA driver tells through NVML: its GPUs, their MIG instances, what is wrong with them, which CUDA it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA device that a child would see, under torch's name for it ("cuda:0"). Memory in bytes.

    `uuid` stays the same whatever order devices are counted in; CUDA's numbers do not. It begins with "MIG-" for an
    instance of a GPU that is divided.
    """

    name: str
    uuid: str
    model: str
    total: int
    free: int
    utilisation: float | None = None
    """Share of the last sampling period in which a kernel ran; None where NVML cannot tell, as of a MIG instance."""
    fault: str | None = None
    """NVML's words for why it cannot be used; all else may be unknown then."""


@dataclass(frozen=True)
class Board:
    """A GPU as NVML counts them, in PCI order."""

    gpu: Gpu
    parts: Mapping[tuple[int, int], Gpu] | None = None
    """Its MIG instances by (GPU instance, compute instance), the only way to use it; None while it is used whole."""


@dataclass(frozen=True)
class Driver:
    """All that NVML tells at one moment; nothing on a machine without the driver."""

    boards: Sequence[Board] = ()
    cuda: tuple[int, int] | None = None
    """The newest CUDA that it runs, (major, minor)."""
    fault: str | None = None
    """NVML's words for why it tells nothing, where its library is installed."""
    loaded: bool = True
    """False: nothing in the kernel answers, as on a machine without a GPU."""


@contextmanager
def _nvml() -> Iterator[Any]:
    """NVML while the block runs. Raises pynvml.NVMLError where it cannot be had."""
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        with contextlib.suppress(pynvml.NVMLError):  # of a driver that went away meanwhile
            pynvml.nvmlShutdown()


def ask_driver() -> Driver:
    """What NVML tells now. Raises nothing: a driver that fails says so in `fault`."""
    import pynvml

    try:
        with _nvml() as nvml:
            boards = tuple(_board(nvml, number) for number in range(int(nvml.nvmlDeviceGetCount())))
            return Driver(boards, _cuda(nvml))
    except pynvml.NVMLError as error:
        if error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND:
            return Driver(loaded=False)
        return Driver(fault=_words(error), loaded=error.value != pynvml.NVML_ERROR_DRIVER_NOT_LOADED)


def memory_of_processes(uuids: Sequence[str]) -> dict[int, int]:
    """Process id → bytes that it holds on these devices, as far as the driver tells (in containers it may not)."""
    import pynvml

    held: dict[int, int] = {}
    with contextlib.suppress(pynvml.NVMLError), _nvml() as nvml:
        for uuid in uuids:
            with contextlib.suppress(pynvml.NVMLError):
                handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
                for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
                    held[int(process.pid)] = held.get(int(process.pid), 0) + int(process.usedGpuMemory or 0)
    return held


def _board(nvml: Any, number: int) -> Board:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(number)
        parts = _parts(nvml, handle)
        if parts is None:
            return Board(_gpu(nvml, handle))
        # Only the privileged may ask a divided GPU for the memory of all its instances.
        uuid, model = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
        return Board(Gpu("", _text(uuid), _text(model), 0, 0), parts)
    except nvml.NVMLError as error:
        return Board(Gpu("", "", f"GPU {number}", 0, 0, fault=_words(error)))


def _parts(nvml: Any, handle: Any) -> Mapping[tuple[int, int], Gpu] | None:
    try:
        current, _ = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:  # most GPUs cannot be divided
        return None
    if current != nvml.NVML_DEVICE_MIG_ENABLE:
        return None
    parts = {}
    for index in range(int(nvml.nvmlDeviceGetMaxMigDeviceCount(handle))):
        try:
            part = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index)
            ids = int(nvml.nvmlDeviceGetGpuInstanceId(part)), int(nvml.nvmlDeviceGetComputeInstanceId(part))
            parts[ids] = _gpu(nvml, part)
        except nvml.NVMLError:  # not every place has an instance
            continue
    return parts


def _gpu(nvml: Any, handle: Any) -> Gpu:
    """A device whose identity is known; one that then tells nothing of its memory is at fault."""
    uuid, model = _text(nvml.nvmlDeviceGetUUID(handle)), _text(nvml.nvmlDeviceGetName(handle))
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        total, free, fault = int(memory.total), int(memory.free), None
    except nvml.NVMLError as error:
        # A GPU that shares the machine's memory has none of its own to tell of.
        total, free, fault = 0, 0, None if error.value == nvml.NVML_ERROR_NOT_SUPPORTED else _words(error)
    return Gpu("", uuid, model, total, free, _utilisation(nvml, handle), fault)


def _utilisation(nvml: Any, handle: Any) -> float | None:
    try:
        return float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except nvml.NVMLError:
        return None


def _cuda(nvml: Any) -> tuple[int, int] | None:
    # The first asks libcuda itself, which a compatibility package may have replaced by a newer one.
    for name in ("nvmlSystemGetCudaDriverVersion_v2", "nvmlSystemGetCudaDriverVersion"):
        with contextlib.suppress(nvml.NVMLError):
            version = int(getattr(nvml, name)())
            return version // 1000, version % 1000 // 10
    return None


def _words(error: Exception) -> str:
    return str(error).rstrip(".")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
