"""One picture file: what it is (`look`), and its pixels as 8-bit grey or RGB (`decode`). Nothing is clipped or lost unsaid:
what plain decoding would get wrong is done otherwise here and named in `Look.traits`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.records import FolderOptions

DECODING = 2
"""Bumped by hand when a picture with one of the `CHANGED` traits is decoded to other pixels than before; 1 clipped deep
pictures, left turned ones lying and dropped transparency and colour profiles."""

TURNED = "turned"
DEEP = "deep"
FLOATS = "floats"
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
_SAME_COLOUR = 2
"""Levels of 255: a profile that moves no colour farther is sRGB in other words."""
_REDUCING = 2.0
"""A picture is first brought to this many times its final size by whole numbers, a JPEG already as it is decoded: many times
faster, and every pixel still counts."""


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
            traits = set()
            if getattr(picture, "n_frames", 1) > 1 and picture.format != "MPO":
                traits.add(FRAMES)  # the further pictures of a camera's MPO are previews of the first
            turn = _turn(picture)
            if turn is not None:
                traits.add(TURNED)
            top = 0.0
            if _deep(picture):
                values = _values(picture, path)
                traits.add(FLOATS if values.dtype.kind == "f" else DEEP)
                top = float(values.max())
            elif _has_alpha(picture):
                if _see_through(picture):
                    traits.add(SEE_THROUGH)
                if picture.mode in ("LA", "La"):
                    traits.add(GREY_ALPHA)
            profile = picture.info.get("icc_profile")
            if profile:
                known = None if _deep(picture) else _changes_colour(profile, _profile_mode(picture))
                if known is None:
                    traits.add(ODD_PROFILE)
                elif known:
                    traits.add(PROFILE)
            if picture.mode == "CMYK" and PROFILE not in traits:
                traits.add(CMYK)
            width, height = picture.size
            if turn in ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"):
                width, height = height, width
            grey = picture.mode in ("1", "L", "LA", "La") or _deep(picture)
            return Look(hashlib.sha256(content).hexdigest(), width, height, grey, tuple(sorted(traits)), top)


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
    if options.size is not None and picture.format == "JPEG":
        wanted = _scaled((seen.width, seen.height), options)
        if turn in ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90"):
            wanted = wanted[::-1]
        picture.draft(None, tuple(round(side * _REDUCING) for side in wanted))
    if _deep(picture):
        flat = Image.fromarray(_to_bytes(_values(picture, path), path, options))
    elif SEE_THROUGH in seen.traits:
        flat = _on_background(picture, options.background, grey=seen.grey)
    else:
        flat = picture
    if PROFILE in seen.traits:
        flat = _in_srgb(flat, picture.info["icc_profile"])
    flat = flat.convert("L" if seen.grey else "RGB")
    if turn is not None:
        flat = flat.transpose(getattr(Image.Transpose, turn))
    return flat if options.size is None else _fitted(flat, options, seen)


# --- bringing to a size ---


def _scaled(size: tuple[int, int], options: FolderOptions) -> tuple[int, int]:
    """(width, height) of the whole picture once it is scaled: what is cropped of it juts out of the final size."""
    assert options.size is not None
    height, width = options.size
    if options.fit == "stretch":
        return width, height
    ratios = width / size[0], height / size[1]
    ratio = max(ratios) if options.fit == "crop" else min(ratios)
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def _fitted(picture: Any, options: FolderOptions, seen: Look) -> Any:
    from PIL import Image

    assert options.size is not None
    height, width = options.size
    scaled = _scaled((seen.width, seen.height), options)
    box = None
    if options.fit == "crop":
        # The middle of the picture that has the final proportions, resized at once.
        have_width, have_height = picture.size
        ratio = max(width / have_width, height / have_height)
        across, down = width / ratio, height / ratio
        left, top = (have_width - across) / 2, (have_height - down) / 2
        box = (max(0.0, left), max(0.0, top), min(have_width, left + across), min(have_height, top + down))
        scaled = (width, height)
    if picture.size != scaled or box not in (None, (0.0, 0.0, *picture.size)):
        picture = picture.resize(scaled, Image.Resampling.BICUBIC, box=box, reducing_gap=_REDUCING)
    if options.fit == "pad" and scaled != (width, height):
        framed = Image.new(picture.mode, (width, height), options.background)
        framed.paste(picture, ((width - scaled[0]) // 2, (height - scaled[1]) // 2))
        return framed
    return picture


# --- more than 8 bits ---


def _deep(picture: Any) -> bool:
    return bool(picture.mode == "F" or picture.mode.startswith("I"))


def _values(picture: Any, path: Path) -> NDArray[Any]:
    """Grey values as they are stored, from 0; raises BadInput for those whose full scale nothing tells."""
    values = np.asarray(picture)
    if picture.mode == "F":
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            raise BadInput.at(
                "dataset",
                f"{path}: holds numbers from {values.min():g} to {values.max():g}; those of a floating-point picture must "
                "lie in [0, 1]: scale it, or save it with 8 or 16 bits",
            )
        return values
    tags = getattr(picture, "tag_v2", {})
    wide = picture.mode == "I" and picture.format not in ("PNG", "PPM")
    signed = 2 in np.atleast_1d(tags.get(339, 1))
    if wide or signed or values.min() < 0:
        raise BadInput.at(
            "dataset",
            f"{path}: holds whole numbers whose full scale nothing tells; save it with 8 or 16 bits, unsigned",
        )
    bits = int(np.atleast_1d(tags.get(258, 16))[0])
    values = values.astype(np.int64)
    if bits < 16:  # as a TIFF of 12 bits says of itself
        values = np.rint(values * (65535 / (2**bits - 1))).astype(np.int64)
    return 65535 - values if tags.get(262) == 0 else values


def _to_bytes(values: NDArray[Any], path: Path, options: FolderOptions) -> NDArray[np.uint8]:
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


# --- transparency and colour ---


def _has_alpha(picture: Any) -> bool:
    return picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info


def _with_alpha(picture: Any) -> Any:
    straight = {"La": "LA", "RGBa": "RGBA"}.get(picture.mode)
    picture = picture.convert(straight) if straight else picture
    return picture if picture.mode == "RGBA" else picture.convert("RGBA")


def _see_through(picture: Any) -> bool:
    return int(_with_alpha(picture).getchannel("A").getextrema()[0]) < 255


def _on_background(picture: Any, colour: str, *, grey: bool) -> Any:
    from PIL import Image

    front = _with_alpha(picture)
    return Image.alpha_composite(Image.new("RGBA", front.size, colour), front).convert("L" if grey else "RGB")


def _profile_mode(picture: Any) -> str:
    """The mode in which a picture's profile is applied."""
    if picture.mode in ("1", "L", "LA", "La"):
        return "L"
    return "CMYK" if picture.mode == "CMYK" else "RGB"


@functools.lru_cache(maxsize=64)
def _to_srgb(profile: bytes, mode: str) -> Any:
    """What brings pictures of `mode` from the profile to sRGB; None for a profile that cannot be used."""
    from PIL import ImageCms

    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), mode, "RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


@functools.lru_cache(maxsize=64)
def _changes_colour(profile: bytes, mode: str) -> bool | None:
    """Whether the profile is another colour space than sRGB; None for one that cannot be used."""
    from PIL import Image, ImageCms

    transform = _to_srgb(profile, mode)
    if transform is None:
        return None
    if mode == "CMYK":
        return True
    levels = np.linspace(0, 255, 6).astype(np.uint8)
    if mode == "L":
        colours = levels[None]
        plain = np.stack([colours] * 3, axis=-1)
    else:
        colours = plain = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(colours), transform)).astype(int)
    return bool(np.abs(moved - plain).max() > _SAME_COLOUR)


def _in_srgb(picture: Any, profile: bytes) -> Any:
    from PIL import ImageCms

    mode = _profile_mode(picture)
    moved: Any = ImageCms.applyTransform(picture.convert(mode), _to_srgb(profile, mode))
    return moved.getchannel("G") if mode == "L" else moved


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
