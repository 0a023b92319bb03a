"""One picture file: what it is (`look`), and its pixels as 8-bit grey or RGB (`decode`). Nothing is clipped or lost unsaid:
what plain decoding would get wrong is done otherwise here and named in `Look.traits`.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.datasets.picture_colours import changes_colour, has_alpha, in_srgb, on_background, profile_mode, see_through
from core.datasets.picture_depth import deep_colour, is_deep, to_bytes, values
from core.datasets.picture_sizes import draft, fitted
from core.errors import BadInput
from core.records.data import FolderOptions

DECODING = 2
"""Bumped by hand when a picture with one of the `CHANGED` traits is decoded to other pixels than before; 1 clipped deep
pictures, left turned ones lying and dropped transparency and colour profiles."""

TURNED = "turned"
DEEP = "deep"
FLOATS = "floats"
DEEP_COLOUR = "deep colour"
SEE_THROUGH = "see-through"
GREY_ALPHA = "grey with alpha"
PROFILE = "profile"
ODD_PROFILE = "odd profile"
CMYK = "cmyk"
FRAMES = "frames"
CHANGED = frozenset({TURNED, DEEP, FLOATS, SEE_THROUGH, GREY_ALPHA, PROFILE})
"""Traits with which a picture's pixels are others than plain decoding gives."""

_ORIENTATION = 0x0112
_TURNS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""What brings a picture upright, by its EXIF orientation."""
_LYING = ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
"""Those that exchange width and height."""


@dataclass(frozen=True)
class Look:
    """What is known of a picture without keeping its pixels. Width and height are those of the upright picture."""

    digest: str
    """SHA-256 of the file."""
    width: int
    height: int
    grey: bool
    traits: tuple[str, ...] = ()
    top: float = 0.0
    """The largest value of one of more than 8 bits."""


def look(path: Path) -> Look:
    """Read `path` once. Raises BadInput, in one line, for whatever keeps it from being a picture."""
    with _one_line(path):
        content = path.read_bytes()
        with _opened(content) as picture:
            traits, top = _depth(picture, content, path)
            traits |= _transparency(picture, path) | _colour(picture)
            if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
                traits.add(FRAMES)  # the further pictures of a camera's MPO are previews of the first
            turn = _turn(picture)
            if turn is not None:
                traits.add(TURNED)
            width, height = picture.size[::-1] if turn in _LYING else picture.size
            grey = picture.mode in ("1", "L", "LA", "La") or is_deep(picture)
            return Look(hashlib.sha256(content).hexdigest(), width, height, grey, tuple(sorted(traits)), top)


def _depth(picture: Any, content: bytes, path: Path) -> tuple[set[str], float]:
    """And the largest value of more than 8 bits, else 0."""
    if is_deep(picture):
        found = values(picture, path)
        return {FLOATS if found.dtype.kind == "f" else DEEP}, float(found.max())
    if deep_colour(picture, content):
        return {DEEP_COLOUR}, float(np.atleast_2d(picture.getextrema())[:3].max()) * 257
    return set(), 0.0


def _transparency(picture: Any, path: Path) -> set[str]:
    found = set()
    if has_alpha(picture):
        if is_deep(picture):
            words = "more than 8 bits with a transparent colour are not read; save it with 8 bits"
            raise BadInput.at("dataset", f"{path}: {words}")
        if see_through(picture):
            found.add(SEE_THROUGH)
        if picture.mode in ("LA", "La"):
            found.add(GREY_ALPHA)
    return found


def _colour(picture: Any) -> set[str]:
    profile, plain = picture.info.get("icc_profile"), {CMYK} if picture.mode == "CMYK" else set()
    if not profile:
        return plain
    moves = None if is_deep(picture) else changes_colour(profile, profile_mode(picture))
    if moves is None:
        return {ODD_PROFILE} | plain
    return {PROFILE} if moves else plain


def decode(path: Path, seen: Look, options: FolderOptions) -> NDArray[np.uint8]:
    """[h, w] for a grey picture, [h, w, 3] for any other, upright and brought to `options.size`.

    Raises BadInput, in one line, for what cannot be decoded and for content that is no longer what was `seen`.
    """
    with _one_line(path):
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != seen.digest:
            raise BadInput.at(
                "dataset", f"{path}: was changed while it was read; leave the folder alone and run it again"
            )
        with _opened(content) as picture:
            return np.asarray(_upright(picture, path, seen, options))


def _upright(picture: Any, path: Path, seen: Look, options: FolderOptions) -> Any:
    from PIL import Image

    turn = _turn(picture)
    draft(picture, (seen.width, seen.height), options, lying=turn in _LYING)
    if is_deep(picture):
        flat = Image.fromarray(to_bytes(values(picture, path), path, options))
    elif SEE_THROUGH in seen.traits:
        flat = on_background(picture, options.background, grey=seen.grey)
    else:
        flat = picture
    if PROFILE in seen.traits:
        flat = in_srgb(flat, picture.info["icc_profile"])
    flat = flat.convert("L" if seen.grey else "RGB")
    if turn is not None:
        flat = flat.transpose(getattr(Image.Transpose, turn))
    return flat if options.size is None else fitted(flat, (seen.width, seen.height), options)


# --- files ---


def _turn(picture: Any) -> str | None:
    """How to bring it upright, by its EXIF tag; None if it is, or the tag cannot be read. PIL turns TIFFs itself."""
    if picture.format == "TIFF":
        return None
    try:
        return _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # whatever a camera wrote there, the picture itself may be whole
        return None


def _opened(content: bytes) -> Any:
    """The picture, its first frame loaded where a size or a mode may change by loading."""
    from PIL import Image

    picture = Image.open(io.BytesIO(content))
    if picture.format == "TIFF":
        picture.load()
    return picture


class _one_line(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    """Whatever a decoder raises, as one line that names the file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, BadInput):
            words = getattr(error, "strerror", None) or (str(error).strip().splitlines() or [""])[0]
            words = words.replace(repr(self._path), "").strip() or type(error).__name__
            if type(error).__name__ == "UnidentifiedImageError":
                words = "its content is no picture of a known kind"
            raise BadInput.at(
                "dataset", f"{self._path}: cannot be read as a picture ({words}); mend or remove it"
            ) from None
