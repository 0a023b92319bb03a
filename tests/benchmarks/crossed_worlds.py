"""Worlds whose true means are known: models that see the same images, right where a latent margin is above 0.

The margin is the sum of independent normals, one for each of what models and images differ by, of variance 1 together (probit).
So every truth is a closed form or an integral over one normal, images and seeds are endless populations, and how far seeds
move accuracy or agree on images is said in those terms and turned into shares of the margin.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, owens_t

from core.verdict.crossed import Block

CHANCE = 0.1
RADII = np.array([0.0, 0.05, 0.1, 0.2, 0.3])
CUTS = np.array([0.0, 0.35, 0.7, 1.4, 2.1])
"""What an attack at each of RADII takes from the margin, at most."""
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(96)
_WEIGHTS = _WEIGHTS / math.sqrt(2 * math.pi)


def covariance(accuracy: float, share: float) -> float:
    """Of the correctness of two margins that have `share` of their variance in common."""
    z = float(ndtri(accuracy))
    both = accuracy - 2.0 * float(owens_t(z, math.sqrt((1.0 - share) / (1.0 + share))))
    return both - accuracy**2


@functools.cache
def share_of(accuracy: float, wanted: float) -> float:
    """The share in common that makes `covariance` the one wanted."""
    if wanted <= 0.0:
        return 0.0
    return float(brentq(lambda share: covariance(accuracy, share) - wanted, 0.0, 1.0 - 1e-9))


def seed_deviation(accuracy: float, points: float) -> float:
    """Deviation of the accuracy over seeds: `points` hundredths, less where there is no room for it: models that are 99 % right
    on average do not differ by two points."""
    return min(points / 100.0, min(accuracy, 1.0 - accuracy) / 4.0)


@dataclass(frozen=True)
class Variant:
    """One variant: `accuracy` is the mean over seeds and images of those that do not collapse, `deviation` the accuracy's own
    over seeds, `agreement` the correlation of the correctness of two seeds on an image, `collapse` the share at CHANCE."""

    accuracy: float
    deviation: float = 0.01
    agreement: float = 0.5
    collapse: float = 0.0

    @property
    def z(self) -> float:
        return float(ndtri(self.accuracy))

    @property
    def shares(self) -> tuple[float, float]:
        """Of the margin's variance: the seed's and the image's."""
        binomial = self.accuracy * (1.0 - self.accuracy)
        return share_of(self.accuracy, self.deviation**2), share_of(self.accuracy, self.agreement * binomial)

    def variance(self, seeds: int, images: int) -> float:
        """Of the mean correctness; no collapse in it."""
        of_seeds, of_images = (covariance(self.accuracy, share) for share in self.shares)
        rest = self.accuracy * (1.0 - self.accuracy) - of_seeds - of_images
        return of_seeds / seeds + of_images / images + rest / (seeds * images)

    def truth(self, score: str) -> float:
        """The score's mean over seeds, each over all images."""
        of_seed = self.shares[0]
        margins = self.z + math.sqrt(of_seed) * _NODES[:, None] - CUTS
        sound = float(_WEIGHTS @ scored(score, ndtr(margins / math.sqrt(1.0 - of_seed))))
        chance = float(scored(score, np.full((1, len(CUTS)), CHANCE))[0])
        return (1.0 - self.collapse) * sound + self.collapse * chance

    def margins(self, rng: np.random.Generator, seeds: int, images: int) -> tuple[np.ndarray, np.ndarray]:
        """[seeds, images] float32, and which seeds collapsed."""
        of_seed, of_image = self.shares
        margins = rng.standard_normal((seeds, images), np.float32)
        margins *= np.float32(math.sqrt(1.0 - of_seed - of_image))
        margins += np.float32(math.sqrt(of_image)) * rng.standard_normal(images, np.float32)
        margins += (self.z + math.sqrt(of_seed) * rng.standard_normal((seeds, 1))).astype(np.float32)
        gone = rng.random(seeds) < self.collapse
        if gone.any():
            # One class, whatever the image: right on a tenth, and no attack changes that.
            margins[gone] = np.where(rng.random((int(gone.sum()), images)) < CHANCE, np.inf, -np.inf)
        return margins, gone


def scored(score: str, accuracies: np.ndarray) -> np.ndarray:
    """`core.verdict.scoring.scores` as a share, of accuracies [..., radii]."""
    above = np.maximum(0.0, (accuracies - CHANCE) / (1.0 - CHANCE))
    if score == "clean_accuracy":
        return accuracies[..., 0]
    area = (np.diff(RADII) * (above[..., 1:] + above[..., :-1]) / 2.0).sum(axis=-1) / RADII[-1]
    if score == "curve_area":
        return area
    clean = above[..., 0]
    return 2.0 * clean * area / np.maximum(clean + area, 1e-300)


