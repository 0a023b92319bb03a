"""What a score is computed from, and what its registry entry holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.registry import Parameter

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Readings:
    """Accuracies of one model within one norm, B of them at once, so that a score's slope can be taken.

    `clean` [B]; `eps` [E] ascends, without 0; `robust` [B, E] is the worst case over the study's attacks at each; `worst`
    [B] the same at the study's score ε. `eps` is empty and `worst` None where the study has no attack in the norm.
    """

    clean: Values
    eps: Values
    robust: Values
    worst: Values | None
    classes: int

    def above_chance(self, accuracy: Values) -> Values:
        """max(0, (a - 1/K) / (1 - 1/K)): 0 for guessing, 1 for perfection."""
        chance = 1.0 / self.classes
        above: Values = np.maximum(0.0, (accuracy - chance) / (1.0 - chance))
        return above


@dataclass(frozen=True)
class ScoreEntry:
    """`compute` gives one value per reading, NaN where undefined, None where the study has no attack to score.

    `degenerate` is the value of a model that learned nothing. `percent` scores are fractions in [0, 1], others go to 100.
    `attacked`: it counts what attacks left standing, so that it is an upper bound until an audit says how far.
    """

    name: str
    summary: str
    source: str
    compute: Callable[[Readings], Values | None]
    degenerate: float | None = None
    keep_when_degenerate: bool = True
    percent: bool = True
    attacked: bool = True
    parameters: tuple[Parameter, ...] = ()

    @property
    def full(self) -> float:
        """The largest value."""
        return 1.0 if self.percent else 100.0
