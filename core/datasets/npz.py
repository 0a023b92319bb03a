"""`npz:PATH`: arrays under Keras's keys x_train, y_train, x_test, y_test; perhaps `classes`, their names, and `white`, the
user's word for what a full pixel is where the values do not say so themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.arrays import Arrays
from core.datasets.decoding import read_of
from core.datasets.portrait import Rounding
from core.errors import BadInput

_KEYS = ("x_train", "y_train", "x_test", "y_test")
_IMAGES = ("x_train", "x_test")
_DARK = 0.25
"""Of full scale: images that never get brighter were probably divided once too often, or hold other levels than 0 to 255."""
_APART = 0.25
"""Of full scale: halves whose darkest or brightest pixels lie farther apart were probably not scaled alike."""
_RAW = 16.0
"""Floats up to 255 that go beyond this are levels; below it, they were divided by a deviation."""
_LABELS = 10**6
_REMEDY = "it is not a whole .npz file (numpy.savez writes them)"


def content_digest(path: Path) -> str:
    """SHA-256 of the file."""
    if not path.is_file():
        raise BadInput.at("dataset", f"{path}: there is no such file")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_npz(path: Path) -> Arrays:
    """The four arrays, checked; raises BadInput naming the file and the key at fault.

    Images are uint8, or floats in [0, 1] that are rounded to 256 levels; [n, h, w], [n, h, w, 1 or 3] or [n, 1 or 3, h,
    w]. Where the file says what `white` is, any numbers from 0 to that. Labels are whole numbers from 0, [n] or [n, 1].
    """
    raw = _read(path)
    white = _white(raw, path)
    for key in _IMAGES:
        _refuse_unusable(raw[key], f"{path}: {key}", white)
    if white is None:
        _refuse_unlikely({key: raw[key] for key in _IMAGES}, path)
    arrays = Arrays(
        _images(_levels(raw["x_train"], white), path, "x_train"),
        _labels(raw["y_train"], path, "y_train"),
        _images(_levels(raw["x_test"], white), path, "x_test"),
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


def rounding(path: Path) -> Rounding | None:
    """What the rounding to 256 levels changed in the images of a file that `load_npz` takes; None if nothing."""
    raw = _read(path)
    white = _white(raw, path)
    pixels = total = 0
    furthest = 0.0
    for key in _IMAGES:
        values = raw[key]
        total += values.size
        if values.dtype == np.uint8 and white is None:
            continue
        # What a level became in the file's own precision is a level still.
        noise = 255.0 * float(np.finfo(values.dtype).eps) if values.dtype.kind == "f" else 0.0
        levels = values.astype(np.float64) * (255.0 / (white or 1.0))
        off = np.abs(levels - np.rint(levels))
        between = off > max(1e-3, noise)
        pixels += int(between.sum())
        furthest = max(furthest, float(off.max(where=between, initial=0.0)))
    return Rounding(pixels, total, round(furthest, 4)) if pixels else None


def class_names(path: Path, count: int) -> tuple[str, ...]:
    """The key `classes` if it holds `count` texts, else the numbers."""
    with read_of(path, _REMEDY), np.load(path, allow_pickle=False) as archive:
        try:
            names = tuple(str(name) for name in archive["classes"].ravel())
        except (KeyError, ValueError):  # none, or pickled ones
            names = ()
    return names if len(names) == count else tuple(str(number) for number in range(count))


def _read(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays under the keys, and under `white` if it is there."""
    if not path.is_file():
        raise BadInput.at("dataset", f"{path}: there is no such file")
    raw = {}
    with read_of(path, _REMEDY):
        opened = np.load(path, allow_pickle=False)
        if not isinstance(opened, np.lib.npyio.NpzFile):
            raise BadInput.at("dataset", f"{path}: is not a whole .npz file (numpy.savez writes them)")
        with opened as archive:
            for key in _KEYS:
                if key not in archive:
                    raise BadInput.at("dataset", f"{path}: the key {key} is missing ({', '.join(_KEYS)} are needed)")
            for key in (*_KEYS, *(("white",) if "white" in archive else ())):
                try:
                    raw[key] = archive[key]
                except ValueError as error:
                    if "pickle" in str(error).lower():
                        words = f"{path}: {key} holds pickled objects, which are refused"
                        raise BadInput.at("dataset", words) from None
                    raise
                if not isinstance(raw[key], np.ndarray):
                    raise BadInput.at("dataset", f"{path}: {key} is no array; numpy.savez writes them")
    return raw


def _white(raw: Mapping[str, NDArray[Any]], path: Path) -> float | None:
    """What the file says that a full pixel is."""
    if "white" not in raw:
        return None
    given = raw["white"]
    if given.size != 1 or given.dtype.kind not in "fiu":
        raise BadInput.at("dataset", f"{path}: white is one number, such as 255")
    white = float(given.item())
    if not 0 < white < np.inf:
        raise BadInput.at("dataset", f"{path}: white is {white:g}; it must be above 0")
    return white


