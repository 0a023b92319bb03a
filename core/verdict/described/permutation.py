"""The sign-flip test of paired differences, which supposes no shape of them, only that either sign was as likely."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

EXACT_UNITS = 16
"""Up to as many units all 2ⁿ flips are looked at."""
DRAWS = 2**16 - 1
"""Flips drawn where there are more; with the observed signs counted as one, p is a multiple of 2⁻¹⁶."""
_SEED = 0
_CHUNK = 2**11
_TIE = 1e-9
"""Of the magnitudes of all differences and margins together: sums that differ by less are equal up to rounding, and count
as at least as extreme."""


@dataclass(frozen=True)
class SignFlip:
    """Of paired differences: `mean` as they came, before a margin is taken off."""

    mean: float
    p: float
    least_p: float
    """The least that so many units could have given: all of one sign. A unit whose sum is 0 has no sign to flip."""
    pairs: int
    units: int
    """What flips: the pairs themselves, or groups of them."""
    flips: int
    """Flips looked at: all of them (units whose sum is 0 left out), or those drawn."""
    exact: bool


def two_sided(differences: npt.ArrayLike, units: Sequence[Hashable] | None = None) -> SignFlip:
    """Whether the mean of [pairs] differences is 0: the share of sign flips whose sum is as far from 0, or farther.

    `units`, [pairs], names the seed of each pair: all differences of one unit flip together. Exact up to 16 units,
    otherwise from a fixed seed, (1 + count) / (1 + draws). Raises ValueError for no differences, for any that is not
    finite, and where `units` has another length.

    Source: Fisher 1935, section 21; Phipson and Smyth 2010 for the + 1.
    """
    return _tested(differences, 0.0, units, two=True)


def greater(differences: npt.ArrayLike, margin: float = 0.0, units: Sequence[Hashable] | None = None) -> SignFlip:
    """Whether the mean of [pairs] differences exceeds `margin`, in their unit; one-sided, otherwise as `two_sided`."""
    return _tested(differences, margin, units, two=False)


def least_p(units: int, two: bool = True) -> float:
    """The least p that flipping so many units can give exactly: 2¹⁻ⁿ two-sided, 2⁻ⁿ one-sided; 1 for none."""
    return min(1.0, math.ldexp(1.0, (1 if two else 0) - units))


def pairs_needed(alpha: float, family: int = 1) -> int:
    """The fewest pairs with which the two-sided exact test can get below alpha / family, Holm's first step.

    Beyond 16 pairs p is drawn and never below 2⁻¹⁶. Raises ValueError unless 0 < alpha < 1 and family ≥ 1.
    """
    if not 0 < alpha < 1 or family < 1:
        raise ValueError(f"alpha {alpha:g} of a family of {family}: alpha lies between 0 and 1, a family has a member")
    pairs = 1
    while least_p(pairs) * family >= alpha:
        pairs += 1
    return pairs


def _tested(differences: npt.ArrayLike, margin: float, units: Sequence[Hashable] | None, *, two: bool) -> SignFlip:
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not values.size:
        raise ValueError("no differences to test")
    if not np.isfinite(values).all() or not math.isfinite(margin):
        raise ValueError("a difference or the margin is not finite")
    sums = _by_unit(values - margin, units)
    tie = _TIE * float(np.abs(values).sum() + len(values) * abs(margin))
    # What is 0 up to rounding flips to itself and changes no share.
    signed = sums[np.abs(sums) > tie]
    moving, observed = np.abs(signed), float(signed.sum())
    bound = (abs(observed) if two else observed) - tie
    exact = len(moving) <= EXACT_UNITS
    extreme = 0
    for flipped in [_all_flips(moving)] if exact else _drawn_flips(moving):
        extreme += int(((np.abs(flipped) if two else flipped) >= bound).sum())
    flips = 2 ** len(moving) if exact else DRAWS
    least = least_p(len(moving), two)
    return SignFlip(
        mean=float(values.mean()),
        p=extreme / flips if exact else (1 + extreme) / (1 + flips),
        least_p=least if exact else max(least, 1 / (1 + flips)),
        pairs=len(values),
        units=len(sums),
        flips=flips,
        exact=exact,
    )


def _by_unit(values: npt.NDArray[np.float64], units: Sequence[Hashable] | None) -> npt.NDArray[np.float64]:
    """[units]: the sum of each unit's values, in the order in which units first occur."""
    if units is None:
        return values
    if len(units) != len(values):
        raise ValueError(f"{len(values)} differences, but units of {len(units)}")
    place = {unit: index for index, unit in enumerate(dict.fromkeys(units))}
    sums = np.zeros(len(place))
    np.add.at(sums, [place[unit] for unit in units], values)
    return sums


def _all_flips(moving: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[2ⁿ]: the sum under every choice of signs."""
    sums = np.zeros(1)
    for size in moving:
        sums = np.concatenate([sums - size, sums + size])
    return sums


def _drawn_flips(moving: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.float64]]:
    """The sums under drawn signs, a chunk at a time."""
    generator = np.random.default_rng(_SEED)
    # In order of size, so that p is the same in whatever order the pairs came.
    ordered = np.sort(moving)
    for begin in range(0, DRAWS, _CHUNK):
        rows = min(_CHUNK, DRAWS - begin)
        bits = np.frombuffer(generator.bytes(rows * (-(-len(ordered) // 8))), np.uint8).reshape(rows, -1)
        positive = np.unpackbits(bits, axis=1, count=len(ordered)).astype(np.float64)
        yield 2 * (positive @ ordered) - ordered.sum()
