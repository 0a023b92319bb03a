"""Means over seeds and images, crossed: every model saw the same test images, so that both are samples and neither is nested.

For trials t (a seed of a block: a variant, or a pair of variants that differ in one thing) and images i, Y = block + trial +
image + image within block + rest. The blocks are the grid's own and stay; seeds and images are drawn. Then the variance of the
mean is S + I - E: S from the trials' own means within their blocks, I from the images' means, E what both count twice
(Owen 2007, The pigeonhole bootstrap; Searle, Casella, McCulloch 1992, Variance components, chapter 4).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

SHARED_ERROR = 0.1
"""Of the test whether a seed moves all blocks alike; where it does, the seeds are what counts and not the trials."""
SHARED_ERROR_FEW = 0.01
"""The same with FEW seeds or less, where a false alarm makes an interval three times as wide, and takes its power."""
FEW = 3
_NOTHING = 1e-20
"""What rounding makes of a variance of 0. A single outcome of 30 million would give a mean of them more."""


@dataclass(frozen=True)
class Spread:
    """A mean over trials and images with what its interval needs. Variances are of the mean, in its unit squared."""

    mean: float
    seeds: float | None
    """S; None where no block has two seeds, which tells nothing of other seeds."""
    images: float
    """I; 0 for a single image."""
    rest: float
    """E."""
    df: float | None
    """Degrees of freedom of S (Satterthwaite over the blocks); None where S is."""
    df_rest: float
    blocks: int
    trials: int
    test_images: int
    shared: bool = False
    """Whether seeds move all blocks alike, by an F test at SHARED_ERROR or SHARED_ERROR_FEW."""

    @property
    def variance(self) -> float:
        """Of the mean. Never below what seeds alone or images alone say, which the difference of estimates could fall to."""
        most = self.images
        if self.seeds is not None:
            most = max(self.seeds, self.images, self.seeds + self.images - self.rest)
        return most if most > _NOTHING else 0.0

    @property
    def freedom(self) -> float:
        """Degrees of freedom of `variance`, at least 1: its parts' own, averaged harmonically with their shares as weights.

        Satterthwaite's squares the shares and finds more, on the strength of a variance that few seeds may have shown too small:
        intervals that say 95 % would then cover 92 % with three seeds and 87 % with two, where these cover 94 % and 91 %
        (at worst, of a mean whose variance is known but for the seeds' part).
        """
        of_images = max(1.0, self.test_images - 1.0)
        if self.seeds is None or self.df is None or self.variance <= 0.0:
            return of_images
        return max(1.0, min(self.df, of_images), self.variance / (self.seeds / self.df + self.images / of_images))


@dataclass(frozen=True)
class Block:
    """The trials of one block: `values` [S, n], a row for each of `seeds`, a column for each test image."""

    seeds: tuple[int, ...]
    values: NDArray[np.floating]


def crossed(blocks: Iterable[Block]) -> Spread:
    """The mean over blocks (each the mean over its trials) and all images. Blocks are gone through once, so that a generator
    serves and one block at a time is in memory. Raises ValueError for no blocks, or for blocks of different images."""
    total: Values | None = None
    found: list[_Within] = []
    for block in blocks:
        within, mean = _within(block)
        if total is None:
            total = mean
        elif total.shape != mean.shape:
            raise ValueError(f"blocks of {len(total)} and {len(mean)} images cannot be crossed")
        else:
            total += mean
        found.append(within)
    if total is None:
        raise ValueError("no blocks to average over")
    count, n = len(found), len(total)
    per_image = total / count
    images = float(per_image.var(ddof=1)) / n if n > 1 else 0.0
    trials = sum(len(one.seeds) for one in found)
    several = [one for one in found if len(one.seeds) > 1]
    seeds: float | None = None
    rest, df, df_rest, shared = 0.0, None, 0.0, False
    if several:
        # A block with a single seed is as uncertain as the others are on average.
        alone = (count - len(several)) / len(several)
        shares = [(1.0 / len(one.seeds) + alone) / count**2 for one in several]
        parts = [share * one.variance for share, one in zip(shares, several, strict=True)]
        seeds = math.fsum(parts)
        rest = math.fsum(share * one.rest for share, one in zip(shares, several, strict=True)) / n
        df = _satterthwaite([(part, len(one.seeds) - 1) for part, one in zip(parts, several, strict=True)])
        df_rest = float(sum((len(one.seeds) - 1) * (n - 1) for one in several))
        alike = _alike(several, df)
        if alike is not None:
            seeds, df, shared = seeds * alike[0], alike[1], True
    return Spread(float(per_image.mean()), seeds, images, rest, df, df_rest, count, trials, n, shared)


@dataclass(frozen=True)
class _Within:
    """One block: its trials' means, their variance, and the mean square of what neither trial nor image explains."""

    seeds: tuple[int, ...]
    means: Values
    variance: float
    rest: float


def _within(block: Block) -> tuple[_Within, Values]:
    values = np.asarray(block.values, np.float64)
    count, n = values.shape
    means, per_image = values.mean(axis=1), values.mean(axis=0)
    if count == 1:
        return _Within(block.seeds, means, 0.0, 0.0), per_image
    # Σ (y - trial - image + mean)² by the usual identity: the table itself is not copied.
    squares = float(np.einsum("ij,ij->", values, values))
    explained = n * float(means @ means) + count * float(per_image @ per_image) - count * n * float(means.mean()) ** 2
    rest = max(0.0, squares - explained) / ((count - 1) * max(1, n - 1))
    return _Within(block.seeds, means, float(means.var(ddof=1)), rest), per_image


def _satterthwaite(parts: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a sum of independent variances, each with its own; Welch's form, which few of each do not bias.

    At least the fewest of any (one block's variance may be all there is), at most their sum.
    """
    fewest, most = float(min(df for _, df in parts)), float(sum(df for _, df in parts))
    fourth = math.fsum(part**2 / (df + 2) for part, df in parts)
    if fourth <= 0.0:
        return most
    return min(most, max(fewest, math.fsum(part for part, _ in parts) ** 2 / fourth - 2.0))


def _alike(several: Sequence[_Within], df: float) -> tuple[float, float] | None:
    """How much more the mean varies over seeds than trials that are independent would make it, and by how many degrees of freedom
    that is known; None where nothing says that seeds move blocks alike.

    Over independent trials the squared sums of each seed's deviations, over all blocks that have it, expect the sum of their
    squares; what they exceed it by is shared. With the same seeds everywhere this is the F test of seeds against seeds × blocks.
    """
    places = {seed: place for place, seed in enumerate(sorted({seed for one in several for seed in one.seeds}))}
    sums = np.zeros(len(places))
    spread = np.zeros((len(places), len(places)))
    for one in several:
        size = len(one.seeds)
        at = [places[seed] for seed in one.seeds]
        sums[at] += (one.means - one.means.mean()) / size
        spread[np.ix_(at, at)] += one.variance / size**2 * (np.eye(size) - 1.0 / size)
    expected = float(np.trace(spread))
    if expected <= _NOTHING:
        return None
    ratio = float(sums @ sums) / expected
    df_alike = expected**2 / float(np.einsum("ij,ij->", spread, spread))
    left = df - df_alike
    if left < 1.0:
        # A single block is all that varies, or as good as that: there is nothing to be alike with.
        return None
    blocks = df / df_alike
    if ratio < blocks:
        from scipy.special import fdtrc

        error = SHARED_ERROR_FEW if len(places) <= FEW else SHARED_ERROR
        if float(fdtrc(df_alike, left, ratio * (blocks - 1.0) / (blocks - ratio))) >= error:
            return None
    return ratio, df_alike
