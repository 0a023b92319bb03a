"""What a data set looks like, counted from its decoded arrays: what tells a wrong scale, a lost class or another set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.arrays import Arrays

_PIECE_BYTES = 16 << 20
"""Read at a time, so that a set kept on disk need not fit into memory."""
_LEVELS = 256


@dataclass(frozen=True)
class Half:
    """One half of a set; `least`, `greatest` and `levels` (distinct values) are of pixels in 0 to 255."""

    images: int
    per_class: tuple[int, ...]
    least: int
    greatest: int
    levels: int


@dataclass(frozen=True)
class Rounding:
    """What was lost where floats became 256 levels: `pixels` of `total` lay between two, `furthest` (at most 0.5) off one."""

    pixels: int
    total: int
    furthest: float


@dataclass(frozen=True)
class Portrait:
    """`digest` is that of the decoded arrays, `shape` (channels, height, width), `levels` how many values both halves have."""

    digest: str
    shape: tuple[int, int, int]
    levels: int
    train: Half
    test: Half
    rounding: Rounding | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Portrait:
        channels, height, width = data["shape"]
        rounding = data["rounding"]
        return cls(
            digest=str(data["digest"]),
            shape=(channels, height, width),
            levels=int(data["levels"]),
            train=_half(data["train"]),
            test=_half(data["test"]),
            rounding=None if rounding is None else Rounding(**rounding),
        )


def portrait_of(arrays: Arrays, classes: int, rounding: Rounding | None = None) -> Portrait:
    """Counted in one pass over the arrays; labels are below `classes`."""
    _, channels, height, width = arrays.train_images.shape
    train, test = _counts(arrays.train_images), _counts(arrays.test_images)
    return Portrait(
        digest=content_digest(arrays),
        shape=(channels, height, width),
        levels=int(np.count_nonzero(train + test)),
        train=_drawn(train, arrays.train_labels, classes),
        test=_drawn(test, arrays.test_labels, classes),
        rounding=rounding,
    )


def content_digest(arrays: Arrays) -> str:
    """SHA-256 over the four decoded arrays with their shapes: labels as little-endian 64-bit numbers.

    It is the same however the files were packed, and so what a named set is known by.
    """
    total = hashlib.sha256()
    for name, array in (
        ("train_images", arrays.train_images),
        ("train_labels", arrays.train_labels),
        ("test_images", arrays.test_images),
        ("test_labels", arrays.test_labels),
    ):
        kind = "|u1" if name.endswith("images") else "<i8"
        total.update(f"{name} {kind} {'x'.join(map(str, array.shape))}\n".encode())
        for piece in _pieces(array):
            total.update(np.ascontiguousarray(piece, dtype=kind).data)
    return total.hexdigest()


def _pieces(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    rows = max(1, _PIECE_BYTES // max(1, array[:1].nbytes))
    for first in range(0, len(array), rows):
        yield array[first : first + rows]


def _counts(images: NDArray[np.uint8]) -> NDArray[np.int64]:
    """How many pixels have each value."""
    total = np.zeros(_LEVELS, np.int64)
    for piece in _pieces(images):
        total += np.bincount(piece.ravel(), minlength=_LEVELS)
    return total


def _drawn(counts: NDArray[np.int64], labels: NDArray[np.int64], classes: int) -> Half:
    present = np.flatnonzero(counts)
    return Half(
        images=len(labels),
        per_class=tuple(int(count) for count in np.bincount(labels, minlength=classes)),
        least=int(present[0]),
        greatest=int(present[-1]),
        levels=len(present),
    )


def _half(data: Mapping[str, Any]) -> Half:
    return Half(**{**data, "per_class": tuple(data["per_class"])})
