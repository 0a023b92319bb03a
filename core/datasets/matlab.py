"""SVHN's .mat files: MATLAB's format 5, as far as arrays of numbers go. scipy's reader can be brought down by damaged bytes,
and takes the whole program with it.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.archives import REMEDY, SVHN_FILES
from core.datasets.arrays import Arrays
from core.datasets.decoding import read_of
from core.errors import BadInput

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {
    1: "<i1", 2: "<u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8", 12: "<i8", 13: "<u8",
}  # fmt: skip
"""Storage type → numpy's; what an array holds may be stored in a narrower one."""


def load_svhn(folder: Path) -> Arrays:
    """The cropped-digits format; the label 10 stands for the digit 0."""
    (train_images, train_labels), (test_images, test_labels) = (_read_half(folder / name) for name in SVHN_FILES)
    return Arrays(train_images, train_labels, test_images, test_labels)


def _read_half(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with read_of(path, REMEDY):
        found = read_arrays(path.read_bytes())
        pixels, labels = found["X"], found["y"].ravel()
        if pixels.dtype != np.uint8 or pixels.ndim != 4 or not np.isin(labels, np.arange(1, 11)).all():
            raise BadInput.at("dataset", f"{path}: holds no pixels X of one byte with labels y from 1 to 10; {REMEDY}")
        return np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), labels.astype(np.int64) % 10


def read_arrays(content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of numbers in the file by name. Raises ValueError, KeyError, struct.error or zlib.error where it is none."""
    if content[126:128] != b"IM":
        raise ValueError("not a little-endian MATLAB file of format 5")
    found = {}
    for kind, body in _elements(content[_HEADER:], aligned=False):
        if kind == _COMPRESSED:
            ((kind, body),) = _elements(zlib.decompress(body), aligned=False)
        if kind != _MATRIX:
            raise ValueError(f"an element of type {kind} has no place there")
        name, array = _array(body)
        found[name] = array
    return found


def _array(body: bytes) -> tuple[str, NDArray[Any]]:
    (_, _flags), (_, sizes), (_, name), (kind, values) = _elements(body, aligned=True)
    shape = struct.unpack(f"<{len(sizes) // 4}i", sizes)
    array = np.frombuffer(values, _TYPES[kind])
    if min(shape) < 0 or math.prod(shape) != len(array):
        raise ValueError(f"{len(array)} values for the shape {shape}")
    return name.decode("ascii"), array.reshape(shape, order="F")


def _elements(content: bytes, *, aligned: bool) -> Iterator[tuple[int, bytes]]:
    """(type, bytes) of each element; inside an array they begin at multiples of 8 bytes, and short ones have a short tag."""
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from("<II", content, at)
        short = kind >> 16
        if short:
            if short > 4:
                raise ValueError("a short element has at most 4 bytes")
            yield kind & 0xFFFF, content[at + 4 : at + 4 + short]
            at += 8
            continue
        if at + 8 + size > len(content):
            raise ValueError("cut short")
        yield kind, content[at + 8 : at + 8 + size]
        at += 8 + size + (-size % 8 if aligned else 0)
