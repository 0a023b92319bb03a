"""The decoded form that every data set takes, and a cache for the ones that are slow to decode."""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]

_NAMES = ("train_images", "train_labels", "test_images", "test_labels")
_MOMENTS = "train_moments"
_ABANDONED_SECONDS = 24 * 3600
"""What a build left behind that was killed this long ago is removed."""


@dataclass(frozen=True)
class Arrays:
    """Images as uint8 [n, channels, height, width], labels as int64 [n] counted from 0."""

    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    train_moments: NDArray[np.int64] | None = None
    """[n, channels, 2]: sum and sum of squares of each training image's pixels, where they were taken while decoding."""


def cached(cache: Path, key: str, build: Callable[[], Arrays]) -> Arrays:
    """`build()`, kept under `cache`/`key`.npy-files and read back next time.

    `key` must name the content (a digest, or a name with a version). A cache that cannot be written is not used, one
    that cannot be read is built again.
    """
    folder = cache / key
    arrays = kept(folder)
    if arrays is not None:
        return arrays
    arrays = build()
    with contextlib.suppress(OSError):
        _store(folder, arrays)
    return arrays


def kept(folder: Path) -> Arrays | None:
    """What `folder` holds, mapped into memory; None if that is not whole."""
    try:
        found = {name: _mapped(folder / f"{name}.npy") for name in _NAMES}
    except (OSError, ValueError, EOFError):
        return None
    with contextlib.suppress(OSError, ValueError, EOFError):
        found[_MOMENTS] = _mapped(folder / f"{_MOMENTS}.npy")
    return Arrays(**found)


def _mapped(path: Path) -> NDArray[Any]:
    array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _store(folder: Path, arrays: Arrays) -> None:
    with beside(folder) as building:
        for name in _NAMES:
            with (building / f"{name}.npy").open("wb") as file:
                np.save(file, getattr(arrays, name))
                file.flush()
                os.fsync(file.fileno())


@contextlib.contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which takes the place of `folder` once it is whole: a reader sees all files or none."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(".building-*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as building:
        whole = Path(building) / "whole"
        whole.mkdir()
        yield whole
        shutil.rmtree(folder, ignore_errors=True)
        whole.rename(folder)


class ImageFile:
    """uint8 images [n, channels, height, width] that are written into a .npy file one by one, from any thread.

    Through the file rather than a mapping: what is written is no memory of this process, and a full disk is an OSError.
    """

    def __init__(self, path: Path, shape: tuple[int, ...]) -> None:
        self._size = int(np.prod(shape[1:]))
        self._file = path.open("wb")
        np.lib.format.write_array_header_1_0(self._file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        self._file.flush()
        self._start = self._file.tell()
        self._file.truncate(self._start + self._size * shape[0])

    def put(self, row: int, image: Images) -> None:
        data = np.ascontiguousarray(image).reshape(-1).data
        at = self._start + row * self._size
        while data:
            written = os.pwrite(self._file.fileno(), data, at)
            data, at = data[written:], at + written

    def close(self) -> None:
        """To the disk, for good."""
        try:
            os.fsync(self._file.fileno())
        finally:
            self._file.close()


class ImageReader:
    """Rows of `images` copied out of them; those of a mapped file through the file, so that memory holds no more of it
    than is asked for."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._file: int | None = None
        name = getattr(images, "filename", None)
        # A part of a mapped array has the offset of the whole.
        whole = isinstance(images, np.memmap) and isinstance(images.base, mmap.mmap)
        if isinstance(images, np.memmap) and whole and name is not None and images.flags.c_contiguous:
            self._file = os.open(name, os.O_RDONLY)
            weakref.finalize(self, os.close, self._file)
            self._start = int(images.offset)
            self._size = int(np.prod(images.shape[1:]))

    def read(self, rows: NDArray[np.int64], into: Images) -> None:
        """Copy the images `rows` into the first rows of the array `into`. Raises IndexError for one that is not there."""
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(self._images):
            raise IndexError(f"there are {len(self._images)} images, asked for {rows.min()} to {rows.max()}")
        if self._file is None:
            np.take(self._images, rows, axis=0, out=into[: len(rows)], mode="clip")
            return
        for place in np.argsort(rows, kind="stable").tolist():  # forwards through the file, as disks like it
            target = into[place].reshape(-1).data
            at = self._start + int(rows[place]) * self._size
            while target:
                count = os.preadv(self._file, [target], at)
                if count == 0:
                    raise OSError("the decoded images were cut short while they were read")
                target, at = target[count:], at + count

    def chunks(self, rows: NDArray[np.int64], size: int = 256) -> Iterator[Images]:
        """The images `rows`, `size` at a time; each is overwritten by the next."""
        room = np.empty((min(size, len(rows)), *self._images.shape[1:]), np.uint8)
        for first in range(0, len(rows), size):
            part = rows[first : first + size]
            self.read(part, room)
            yield room[: len(part)]
