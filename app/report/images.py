"""Adversarial examples for eyes: clean | adversarial | amplified difference, in the terminal or as a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from app.report.pixels import Picture, mosaic
from app.terminal.cells import fitted
from core.names import NORM_SIGNS

if TYPE_CHECKING:
    from storage.trial import ExampleRow

_RAMP = " .:-=+*#%@"
_GAP = 2
_TITLES = 3
"""Lines between the pictures of several models: name, outcome, what the difference is multiplied by."""


def triptych(row: ExampleRow) -> tuple[Picture, Picture, Picture, float]:
    """Clean, adversarial and difference pictures of a stored example, and the difference's amplification.

    The difference is shown around mid-grey, amplified so that its largest change spans the whole range.
    """
    clean, adversarial = (np.frombuffer(image, "<f4").reshape(row.shape) for image in (row.clean, row.adversarial))
    delta = adversarial - clean
    largest = float(np.abs(delta).max())
    factor = 0.5 / largest if largest > 0 else 1.0
    amplified = (0.5 + factor * delta).astype(np.float32)
    return _picture(clean), _picture(adversarial), _picture(amplified), factor


def caption(row: ExampleRow) -> str:
    """Such as "sample 17: 3 (99.1 %) → 8 (62.0 %), pgd ℓ∞ ε = 0.1"."""
    before, after = (_named(row, label) for label in (row.clean_prediction, row.adversarial_prediction))
    at = "the least that does" if row.eps is None else f"ε = {row.eps:g}"
    return (
        f"sample {row.sample}: {before} ({row.clean_confidence:.1%}) → {after} ({row.adversarial_confidence:.1%}), "
        f"{row.attack} {NORM_SIGNS[row.norm]} {at}"
    )


def _named(row: ExampleRow, label: int) -> str:
    return row.class_names[label] if label < len(row.class_names) else str(label)


def in_terminal(row: ExampleRow, width: int, *, colour: bool, height: int | None = None, titled: bool = False) -> str:
    """The three pictures side by side: half blocks in 24-bit colour, or a ramp of characters without colour.

    They fit into `width` columns and, if given, `height` lines: averaged down where they are larger, and in whole
    multiples where there is room for that. `titled` says above each what it is, in a line more.
    """
    *pictures, factor = triptych(row)
    down, across = _size(pictures[0], (width - 2 * _GAP) // 3, height, colour=colour)
    sized = [_resized(picture, down, across) for picture in pictures]
    text = "\n".join((" " * _GAP).join(parts).rstrip() for parts in zip(*_drawn(sized, colour=colour), strict=True))
    if not titled:
        return text
    titles = [f"{title[:across]:<{across}}" for title in ("clean", "adversarial", f"difference × {factor:.3g}")]
    return (" " * _GAP).join(titles).rstrip() + f"\n{text}"


def beside(models: Sequence[tuple[str, ExampleRow | None]], width: int, height: int, *, colour: bool) -> str:
    """One sample on several models, each with its name: the clean image in the first column, then a column for each model with
    its adversarial image and, below it, the amplified difference. One model at least has an example."""
    count = len(models) + 1
    slot = (width - _GAP * (count - 1)) // count
    known = [row for _, row in models if row is not None]
    clean, *_ = triptych(known[0])
    down, across = _size(clean, slot, (height - _TITLES) // 2, colour=colour)
    lines = down // 2 if colour else down
    blank = [" " * across] * lines
    columns = [["clean", "", *_drawn([_resized(clean, down, across)], colour=colour)[0], "", *blank]]
    for name, row in models:
        if row is None:
            columns.append([name, "no image kept", *blank, "", *blank])
            continue
        _, adversarial, difference, factor = triptych(row)
        drawn = _drawn([_resized(picture, down, across) for picture in (adversarial, difference)], colour=colour)
        columns.append([name, told(row), *drawn[0], f"difference × {factor:.3g}", *drawn[1]])
    titles = {0, 1, 2 + lines}
    text = []
    for place, cells in enumerate(zip(*columns, strict=True)):
        size = slot if place in titles else across
        filled = [fitted(cell, slot) if place in titles else cell + " " * (slot - size) for cell in cells]
        text.append((" " * _GAP).join(filled).rstrip())
    return "\n".join(text)


def grid(models: Sequence[ExampleRow]) -> list[list[Picture | None]]:
    """The pictures of `beside`: the clean image and the adversarial ones, below them the differences."""
    found = [triptych(row) for row in models]
    return [[found[0][0], *(one[1] for one in found)], [None, *(one[2] for one in found)]]


def told(row: ExampleRow) -> str:
    """What the model saw before and after: "3 → 8 (62 %)"."""
    before, after = (_named(row, label) for label in (row.clean_prediction, row.adversarial_prediction))
    return f"{before} → {after} ({row.adversarial_confidence:.0%})"


def _size(picture: Picture, room: int, height: int | None, *, colour: bool) -> tuple[int, int]:
    """Pixels down and characters across of a picture in `room` columns and `height` lines."""
    rows, columns = picture.shape[:2]
    room = max(4, room)
    if height is not None:  # a character is twice as high as wide: it holds two pixels one above the other
        room = max(4, min(room, 2 * height * columns // rows))
    # Without colour a pixel is two characters wide, to be as wide as it is high.
    unit, whole = (columns, 2 * columns) if colour else (2 * columns, 2 * columns)
    across = unit * (room // unit) if room >= whole else room
    return max(1, round(rows * across / columns / 2)) * (2 if colour else 1), across


def write_png(rows: Sequence[ExampleRow], path: Path, scale: int = 6) -> None:
    """One row of three pictures per example, each pixel `scale` pixels wide. Raises OSError if `path` cannot be written."""
    from PIL import Image

    Image.fromarray(mosaic([triptych(row)[:3] for row in rows], scale)).save(path, format="PNG")


def _picture(image: NDArray[np.float32]) -> Picture:
    shown = np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8).transpose(1, 2, 0)
    return np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown


def _resized(picture: Picture, rows: int, columns: int) -> Picture:
    """Each new pixel is the mean of the area that it covers, so that thin strokes do not fall between samples."""
    down, across = _cover(picture.shape[0], rows), _cover(picture.shape[1], columns)
    mean = np.einsum("ri,ijc,kj->rkc", down, picture.astype(np.float64), across, optimize=True)
    return np.asarray(np.rint(mean), dtype=np.uint8)


def _cover(size: int, parts: int) -> NDArray[np.float64]:
    """[parts, size]: the share of each of `size` pixels in each of `parts` equal stretches."""
    edges = np.linspace(0.0, size, parts + 1)
    pixels = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixels + 1.0) - np.maximum(edges[:-1, None], pixels)
    shares = np.clip(overlap, 0.0, None)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True), dtype=np.float64)


def _drawn(pictures: Sequence[Picture], *, colour: bool) -> list[list[str]]:
    """Each as lines of text."""
    return [_half_blocks(picture) if colour else _characters(picture) for picture in pictures]


def _half_blocks(picture: Picture) -> list[str]:
    lines = []
    for top in range(0, picture.shape[0], 2):
        cells = []
        for column in range(picture.shape[1]):
            upper = picture[top, column]
            lower = picture[min(top + 1, len(picture) - 1), column]
            cells.append(f"\x1b[38;2;{upper[0]};{upper[1]};{upper[2]};48;2;{lower[0]};{lower[1]};{lower[2]}m▀")
        lines.append("".join(cells) + "\x1b[0m")
    return lines


def _characters(picture: Picture) -> list[str]:
    """One character per pixel."""
    return ["".join(_RAMP[min(9, int(value / 25.6))] for value in row.mean(axis=1)) for row in picture]
