"""Which slots this machine has, found without torch: GPUs as a child would see them, cores through the scheduler's mask."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Callable, Sequence

from app.terminal.scarce import refuse_few_files
from app.worker import gpu_trouble
from app.worker.visible import VARIABLE, Visible, look
from core.errors import BadInput, Unavailable
from core.executors.protocol import Slot
from core.lanes.alone import MOST_LANES


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
    *,
    lanes: int | None = None,
) -> Sequence[Slot]:
    """The slots for `--device` (any number of them; none is auto), `--slots`, `--threads`, `--memory-fraction`, `--lanes`.

    CPU: one slot per core, one thread each, so that digests do not depend on how many cores there are (on two cores that
    also beats one slot of two threads). CUDA: one per device, which stands for as many lanes as pay, `lanes`, or its part of
    `slots`; all lanes of a device together may take `memory_fraction` of its memory. Raises BadInput for what does not go
    together and for a device that is not spelled right, Unavailable for one that is not there or cannot be used; so auto is
    the CPU only where there is no GPU, where they are hidden on purpose, or where torch is built without CUDA. Unavailable, too,
    where so many may not have their files open.
    """
    names = list(dict.fromkeys(name for device in devices or ("auto",) for name in _named(device, look)))
    _refuse(names, slots, memory_fraction, lanes)
    if slots is None:
        per_cpu = max(1, cores() // (threads or 1))
        chosen = [name for name in names for _ in range(per_cpu if name == "cpu" else 1)]
    else:
        chosen = [names[number % len(names)] for number in range(slots)]
    found: list[Slot] = []
    for name, rooms in Counter(chosen).items():
        if name.startswith("cuda"):
            asked = lanes if slots is None else rooms
            if asked is not None and asked > MOST_LANES:
                raise BadInput(f"{asked} trials at once on {name}: a GPU takes {MOST_LANES} at most, and fewer fill it")
            found.append(Slot(name, threads or 1, memory_fraction, asked))
        else:
            found += [Slot(name, threads or 1)] * rooms
    refuse_few_files(sum(slot.lanes or 1 for slot in found))
    return found


def _refuse(names: Sequence[str], slots: int | None, memory_fraction: float | None, lanes: int | None) -> None:
    if lanes is not None and slots is not None:
        raise BadInput(
            f"--slots {slots} --lanes {lanes}: use one of them; --lanes counts trials on each GPU, --slots on all devices"
        )
    if lanes is not None and not any(name.startswith("cuda") for name in names):
        raise BadInput(f"--lanes {lanes}: only GPUs of NVIDIA have lanes, and this is for {names[0]}; use --slots")
    if memory_fraction is not None and not 0 < memory_fraction <= 1:
        raise BadInput(f"--memory-fraction {memory_fraction:g}: expected more than 0 and at most 1")


def in_words(slots: Sequence[Slot]) -> str:
    """How much room these are, and where."""
    plain = [slot.device for slot in slots if not slot.device.startswith("cuda")]
    told = [
        f"{slot.device} with {'as many lanes as pay' if slot.lanes is None else _counted(slot.lanes, 'lane')}"
        for slot in slots
        if slot.device.startswith("cuda")
    ]
    if plain:
        told.append(f"{_counted(len(plain), 'slot')}: {', '.join(dict.fromkeys(plain))}")
    return ", ".join(told)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


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
