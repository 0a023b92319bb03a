"""The decoded form that every data set takes, and a cache for the ones that are slow to decode."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

_NAMES = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True)
class Arrays:
    """Images as uint8 [n, channels, height, width], labels as int64 [n] counted from 0."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels


def cached(cache: Path, key: str, build: Callable[[], Arrays]) -> Arrays:
    """`build()`, kept under `cache`/`key`.npy-files and read back next time.

    `key` must name the content (a digest, or a name with a version). A cache that cannot be written is not used, one
    that cannot be read is built again.
    """
    folder = cache / key
    with contextlib.suppress(OSError, ValueError, EOFError):
        return Arrays(*(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in _NAMES))
    arrays = build()
    with contextlib.suppress(OSError):
        _store(folder, arrays)
    return arrays


def _store(folder: Path, arrays: Arrays) -> None:
    """Write into a folder beside and rename it, so that a reader sees all four files or none."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as building:
        whole = Path(building) / "whole"
        whole.mkdir()
        for name in _NAMES:
            with (whole / f"{name}.npy").open("wb") as file:
                np.save(file, getattr(arrays, name))
                file.flush()
                os.fsync(file.fileno())
        with contextlib.suppress(OSError):
            for stale in folder.glob("*.npy"):
                stale.unlink()
            folder.rmdir()
        whole.rename(folder)
