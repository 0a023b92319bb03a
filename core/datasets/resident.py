"""Images that lie on a CUDA device once, whichever lanes use them. Imports torch: for children only."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.datasets.arrays import Images

_SHARE = 0.125
"""Of a device's memory that images may keep though nobody uses them."""


@dataclass
class Residents:
    """The images that were asked for last, as long as they take no more than `limit` bytes together."""

    limit: int
    _kept: OrderedDict[tuple[int, str], tuple[Images, Tensor]] = field(default_factory=OrderedDict)
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def get(self, images: Images, rows: NDArray[np.int64], bring: Callable[[], Tensor]) -> Tensor:
        """What `bring` gives for `images[rows]`, brought once; two lanes that ask at once wait for the same."""
        # The images are kept beside, so that their address is nobody else's.
        key = (id(images), hashlib.blake2b(np.ascontiguousarray(rows).tobytes()).hexdigest())
        with self._turn:
            if key not in self._kept:
                self._kept[key] = images, bring()
            self._kept.move_to_end(key)
            found = self._kept[key][1]
            while len(self._kept) > 1 and sum(tensor.nbytes for _, tensor in self._kept.values()) > self.limit:
                self._kept.popitem(last=False)
            return found


_of_device: dict[torch.device, Residents] = {}
_turn = threading.Lock()


def resident(device: torch.device, images: Images, rows: NDArray[np.int64], bring: Callable[[], Tensor]) -> Tensor:
    """The images `rows` on a CUDA device, uint8 [n, c, h, w], ready for every stream; not to be changed."""
    with _turn:
        if device not in _of_device:
            total = torch.cuda.get_device_properties(device).total_memory
            _of_device[device] = Residents(int(_SHARE * total))

    def brought() -> Tensor:
        tensor = bring()
        torch.cuda.current_stream(device).synchronize()
        return tensor

    return _of_device[device].get(images, rows, brought)
