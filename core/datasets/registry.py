"""The data sets: what a name means, what is there, and its images. Nothing here imports torch, not even to load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from core import plugged
from core.datasets import image_folder, named, npz
from core.datasets.arrays import Arrays, Labels, cached
from core.datasets.catalogue import DATASETS
from core.datasets.download import fetch_into
from core.datasets.folder_options import folder_source, read_table
from core.datasets.named import Dataset
from core.datasets.portrait import Portrait, Rounding
from core.datasets.survey import Report, quietly
from core.errors import BadInput
from core.paths import given
from core.records.data import DatasetInfo, DatasetSource

_DECODED_NPZ = "npz-2"
"""What decoded copies are kept under; changes with how they are read and checked, so that none of before is taken."""


def parse_source(text: str | Mapping[str, Any], base: Path) -> DatasetSource:
    """What `dataset = "…"` or `dataset = {folder = "…", …}` means; relative paths start at `base`.

    Raises BadInput for an unknown name, and for the options of a folder that are wrong.
    """
    if isinstance(text, Mapping):
        return read_table(text, base)
    kind, colon, path_text = text.partition(":")
    if colon and kind in ("folder", "npz"):
        if not path_text.strip():
            raise BadInput.at("dataset", f'"{text}" lacks its path: write "{kind}:PATH"')
        path = given(path_text, "dataset", base)
        if kind == "folder":
            return folder_source(path)
        return DatasetSource(f"{kind}:{path.name}", kind, path)
    if text in ("folder", "npz"):
        raise BadInput.at("dataset", f'"{text}" lacks its path: write "{text}:PATH"')
    return DatasetSource(text, DATASETS.find(text, "dataset").name)


def stored_source(text: str | Mapping[str, Any]) -> DatasetSource:
    """The same of a study that was accepted once, whose paths are absolute: its plugin may be gone since, which whoever wants the
    images hears from `load_planned`."""
    if isinstance(text, str) and plugged.owner(text) is not None:
        return DatasetSource(text, text)
    return parse_source(text, Path("/"))


def describe(
    source: DatasetSource,
    data_root: Path,
    cache: Path,
    met: Mapping[str, str] = MappingProxyType({}),
    report: Report = quietly,
    *,
    decoded: bool = True,
) -> DatasetInfo:
    """Shape, classes, sizes and identity. A `folder:` or `npz:` set is read and checked whole, and kept decoded under
    `cache`; `report` hears how far that is, and without `decoded` the pictures of a folder are only looked at. A named one
    that is at hand is read once, and again when its files change: its name is its identity only if they are the real set.
    `met` is what this home met first under the names of sets that the program does not know itself.

    Raises BadInput for content that cannot be used.
    """
    entry = DATASETS[source.kind]
    if source.path is None:
        assert entry.shape is not None, "only folder: and npz: sets have no fixed shape"
        found = None if problem(source, data_root, cache) else named.portrait(entry, data_root, cache).digest
        identity = named.name_of(entry, found, met)
        # What results show tells other content apart, too.
        shown = source if identity == entry.name else replace(source, name=f"{entry.name}@{found[:8] if found else ''}")
        sizes = entry.train_size or 0, entry.test_size or 0
        return DatasetInfo(shown, identity, entry.shape, entry.classes or (), *sizes, digest=found)
    if source.kind == "folder":
        return image_folder.describe(source, cache, report, decoded=decoded)
    content = npz.content_digest(source.path)
    arrays = _load_npz(source.path, content, cache)
    classes = npz.class_names(source.path, int(arrays.train_labels.max()) + 1)
    _, channels, height, width = arrays.train_images.shape
    return DatasetInfo(
        source,
        f"{source.kind}:{content}",
        (channels, height, width),
        classes,
        len(arrays.train_labels),
        len(arrays.test_labels),
        digest=content,
    )


def portray(info: DatasetInfo, data_root: Path, cache: Path) -> Portrait | None:
    """What the described set looks like; None for a named one that is not at hand. Counted once, then kept in `cache`."""
    source = info.source
    if source.path is None:
        return None if info.digest is None else named.portrait(DATASETS[source.kind], data_root, cache)
    content = info.identity.removeprefix(f"{source.kind}:")
    path = source.path

    def read() -> tuple[Arrays, Rounding | None]:
        if source.kind == "folder":
            return image_folder.load(source, cache, info.identity), None
        return _load_npz(path, content, cache), npz.rounding(path)

    return named.own_portrait(info.identity, cache, len(info.classes), read)


def problem(source: DatasetSource, data_root: Path, cache: Path | None = None) -> str | None:
    """None if the files are there and whole, else one line: which file is at fault and where to put it.

    Reads a gzipped file whole; what that told is kept in `cache`.
    """
    entry = DATASETS[source.kind]
    if source.path is not None or entry.load is None:
        return None
    found = _fault(entry, data_root, cache)
    if found is None:
        return None
    return f"data set {entry.name}: {found}; {_remedy(entry, data_root)}"


def damaged(source: DatasetSource, data_root: Path, cache: Path | None = None) -> str | None:
    """The `problem` of a set some of whose files are there; None for one that is whole, or absent altogether."""
    entry = DATASETS[source.kind]
    try:
        there = bool(entry.files(data_root / entry.folder))
    except OSError:  # a folder that may not be looked into is there
        there = True
    return problem(source, data_root, cache) if there else None


def fetch(source: DatasetSource, data_root: Path, report: Callable[[str], None], cache: Path | None = None) -> None:
    """Download a named set unless it is there and whole; `report` hears when that begins.

    Raises Unavailable (no network) or BadInput (a root that cannot be written), each saying what is wrong with the files
    and where to put them by hand.
    """
    entry = DATASETS[source.kind]
    found = _fault(entry, data_root, cache)
    if entry.download is not None and found is not None:
        fetch_into(
            data_root,
            entry.download.torchvision_class,
            entry.download.host,
            entry.folder.removesuffix("/raw"),
            found=f"data set {entry.name}: {found}",
            remedy=_remedy(entry, data_root),
            report=report,
        )


def load(source: DatasetSource, data_root: Path, cache: Path) -> Arrays:
    """The images and labels, whatever set they are. Raises BadInput for content that cannot be used."""
    if source.kind == "folder":
        return image_folder.load(source, cache)
    if source.path is not None:
        return _load_npz(source.path, npz.content_digest(source.path), cache)
    return _read_named(source, data_root, cache, DATASETS[source.kind].digest)[0]


def load_planned(
    source: DatasetSource, data_root: Path, cache: Path, identity: str, met: str | None = None
) -> tuple[Arrays, str]:
    """The images and labels with the digest of what they are, for whoever trains or attacks: it must be that of `identity`.

    `met` is the digest that this home met first under the name of a set that the program does not know itself; content of
    such a set that nobody has met yet is taken as it is. Raises BadInput for other content, and for what cannot be used.
    """
    kind, _, rest = identity.partition("@" if source.path is None else ":")
    if kind != source.kind:
        raise BadInput(f"data set {source.name}: {identity} was planned; submit the study again: innate run")
    if source.kind == "folder":
        return image_folder.load(source, cache, identity), rest
    if source.path is not None:
        planned: str | None = rest
        there = npz.content_digest(source.path)
        if there == planned:
            return _load_npz(source.path, there, cache), there
    else:
        planned = named.digest_behind(DATASETS[source.kind], identity, met)
        arrays, there = _read_named(source, data_root, cache, planned)
        if planned in (None, there):
            return arrays, there
    raise BadInput(
        f"data set {source.name}: its content is not what was planned ({(planned or '')[:8]} then, {there[:8]} now); put that "
        "back and retry, or submit the study again: innate run"
    )


def test_labels(source: DatasetSource, data_root: Path, cache: Path) -> Labels:
    """The labels of the test half alone."""
    if source.kind == "folder":
        return image_folder.test_labels(source, cache)
    return np.asarray(load(source, data_root, cache).test_labels)


def _fault(entry: Dataset, data_root: Path, cache: Path | None) -> str | None:
    """What is wrong with the files of a named set, in a line; None if nothing."""
    try:
        return entry.problem(data_root / entry.folder, cache)
    except OSError as error:
        return f"{error.filename} cannot be read ({error.strerror})"


def _read_named(source: DatasetSource, data_root: Path, cache: Path, expected: str | None) -> tuple[Arrays, str]:
    fault = problem(source, data_root, cache)
    if fault is not None:
        raise BadInput(fault)
    return named.read(DATASETS[source.kind], data_root, cache, expected)


def _load_npz(path: Path, content: str, cache: Path) -> Arrays:
    return cached(cache, f"{_DECODED_NPZ}-{content}", partial(npz.load_npz, path))


def _remedy(entry: Dataset, data_root: Path) -> str:
    return f"put its files under {data_root / entry.folder} (INNATE_DATA moves the root), or run with a network"
