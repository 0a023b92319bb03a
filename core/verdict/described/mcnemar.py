"""Two checkpoints on the same images: McNemar's exact test, and an interval of the difference of their accuracies."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from core.verdict.statistics import CONFIDENCE


@dataclass(frozen=True)
class McNemar:
    """Images by which of the two checkpoints is right on them, and what follows."""

    both: int
    only_first: int
    """McNemar's b."""
    only_second: int
    """McNemar's c."""
    neither: int
    p: float
    """Exact and two-sided: b of b + c by a fair coin; 1 where they differ on no image."""
    difference: float
    """Accuracy of the first less that of the second: (b - c) / images."""
    low: float
    high: float

    @property
    def images(self) -> int:
        """All of them."""
        return self.both + self.only_first + self.only_second + self.neither


def mcnemar(first: npt.ArrayLike, second: npt.ArrayLike, confidence: float = CONFIDENCE) -> McNemar:
    """Compare which of the same [images] two checkpoints have right, both bool.

    The interval is Tango's score interval. Raises ValueError unless both are bool vectors of one length, not empty.

    Source: McNemar 1947; Tango 1998 for the interval.
    """
    one, other = np.asarray(first), np.asarray(second)
    if one.dtype != np.bool_ or other.dtype != np.bool_ or one.ndim != 1 or one.shape != other.shape:
        raise ValueError(
            f"not two bool vectors of the same images: {one.dtype} {one.shape}, {other.dtype} {other.shape}"
        )
    if not one.size:
        raise ValueError("no images to compare on")
    only_first, only_second = int((one & ~other).sum()), int((other & ~one).sum())
    low, high = score_interval(only_first, only_second, one.size, confidence)
    return McNemar(
        both=int((one & other).sum()),
        only_first=only_first,
        only_second=only_second,
        neither=int((~one & ~other).sum()),
        p=exact_p(only_first, only_second),
        difference=(only_first - only_second) / one.size,
        low=low,
        high=high,
    )


def exact_p(only_first: int, only_second: int) -> float:
    """Two-sided: twice the chance that of so many fair coins as few fall on the rarer side, at most 1."""
    from scipy.special import bdtr

    differing = only_first + only_second
    if differing == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), differing, 0.5)))


def score_interval(
    only_first: int, only_second: int, images: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Tango's score interval of (b - c) / images, both bounds in -1 to 1: the differences that a score test keeps.

    It has a width also where b = c = 0, ± z² / (n + z²). At 95 % it covers 93 to 100 % (enumerated, 10 to 100 images).
    Raises ValueError unless 0 < confidence < 1 and b + c ≤ images, which is at least 1.

    Source: Tango 1998, section 3.
    """
    if not 0 < confidence < 1 or min(only_first, only_second) < 0 or not 0 < images >= only_first + only_second:
        raise ValueError(f"no interval at {confidence:g} of {only_first} and {only_second} of {images} images")
    from scipy.special import ndtri

    z2 = float(ndtri((1 + confidence) / 2)) ** 2

    def kept(difference: float) -> bool:
        off = only_first - only_second - images * difference
        return off * off <= z2 * images * _variance(only_first, only_second, images, difference)

    middle = (only_first - only_second) / images
    return _edge(kept, middle, -1.0), _edge(kept, middle, 1.0)


def _variance(only_first: int, only_second: int, images: int, difference: float) -> float:
    """Of one image's b - c, were its mean `difference`, with the likeliest share of c that goes with that mean."""
    if difference < 0:
        return _variance(only_second, only_first, images, -difference)
    linear = (2 * images - only_first + only_second) * difference - only_first - only_second
    constant = -only_second * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear * linear - 8 * images * constant))
    # The larger root of 2n q² + linear q + constant, by the form that does not cancel.
    share = (root - linear) / (4 * images) if linear < 0 else (-2 * constant / (root + linear) if root else 0.0)
    return 2 * share + difference * (1 - difference)


def _edge(kept: Callable[[float], bool], inside: float, outside: float) -> float:
    """Where `kept` ends between a point that it keeps and the end of the scale."""
    if kept(outside):
        return outside
    for _ in range(60):
        middle = (inside + outside) / 2
        inside, outside = (middle, outside) if kept(middle) else (inside, middle)
    return inside
