"""The scores. To add one: a function and an entry here."""

from __future__ import annotations

import numpy as np

from core.registry import Additions, Registry
from core.verdict.scoring import added
from core.verdict.scoring.entry import Readings, ScoreEntry, Values


def clean_accuracy(readings: Readings) -> Values:
    """Share of clean test images classified rightly."""
    return readings.clean


def worst_case(readings: Readings) -> Values | None:
    """Mean over samples of the minimum over attacks at the score ε; never the minimum of means."""
    return readings.worst


def retention(readings: Readings) -> Values | None:
    """worst_case / clean accuracy: the share of classification accuracy that attack leaves."""
    if readings.worst is None:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        share: Values = readings.worst / readings.clean
    return share


def curve_area(readings: Readings) -> Values | None:
    """(1/E) ∫₀ᴱ a(ε) dε, a being chance-corrected worst-case accuracy; trapezoid rule from the clean accuracy at 0."""
    if readings.eps.size == 0:
        return None
    eps = np.concatenate([[0.0], readings.eps])
    above = readings.above_chance(np.column_stack([readings.clean, readings.robust]))
    # Written out: np.trapezoid came with numpy 2, and np.trapz goes.
    area: Values = (np.diff(eps) * (above[:, 1:] + above[:, :-1]) / 2.0).sum(axis=1) / eps[-1]
    return area


def innate(readings: Readings) -> Values | None:
    """100 · harmonic mean of chance-corrected clean accuracy and curve_area: neither can be bought with the other."""
    area = curve_area(readings)
    if area is None:
        return None
    clean = readings.above_chance(readings.clean)
    total = clean + area
    mean: Values = 100.0 * np.divide(2.0 * clean * area, total, out=np.zeros_like(total), where=total > 0)
    return mean


SCORES: Registry[ScoreEntry] = Registry(
    "score",
    (
        ScoreEntry(
            "innate",
            "0 to 100: harmonic mean of chance-corrected clean accuracy and curve_area; the headline",
            "README, What the numbers mean; answers the paper's call to score robustness as a function of accuracy",
            innate,
            degenerate=0.0,
            percent=False,
        ),
        ScoreEntry(
            "clean_accuracy", "share of clean test images classified rightly", "-", clean_accuracy, attacked=False
        ),
        ScoreEntry(
            "worst_case",
            "share that survives every attack of the study at its score ε, sample by sample",
            "Croce, Hein 2020, section 5",
            worst_case,
        ),
        ScoreEntry(
            "retention",
            "worst_case / clean_accuracy; none for a model that learned nothing",
            "the paper's abstract",
            retention,
            degenerate=None,
            keep_when_degenerate=False,
        ),
        ScoreEntry(
            "curve_area",
            "mean chance-corrected worst-case accuracy from ε = 0 to the study's largest",
            "README, What the numbers mean",
            curve_area,
        ),
    ),
    additions=Additions("scores", ScoreEntry, added.adopt),
)
