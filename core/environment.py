"""What an attempt ran on: recorded with it, never hashed into a trial's identity."""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import resource
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core.revision import source_revision

_CONTEXT = 1 << 30
"""Bytes of a device that CUDA may take for a process beside its tensors: half of this, and more with every library."""


def environment(
    device: str, threads: int, precision: str, lanes: int = 1, plugins: Mapping[str, str] = MappingProxyType({})
) -> dict[str, Any]:
    """Versions, source revision, processor, device, threads, precision and determinism flags, as plain data.

    `lanes` is how many trials the process may run at once; `plugins` the version of each that is used, by name.

    Called in a child: asks torch.
    """
    import torch

    from core.precision import in_force

    on_cuda = device.startswith("cuda")
    return {
        "innate": _version("innate"),
        **asdict(source_revision()),
        "python": platform.python_version(),
        "torch": str(torch.__version__),  # a class of torch's own, which whoever unpickles it would import
        "torchvision": _version("torchvision"),
        "numpy": _version("numpy"),
        "pillow": _version("pillow"),
        "platform": platform.platform(),
        "processor": processor(),
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if on_cuda else processor() if device == "cpu" else device,
        "cuda": torch.version.cuda if on_cuda else None,
        "cudnn": torch.backends.cudnn.version() if on_cuda else None,  # type: ignore[no-untyped-call]
        "threads": threads,
        "lanes": lanes,
        "precision": precision,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "cudnn_deterministic": torch.backends.cudnn.deterministic,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        **(in_force(precision) if on_cuda else {}),
        **({"plugins": dict(plugins)} if plugins else {}),
    }


@functools.cache
def processor() -> str:
    """The processor's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def peak_memory(device: str) -> int:
    """Bytes: the device's peak allocation, on the CPU the process's peak resident size."""
    import torch

    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def memory_held(device: str) -> int:
    """Bytes of the device that this process holds now, on the CPU its peak resident size."""
    import torch

    return int(torch.cuda.memory_reserved(device)) if device.startswith("cuda") else peak_memory(device)


def memory_beside_others(device: str) -> tuple[int, int] | None:
    """(bytes that this process holds of a CUDA device, bytes that others do); None where nobody else holds any to speak of.

    CUDA's own share of this process cannot be told from somebody else's memory, so little is taken for that.
    """
    import torch

    if not device.startswith("cuda"):
        return None
    free, total = torch.cuda.mem_get_info(device)
    held = int(torch.cuda.memory_reserved(device))
    others = total - free - held
    return (held, others) if others > max(_CONTEXT, total // 20) else None


@functools.cache
def _version(package: str) -> str | None:
    """Asked once in a process, which may run hundreds of trials."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
