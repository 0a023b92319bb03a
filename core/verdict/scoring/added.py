"""Scores of plugins: what is asked of one before any model is scored by it, and afterwards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from core.plugged import Installed, in_words
from core.verdict.scoring.entry import Readings, ScoreEntry, Values

_JUMP = 0.01
"""As a share of its largest value: what a score may move by where accuracies move by 1e-5 (`trial_scores`). One that jumps has no
slope, and no interval."""


def adopt(entry: ScoreEntry, _: Installed) -> ScoreEntry:
    """The score with its function contained. Raises ValueError for one that fails, or leaves its range, on made-up readings."""
    if not callable(entry.compute):
        raise ValueError("has a compute that is no function")
    for flag in ("percent", "attacked", "keep_when_degenerate"):
        if not isinstance(getattr(entry, flag), bool):
            raise ValueError(f"has a {flag} that is neither True nor False")
    if entry.degenerate is not None and not 0.0 <= entry.degenerate <= entry.full:
        raise ValueError(f"has a value for worthless models outside 0 to {entry.full:g}")
    for readings in _PROBES:
        _checked(entry, _computed(entry.compute, readings), readings)
    return replace(entry, parameters=(), compute=_contained(entry))


def _contained(entry: ScoreEntry) -> Callable[[Readings], Values | None]:
    """Undefined wherever it fails: no score may keep others from being stored."""

    def compute(readings: Readings) -> Values | None:
        try:
            return _checked(entry, _computed(entry.compute, readings), readings)
        except ValueError:
            return None

    return compute


def _computed(compute: Callable[[Readings], Values | None], readings: Readings) -> Any:
    try:
        with contextlib.redirect_stdout(sys.stderr), np.errstate(all="ignore"):
            return compute(readings)
    except (Exception, SystemExit) as error:
        raise ValueError(f"cannot be computed: {in_words(error)}") from error


def _checked(entry: ScoreEntry, values: Any, readings: Readings) -> Values | None:
    if values is None:
        return None
    count = len(readings.clean)
    if not isinstance(values, np.ndarray) or values.shape != (count,) or values.dtype.kind not in "fiu":
        told = values.shape if isinstance(values, np.ndarray) else type(values).__name__
        raise ValueError(f"gives {told} for {count} readings, not one number for each")
    found: Values = values.astype(np.float64)
    if np.isnan(found[0]):
        return found
    if not -1e-6 * entry.full <= found[0] <= (1 + 1e-6) * entry.full:
        raise ValueError(f"gives {found[0]:g}, which is outside 0 to {entry.full:g}")
    if not np.abs(found - found[0]).max() <= _JUMP * entry.full:
        raise ValueError("jumps where accuracies hardly move, so that no interval can be told")
    return found


def _probe(clean: float, robust: list[float], classes: int) -> Readings:
    """A model with these accuracies, and it moved as little as where slopes are taken."""
    means = np.array([clean, *robust])
    moved = np.vstack([means, means + 1e-5 * np.eye(len(means)), means - 1e-5 * np.eye(len(means))])
    eps = np.linspace(0.1, 0.3, len(robust)) if robust else np.array([])
    return Readings(moved[:, 0], eps, moved[:, 1:], moved[:, 1] if robust else None, classes)


_PROBES = (_probe(0.91, [0.63, 0.31], 10), _probe(0.57, [0.43], 2), _probe(0.83, [], 10))
