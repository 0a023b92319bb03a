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

SHARED_ERROR = 0.05
"""Of the test whether a seed moves all blocks alike; where it does, the seeds are what counts and not the trials."""


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
    """Whether seeds move all blocks alike, by an F test at SHARED_ERROR."""

    @property
    def variance(self) -> float:
        """Of the mean. Never below what seeds alone or images alone say, which the difference of estimates could fall to."""
        if self.seeds is None:
            return self.images
        return max(self.seeds, self.images, self.seeds + self.images - self.rest)

    @property
    def freedom(self) -> float:
        """Satterthwaite's degrees of freedom of `variance`, at least 1."""
        of_images = max(1.0, self.test_images - 1.0)
        if self.seeds is None or self.df is None:
            return of_images
        most = self.variance
        if most <= 0.0:
            return max(1.0, self.df)
        if most == self.seeds:
            return self.df
        spread = self.seeds**2 / self.df + self.images**2 / of_images
        if most > self.images:
            spread += self.rest**2 / max(1.0, self.df_rest)
        return max(1.0, min(self.df, of_images), most**2 / spread) if spread > 0 else of_images


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
    common = {"mean": float(per_image.mean()), "images": images, "blocks": count, "trials": trials, "test_images": n}
    several = [one for one in found if len(one.seeds) > 1]
    if not several:
        return Spread(seeds=None, rest=0.0, df=None, df_rest=0.0, **common)  # type: ignore[arg-type]
    # A block with a single seed is as uncertain as the others are on average.
    usual = math.fsum(one.variance for one in several) / len(several)
    usual_rest = math.fsum(one.rest for one in several) / len(several)
    parts = [(one.variance if len(one.seeds) > 1 else usual) / len(one.seeds) / count**2 for one in found]
    rests = [(one.rest if len(one.seeds) > 1 else usual_rest) / (len(one.seeds) * n) / count**2 for one in found]
    seeds = math.fsum(parts)
    df = _satterthwaite(
        [(part, len(one.seeds) - 1) for part, one in zip(parts, found, strict=True) if len(one.seeds) > 1]
    )
    df_rest = float(sum((len(one.seeds) - 1) * (n - 1) for one in several))
    alike = _shared(found)
    if alike is not None and _stands_out(alike, seeds, df, len(found[0].seeds) - 1):
        return Spread(
            seeds=alike,
            rest=math.fsum(rests),
            df=len(found[0].seeds) - 1.0,
            df_rest=df_rest,
            shared=True,
            **common,  # type: ignore[arg-type]
        )
    return Spread(seeds=seeds, rest=math.fsum(rests), df=df, df_rest=df_rest, **common)  # type: ignore[arg-type]


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


def _shared(found: Sequence[_Within]) -> float | None:
    """Variance of the mean by the seeds' means over all blocks; None for one block, or where blocks have other seeds."""
    seeds = found[0].seeds
    if len(found) == 1 or len(seeds) == 1 or any(one.seeds != seeds for one in found):
        return None
    per_seed = np.mean([one.means for one in found], axis=0)
    return float(per_seed.var(ddof=1)) / len(seeds)


def _stands_out(alike: float, seeds: float, df: float, df_alike: int) -> bool:
    if seeds <= 0.0:
        return alike > 0.0
    from scipy.special import fdtrc

    return float(fdtrc(df_alike, df, alike / seeds)) < SHARED_ERROR
