"""Reads the files of the named data sets as torchvision lays them out, without torchvision: nothing here needs torch.

Each format is its `files`, a `problem` (what is missing or only half there, in a line) and a `load`, which raises BadInput,
naming the file, for whatever damaged bytes make of it.
"""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.datasets.arrays import Arrays
from core.datasets.decoding import read_of
from core.datasets.remembered import remembered, stamp
from core.errors import BadInput

REMEDY = "put a whole copy there, or remove it and run with a network"

# --- idx: MNIST, Fashion-MNIST, KMNIST -----------------------------------------------------------

_IDX_FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_PIECE_BYTES = 1 << 20


def idx_files(folder: Path) -> list[Path]:
    """Those of the four files that are there, plain or gzipped."""
    return [path for path in (_idx_path(folder, name) for name in _IDX_FILES) if path is not None]


def idx_problem(folder: Path, cache: Path | None) -> str | None:
    """What keeps the four idx files in `folder` from being read: one missing, or not as long as its header says.

    Only reading a gzipped one whole tells; what came of that is kept in `cache`. Raises OSError.
    """
    for name in _IDX_FILES:
        path = _idx_path(folder, name)
        if path is None:
            return f"{folder / name} is missing"
        fault = _packed_fault(path, cache) if path.suffix == ".gz" else _length_fault(path)
        if fault is not None:
            return fault
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


def _length_fault(path: Path) -> str | None:
    with path.open("rb") as file:
        header = file.read(16)
    expected = _idx_size(header)
    size = path.stat().st_size
    if expected is None or size != expected:
        return f"{path} is damaged or half-downloaded ({size:,} bytes, {_or_unknown(expected)} expected)"
    return None


def _packed_fault(path: Path, cache: Path | None) -> str | None:
    """The same of a gzipped file, whose end holds a checksum of the whole."""

    def unpacked() -> int:
        header, size = b"", 0
        with gzip.open(path) as file:
            while piece := file.read(_PIECE_BYTES):
                header = header or piece[:16]
                size += len(piece)
        expected = _idx_size(header)
        if size != expected:
            words = f"unpacks to {size:,} bytes, {_or_unknown(expected)} expected"
            raise BadInput(f"{path} is damaged or half-downloaded ({words})")
        return size

    try:
        with read_of(path, REMEDY):
            remembered(cache, "gzip", stamp([path]), unpacked, lambda size: size, int)
    except BadInput as error:
        path.read_bytes()  # raises OSError where it is the disk that does not give it
        return error.sentence if error.key is None else f"{path} is damaged or half-downloaded (it cannot be unpacked)"
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
    if path is None:
        raise BadInput.at("dataset", f"{folder / name} is missing")
    with read_of(path, REMEDY):
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        wanted = 3 if "images" in name else 1
        if _idx_size(data[:16]) != len(data) or data[3] != wanted:
            raise BadInput.at("dataset", f"{path}: is damaged or half-downloaded; {REMEDY}")
        shape = struct.unpack(f">{wanted}I", data[4 : 4 + 4 * wanted])
        return np.frombuffer(data, np.uint8, offset=4 + 4 * wanted).reshape(shape)


# --- files of a least size: CIFAR's batches, SVHN's .mat ------------------------------------------

CIFAR10_FILES = {**{f"data_batch_{number}": 30_000_000 for number in range(1, 6)}, "test_batch": 30_000_000}
CIFAR100_FILES = {"train": 150_000_000, "test": 30_000_000}
"""Least sizes in bytes: 3,072 bytes of pixels for each of 10,000 (50,000) images, before labels and file names."""
SVHN_FILES = {"train_32x32.mat": 182_000_000, "test_32x32.mat": 64_000_000}


def sized_files(folder: Path, files: dict[str, int]) -> list[Path]:
    """Those of `files` that are there."""
    return [folder / name for name in files if (folder / name).is_file()]


def sizes_problem(folder: Path, cache: Path | None, files: dict[str, int]) -> str | None:  # noqa: ARG001
    """The first of `files` that is missing from `folder` or smaller than its least size in bytes."""
    for name, least in files.items():
        path = folder / name
        if not path.is_file():
            return f"{path} is missing"
        size = path.stat().st_size
        if size < least:
            return f"{path} is damaged or half-downloaded ({size:,} bytes, more than {least:,} expected)"
    return None


def _or_unknown(size: int | None) -> str:
    return "another header" if size is None else f"{size:,}"
