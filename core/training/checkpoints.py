"""Checkpoints and weights on disk: whole or not there, never half. Imports torch: for children only."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.events import EpochRecord

LAST = "last.pt"
"""Within an attempt's folder: the state to resume from."""
WEIGHTS = "weights.pt"
"""Within an attempt's folder: the trained model."""


def weights_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over name, type, shape and bytes of every tensor, in the state dict's order."""
    total = hashlib.sha256()
    for name, tensor in state.items():
        value = tensor.detach().cpu().contiguous()
        total.update(f"{name}\0{value.dtype}\0{tuple(value.shape)}\0".encode())
        total.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Write beside, fsync, rename, fsync the folder: after a crash there is the old file or the new one.

    The folder must be there: making it would raise a home again that somebody has deleted.
    """
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            torch.save(dict(content), file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
    except (RuntimeError, OSError) as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise
        # torch's zip writer reports a full disk as a RuntimeError of its own; the cause below it has the errno.
        raise _cause_on_disk(error, path) from error
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read(path: Path, trial_id: str) -> dict[str, Any] | None:
    """What `write` wrote for this trial; None if it is not there, damaged, or another trial's."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # damaged files fail in many ways, and each has the same answer: try the next one
        return None
    if not isinstance(content, dict) or content.get("trial") != trial_id:
        return None
    return content


def furthest(folders: Iterable[Path], trial_id: str) -> dict[str, Any] | None:
    """The checkpoint among `folders` that is furthest into the training."""
    found = [content for folder in folders if (content := read(folder / LAST, trial_id)) is not None]
    return max(found, key=lambda content: (content["epoch"], content["batch"]), default=None)


def pack(history: Iterable[EpochRecord]) -> list[dict[str, Any]]:
    """Epochs as plain data, which `torch.load(weights_only=True)` takes."""
    return [asdict(record) for record in history]


def unpack(history: Iterable[Mapping[str, Any]]) -> tuple[EpochRecord, ...]:
    return tuple(EpochRecord(**record) for record in history)


def _cause_on_disk(error: BaseException, path: Path) -> Exception:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return OSError(cause.errno, cause.strerror, str(path))
        cause = cause.__cause__ or cause.__context__
    import errno

    free = os.statvfs(path.parent).f_bavail
    if free == 0:
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    return RuntimeError(f"{path}: {error}")
