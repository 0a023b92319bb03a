"""Time of an analysis of variance over ten thousand trials, which a screen waits for."""

import itertools
import time

import numpy as np
import pytest

from core.verdict.described.variance import analysis_of_variance
from tests.benchmarks.tables import show

pytestmark = pytest.mark.benchmark

BAR = 1.0
"""Processor seconds, for the grids of the bar."""
GRIDS = {
    "20 × 10 × 10, 5 seeds": ((20, 10, 10), 5, 0.0, True),
    "20 × 10 × 10, 5 seeds, a tenth missing": ((20, 10, 10), 5, 0.1, True),
    "7 × 5 × 2 × 2, 71 seeds": ((7, 5, 2, 2), 71, 0.0, True),
    "7 × 5 × 2 × 2, 71 seeds, a tenth missing": ((7, 5, 2, 2), 71, 0.1, True),
    "20 × 10 × 10 × 5, a tenth missing": ((20, 10, 10, 5), 1, 0.1, False),
    "5⁶, a third missing": ((5,) * 6, 1, 0.36, False),
    "100 × 10 × 10, a tenth missing": ((100, 10, 10), 1, 0.1, False),
}
"""Levels, seeds, the share of trials that is missing, and whether the bar is for it."""


def test_ten_thousand_trials_are_analysed_within_a_second():
    generator = np.random.default_rng(0)
    rows, times = [], {}
    for name, (levels, seeds, missing, _) in GRIDS.items():
        trials = np.array(list(itertools.product(*map(range, levels), range(seeds))))
        trials = trials[generator.random(len(trials)) >= missing]
        factors = {f"factor {place}": [f"level {level}" for level in trials[:, place]] for place in range(len(levels))}
        response = generator.random(len(trials)).tolist()
        begun, busy = time.perf_counter(), time.process_time()
        found = analysis_of_variance(response, factors)
        passed, times[name] = time.perf_counter() - begun, time.process_time() - busy
        rows.append((name, f"{found.trials:,}", f"{found.cells:,}", f"{times[name]:.2f}", f"{passed:.2f}"))
    show("Analysis of variance", ("grid", "trials", "cells", "CPU s", "s"), rows)
    assert max(times[name] for name, (*_, barred) in GRIDS.items() if barred) < BAR
