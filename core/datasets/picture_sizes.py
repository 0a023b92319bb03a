"""Bringing a picture to a size: cropped, padded or stretched; shrinking averages."""

from __future__ import annotations

from typing import Any

from core.records.data import FolderOptions

_REDUCING = 2.0
"""A picture is first brought to this many times its final size by whole numbers, a JPEG already as it is decoded: many times
faster, and every pixel still counts."""


def draft(picture: Any, size: tuple[int, int], options: FolderOptions, *, lying: bool) -> None:
    """Have a JPEG, whose upright (width, height) is `size`, decoded no larger than is of use."""
    if options.size is not None and picture.format == "JPEG":
        width, height = _scaled(size, options)
        wanted = (height, width) if lying else (width, height)
        picture.draft(None, tuple(round(side * _REDUCING) for side in wanted))


def _scaled(size: tuple[int, int], options: FolderOptions) -> tuple[int, int]:
    """(width, height) of the whole picture once it is scaled: what is cropped of it juts out of the final size."""
    assert options.size is not None
    height, width = options.size
    if options.fit == "stretch":
        return width, height
    ratios = width / size[0], height / size[1]
    ratio = max(ratios) if options.fit == "crop" else min(ratios)
    return max(1, round(size[0] * ratio)), max(1, round(size[1] * ratio))


def fitted(picture: Any, size: tuple[int, int], options: FolderOptions) -> Any:
    """`picture` at `options.size`; its upright (width, height) was `size` before it was drafted."""
    from PIL import Image

    assert options.size is not None
    height, width = options.size
    scaled = _scaled(size, options)
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
