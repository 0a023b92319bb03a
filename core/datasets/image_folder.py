"""`folder:PATH`: an image tree with train/<class>/ and test/<class>/."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.datasets.arrays import Arrays
from core.errors import BadInput

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".ppm", ".pgm"}
_HALVES = ("train", "test")


def class_names(root: Path) -> tuple[str, ...]:
    """The classes, sorted by name; raises BadInput unless train/ and test/ have the same two or more."""
    if not root.is_dir():
        raise BadInput.at("dataset", f"{root}: there is no such folder")
    found = {}
    for half in _HALVES:
        if not (root / half).is_dir():
            raise BadInput.at("dataset", f"{root}: an image folder needs {half}/ with one folder of pictures per class")
        found[half] = tuple(sorted(item.name for item in (root / half).iterdir() if item.is_dir()))
    if found["train"] != found["test"]:
        odd = sorted(set(found["train"]) ^ set(found["test"]))
        raise BadInput.at(
            "dataset", f"{root}: train/ and test/ must have the same classes; only one has {', '.join(odd)}"
        )
    if len(found["train"]) < 2:
        raise BadInput.at("dataset", f"{root}: {len(found['train'])} class in train/; a classifier needs at least two")
    return found["train"]


def content_digest(root: Path) -> str:
    """SHA-256 over the relative paths and bytes of every picture, in order of path."""
    total = hashlib.sha256()
    for half in _HALVES:
        for label in class_names(root):
            for path in _pictures(root / half / label):
                total.update(path.relative_to(root).as_posix().encode() + b"\0")
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def load_folder(root: Path) -> Arrays:
    """Decode every picture; grey if all are grey, else RGB. Raises BadInput for one unreadable or of another size."""
    classes = class_names(root)
    listed = {
        half: [(path, number) for number, label in enumerate(classes) for path in _pictures(root / half / label)]
        for half in _HALVES
    }
    images = {half: [_decode(path) for path, _ in listed[half]] for half in _HALVES}
    first_path, first = listed["train"][0][0], images["train"][0]
    for half in _HALVES:
        for (path, _), image in zip(listed[half], images[half], strict=True):
            if image.shape[:2] != first.shape[:2]:
                raise BadInput.at(
                    "dataset",
                    f"{path} is {image.shape[1]}×{image.shape[0]} pixels, but {first_path.name} is "
                    f"{first.shape[1]}×{first.shape[0]}; all pictures must be of one size",
                )
    grey = all(image.ndim == 2 for half in _HALVES for image in images[half])
    stacked = {half: np.stack([_channels_first(image, grey) for image in images[half]]) for half in _HALVES}
    labels = {half: np.array([number for _, number in listed[half]], np.int64) for half in _HALVES}
    return Arrays(stacked["train"], labels["train"], stacked["test"], labels["test"])


def _pictures(folder: Path) -> list[Path]:
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not pictures:
        raise BadInput.at("dataset", f"{folder}: no pictures ({', '.join(sorted(_SUFFIXES))}) in it")
    return pictures


def _decode(path: Path) -> NDArray[np.uint8]:
    """[h, w] for a grey picture, [h, w, 3] for any other."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("L" if picture.mode in ("1", "L") else "RGB"))
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise BadInput.at("dataset", f"{path}: cannot be read as a picture; mend or remove it") from None


def _channels_first(image: NDArray[np.uint8], grey: bool) -> NDArray[np.uint8]:
    if grey:
        return image[None]
    if image.ndim == 2:
        return np.broadcast_to(image, (3, *image.shape))
    return image.transpose(2, 0, 1)
