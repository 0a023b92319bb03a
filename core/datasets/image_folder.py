"""`folder:PATH`: pictures under train/CLASS/ and test/CLASS/, or under CLASS/ alone, decoded once into a cache."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets import pictures
from core.datasets.arrays import Arrays, ImageFile, Images, Labels, beside, kept
from core.datasets.doubles import DISTANCE, Doubles, kept_doubles, known_doubles
from core.datasets.folder_tree import Listed, Tree, read_tree
from core.datasets.picture_depth import white_of
from core.datasets.pictures import Look
from core.datasets.survey import Report, in_parallel, quietly, survey
from core.errors import BadInput
from core.identity import digest
from core.records.data import DatasetInfo, DatasetSource, FolderOptions

_IN_MEMORY = 2**28
"""Bytes up to which images are held in memory where no cache can be written."""
_DARK = 0.25
"""A set of deep pictures none of which reaches this share of white is of fewer bits than its files have room for."""


@dataclass(frozen=True)
class _Folder:
    """A folder as it lies now."""

    tree: Tree
    looks: tuple[Look, ...]
    options: FolderOptions
    identity: str
    """Of the content and of what it becomes; the digest of the content alone where plain decoding is all there is to it."""

    @property
    def shape(self) -> tuple[int, int, int]:
        height, width = self.options.size or (self.looks[0].height, self.looks[0].width)
        return (1 if all(look.grey for look in self.looks) else 3), height, width

    def half(self, name: str) -> list[tuple[Listed, Look]]:
        pairs = zip(self.tree.files, self.looks, strict=True)
        return [(file, look) for file, look in pairs if file.half == name]


def describe(source: DatasetSource, cache: Path, report: Report, *, decoded: bool) -> DatasetInfo:
    """What is in the folder; `report` hears how far it is read. Unless it is to be `decoded` under `cache` now, so that damage
    within a picture shows and doubles can be told, every picture is only looked at.

    Raises BadInput for whatever cannot become images as it is, in one line that names the file.
    """
    folder = _opened(source, cache, report)
    place = cache / f"folder-{folder.identity}" / "doubles.json"
    found = kept_doubles(place, _decoded(folder, cache, report)) if decoded else known_doubles(place)
    return DatasetInfo(
        source,
        f"folder:{folder.identity}",
        folder.shape,
        folder.tree.classes,
        len(folder.half("train")),
        len(folder.half("test")),
        digest=folder.identity,
        notes=(*folder.tree.notes, *_notes(folder), *_told_doubles(folder, found)),
    )


def load(source: DatasetSource, cache: Path, identity: str | None = None) -> Arrays:
    """The images and labels; raises what `describe` raises.

    With an `identity`, that content: from the cache whatever has become of the folder, else BadInput where it is another.
    """
    found = None if identity is None else kept(cache / identity.replace(":", "-"))
    if found is not None:
        return found
    folder = _opened(source, cache, quietly)
    if identity is not None and identity != f"folder:{folder.identity}":
        raise BadInput(
            f"{source.path}: its pictures are others than when the study was submitted; submit it again: innate run"
        )
    return _decoded(folder, cache, quietly)


def test_labels(source: DatasetSource, cache: Path) -> Labels:
    """Those of the test half, without decoding anything."""
    return _labels(_opened(source, cache, quietly), "test")


def _opened(source: DatasetSource, cache: Path, report: Report) -> _Folder:
    assert source.path is not None
    options = source.options
    tree = read_tree(source.path, options)
    looks = survey(source.path, [file.path for file in tree.files], cache, report)
    _refuse_mixed_sizes(tree, looks, options)
    _refuse_dark(tree, looks, options)
    content = hashlib.sha256()
    for file, look in zip(tree.files, looks, strict=True):
        content.update(os.fsencode(file.address) + b"\0")
        content.update(bytes.fromhex(look.digest))
    becomes = _becomes(looks, options)
    plain = content.hexdigest()
    return _Folder(tree, tuple(looks), options, digest({"content": plain, **becomes}) if becomes else plain)


def _becomes(looks: Sequence[Look], options: FolderOptions) -> dict[str, Any]:
    """What the images depend on beside the content of the files; nothing where every picture is decoded as ever."""
    traits = {trait for look in looks for trait in look.traits}
    becomes: dict[str, Any] = {}
    if traits & pictures.CHANGED:
        becomes["decoding"] = pictures.DECODING
    if pictures.DEEP in traits and options.depth not in (None, 16):
        becomes["depth"] = options.depth
    if options.size is not None:
        becomes |= {"resizing": 1, "size": list(options.size), "fit": options.fit}
    if pictures.SEE_THROUGH in traits or (options.size is not None and options.fit == "pad"):
        becomes["background"] = options.background
    return becomes


def _refuse_mixed_sizes(tree: Tree, looks: Sequence[Look], options: FolderOptions) -> None:
    if options.size is not None:
        return
    first = looks[0]
    sizes = Counter((look.width, look.height) for look in looks)
    for file, look in zip(tree.files, looks, strict=True):
        if (look.width, look.height) != (first.width, first.height):
            raise BadInput.at(
                "dataset.size",
                f"{file.path} is {look.width}×{look.height} pixels, but {tree.files[0].path.name} is "
                f"{first.width}×{first.height}; {len(sizes)} sizes in {len(looks):,} pictures: bring all to one with "
                f'dataset = {{folder = "{tree.root}", size = 64}}',
            )


def _refuse_dark(tree: Tree, looks: Sequence[Look], options: FolderOptions) -> None:
    """Raises BadInput for pictures that would come out nearly black, for their files have more room than they use."""
    deep = [look.top for look in looks if pictures.DEEP in look.traits]
    if deep and options.depth is None and max(deep) < _DARK * 65535:
        bits = max(8, int(max(deep)).bit_length())
        raise BadInput.at(
            "dataset.depth",
            f"{tree.root}: {len(deep):,} pictures of 16 bits hold no value above {max(deep):,.0f}, as those of {bits} bits "
            f'do: say so with dataset = {{folder = "{tree.root}", depth = {bits}}}, or depth = 16 if they are that dark',
        )
    colours = [look.top for look in looks if pictures.DEEP_COLOUR in look.traits]
    if colours and max(colours) < _DARK * 65535:
        raise BadInput.at(
            "dataset",
            f"{tree.root}: {len(colours):,} colour pictures of 16 bits hold no value above {max(colours):,.0f}, as those of "
            f"{int(max(colours)).bit_length()} bits do; save them with 8 bits, so that white is 255",
        )
    floats = [look.top for look in looks if pictures.FLOATS in look.traits]
    if floats and max(floats) < _DARK:
        raise BadInput.at(
            "dataset",
            f"{tree.root}: {len(floats):,} floating-point pictures hold no value above {max(floats):g}; "
            "scale them so that white is 1",
        )


# --- decoding ---


def _decoded(folder: _Folder, cache: Path, report: Report) -> Arrays:
    """From the cache, which is made if it is not there: by one process, while others that want it wait."""
    place = cache / f"folder-{folder.identity}"
    found = kept(place)
    if found is not None:
        return found
    try:
        with _alone(place):
            found = kept(place)
            if found is None:
                with beside(place) as building:
                    _decode_into(folder, building, report)
                found = kept(place)
    except OSError as error:
        if _bytes(folder) <= _IN_MEMORY:
            return _decoded_in_memory(folder, report)
        raise BadInput.at(
            "dataset",
            f"{cache}: the decoded pictures, {_bytes(folder) / 2**20:,.0f} MiB, cannot be kept there "
            f"({error.strerror or error}); make room, or use another home: --home DIR",
        ) from None
    assert found is not None, "it was just made"
    return found


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """No other process decodes into `place` meanwhile."""
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = place.with_name(f".{place.name}.lock")
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _decode_into(folder: _Folder, building: Path, report: Report) -> None:
    count = len(folder.looks)
    report(f"decoding {count:,} pictures of {folder.tree.root.name}, {_bytes(folder) / 2**20:,.0f} MiB, once")
    with contextlib.ExitStack() as files:
        outs = {}
        for half in ("train", "test"):
            outs[half] = ImageFile(building / f"{half}_images.npy", (len(folder.half(half)), *folder.shape))
            files.callback(outs[half].close)
        moments = _decode_each(folder, lambda half, row, image: outs[half].put(row, image), report)
    for half in ("train", "test"):
        np.save(building / f"{half}_labels.npy", _labels(folder, half))
    np.save(building / "train_moments.npy", moments)


def _decoded_in_memory(folder: _Folder, report: Report) -> Arrays:
    images = {half: np.empty((len(folder.half(half)), *folder.shape), np.uint8) for half in ("train", "test")}

    def put(half: str, row: int, image: Images) -> None:
        images[half][row] = image

    moments = _decode_each(folder, put, report)
    return Arrays(images["train"], _labels(folder, "train"), images["test"], _labels(folder, "test"), moments)


def _decode_each(folder: _Folder, put: Callable[[str, int, Images], None], report: Report) -> NDArray[np.int64]:
    """`put` gets half, place in it and image of every picture, from several threads; returns the training half's moments."""
    moments = np.zeros((len(folder.half("train")), folder.shape[0], 2), np.int64)

    def one(item: tuple[int, tuple[Listed, Look]]) -> None:
        row, (file, look) = item
        image = _channels_first(pictures.decode(file.path, look, folder.options), folder.shape)
        put(file.half, row, image)
        if file.half == "train":
            wide = image.astype(np.int64)
            moments[row, :, 0] = wide.sum(axis=(1, 2))
            moments[row, :, 1] = (wide * wide).sum(axis=(1, 2))

    items = [*enumerate(folder.half("train")), *enumerate(folder.half("test"))]
    for _ in in_parallel(one, items, "decoded", report):
        pass
    return moments


