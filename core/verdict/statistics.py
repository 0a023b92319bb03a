"""Intervals around means over seeds and images (`core.verdict.crossed`): t intervals of differences, and of scores in [0, 1]."""

from __future__ import annotations

import math

from core.verdict.crossed import Spread

CONFIDENCE = 0.95
_PRIOR_ERRORS = 0.5
"""Images' worth of belief that images count once each, against what the rare errors of a nearly perfect model show."""


def t_interval(spread: Spread, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two-sided t interval of a difference of shares. Where nothing varies, an image may still exist that tells the two apart."""
    if spread.variance <= 0.0:
        unseen = wilson(0.0, spread.test_images, t_quantile((1 + confidence) / 2, spread.freedom))[1]
        return spread.mean - unseen, spread.mean + unseen
    half = t_quantile((1 + confidence) / 2, spread.freedom) * math.sqrt(spread.variance)
    return spread.mean - half, spread.mean + half


def p_above(spread: Spread, margin: float) -> float:
    """One-sided p of "the mean is at most `margin`": small where it lies above."""
    from scipy.special import stdtr

    distance = spread.mean - margin
    if spread.variance > 0.0:
        return float(stdtr(spread.freedom, -distance / math.sqrt(spread.variance)))
    # The quantile at which `t_interval` would end at the margin.
    share = min(abs(distance), 1.0 - 1e-9)
    quantile = math.copysign(math.sqrt(spread.test_images * share / (1.0 - share)), distance)
    return float(stdtr(spread.freedom, -quantile))


def unit_interval(spread: Spread, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Two-sided interval of a score in [0, 1], within [0, 1]: Wilson's, with as many images as would give the mean that variance
    if they were independent (Korn, Graubard 1998; Franco et al. 2019), and the t quantile of the variance's freedom.

    Where nothing varies (all trials right everywhere, or wrong) the images count once each, however many seeds saw them.
    """
    return wilson(spread.mean, _effective(spread), t_quantile((1 + confidence) / 2, spread.freedom))


def upper_bound(spread: Spread, confidence: float = CONFIDENCE) -> float:
    """The upper end of the one-sided interval of a score in [0, 1]: all that can be said of one that is an upper bound itself."""
    return wilson(spread.mean, _effective(spread), t_quantile(confidence, spread.freedom))[1]


def wilson(mean: float, count: float, quantile: float) -> tuple[float, float]:
    """Wilson's score interval (1927) of a share; `count` need not be whole."""
    mean = min(1.0, max(0.0, mean))
    square = quantile**2 / count
    centre = mean + square / 2
    half = quantile * math.sqrt(mean * (1 - mean) / count + square / (4 * count))
    return max(0.0, (centre - half) / (1 + square)), min(1.0, (centre + half) / (1 + square))


def t_quantile(probability: float, freedom: float) -> float:
    """Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, probability))


def _effective(spread: Spread) -> float:
    """Independent images that would give the mean its variance."""
    binomial = max(0.0, spread.mean * (1 - spread.mean))
    if spread.variance <= 0.0 or binomial <= 0.0:
        return float(spread.test_images)
    design = spread.test_images * spread.variance / binomial
    # Where hardly an image is got wrong, the chance that the hard ones are missing is not in the variance. So a mean that would
    # seem to rest on more images than there are does so only as far as errors, or hits, bear it out.
    errors = spread.test_images * min(spread.mean, 1 - spread.mean)
    if design < 1.0:
        design = (errors * design + _PRIOR_ERRORS) / (errors + _PRIOR_ERRORS)
    return spread.test_images / design
