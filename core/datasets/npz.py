"""`npz:PATH`: arrays under Keras's keys x_train, y_train, x_test, y_test, and perhaps `classes`, their names."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.datasets.arrays import Arrays
from core.errors import BadInput

_KEYS = ("x_train", "y_train", "x_test", "y_test")


def content_digest(path: Path) -> str:
    """SHA-256 of the file."""
    if not path.is_file():
        raise BadInput.at("dataset", f"{path}: there is no such file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_npz(path: Path) -> Arrays:
    """The four arrays, checked; raises BadInput naming the file and the key at fault.

    Images are uint8, or floats in [0, 1] that are rounded to 256 levels; [n, h, w], [n, h, w, 1 or 3] or [n, 1 or 3, h,
    w]. Labels are whole numbers from 0, [n] or [n, 1].
    """
    raw = _read(path)
    arrays = Arrays(
        _images(raw["x_train"], path, "x_train"),
        _labels(raw["y_train"], path, "y_train"),
        _images(raw["x_test"], path, "x_test"),
        _labels(raw["y_test"], path, "y_test"),
    )
    for half, images, labels in (
        ("train", arrays.train_images, arrays.train_labels),
        ("test", arrays.test_images, arrays.test_labels),
    ):
        if len(images) != len(labels):
            raise BadInput.at(
                "dataset", f"{path}: x_{half} has {len(images)} images but y_{half} has {len(labels)} labels"
            )
    if arrays.train_images.shape[1:] != arrays.test_images.shape[1:]:
        raise BadInput.at("dataset", f"{path}: x_train and x_test hold images of different shapes")
    classes = int(arrays.train_labels.max()) + 1
    if classes < 2:
        raise BadInput.at("dataset", f"{path}: y_train has one class only; a classifier needs at least two")
    present = np.unique(arrays.train_labels)
    if len(present) != classes:
        gap = int(np.flatnonzero(present != np.arange(len(present)))[0])
        raise BadInput.at("dataset", f"{path}: y_train: labels must be 0 to K-1 without gaps; {gap} does not occur")
    if int(arrays.test_labels.max()) >= classes:
        raise BadInput.at("dataset", f"{path}: y_test: label {arrays.test_labels.max()} does not occur in y_train")
    return arrays


def class_names(path: Path, count: int) -> tuple[str, ...]:
    """The key `classes` if it holds `count` texts, else the numbers."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = tuple(str(name) for name in archive["classes"].ravel())
    except (KeyError, ValueError):
        names = ()
    return names if len(names) == count else tuple(str(number) for number in range(count))


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    if not path.is_file():
        raise BadInput.at("dataset", f"{path}: there is no such file")
    raw = {}
    try:
        with np.load(path, allow_pickle=False) as archive:
            for key in _KEYS:
                if key not in archive:
                    raise BadInput.at("dataset", f"{path}: the key {key} is missing ({', '.join(_KEYS)} are needed)")
                try:
                    raw[key] = archive[key]
                except ValueError as error:
                    if "pickle" in str(error).lower():
                        raise BadInput.at(
                            "dataset", f"{path}: {key} holds pickled objects, which are refused"
                        ) from None
                    raise
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, AttributeError, TypeError):
        raise BadInput.at("dataset", f"{path}: is not a whole .npz file (numpy.savez writes them)") from None
    return raw


def _images(raw: NDArray[np.generic], path: Path, key: str) -> NDArray[np.uint8]:
    where = f"{path}: {key}"
    if raw.dtype != np.uint8:
        if not np.issubdtype(raw.dtype, np.floating):
            raise BadInput.at("dataset", f"{where}: has type {raw.dtype}; images are uint8, or floats in [0, 1]")
        if not np.isfinite(raw).all():
            raise BadInput.at("dataset", f"{where}: holds NaN or infinite pixels")
        if raw.size and (raw.min() < 0 or raw.max() > 1):
            raise BadInput.at(
                "dataset", f"{where}: floats must lie in [0, 1], found {raw.min():g} to {raw.max():g}; divide by 255?"
            )
        raw = np.rint(raw.astype(np.float64) * 255.0).astype(np.uint8)
    if raw.ndim == 3:
        raw = raw[:, None]
    elif raw.ndim == 4 and raw.shape[1] not in (1, 3) and raw.shape[3] in (1, 3):
        raw = raw.transpose(0, 3, 1, 2)
    if raw.ndim != 4 or raw.shape[1] not in (1, 3) or 0 in raw.shape:
        raise BadInput.at(
            "dataset", f"{where}: has shape {raw.shape}; expected (n, h, w), (n, h, w, 1 or 3) or (n, 1 or 3, h, w)"
        )
    return np.ascontiguousarray(raw, dtype=np.uint8)


def _labels(raw: NDArray[np.generic], path: Path, key: str) -> NDArray[np.int64]:
    where = f"{path}: {key}"
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim != 1 or raw.size == 0:
        raise BadInput.at("dataset", f"{where}: has shape {raw.shape}; expected one label per image, (n,) or (n, 1)")
    if not np.issubdtype(raw.dtype, np.number) or not np.isfinite(raw).all() or (raw != np.floor(raw)).any():
        raise BadInput.at("dataset", f"{where}: labels must be whole numbers, without NaN")
    if raw.min() < 0:
        raise BadInput.at("dataset", f"{where}: label {raw.min()} is out of range; labels count from 0")
    return raw.astype(np.int64)