def _refuse_unusable(raw: NDArray[Any], where: str, white: float | None) -> None:
    """Raises BadInput for what is no images, and for values outside their scale."""
    if raw.size == 0:
        raise BadInput.at("dataset", f"{where}: has shape {raw.shape}, so no pixels")
    number = raw.dtype.kind in ("f" if white is None else "fiu")
    if raw.dtype != np.uint8 and not number:
        raise BadInput.at(
            "dataset",
            f"{where}: has type {raw.dtype}; images are uint8, or floats in [0, 1], or other numbers with the key white "
            "that says what a full pixel is",
        )
    if number and not np.isfinite(raw).all():
        raise BadInput.at("dataset", f"{where}: holds NaN or infinite pixels")
    least, greatest = float(raw.min()), float(raw.max())
    if white is not None and (least < 0 or greatest > white):
        raise BadInput.at("dataset", f"{where}: white is {white:g}, but pixels go from {least:g} to {greatest:g}")
    if white is None and raw.dtype != np.uint8 and (least < 0 or greatest > 1):
        raise BadInput.at(
            "dataset",
            f"{where}: floats must lie in [0, 1], found {least:g} to {greatest:g}; {_scaling(least, greatest)}",
        )


def _scaling(least: float, greatest: float) -> str:
    """What to do about floats outside [0, 1]."""
    if least < 0 or greatest <= _RAW:
        return "give pixels in [0, 1]; normalisation is a layer of the model"
    if greatest <= 255:
        return "divide by 255"
    return "divide by what a full pixel is, or say it: savez(..., white=…)"


def _refuse_unlikely(halves: Mapping[str, NDArray[Any]], path: Path) -> None:
    """Raises BadInput for values that are within their scale but hardly meant so: the user's word, `white`, is wanted."""
    full = {key: 255.0 if images.dtype == np.uint8 else 1.0 for key, images in halves.items()}
    ends = {key: (float(images.min()), float(images.max())) for key, images in halves.items()}
    shares = np.array([[end / full[key] for end in ends[key]] for key in halves])
    word = f"if they are right as they are, say what white is: savez(..., white={full['x_train']:g})"
    if (np.abs(shares[0] - shares[1]) > _APART).any():
        ranges = " but ".join(f"{key} from {low:g} to {high:g}" for key, (low, high) in ends.items())
        raise BadInput.at("dataset", f"{path}: the halves' ranges disagree, {ranges}; scale both in one way; {word}")
    for key, (_, greatest) in ends.items():
        if greatest < _DARK * full[key]:
            found = f"{path}: {key}: the largest pixel is {greatest:g} of {full[key]:g}"
            raise BadInput.at("dataset", f"{found}, {_suspicion(greatest, full[key])}; {word}")


def _suspicion(greatest: float, full: float) -> str:
    """What such dark images usually are."""
    if greatest == 0:
        return "so all are black"
    if full == 1.0:
        return "as if divided by 255 twice; give pixels in [0, 1]"
    return "as if these were other levels; multiply them so that white is 255"


def _levels(raw: NDArray[Any], white: float | None) -> NDArray[np.uint8]:
    """Checked images in 256 levels."""
    if raw.dtype == np.uint8 and white is None:
        return raw
    return np.rint(raw.astype(np.float64) * (255.0 / (white or 1.0))).astype(np.uint8)


def _images(raw: NDArray[np.uint8], path: Path, key: str) -> NDArray[np.uint8]:
    """As [n, channels, h, w]."""
    if raw.ndim == 3:
        raw = raw[:, None]
    elif raw.ndim == 4 and raw.shape[1] not in (1, 3) and raw.shape[3] in (1, 3):
        raw = raw.transpose(0, 3, 1, 2)
    if raw.ndim != 4 or raw.shape[1] not in (1, 3) or 0 in raw.shape:
        raise BadInput.at(
            "dataset",
            f"{path}: {key}: has shape {raw.shape}; expected (n, h, w), (n, h, w, 1 or 3) or (n, 1 or 3, h, w)",
        )
    return np.ascontiguousarray(raw, dtype=np.uint8)


def _labels(raw: NDArray[Any], path: Path, key: str) -> NDArray[np.int64]:
    where = f"{path}: {key}"
    if raw.ndim == 2 and raw.shape[1] == 1:
        raw = raw[:, 0]
    if raw.ndim != 1 or raw.size == 0:
        raise BadInput.at("dataset", f"{where}: has shape {raw.shape}; expected one label per image, (n,) or (n, 1)")
    if raw.dtype.kind not in "fiu" or not np.isfinite(raw).all() or (raw != np.floor(raw)).any():
        raise BadInput.at("dataset", f"{where}: labels must be whole numbers, without NaN")
    if raw.min() < 0:
        raise BadInput.at("dataset", f"{where}: label {raw.min()} is out of range; labels count from 0")
    if raw.max() > _LABELS:
        raise BadInput.at("dataset", f"{where}: label {raw.max()} is out of range")
    return raw.astype(np.int64)