def influences(score: str, margins: np.ndarray) -> np.ndarray:
    """[seeds, images]: each seed's score and what each image adds to it to first order; their mean is the score."""
    bits = margins[..., None] > CUTS.astype(np.float32)
    means = bits.mean(axis=1)
    values = scored(score, means)
    if score == "clean_accuracy":
        return bits[..., 0].astype(np.float64)
    step = 1e-6
    gradient = np.stack(
        [
            (scored(score, means + step * row) - scored(score, means - step * row)) / (2 * step)
            for row in np.eye(len(CUTS))
        ],
        axis=-1,
    )
    return values[:, None] + np.einsum("tnk,tk->tn", bits - means[:, None, :], gradient)


@dataclass(frozen=True)
class Pairs:
    """Two variants that differ in one thing, in `blocks` combinations of the others; the second is better by `gain` in each.

    `deviation` is each model's accuracy's over seeds, in a block a multiple of it taken from `uneven` in turn; `shared` the share
    of the seeds' variance that a seed takes along through all blocks; `agreement` the correlation of the correctness of the two
    models of a block and seed; `own_images` the share of the margin's variance that each variant has with images in all blocks,
    `block_images` what a block's models have with images beyond what all have.
    """

    blocks: int = 12
    seeds: int = 3
    images: int = 1000
    accuracy: float = 0.9
    spread: float = 0.0
    gain: float = 0.0
    deviation: float = 0.01
    uneven: tuple[float, ...] = (1.0,)
    shared: float = 0.0
    agreement: float = 0.7
    own_images: float = 0.0
    block_images: float = 0.1
    collapse: float = 0.0
    """Of each model, at chance."""
    one_gone: bool = False
    """One model of one seed of one block is at chance, always."""
    missing: float = 0.0
    """Of the seeds of all blocks but the first, which has them all; one stays in each at least."""

    @property
    def truth(self) -> float:
        return (1.0 - self.collapse) * self.gain

    def accuracies(self) -> np.ndarray:
        """[blocks], of the first variant."""
        return (
            self.accuracy + self.spread * np.linspace(-1.0, 1.0, self.blocks)
            if self.blocks > 1
            else np.array([self.accuracy])
        )

    def draw(self, rng: np.random.Generator) -> list[Block]:
        """Differences of correctness, int8."""
        common = [rng.standard_normal(self.images, np.float32) for _ in range(3)]
        along = rng.standard_normal((2, self.seeds))
        there = rng.random((self.blocks, self.seeds)) >= self.missing
        there[np.arange(self.blocks), rng.integers(self.seeds, size=self.blocks)] = True
        there[0] = True
        gone = rng.random((self.blocks, self.seeds, 2)) < self.collapse
        if self.one_gone:
            place = int(rng.integers(self.blocks))
            gone[place, rng.choice(np.flatnonzero(there[place])), int(rng.integers(2))] = True
        found = []
        for block, accuracy in enumerate(self.accuracies().tolist()):
            seeds = np.flatnonzero(there[block])
            within = rng.standard_normal(self.images, np.float32)
            right = [
                self._right(
                    rng, accuracy + which * self.gain, block, common[0], within, common[1 + which], along[which, seeds]
                )
                for which in (0, 1)
            ]
            for which in (0, 1):
                lost = gone[block, seeds, which]
                right[which][lost] = rng.random((int(lost.sum()), self.images)) < CHANCE
            found.append(Block(tuple(seeds.tolist()), right[1].astype(np.int8) - right[0]))
        return found

    def _right(
        self,
        rng: np.random.Generator,
        accuracy: float,
        block: int,
        image: np.ndarray,
        within: np.ndarray,
        own: np.ndarray,
        along: np.ndarray,
    ) -> np.ndarray:
        deviation = self.deviation * self.uneven[block % len(self.uneven)]
        of_seed = share_of(accuracy, deviation**2)
        alike = share_of(accuracy, self.agreement * accuracy * (1.0 - accuracy))
        rest = 1.0 - of_seed - alike - self.own_images
        if rest <= 0.0:
            raise ValueError("shares of more than the whole margin")
        right = rng.standard_normal((len(along), self.images), np.float32)
        right *= np.float32(math.sqrt(rest))
        of_block = min(self.block_images, alike)
        right += np.float32(math.sqrt(alike - of_block)) * image
        right += np.float32(math.sqrt(of_block)) * within
        right += np.float32(math.sqrt(self.own_images)) * own
        fresh = rng.standard_normal(len(along))
        seeds = math.sqrt(self.shared) * along + math.sqrt(1.0 - self.shared) * fresh
        right += (float(ndtri(accuracy)) + math.sqrt(of_seed) * seeds)[:, None].astype(np.float32)
        return right > 0
