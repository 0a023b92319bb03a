"""Pictures of more than 8 bits: their values, and what these are in 8. Nothing is clipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.records.data import FolderOptions


def is_deep(picture: Any) -> bool:
    """Whether it is grey of more than 8 bits, which plain decoding would clip."""
    return bool(picture.mode == "F" or picture.mode.startswith("I"))


def deep_colour(picture: Any, content: bytes) -> bool:
    """Whether PIL takes the upper 8 of 16 bits of each colour."""
    if picture.format == "PNG":
        return content[24] == 16
    tags = getattr(picture, "tag_v2", {})
    return bool(np.atleast_1d(tags.get(258, 8))[0] == 16)


def values(picture: Any, path: Path) -> NDArray[Any]:
    """Grey values as they are stored, from 0; raises BadInput for those whose full scale nothing tells."""
    found = np.asarray(picture)
    if picture.mode == "F":
        if not np.isfinite(found).all() or found.min() < 0 or found.max() > 1:
            raise BadInput.at(
                "dataset",
                f"{path}: holds numbers from {found.min():g} to {found.max():g}; those of a floating-point picture must "
                "lie in [0, 1]: scale it, or save it with 8 or 16 bits",
            )
        return found
    tags = getattr(picture, "tag_v2", {})
    wide = picture.mode == "I" and picture.format not in ("PNG", "PPM")
    signed = 2 in np.atleast_1d(tags.get(339, 1))
    if wide or signed or found.min() < 0:
        raise BadInput.at(
            "dataset",
            f"{path}: holds whole numbers whose full scale nothing tells; save it with 8 or 16 bits, unsigned",
        )
    bits = int(np.atleast_1d(tags.get(258, 16))[0])
    found = found.astype(np.int64)
    if bits < 16:  # as a TIFF of 12 bits says of itself
        found = np.rint(found * (65535 / (2**bits - 1))).astype(np.int64)
    return 65535 - found if tags.get(262) == 0 else found


def to_bytes(values: NDArray[Any], path: Path, options: FolderOptions) -> NDArray[np.uint8]:
    """In 8 bits; raises BadInput for values above white."""
    if values.dtype.kind == "f":
        return np.rint(values * 255.0).astype(np.uint8)
    white = white_of(options)
    if values.max() > white:
        raise BadInput.at(
            "dataset.depth", f"{path} holds {values.max():,}, more than {options.depth} bits can ({white:,})"
        )
    return np.rint(values * (255.0 / white)).astype(np.uint8)


def white_of(options: FolderOptions) -> int:
    """The value that is white in pictures of 16 bits."""
    return int(2 ** (options.depth or 16)) - 1
