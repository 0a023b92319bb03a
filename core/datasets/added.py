"""Data sets of plugins: what they may be, and what their arrays are held to."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

from core.datasets.arrays import Arrays
from core.datasets.named import Dataset
from core.errors import BadInput, InnateError
from core.plugged import Installed, in_words

T = TypeVar("T")


def adopt(entry: Dataset, plugin: Installed) -> Dataset:
    """The data set with its functions contained. Raises ValueError for one whose shape and sizes are not all said."""
    shape = entry.shape
    if not isinstance(shape, tuple) or len(shape) != 3 or not all(isinstance(one, int) and one > 0 for one in shape):
        raise ValueError("must say its shape, (channels, height, width)")
    classes = entry.classes
    if not isinstance(classes, tuple) or len(classes) < 2 or not all(isinstance(one, str) for one in classes):
        raise ValueError("must name its classes, two at least")
    for size in (entry.train_size, entry.test_size):
        if not isinstance(size, int) or size < len(classes):
            raise ValueError("must say its train_size and test_size, an image of each class at least")
    if entry.load is None or not callable(entry.load):
        raise ValueError("has no function load")
    if Path(entry.folder).is_absolute() or ".." in Path(entry.folder).parts:
        raise ValueError("has a folder outside the data root")
    what, load = f"data set {entry.name} of {plugin.title}", entry.load
    return replace(
        entry,
        parameters=(),
        load=lambda folder: _held(what, _told(what, load, folder)),
        files=lambda folder: _told(what, entry.files, folder) or _told(what, _source_of, load),
        problem=lambda folder, cache: _told(what, entry.problem, folder, cache),
        cache_key=entry.cache_key and f"{plugin.name}-{plugin.version}-{entry.cache_key}",
    )


def absent(name: str, why: str) -> Dataset:
    """What stands for a data set whose plugin is not at hand."""

    def refused(*_: Any) -> NoReturn:
        raise BadInput.at("dataset", why)

    return Dataset(name, why, "-", (1, 1, 1), load=refused, problem=refused)


def _told(what: str, ask: Callable[..., T], *arguments: Any) -> T:
    """What the plugin answers; whatever it raises is bad input, and what it prints is narration."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return ask(*arguments)
    except InnateError:
        raise
    except (Exception, SystemExit) as error:
        raise BadInput.at("dataset", f"{what}: {in_words(error)}") from error


def _held(what: str, arrays: Any) -> Arrays:
    if not isinstance(arrays, Arrays):
        raise BadInput.at("dataset", f"{what}: load gave {type(arrays).__name__}, not Arrays")
    for images in (arrays.train_images, arrays.test_images):
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
            raise BadInput.at("dataset", f"{what}: its images are not uint8 of [n, channels, height, width]")
    halves = []
    for labels in (arrays.train_labels, arrays.test_labels):
        if not isinstance(labels, np.ndarray) or labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise BadInput.at("dataset", f"{what}: its labels are not whole numbers [n]")
        halves.append(labels.astype(np.int64))
    train, test = (np.ascontiguousarray(images) for images in (arrays.train_images, arrays.test_images))
    return Arrays(train, halves[0], test, halves[1])


def _source_of(load: Callable[..., Any]) -> list[Path]:
    """The file of the code that makes the images, where no file holds them: what was counted of them is then counted again
    once that has changed."""
    spec = importlib.util.find_spec(load.__module__)
    return [] if spec is None or spec.origin is None else [Path(spec.origin)]
