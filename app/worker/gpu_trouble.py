"""GPUs that are not what they seem, in words: why none is used, which are left aside, what to do."""

from __future__ import annotations

from collections.abc import Sequence

from app.worker.visible import VARIABLE, Stopped, Visible, Why


def lost(name: str, fault: str) -> str:
    """A device that stopped answering; `fault` in NVML's words."""
    return f"{name} is lost (NVML: {fault}); the machine may need a reset"


def refusal(seen: Visible) -> str | None:
    """Why no GPU can be used though one was meant to be, and what to do; None where one can, where there is none, where they
    are hidden on purpose, and beside a torch without CUDA."""
    driver = seen.driver
    if seen.without_cuda:
        return None
    if driver.fault is not None and driver.loaded:
        return (
            f"the NVIDIA driver does not answer (NVML: {driver.fault}); restart the machine if nvidia-smi says the same"
        )
    if not seen.gpus:
        if seen.stopped is not None and driver.boards:
            return f"{_misnamed(seen, seen.stopped)}, so CUDA shows no GPU; set it right, or unset it"
        if seen.variable is None and driver.boards:
            return "every GPU is in MIG mode and has no instance; make one (nvidia-smi mig -cgi), or end the mode"
        return None
    if all(gpu.fault is not None for gpu in seen.gpus):
        return "; ".join(lost(gpu.name, gpu.fault) for gpu in seen.gpus if gpu.fault is not None)
    torch = seen.torch
    if torch is None or torch.cuda is None or driver.cuda is None or torch.cuda[0] <= driver.cuda[0]:
        return None  # a driver runs what was built for any minor version of its own CUDA
    return (
        f"the NVIDIA driver runs CUDA {_version(driver.cuda)} at most, torch {torch.version} is built for CUDA "
        f"{_version(torch.cuda)}; install a newer driver, or a torch built for CUDA {driver.cuda[0]}"
    )


def remarks(seen: Visible) -> list[str]:
    """What to know of the GPUs that trials run on, or do not, where that is refused by nobody."""
    driver, torch = seen.driver, seen.torch
    if driver.fault is not None and not driver.loaded:
        return [f"the NVIDIA driver is installed and not loaded (NVML: {driver.fault}), so no GPU is used"]
    if torch is not None and seen.without_cuda:
        there = len(seen.gpus)
        idle = f"the {'GPU here is' if there == 1 else f'{there} GPUs here are'} not used; install a torch with CUDA to use"
        return (
            [f"torch {torch.version} is built without CUDA: {idle} {'it' if there == 1 else 'them'}"] if there else []
        )
    if refusal(seen) is not None:
        return []
    found = []
    if seen.gpus and seen.stopped is not None:
        found.append(f"{_misnamed(seen, seen.stopped)}; CUDA ignores that and all after it, and shows {_shown(seen)}")
    found += [lost(gpu.name, gpu.fault) for gpu in seen.gpus if gpu.fault is not None]
    if seen.left_out:
        found.append(
            f"CUDA shows a process one MIG instance and nothing beside it: {_shown(seen)} is {seen.gpus[0].uuid}, "
            f"{seen.left_out} more stay{'s' if seen.left_out == 1 else ''} idle; {VARIABLE}=MIG-… chooses another"
        )
    return found


def hidden(seen: Visible) -> str | None:
    """That the variable shows none of the GPUs that there are, where nothing in it is a mistake."""
    if seen.gpus or seen.stopped is not None or seen.variable is None or not seen.driver.boards:
        return None
    return f"{VARIABLE} is {seen.variable!r}, which hides every GPU: trials run on the CPU"


def driver_and_torch(seen: Visible) -> str:
    """What the driver runs and what torch is built for."""
    runs = "an unknown version" if seen.driver.cuda is None else _version(seen.driver.cuda)
    torch = seen.torch
    built = (
        ""
        if torch is None
        else f", torch {torch.version} is built "
        + ("without CUDA" if torch.cuda is None else f"for {_version(torch.cuda)}")
    )
    return f"the driver runs up to {runs}{built}"


def _misnamed(seen: Visible, stopped: Stopped) -> str:
    return f"{VARIABLE} is {seen.variable!r}: {_why(seen, stopped)}"


def _why(seen: Visible, stopped: Stopped) -> str:
    entry, boards = stopped.entry, seen.driver.boards
    match stopped.why:
        case Why.NO_SUCH_NUMBER:
            return f"there is no GPU {entry}, {_numbers(len(boards))}"
        case Why.NO_SUCH_NAME:
            names = [board.gpu.uuid for board in boards if board.gpu.uuid]
            names += [part.uuid for board in boards for part in (board.parts or {}).values()]
            silent = [f"{board.gpu.model}: {board.gpu.fault}" for board in boards if board.gpu.fault is not None]
            return f"no device here is {entry!r}; there {'is' if len(names) == 1 else 'are'} {', '.join([*names, *silent])}"
        case Why.AMBIGUOUS:
            return f"{entry!r} begins the names of several devices"
        case Why.NO_INSTANCE:
            return f"{entry!r} is in MIG mode and has no instance"
        case Why.TWICE:
            return f"{entry!r} names a device twice"


def _numbers(count: int) -> str:
    return "the only one is 0" if count == 1 else f"they count from 0 to {count - 1}"


def _shown(seen: Visible) -> str:
    return ", ".join(gpu.name for gpu in seen.gpus)


def _version(cuda: Sequence[int]) -> str:
    return ".".join(map(str, cuda))
