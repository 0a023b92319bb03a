"""The device under test: what it is called, what it holds, how fast it multiplies. Imports torch."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import psutil
import torch

from core.precision import multiplying_in

T = TypeVar("T")

DEVICE = os.environ.get("INNATE_GPU_DEVICE") or "cuda:0"
"""Why else it may be: see the package."""
PRECISIONS = ("tf32", "bf16", "fp32")


@dataclass(frozen=True)
class Card:
    device: torch.device
    name: str
    driver: str

    @property
    def real(self) -> bool:
        """A GPU, not the CPU in its place."""
        return self.device.type == "cuda"

    @property
    def barred(self) -> bool:
        """The bars were set for this card."""
        return "H100" in self.name or "H200" in self.name

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those of the bars that the device has."""
        return PRECISIONS if self.real else ("bf16", "fp32")

    def sized(self, full: T, tiny: T) -> T:
        """`full` on a GPU; `tiny` where the CPU stands in."""
        return full if self.real else tiny

    def settle(self) -> None:
        """Wait until all that the device was asked for is done."""
        if self.real:
            torch.cuda.synchronize(self.device)

    def used(self) -> int:
        """Bytes of the device that all processes together hold, as the driver counts them (NVML shows the same); on the CPU
        those of this process's children."""
        if self.real:
            free, total = torch.cuda.mem_get_info(self.device)
            return total - free
        return sum(_resident(child) for child in psutil.Process().children(recursive=True))

    def matmul(self, precision: str) -> float:
        """Floating-point operations per second of a large matrix product."""
        size = self.sized(8192, 256)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        a, b = (torch.randn(size, size, device=self.device, dtype=dtype) for _ in range(2))
        with multiplying_in(precision):
            return 2 * size**3 / self.best(lambda: a @ b)

    def best(self, work: Callable[[], object], repeats: int = 8) -> float:
        """Least wall seconds of several runs after two to warm up."""
        for _ in range(2):
            work()
        times = []
        for _ in range(repeats):
            self.settle()
            begun = time.perf_counter()
            work()
            self.settle()
            times.append(time.perf_counter() - begun)
        return min(times)


def card(name: str) -> Card:
    """The device called `name`."""
    device = torch.device(name)
    if device.type != "cuda":
        from core.environment import processor

        return Card(device, processor(), "none")
    import pynvml

    pynvml.nvmlInit()
    return Card(device, torch.cuda.get_device_name(device), str(pynvml.nvmlSystemGetDriverVersion()))


@contextlib.contextmanager
def ordinary_torch() -> Iterator[None]:
    """After a trial was run in this process: what it settled for the process's life is as before."""
    threads = torch.get_num_threads()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = False
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.set_num_threads(threads)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
