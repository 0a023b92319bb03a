"""CIFAR's batches, pickled dictionaries of one array and its labels: read as data that can neither run code nor reach into
numpy, whose own way back from a pickle trusts what it is told of sizes and types.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.archives import REMEDY
from core.datasets.arrays import Arrays
from core.datasets.decoding import read_of
from core.errors import BadInput

_TYPES = {"u1": "|u1", "i4": "<i4", "i8": "<i8"}


def load_cifar(folder: Path, train: list[str], test: list[str], label_key: str) -> Arrays:
    """CIFAR-10 (`label_key` "labels") or CIFAR-100 ("fine_labels") from its python version's batches."""
    train_images, train_labels = _read_batches(folder, train, label_key)
    test_images, test_labels = _read_batches(folder, test, label_key)
    return Arrays(train_images, train_labels, test_images, test_labels)


def _read_batches(folder: Path, names: list[str], label_key: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    batches = [_read_batch(folder / name, label_key) for name in names]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


def _read_batch(path: Path, label_key: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    with read_of(path, REMEDY):
        batch = _Unpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        pixels, labels = batch["data"].array(), batch[label_key]
        labels = labels.array() if isinstance(labels, _PickledArray) else np.asarray(labels)
        if pixels.dtype != np.uint8 or labels.ndim != 1 or pixels.shape != (len(labels), 3072):
            raise BadInput.at("dataset", f"{path}: holds no 32×32 colour images with a label each; {REMEDY}")
        if not np.issubdtype(labels.dtype, np.integer):
            raise BadInput.at("dataset", f"{path}: its labels are not whole numbers; {REMEDY}")
        return pixels.reshape(-1, 3, 32, 32), labels.astype(np.int64)


@dataclass
class _PickledType:
    """What a pickle says of a dtype."""

    name: str = ""
    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


@dataclass
class _PickledArray:
    """What a pickle says of an array: (version, shape, type, columns first, bytes)."""

    state: Any = field(default=None)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def array(self) -> NDArray[Any]:
        _, shape, kind, columns_first, content = self.state
        raw = content.encode("latin1") if isinstance(content, str) else bytes(content)
        return np.frombuffer(raw, _TYPES[kind.name]).reshape(shape, order="F" if columns_first else "C")


def _array(*_: object) -> _PickledArray:
    return _PickledArray()


def _dtype(name: Any, *_: object) -> _PickledType:
    return _PickledType(name.decode() if isinstance(name, bytes) else str(name))


def _encode(text: str, coding: str) -> bytes:
    """How protocol 2 spells bytes."""
    if coding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {coding} have no place in a CIFAR batch")
    return text.encode("latin1")


_NAMED: dict[tuple[str, str], Callable[..., Any]] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _array for core in ("core", "_core")},
    ("numpy", "dtype"): _dtype,
    ("numpy", "ndarray"): _array,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle._Unpickler):
    """In Python: a damaged memo index makes the one in C fill tables of gigabytes."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a CIFAR batch") from None
