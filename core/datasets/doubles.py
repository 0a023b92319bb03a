"""Test images that nearly are training images: the same picture saved again, or the next one of a burst."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.datasets.arrays import Arrays, ImageReader, Images

DISTANCE = 8
"""Bits of 64 in which the perceptual hashes of doubles may differ."""
ALIKE = 0.99
"""Correlation that their 16×16 thumbnails must have besides: different drawings of one digit share hashes, too. Measured: of
500 CIFAR-10 and MNIST images saved again as poor JPEGs 99 % and all are found; of 1,000 test images that are none, against
2,000 and 10,000 training images, none and 2 are taken for doubles."""
_HASHED = 32
_THUMBNAIL = 16
_BLOCK = 1024

_Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Doubles:
    """How many test images have a double in the training half, and one such pair by their places."""

    count: int
    test: int = 0
    train: int = 0


def known_doubles(place: Path) -> Doubles | None:
    """What was found before and kept in the file `place`."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Doubles(**json.loads(place.read_text(encoding="utf-8")))
    return None


def kept_doubles(place: Path, arrays: Arrays) -> Doubles:
    """What is known, else what is found, kept for the next time where that is possible."""
    found = known_doubles(place)
    if found is None:
        found = doubles(arrays)
        with contextlib.suppress(OSError):
            partial = place.with_suffix(f".{os.getpid()}")
            partial.write_text(json.dumps(asdict(found)), encoding="utf-8")
            partial.replace(place)
    return found


def doubles(arrays: Arrays) -> Doubles:
    """Of all test images against all training images."""
    train, test = (_marks(images) for images in (arrays.train_images, arrays.test_images))
    count, pair = 0, (0, 0)
    for first in range(0, len(test[0]), _BLOCK):
        part = slice(first, first + _BLOCK)
        near = np.zeros(len(test[0][part]), bool)
        for start in range(0, len(train[0]), _BLOCK * 4):
            there = slice(start, start + _BLOCK * 4)
            apart = (64 - test[0][part] @ train[0][there].T) / 2
            alike = (apart <= DISTANCE) & (test[1][part] @ train[1][there].T >= ALIKE)
            if not count and not near.any() and alike.any():
                row, column = np.argwhere(alike)[0]
                pair = (first + int(row), start + int(column))
            near |= alike.any(axis=1)
        count += int(near.sum())
    return Doubles(count, *pair)


def _marks(images: Images) -> tuple[_Floats, _Floats]:
    """Of each image its hash, 64 values of ±1, and its 16×16 thumbnail with mean 0 and length 1."""
    height, width = images.shape[2:]
    down, across = _averages(height, _HASHED), _averages(width, _HASHED).T
    thumb_down, thumb_across = _averages(height, _THUMBNAIL), _averages(width, _THUMBNAIL).T
    waves = np.arange(8)[:, None] * (np.arange(_HASHED) + 0.5)
    cosines = np.cos(np.pi / _HASHED * waves).astype(np.float32)
    hashes, thumbnails = [], []
    for chunk in ImageReader(images).chunks(np.arange(len(images)), max(1, 2**24 // images[0].size)):
        grey = chunk.mean(axis=1, dtype=np.float32)
        waved = (cosines @ (down @ (grey @ across)) @ cosines.T).reshape(len(chunk), -1)
        hashes.append(np.where(waved > np.median(waved, axis=1, keepdims=True), 1, -1).astype(np.float32))
        thumbnail = (thumb_down @ (grey @ thumb_across)).reshape(len(chunk), -1)
        thumbnail -= thumbnail.mean(axis=1, keepdims=True)
        thumbnails.append(thumbnail / np.maximum(1e-6, np.linalg.norm(thumbnail, axis=1, keepdims=True)))
    return np.concatenate(hashes), np.concatenate(thumbnails)


def _averages(size: int, parts: int) -> _Floats:
    """[parts, size]: the mean over each of `parts` equal stretches of a side of `size` pixels."""
    edges = np.linspace(0, size, parts + 1)
    pixel = np.arange(size)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    averages: _Floats = (np.clip(covered, 0, None) * (parts / size)).astype(np.float32)
    return averages
