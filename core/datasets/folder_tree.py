"""What lies in a folder of pictures: its halves, classes and files; whatever is left out is told.

Every path ends as a picture of a class, as something named in the notes, or as a refusal.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from core.datasets.subsets import stratified
from core.errors import BadInput
from core.records.data import FolderOptions
from core.registry import nearest

READ = {
    ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".webp", ".gif", ".tif", ".tiff",
    ".ppm", ".pgm", ".pbm", ".pnm",
}  # fmt: skip
"""Endings of the pictures that are read."""
_UNREAD = {
    ".heic", ".heif", ".avif", ".jp2", ".j2k", ".jpx", ".jxl", ".tga", ".psd", ".svg", ".eps", ".ico", ".dds", ".exr",
    ".hdr", ".dcm", ".raw", ".dng", ".nef", ".cr2", ".cr3", ".arw", ".npy", ".fits", ".nii",
}  # fmt: skip
"""Endings of pictures that are not: to leave them out would be to change the data set."""
_TEST = ("test", "val", "valid", "validation")
"""Names of the test half, the first that is there."""
_JUNK = {"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r", "@eaDir", "lost+found"}
_NAMED = 3
"""Of what is left out, so many are named."""


@dataclass(frozen=True)
class Listed:
    """A picture: its half, "train" or "test", the number of its class and where it is."""

    half: str
    label: int
    path: Path
    address: str
    """What stands for its place in the identity: half, class and name."""


@dataclass(frozen=True)
class Tree:
    """Pictures in the order of their addresses, training half first."""

    root: Path
    classes: tuple[str, ...]
    files: tuple[Listed, ...]
    notes: tuple[str, ...]


def read_tree(root: Path, options: FolderOptions) -> Tree:
    """What is to be read of `root`. Raises BadInput for what cannot be one data set."""
    if not root.is_dir():
        raise BadInput.at("dataset", f"{root}: there is no such folder")
    left = _LeftOut(root)
    notes: list[str] = []
    halves = _halves(root, options)
    for half, place in halves.items():
        if half == "test" and place.name != "test":
            notes.append(f"{place.name}/ is the test half, for there is no test/")
    if root not in halves.values():
        others = (root / entry.name for entry in _entries(root))
        left.beside("halves", [path for path in others if path not in halves.values()])
    if len(halves) == 2:
        found = {half: _classes(place, left) for half, place in halves.items()}
        if [*found["train"]] != [*found["test"]] and options.classes is None:
            odd = sorted(set(found["train"]) ^ set(found["test"]))
            raise BadInput.at(
                "dataset",
                f"{root}: train/ and {halves['test'].name}/ must have the same classes; only one has {', '.join(odd)}",
            )
        classes = _chosen(found, root, options)
        files = [
            Listed(half, number, path, f"{half}/{name}/{path.name}")
            for half in ("train", "test")
            for number, name in enumerate(classes)
            for path in _pictures(found[half][name], left)
        ]
    else:
        found = {"train": _classes(halves["train"], left)}
        classes = _chosen(found, root, options)
        files = _divided([(name, _pictures(found["train"][name], left)) for name in classes], root, options)
        tested = sum(file.half == "test" for file in files)
        notes.append(f"divided here: {len(files) - tested:,} pictures to train on, {tested:,} to test")
    return Tree(root, classes, tuple(files), (*notes, *left.notes()))


class _LeftOut:
    """What is not read, by the reason."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._found: dict[str, list[str]] = {}

    def add(self, reason: str, path: Path) -> None:
        self._found.setdefault(reason, []).append(path.relative_to(self._root).as_posix())

    def beside(self, what: str, paths: Iterable[Path]) -> None:
        """What lies beside the classes or the halves."""
        for path in paths:
            self.add("hidden" if _hidden(path.name) else f"beside the {what}", path)

    def notes(self) -> list[str]:
        told = []
        for reason, paths in self._found.items():
            more = f" and {len(paths) - _NAMED:,} more" if len(paths) > _NAMED else ""
            told.append(f"left out, {reason}: {', '.join(sorted(paths)[:_NAMED])}{more}")
        return told


