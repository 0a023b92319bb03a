"""Random noise: the control. A model that noise breaks as easily as a gradient attack does was not attacked at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.engine import geometry
from core.engine.attack import Attack, restarts
from core.records.attack import AttackSpec

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.victim import Victim


def noise(victim: Victim, x: Tensor, y: Tensor, samples: Tensor, draw: int, attack: AttackSpec) -> Tensor:  # noqa: ARG001
    """A point drawn uniformly from the unit ball."""
    return geometry.noise(attack.seed, samples, draw, x, attack.norm)


ENTRY = Attack(
    "noise",
    "uniform noise in the ball: the control that needs no gradient",
    "-",
    (restarts(1, "draws; a sample survives if it survives all"),),
    direction=noise,
)
