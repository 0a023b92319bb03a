"""Clean accuracy of weights that are being imported: what their owner knows of them, and what tells two readings apart. Imports
torch: for children only.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch

from core.datasets.arrays import Arrays
from core.datasets.subsets import Indices
from core.models.pixel_model import PixelModel
from core.records.outcome import Bools
from core.verdict.trust.entry import standard_error

_BATCH = 1 << 20
"""Pixel values in a batch, so that a batch of large images needs no more memory than one of small ones."""
_LEAST = 0.005
"""Two readings of the same weights on the same images may differ by a rounding; and who says 94 % may mean 94.4 %."""


class ImportStopped(Exception):
    """The import was asked to stop while it measured."""


def batch_of(values: int) -> int:
    """How many images of so many pixel values go through a model at once."""
    return max(1, _BATCH // max(1, values))


def tolerance(expected: float, total: int) -> float:
    """How far a measured accuracy may be from the expected one: 3 standard errors on so many images, or half a point."""
    return max(3.0 * standard_error(expected, total), _LEAST)


def correct(model: PixelModel, arrays: Arrays, indices: Indices | None, stop: Callable[[], bool]) -> Bools:
    """[n]: which of the test images (None: all) the model classifies rightly. Raises ImportStopped."""
    chosen = np.arange(len(arrays.test_labels)) if indices is None else indices
    found = []
    with torch.inference_mode():
        size = batch_of(arrays.test_images[0].size)
        for start in range(0, len(chosen), size):
            if stop():
                raise ImportStopped
            batch = chosen[start : start + size]
            pixels = torch.from_numpy(np.array(arrays.test_images[batch])).to(torch.float32).div_(255.0)
            found.append(model.eval()(pixels).argmax(1).numpy() == arrays.test_labels[batch])
    return np.concatenate(found)


def clearly_better(one: Bools, other: Bools) -> bool:
    """Whether `one` is right more often on the same images by more than 3 standard errors of the difference (McNemar)."""
    gained, lost = int((one & ~other).sum()), int((other & ~one).sum())
    return gained - lost > 3.0 * math.sqrt(gained + lost)