def _halves(root: Path, options: FolderOptions) -> dict[str, Path]:
    """Where the halves are; "train" alone where one folder is to be divided."""
    train = root / "train"
    tests = [root / name for name in _TEST if _has_folders(root / name)]
    if not _has_folders(train):
        if options.split is not None:
            return {"train": root}
        raise BadInput.at(
            "dataset.split",
            f"{root}: an image folder needs train/ and test/ with one folder of pictures per class; "
            f'one of class folders alone is divided with dataset = {{folder = "{root}", split = 0.2}}',
        )
    if not tests:
        if options.split is not None:
            return {"train": train}
        raise BadInput.at(
            "dataset.split",
            f"{root}: an image folder needs test/ (or val/) with one folder of pictures per class; "
            f'train/ is divided with dataset = {{folder = "{root}", split = 0.2}}',
        )
    if options.split is not None:
        raise BadInput.at(
            "dataset.split", f"{root} has its halves already, train/ and {tests[0].name}/; leave split out"
        )
    return {"train": train, "test": tests[0]}


def _has_folders(place: Path) -> bool:
    return place.is_dir() and any(item.is_dir() and not _hidden(item.name) for item in _entries(place))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What lies in it, by name."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise BadInput.at("dataset", f"{folder}: cannot be listed ({error.strerror}); make it readable") from None


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in _JUNK


def _classes(place: Path, left: _LeftOut) -> dict[str, Path]:
    """Every class folder of a half by its name, sorted."""
    found = {}
    for item in (place / entry.name for entry in _entries(place)):
        if item.is_dir() and not _hidden(item.name):
            found[item.name] = item
        elif item.is_symlink() and not item.exists():
            raise BadInput.at("dataset", f"{item}: a link to {item.readlink()}, which is not there; remove it")
        else:
            left.beside("classes", [item])
    return found


def _chosen(found: dict[str, dict[str, Path]], root: Path, options: FolderOptions) -> tuple[str, ...]:
    """The classes to use: of those that are there, the ones asked for."""
    there = [name for name in found["train"] if all(name in half for half in found.values())]
    if options.classes is not None:
        for name in options.classes:
            if name not in there:
                half = "" if len(found) == 1 else " in both halves"
                raise BadInput.at("dataset.classes", f"{root} has no class {name!r}{half}{nearest(name, there)}")
        return options.classes
    if len(there) < 2:
        raise BadInput.at("dataset", f"{root}: {len(there)} class in train/; a classifier needs at least two")
    return tuple(there)


def _pictures(folder: Path, left: _LeftOut) -> list[Path]:
    """The pictures of a class. Raises BadInput where there are none, or one that is not read."""
    found = []
    for entry in _entries(folder):  # of many pictures: the listing itself knows what most of them are
        item, ending = folder / entry.name, os.path.splitext(entry.name)[1].lower()  # noqa: PTH122
        if ending in READ and entry.is_file(follow_symlinks=False) and not _hidden(entry.name):
            found.append(item)
        elif _hidden(entry.name):
            left.add("hidden", item)
        elif item.is_dir():
            left.add("folders within a class", item)
        elif ending in _UNREAD:
            raise BadInput.at(
                "dataset", f"{item}: {ending} pictures are not read; convert them, for instance to .png, or remove them"
            )
        elif ending not in READ:
            left.add("no pictures by their ending", item)
        elif not item.exists():
            raise BadInput.at("dataset", f"{item}: a link to {item.readlink()}, which is not there; remove it")
        elif not item.is_file():
            left.add("no files", item)
        else:
            found.append(item)
    if not found:
        raise BadInput.at("dataset", f"{folder}: no pictures ({', '.join(sorted(READ))}) in it")
    return found


def _divided(classes: Sequence[tuple[str, list[Path]]], root: Path, options: FolderOptions) -> list[Listed]:
    """The pictures of a tree without halves, a stratified share of them for the test half, drawn with a fixed seed.

    Addressed as if they lay in halves, so that it is the division that counts, not who made it.
    """
    assert options.split is not None
    for name, pictures in classes:
        if len(pictures) < 2:
            raise BadInput.at("dataset.split", f"{root}: {name} has one picture; it takes two to divide")
    labels = np.repeat(np.arange(len(classes)), [len(pictures) for _, pictures in classes]).astype(np.int64)
    count = max(len(classes), round(len(labels) * options.split))
    tested = set(stratified(labels, min(count, len(labels) - len(classes)), "dataset.split").tolist())
    files, position = [], 0
    for number, (name, pictures) in enumerate(classes):
        for path in pictures:
            half = "test" if position in tested else "train"
            files.append(Listed(half, number, path, f"{half}/{name}/{path.name}"))
            position += 1
    for half in ("train", "test"):
        present = {file.label for file in files if file.half == half}
        for number, (name, _) in enumerate(classes):
            if number not in present:
                raise BadInput.at(
                    "dataset.split",
                    f"{options.split:g} leaves no picture of {name} in the {half} half; take another share",
                )
    return sorted(files, key=lambda file: (file.half != "train", file.label))
