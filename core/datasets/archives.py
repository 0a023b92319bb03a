"""Reads the files of the named data sets as torchvision lays them out, without torchvision: nothing here needs torch.

Each format is a `problem` (what is missing or only half there, in a line) and a `load`.
"""

from __future__ import annotations

import gzip
import math
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.arrays import Arrays

# --- idx: MNIST, Fashion-MNIST, KMNIST -----------------------------------------------------------

_IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def idx_problem(folder: Path) -> str | None:
    """What keeps the four idx files in `folder` from being read: one missing, or not as long as its header says."""
    for name in _IDX_FILES:
        path = _idx_path(folder, name)
        if path is None:
            return f"{folder / name} is missing"
        if path.suffix == ".gz":
            continue  # only reading it whole would tell; load_idx does, once
        with path.open("rb") as file:
            header = file.read(16)
        expected = _idx_size(header)
        size = path.stat().st_size
        if expected is None or size != expected:
            return f"{path} is damaged or half-downloaded ({size:,} bytes, {_or_unknown(expected)} expected)"
    return None


def load_idx(folder: Path) -> Arrays:
    """The four files of `folder`, plain or gzipped."""
    train_images, train_labels, test_images, test_labels = (_read_idx(folder, name) for name in _IDX_FILES)
    return Arrays(
        train_images[:, None], train_labels.astype(np.int64), test_images[:, None], test_labels.astype(np.int64)
    )


def _idx_path(folder: Path, name: str) -> Path | None:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    return None


def _idx_size(header: bytes) -> int | None:
    """Bytes of a whole idx file of unsigned bytes, from its header (Y. LeCun's format: magic 0x000008NN, N sizes)."""
    if len(header) < 8 or header[:3] != b"\x00\x00\x08":
        return None
    dimensions = header[3]
    start = 4 + 4 * dimensions
    if len(header) < start:
        return None
    sizes: tuple[int, ...] = struct.unpack(f">{dimensions}I", header[4:start])
    return start + math.prod(sizes)


def _read_idx(folder: Path, name: str) -> NDArray[np.uint8]:
    path = _idx_path(folder, name)
    assert path is not None, "idx_problem was asked first"
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if _idx_size(data[:16]) != len(data):
        raise ValueError(f"{path} is damaged or half-downloaded")
    dimensions = data[3]
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


# --- CIFAR's pickled batches ----------------------------------------------------------------------

CIFAR10_FILES = {**{f"data_batch_{number}": 30_000_000 for number in range(1, 6)}, "test_batch": 30_000_000}
CIFAR100_FILES = {"train": 150_000_000, "test": 30_000_000}
"""Least sizes in bytes: 3,072 bytes of pixels for each of 10,000 (50,000) images, before labels and file names."""


def sizes_problem(folder: Path, files: dict[str, int]) -> str | None:
    """The first of `files` that is missing from `folder` or smaller than its least size in bytes."""
    for name, least in files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        size = path.stat().st_size
        if size < least:
            return f"{path} is damaged or half-downloaded ({size:,} bytes, more than {least:,} expected)"
    return None


def load_cifar(folder: Path, train: list[str], test: list[str], label_key: str) -> Arrays:
    """CIFAR-10 (`label_key` "labels") or CIFAR-100 ("fine_labels") from its python version's batches."""
    train_images, train_labels = _read_batches(folder, train, label_key)
    test_images, test_labels = _read_batches(folder, test, label_key)
    return Arrays(train_images, train_labels, test_images, test_labels)


def _read_batches(folder: Path, names: list[str], label_key: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batches = [_NumpyUnpickler((folder / name).open("rb"), encoding="latin1").load() for name in names]
    images = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    return images, np.concatenate([np.asarray(batch[label_key], np.int64) for batch in batches])


_NUMPY_CORE = "numpy.core" if np.__version__.startswith("1.") else "numpy._core"
"""Where numpy keeps what its pickles name; a file may have been written by either."""


class _NumpyUnpickler(pickle.Unpickler):
    """Unpickles arrays and plain containers only: a data file must not be able to run code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # how protocol 2 spells bytes
            return super().find_class(module, name)
        if module.split(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(
                module.replace("numpy._core", "numpy.core").replace("numpy.core", _NUMPY_CORE), name
            )
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a CIFAR batch")


# --- SVHN's .mat files ----------------------------------------------------------------------------

SVHN_FILES = {"train_32x32.mat": 182_000_000, "test_32x32.mat": 64_000_000}


def load_svhn(folder: Path) -> Arrays:
    """The cropped-digits format; the label 10 stands for the digit 0."""
    from scipy.io import loadmat

    halves = []
    for name in SVHN_FILES:
        mat = loadmat(folder / name)
        halves.append(np.ascontiguousarray(mat["X"].transpose(3, 2, 0, 1)))
        halves.append(mat["y"].astype(np.int64).ravel() % 10)
    return Arrays(*halves)


def _or_unknown(size: int | None) -> str:
    return "another header" if size is None else f"{size:,}"
