"""Images for these tests, as files that the product reads: coloured digits, and as many as full MNIST where that is not
at hand. Torch-free.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from core import datasets
from core.datasets.arrays import Arrays
from tests.conftest import REAL_DATA

FULL = (REAL_DATA / "MNIST" / "raw").is_dir()
TRAIN, TEST = 60_000, 10_000


def embedded(cache: Path) -> Arrays:
    """The 5,000 MNIST images that ship with the program: 4,000 and 1,000."""
    return datasets.load(datasets.parse_source("mnist5k", cache), REAL_DATA, cache)


def coloured(cache: Path) -> str:
    """A data set of 1,000 and 200 digits in three colours: augmentation is for colour images."""
    path, few = cache / "coloured.npz", embedded(cache)
    if not path.exists():
        shades = np.array([1.0, 0.7, 0.4])
        _write(
            path,
            *(
                (images[:, 0, :, :, None] * shades).astype(np.uint8)
                for images in (few.train_images[::4], few.test_images[::5])
            ),
            few.train_labels[::4],
            few.test_labels[::5],
        )
    return f"npz:{path}"


def of_full_size(cache: Path) -> tuple[str, str]:
    """A data set of 60,000 and 10,000 MNIST images, and what it is in words: the real one, else the embedded images again and
    again, which take as long."""
    if FULL:
        return "mnist", "full MNIST"
    path, few = cache / "repeated.npz", embedded(cache)
    if not path.exists():
        _write(
            path,
            np.resize(few.train_images, (TRAIN, *few.train_images.shape[1:])),
            np.resize(few.test_images, (TEST, *few.test_images.shape[1:])),
            np.resize(few.train_labels, TRAIN),
            np.resize(few.test_labels, TEST),
        )
    return f"npz:{path}", "the 5,000 embedded MNIST images, repeated to 70,000"


def spoilt(cache: Path) -> str:
    """A data set with one label that is no class, which no check sees: it was good when it was decoded. A kernel that takes
    a loss at it fails on the device."""
    path, few = cache / "spoilt.npz", embedded(cache)
    _write(path, few.train_images[::2], few.test_images[::5], few.train_labels[::2], few.test_labels[::5])
    source = datasets.parse_source(f"npz:{path}", cache)
    datasets.load(source, REAL_DATA, cache)
    (labels,) = (folder / "train_labels.npy" for folder in cache.glob("npz-*") if _decoded_from(path, folder))
    wrong = np.load(labels).copy()
    wrong[7] = -1
    labels.unlink()  # the file may be mapped
    np.save(labels, wrong)
    return f"npz:{path}"


def _decoded_from(path: Path, folder: Path) -> bool:
    from core.datasets.npz import content_digest

    return folder.name.endswith(content_digest(path))


def _write(path: Path, x_train: np.ndarray, x_test: np.ndarray, y_train: np.ndarray, y_test: np.ndarray) -> None:
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