def _labels(folder: _Folder, half: str) -> Labels:
    return np.array([file.label for file, _ in folder.half(half)], np.int64)


def _channels_first(image: Images, shape: tuple[int, int, int]) -> Images:
    if shape[0] == 1:
        image = image[None]
    elif image.ndim == 2:
        image = np.broadcast_to(image, (3, *image.shape))
    else:
        image = image.transpose(2, 0, 1)
    assert image.shape == shape, "the header said so"
    return np.ascontiguousarray(image)


def _bytes(folder: _Folder) -> int:
    return len(folder.looks) * int(np.prod(folder.shape))


# --- what to know of it ---


def _notes(folder: _Folder) -> Iterator[str]:
    """How pictures were brought to 8-bit images, and to one size."""
    counts = Counter(trait for look in folder.looks for trait in look.traits)
    background, size = folder.options.background, folder.options.size
    for trait, words in (
        (pictures.DEEP, f"of more than 8 bits: scaled, white is {white_of(folder.options):,}"),
        (pictures.DEEP_COLOUR, "of 16 bits per colour: the upper 8 are taken"),
        (pictures.FLOATS, "of floating-point numbers: scaled, white is 1"),
        (pictures.TURNED, "turned upright, as their EXIF tag says"),
        (pictures.SEE_THROUGH, f'see-through: put on {background} (background = "black" or "white")'),
        (pictures.PROFILE, "with a colour profile: brought to sRGB"),
        (pictures.ODD_PROFILE, "with a colour profile that cannot be used: taken as sRGB"),
        (pictures.CMYK, "in CMYK without a profile: turned to RGB by the plain formula"),
        (pictures.FRAMES, "of several frames or pages: only the first is taken"),
    ):
        if counts[trait]:
            yield f"{counts[trait]:,} of {len(folder.looks):,} pictures {words}"
    if size is not None:
        height, width = size
        smaller = sum(look.height < height or look.width < width for look in folder.looks)
        blown = f"; {smaller:,} of {len(folder.looks):,} are smaller than that and blown up" if smaller else ""
        padded = f" with {background}" if folder.options.fit == "pad" else ""
        yield f"brought to {height}×{width} pixels, {folder.options.fit}{padded}{blown}"


def _told_doubles(folder: _Folder, found: Doubles | None) -> Iterator[str]:
    if found is not None and found.count:
        tests = folder.half("test")
        test, train = (pairs[row][0] for pairs, row in ((tests, found.test), (folder.half("train"), found.train)))
        names = " and ".join(file.path.relative_to(folder.tree.root).as_posix() for file in (test, train))
        yield (
            f"{found.count:,} of {len(tests):,} test pictures nearly are training pictures (hashes within "
            f"{DISTANCE} of 64 bits), such as {names}"
        )
