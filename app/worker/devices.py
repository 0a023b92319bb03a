"""Which slots this machine has, found without torch: GPUs as a child would see them, cores through the scheduler's mask."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence

from app.worker import gpu_trouble
from app.worker.visible import VARIABLE, Visible, look
from core.errors import BadInput, Unavailable
from core.executors.protocol import Slot


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
    look: Callable[[], Visible] = look,
) -> Sequence[Slot]:
    """The slots for `--device` (any number of them; none is auto), `--slots`, `--threads`, `--memory-fraction`.

    CPU: one slot per core, one thread each, so that digests do not depend on how many cores there are (on two cores that
    also beats one slot of two threads). GPU: one per device unless `slots` asks for more; slots that share a device
    share its memory evenly unless `memory_fraction` says how much each may take. Raises BadInput for a device that is
    not spelled right, Unavailable for one that is not there or cannot be used; so auto is the CPU only where there is no
    GPU, where they are hidden on purpose, or where torch is built without CUDA.
    """
    names = list(dict.fromkeys(name for device in devices or ("auto",) for name in _named(device, look)))
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


def remarks(devices: Sequence[str], look: Callable[[], Visible] = look) -> list[str]:
    """What whoever asked for these devices is to know before the first trial: GPUs that stay idle and names that CUDA does
    not know. Nothing where no GPU was asked for."""
    if all(device.partition(":")[0] in ("cpu", "mps") for device in devices or ("auto",)):
        return []
    return gpu_trouble.remarks(look())


def _named(device: str, look: Callable[[], Visible]) -> list[str]:
    kind, colon, index = device.partition(":")
    if (
        (colon and not index)
        or kind not in ("auto", "cpu", "cuda", "mps")
        or (index and (kind != "cuda" or not index.isdigit()))
    ):
        raise BadInput(f"--device {device}: expected auto, cpu, cuda, cuda:N or mps")
    if kind == "auto":
        return _automatic(look())
    if kind == "cuda":
        return _on_cuda(device, look())
    if kind == "mps" and not has_mps():
        raise Unavailable("--device mps: this is no Apple-silicon Mac; use --device cpu")
    return [kind]


def _automatic(seen: Visible) -> list[str]:
    wrong = gpu_trouble.refusal(seen)
    if wrong is not None:
        raise Unavailable(f"{wrong}; --device cpu trains on the CPU all the same")
    return [gpu.name for gpu in seen.usable] or ["mps" if has_mps() else "cpu"]


def _on_cuda(device: str, seen: Visible) -> list[str]:
    wrong = gpu_trouble.refusal(seen)
    if wrong is not None:
        raise Unavailable(f"--device {device}: {wrong}; or use --device cpu")
    if not seen.gpus:
        hidden = bool(seen.driver.boards) and seen.variable is not None
        why = f"{VARIABLE} is {seen.variable!r}, which hides them; " if hidden else ""
        raise Unavailable(f"--device {device}: no NVIDIA GPU is visible here; {why}use --device cpu")
    if seen.torch is not None and seen.without_cuda:
        raise Unavailable(f"--device {device}: torch {seen.torch.version} is built without CUDA; use --device cpu")
    if device == "cuda":
        return [gpu.name for gpu in seen.usable]
    chosen = next((gpu for gpu in seen.gpus if gpu.name == device), None)
    if chosen is None:
        raise Unavailable(f"--device {device}: this machine shows {len(seen.gpus)} GPU(s), counted from 0")
    if chosen.fault is not None:
        raise Unavailable(f"--device {device}: {gpu_trouble.lost(device, chosen.fault)}")
    return [device]
