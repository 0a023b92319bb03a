"""Images on a device: whole where they fit into its memory, else brought there batch by batch, ahead of their use. Both ways
give the same bits. Imports torch: for children only.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.datasets.arrays import Arrays, ImageReader, Images
from core.datasets.resident import resident

_SHARE = 0.25
"""Of the free memory that images may take whole: the model, its gradients and other slots want some, too, and what is staged
is no slower to speak of."""
_STAGED = 3
"""Batches that are held ready."""
_WAIT_SECONDS = 0.2
_GROUP = Path("/sys/fs/cgroup")
"""Where a container sees the limits of its control group."""
_SUMMED_IN_FP32 = 2**30
"""Bytes of training images up to which their mean and deviation are what torch's sums in fp32 make of them, as they were
before there were any sizes: above, and for pictures brought to a size, they are exact."""


class StagedImages:
    """The images `rows` of a data set, as a tensor of uint8 [n, c, h, w] on `device` would be asked for them."""

    dtype = torch.uint8

    def __init__(self, images: Images, rows: NDArray[np.int64], device: torch.device) -> None:
        self.device = device
        self.shape = torch.Size((len(rows), *images.shape[1:]))
        self._rows = rows
        self._reader = ImageReader(images)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, which: Tensor | slice) -> Tensor:
        places = self._rows[which if isinstance(which, slice) else which.cpu().numpy()]
        return self._read(places).to(self.device)

    @contextlib.contextmanager
    def ahead(self, batches: Sequence[NDArray[np.int64]]) -> Iterator[Iterator[Tensor]]:
        """The images at each of `batches` in turn, read by a thread while those before are in use."""
        ready: queue.Queue[Tensor | BaseException] = queue.Queue(_STAGED)
        over = threading.Event()

        def put(item: Tensor | BaseException) -> None:
            while not over.is_set():
                with contextlib.suppress(queue.Full):
                    ready.put(item, timeout=_WAIT_SECONDS)
                    return

        def read() -> None:
            try:
                for batch in batches:
                    put(self._read(self._rows[batch]))
                    if over.is_set():
                        return
            except BaseException as error:  # whoever waits for the batch is told
                put(error)

        def taken() -> Iterator[Tensor]:
            for _ in batches:
                item = ready.get()
                if isinstance(item, BaseException):
                    raise item
                yield item.to(self.device, non_blocking=True)

        thread = threading.Thread(target=read, name="staging", daemon=True)
        thread.start()
        try:
            yield taken()
        finally:
            over.set()
            thread.join()

    def _read(self, places: NDArray[np.int64]) -> Tensor:
        # Pinned memory is copied beside the computation; torch does not use it again before that is done.
        images = torch.empty((len(places), *self.shape[1:]), dtype=torch.uint8, pin_memory=self.device.type == "cuda")
        self._reader.read(places, images.numpy())
        return images


def images_on(
    device: str, images: Images, rows: NDArray[np.int64], memory_fraction: float | None = None
) -> Tensor | StagedImages:
    """The images `rows` on the device. `memory_fraction` is the share of a CUDA device that this process may take."""
    place = torch.device(device)
    if not fits(len(rows) * int(np.prod(images.shape[1:])), place, memory_fraction):
        return StagedImages(images, rows, place)
    if place.type == "cuda":
        return resident(place, images, rows, lambda: whole(images, rows).to(place))
    return whole(images, rows).to(place)


def whole(images: Images, rows: NDArray[np.int64]) -> Tensor:
    """The images `rows` in this process's memory."""
    room = torch.empty((len(rows), *images.shape[1:]), dtype=torch.uint8)
    ImageReader(images).read(rows, room.numpy())
    return room


def ahead(
    images: Tensor | StagedImages, order: Tensor, pieces: Sequence[tuple[int, int]]
) -> contextlib.AbstractContextManager[Iterator[Tensor | None]]:
    """For each (first, last) of `pieces`, the images at `order[first:last]`; None where all are on the device anyway."""
    if isinstance(images, StagedImages):
        places = order.cpu().numpy()
        return images.ahead([places[first:last] for first, last in pieces])
    return contextlib.nullcontext(itertools.repeat(None, len(pieces)))


def fits(size: int, device: torch.device, memory_fraction: float | None = None) -> bool:
    """Whether images of `size` bytes are held whole: the one place where that is decided."""
    return size <= _SHARE * free_memory(device, memory_fraction)


def free_memory(device: torch.device, memory_fraction: float | None = None) -> int:
    """Bytes that this process could still take: of a CUDA device, else of the machine or of the control group it is in."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return min(free, int(total * (1.0 if memory_fraction is None else memory_fraction)))
    available = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError, KeyError):  # no control group, or none with a limit
        limit, used = (int((_GROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
        cached = dict(line.split() for line in (_GROUP / "memory.stat").read_text().splitlines())["inactive_file"]
        available = min(available, limit - used + int(cached))
    return max(0, available)


def exact_normalisation(
    arrays: Arrays, rows: NDArray[np.int64], *, resized: bool
) -> tuple[list[float], list[float]] | None:
    """Mean and deviation per channel of the training images `rows`, pixels in [0, 1]; the same whatever memory there is.

    None where torch's own are meant (`_SUMMED_IN_FP32`). `resized`: the pictures were brought to a size.
    """
    size = int(np.prod(arrays.train_images.shape[1:]))
    if not resized and len(rows) * size <= _SUMMED_IN_FP32:
        return None
    sums = _moments(arrays, rows)
    pixels = len(rows) * size // arrays.train_images.shape[1]
    mean = [total / (255 * pixels) for total, _ in sums]
    variance = [(pixels * squares - total**2) / (255**2 * pixels * max(1, pixels - 1)) for total, squares in sums]
    return mean, [max(1e-3, value**0.5) for value in variance]


def _moments(arrays: Arrays, rows: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Sum and sum of squares per channel, whole numbers without rounding."""
    if arrays.train_moments is not None:
        sums = np.asarray(arrays.train_moments)[rows].sum(axis=0)
    else:
        sums = np.zeros((arrays.train_images.shape[1], 2), np.int64)
        for chunk in ImageReader(arrays.train_images).chunks(np.sort(rows), 64):
            wide = chunk.astype(np.int64)
            sums[:, 0] += wide.sum(axis=(0, 2, 3))
            sums[:, 1] += (wide * wide).sum(axis=(0, 2, 3))
    return [(int(total), int(squares)) for total, squares in sums]
