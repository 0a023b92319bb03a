"""Adversarial examples for eyes: clean | adversarial | amplified difference, in the terminal or as a PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.names import NORM_SIGNS

if TYPE_CHECKING:
    from storage.trial import ExampleRow

Picture = NDArray[np.uint8]
"""[height, width, 3]."""

_RAMP = " .:-=+*#%@"
_GAP = 2


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
    names = row.class_names

    def named(label: int) -> str:
        return names[label] if label < len(names) else str(label)

    return (
        f"sample {row.sample}: {named(row.clean_prediction)} ({row.clean_confidence:.1%}) → "
        f"{named(row.adversarial_prediction)} ({row.adversarial_confidence:.1%}), "
        f"{row.attack} {NORM_SIGNS[row.norm]} ε = {row.eps:g}"
    )


def in_terminal(row: ExampleRow, width: int, *, colour: bool, height: int | None = None, titled: bool = False) -> str:
    """The three pictures side by side: half blocks in 24-bit colour, or a ramp of characters without colour.

    They fit into `width` columns and, if given, `height` lines: averaged down where they are larger, and in whole
    multiples where there is room for that. `titled` says above each what it is, in a line more.
    """
    *pictures, factor = triptych(row)
    rows, columns = pictures[0].shape[:2]
    room = max(4, (width - 2 * _GAP) // 3)
    if height is not None:  # a character is twice as high as wide: it holds two pixels one above the other
        room = max(4, min(room, 2 * height * columns // rows))
    # Without colour a pixel is two characters wide, to be as wide as it is high.
    unit, whole = (columns, 2 * columns) if colour else (2 * columns, 2 * columns)
    across = unit * (room // unit) if room >= whole else room
    down = max(1, round(rows * across / columns / 2)) * (2 if colour else 1)
    sized = [_resized(picture, down, across) for picture in pictures]
    text = _half_blocks(sized) if colour else _characters(sized)
    if not titled:
        return text
    titles = [f"{title[:across]:<{across}}" for title in ("clean", "adversarial", f"difference × {factor:.3g}")]
    return (" " * _GAP).join(titles).rstrip() + f"\n{text}"


def write_png(rows: Sequence[ExampleRow], path: Path, scale: int = 6) -> None:
    """One row of three pictures per example, each pixel `scale` pixels wide. Raises OSError if `path` cannot be written."""
    from PIL import Image

    lines = []
    for row in rows:
        pictures = [np.kron(picture, np.ones((scale, scale, 1), np.uint8)) for picture in triptych(row)[:3]]
        margin = np.full((pictures[0].shape[0], scale, 3), 255, np.uint8)
        lines.append(np.hstack([pictures[0], margin, pictures[1], margin, pictures[2]]))
        lines.append(np.full((scale, lines[-1].shape[1], 3), 255, np.uint8))
    Image.fromarray(np.vstack(lines[:-1])).save(path, format="PNG")


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


def _half_blocks(pictures: Sequence[Picture]) -> str:
    lines = []
    for top in range(0, pictures[0].shape[0], 2):
        parts = []
        for picture in pictures:
            cells = []
            for column in range(picture.shape[1]):
                upper = picture[top, column]
                lower = picture[min(top + 1, len(picture) - 1), column]
                cells.append(f"\x1b[38;2;{upper[0]};{upper[1]};{upper[2]};48;2;{lower[0]};{lower[1]};{lower[2]}m▀")
            parts.append("".join(cells) + "\x1b[0m")
        lines.append((" " * _GAP).join(parts))
    return "\n".join(lines)


def _characters(pictures: Sequence[Picture]) -> str:
    """One character per pixel."""
    lines = []
    for row in range(pictures[0].shape[0]):
        parts = [
            "".join(_RAMP[min(9, int(value / 25.6))] for value in picture[row].mean(axis=1)) for picture in pictures
        ]
        lines.append((" " * _GAP).join(parts).rstrip())
    return "\n".join(lines)
