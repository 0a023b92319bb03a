"""The named data sets: what an entry says, whether its files are that set, and what they hold."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core.datasets.arrays import Arrays, cached
from core.datasets.portrait import Portrait, content_digest, portrait_of
from core.datasets.remembered import remembered, stamp
from core.errors import BadInput
from core.registry import Parameter

_COUNTED = 1
"""Bumped when a portrait is counted otherwise, so that none of before is taken for one."""


def _no_files(folder: Path) -> list[Path]:  # noqa: ARG001
    return []


def _none_missing(folder: Path, cache: Path | None) -> str | None:  # noqa: ARG001
    return None


@dataclass(frozen=True)
class Download:
    """How torchvision gets a set: its class, and the host that is asked first whether it can be reached."""

    torchvision_class: str
    host: str


@dataclass(frozen=True)
class Dataset:
    """A named data set. `shape` is (channels, height, width); sizes count images; all None where the content tells."""

    name: str
    summary: str
    source: str
    shape: tuple[int, int, int] | None = None
    classes: tuple[str, ...] | None = None
    train_size: int | None = None
    test_size: int | None = None
    folder: str = ""
    """Where its files lie under the data root."""
    load: Callable[[Path], Arrays] | None = None
    """Arrays from the folder of its files."""
    files: Callable[[Path], list[Path]] = _no_files
    """Those of its files that are in that folder."""
    problem: Callable[[Path, Path | None], str | None] = _none_missing
    """What is missing from that folder or damaged in it, in a line, None if nothing; what reading it whole told is kept in
    the cache."""
    digest: str | None = None
    """Of the decoded arrays of the real set (`portrait.content_digest`); None where this program never met it."""
    cache_key: str = ""
    """Set where decoding is slow enough to be kept; changes with the decoding."""
    download: Download | None = None
    parameters: tuple[Parameter, ...] = ()


# --- whose content it is --------------------------------------------------------------------------


def name_of(entry: Dataset, digest: str | None, met: Mapping[str, str]) -> str:
    """The identity of content with this digest: the bare name if it is the real set, or absent, else name@digest.

    `met` is what this home met first under the names of sets that the program does not know itself.
    """
    known = entry.digest or met.get(entry.name)
    return entry.name if digest is None or known in (None, digest) else f"{entry.name}@{digest}"


def digest_behind(entry: Dataset, identity: str, met: str | None) -> str | None:
    """The digest that an identity of the set stands for; None for one that nobody has met yet."""
    _, at, digest = identity.partition("@")
    return digest if at else entry.digest or met


# --- what its files hold --------------------------------------------------------------------------


def read(entry: Dataset, data_root: Path, cache: Path, expected: str | None) -> tuple[Arrays, str]:
    """The arrays and their digest, once they are seen to have the set's shapes, sizes and labels.

    A decoded copy in `cache` that is not of `expected` content is made again. Raises BadInput.
    """
    assert entry.load is not None
    build = partial(_checked, entry, data_root)
    if not entry.cache_key:
        arrays = build()
        return arrays, content_digest(arrays)
    arrays = cached(cache, entry.cache_key, build)
    digest = content_digest(arrays)
    if expected is not None and digest != expected:
        shutil.rmtree(cache / entry.cache_key, ignore_errors=True)
        arrays = cached(cache, entry.cache_key, build)
        digest = content_digest(arrays)
    return arrays, digest


def portrait(entry: Dataset, data_root: Path, cache: Path) -> Portrait:
    """What its files, which are there and whole, hold: counted once, and kept until one of them changes."""

    def drawn() -> Portrait:
        arrays, _ = read(entry, data_root, cache, entry.digest)
        return portrait_of(arrays, len(entry.classes or ()))

    try:
        key = f"{_COUNTED}-{stamp(entry.files(data_root / entry.folder))}"
    except OSError as error:
        raise BadInput.at("dataset", f"{error.filename}: cannot be read ({error.strerror})") from None
    return remembered(cache, f"portrait-{entry.name}", key, drawn, Portrait.as_json, Portrait.from_json)


def own_portrait(identity: str, cache: Path, classes: int, load: Callable[[], tuple[Arrays, Any]]) -> Portrait:
    """The same of a `folder:` or `npz:` set, whose identity names its content. `load` gives its arrays, and the Rounding
    that made them."""

    def drawn() -> Portrait:
        arrays, rounding = load()
        return portrait_of(arrays, classes, rounding)

    key = f"{_COUNTED}-{identity.partition(':')[2]}"
    kind = identity.partition(":")[0]
    return remembered(cache, f"portrait-{kind}", key, drawn, Portrait.as_json, Portrait.from_json)


def _checked(entry: Dataset, data_root: Path) -> Arrays:
    """What `load` made of the files. Raises BadInput unless it has the shapes, the sizes and the labels of the set."""
    assert entry.load is not None
    folder = data_root / entry.folder if entry.folder else Path(f"the files of {entry.name}")
    arrays = entry.load(data_root / entry.folder)
    own = "; a set of your own goes under npz: or folder:"
    for half, images, labels, size in (
        ("train", arrays.train_images, arrays.train_labels, entry.train_size),
        ("test", arrays.test_images, arrays.test_labels, entry.test_size),
    ):
        where = f"{folder}: the {half} half"
        if images.shape[1:] != entry.shape:
            found, wanted = ("×".join(map(str, shape or ())) for shape in (images.shape[1:], entry.shape))
            raise BadInput.at("dataset", f"{where} has images of {found}, but those of {entry.name} are {wanted}{own}")
        if len(images) != size or len(labels) != size:
            raise BadInput.at(
                "dataset",
                f"{where} has {len(images):,} images and {len(labels):,} labels, but that of {entry.name} has {size:,}{own}",
            )
        classes = len(entry.classes or ())
        least, greatest = int(labels.min()), int(labels.max())
        if least < 0 or greatest >= classes:
            raise BadInput.at(
                "dataset",
                f"{where} has the label {greatest if greatest >= classes else least}, which is out of range: those of "
                f"{entry.name} are 0 to {classes - 1}",
            )
        absent = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
        if len(absent):
            raise BadInput.at(
                "dataset", f"{where} has no image of class {absent[0]}; {entry.name} has {classes} classes"
            )
    return arrays
