"""Transparency and colour profiles: what PIL would drop, put on a background and brought to sRGB."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np

_SAME_COLOUR = 2
"""Levels of 255: a profile that moves no colour farther is sRGB in other words."""


def has_alpha(picture: Any) -> bool:
    """Whether something in it may be transparent."""
    return picture.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in picture.info


def _with_alpha(picture: Any) -> Any:
    straight = {"La": "LA", "RGBa": "RGBA"}.get(picture.mode)
    picture = picture.convert(straight) if straight else picture
    return picture if picture.mode == "RGBA" else picture.convert("RGBA")


def see_through(picture: Any) -> bool:
    """Whether something in it is."""
    return int(_with_alpha(picture).getchannel("A").getextrema()[0]) < 255


def on_background(picture: Any, colour: str, *, grey: bool) -> Any:
    """The picture on that colour, as grey or RGB."""
    from PIL import Image

    front = _with_alpha(picture)
    return Image.alpha_composite(Image.new("RGBA", front.size, colour), front).convert("L" if grey else "RGB")


def profile_mode(picture: Any) -> str:
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
def changes_colour(profile: bytes, mode: str) -> bool | None:
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


def in_srgb(picture: Any, profile: bytes) -> Any:
    """The picture brought there, grey if it was."""
    from PIL import ImageCms

    mode = profile_mode(picture)
    moved: Any = ImageCms.applyTransform(picture.convert(mode), _to_srgb(profile, mode))
    return moved.getchannel("G") if mode == "L" else moved
