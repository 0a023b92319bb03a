"""Which slots this machine has, found without torch: GPUs through NVML, cores through the scheduler's mask."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence

from core.errors import BadInput, Unavailable
from core.executors.protocol import Slot


def visible_gpus(environment: Mapping[str, str] = os.environ) -> int:
    """How many CUDA devices a child would see: NVML's count, narrowed by CUDA_VISIBLE_DEVICES."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return 0
    try:
        count = int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()
    narrowed = environment.get("CUDA_VISIBLE_DEVICES")
    if narrowed is None:
        return count
    named = [name for name in narrowed.split(",") if name.strip()]
    # CUDA stops reading the list at the first device that is not there, "-1" by convention.
    usable = 0
    for name in named:
        if re.fullmatch(r"\s*\d+\s*", name) and int(name) >= count:
            break
        if name.strip().startswith("-"):
            break
        usable += 1
    return min(usable, count)


def has_mps() -> bool:
    """Whether this is a Mac with a GPU that torch can use."""
    return platform.system() == "Darwin" and platform.machine() == "arm64"


def cores() -> int:
    """The cores this process may use, which in a container or under taskset are fewer than the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def resolve_slots(
    device: str,
    slots: int | None,
    threads: int | None,
    gpus: Callable[[], int] = visible_gpus,
) -> Sequence[Slot]:
    """The slots for `--device`, `--slots`, `--threads`.

    CPU: one slot per core, one thread each, so that digests do not hang on how many cores there are (on two cores that
    also beats one slot of two threads). GPU: one per device unless `slots` asks for more. Raises BadInput for a device
    that is not spelled right, Unavailable for one that is not there.
    """
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (index and (kind != "cuda" or not index.isdigit())):
        raise BadInput(f"--device {device}: expected auto, cpu, cuda, cuda:N or mps")
    if kind == "auto":
        kind = "cuda" if gpus() else "mps" if has_mps() else "cpu"
    if kind == "cuda":
        there = gpus()
        if there == 0:
            raise Unavailable(f"--device {device}: no NVIDIA GPU is visible here; use --device cpu")
        if index and int(index) >= there:
            raise Unavailable(f"--device {device}: this machine shows {there} GPU(s), counted from 0")
        names = [device] if index else [f"cuda:{number}" for number in range(there)]
        each = slots or len(names)
        return [Slot(names[number % len(names)], threads or 1) for number in range(each)]
    if kind == "mps":
        if not has_mps():
            raise Unavailable("--device mps: this is no Apple-silicon Mac; use --device cpu")
        return [Slot("mps", threads or 1)] * (slots or 1)
    return [Slot("cpu", threads or 1)] * (slots or max(1, cores() // (threads or 1)))
