"""Pictures as real pixels, for terminals that can: the codes of Kitty's graphics protocol and of Sixel."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
"""[height, width, 3]."""

_CHUNK = 4096
"""Characters of base64 that Kitty's protocol takes at once."""
_MOST_COLOURS = 256
_LEVELS = 6
"""Of each channel where a picture has more colours than Sixel's registers."""
_WHITE = 255


def mosaic(rows: Sequence[Sequence[Picture | None]], scale: int) -> Picture:
    """Pictures of one size in rows, each pixel `scale` pixels wide, white between them and where there is none."""
    size = next(picture.shape for row in rows for picture in row if picture is not None)
    blank = np.full(size, _WHITE, np.uint8)
    lines: list[Picture] = []
    for row in rows:
        shown = [
            np.kron(blank if picture is None else picture, np.ones((scale, scale, 1), np.uint8)) for picture in row
        ]
        margin = np.full((shown[0].shape[0], scale, 3), _WHITE, np.uint8)
        lines.append(np.hstack([part for picture in shown for part in (picture, margin)][:-1]))
        lines.append(np.full((scale, lines[-1].shape[1], 3), _WHITE, np.uint8))
    return np.vstack(lines[:-1])


def kitty(picture: Picture) -> str:
    """Shown at the cursor. See https://sw.kovidgoyal.net/kitty/graphics-protocol/: zlib, base64, in pieces."""
    height, width = picture.shape[:2]
    payload = base64.standard_b64encode(zlib.compress(picture.tobytes())).decode("ascii")
    pieces = [payload[start : start + _CHUNK] for start in range(0, len(payload), _CHUNK)]
    codes = []
    for place, piece in enumerate(pieces):
        head = f"a=T,q=2,f=24,o=z,s={width},v={height}," if place == 0 else ""
        codes.append(f"\x1b_G{head}m={int(place < len(pieces) - 1)};{piece}\x1b\\")
    return "".join(codes)


def sixel(picture: Picture) -> str:
    """Shown at the cursor: bands of six rows, a pass for each colour, runs counted (DEC STD 070, chapter 9). Exact but for a
    hundredth of each channel, in at most 256 colours."""
    places, palette = _indexed(picture)
    height, width = places.shape
    registers = [
        f"#{number};2;" + ";".join(str(round(100 * int(channel) / 255)) for channel in colour)
        for number, colour in enumerate(palette)
    ]
    bands = []
    for top in range(0, height, 6):
        band = places[top : top + 6]
        weights = (1 << np.arange(len(band)))[:, None]
        passes = [
            f"#{number}{_runs(((band == number) * weights).sum(axis=0) + 63)}" for number in np.unique(band).tolist()
        ]
        bands.append("$".join(passes))
    return f'\x1bP0;0;0q"1;1;{width};{height}{"".join(registers)}{"-".join(bands)}\x1b\\'


def _indexed(picture: Picture) -> tuple[NDArray[np.intp], Picture]:
    """The number of each pixel's colour, and the colours."""
    colours, places = np.unique(picture.reshape(-1, 3), axis=0, return_inverse=True)
    if len(colours) > _MOST_COLOURS:
        steps = np.rint(picture / 255.0 * (_LEVELS - 1)) * (255.0 / (_LEVELS - 1))
        colours, places = np.unique(np.rint(steps).astype(np.uint8).reshape(-1, 3), axis=0, return_inverse=True)
    return places.reshape(picture.shape[:2]), colours


def _runs(codes: NDArray[np.int_]) -> str:
    """Characters, those that repeat more than three times counted."""
    ends = np.flatnonzero(np.diff(codes)) + 1
    text = []
    for run in np.split(codes, ends):
        character = chr(int(run[0]))
        text.append(f"!{len(run)}{character}" if len(run) > 3 else character * len(run))
    return "".join(text)
