"""The fast gradient sign method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.engine.attack import Attack, loss
from core.engine.geometry import ascent_direction
from core.records import AttackSpec

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.victim import Victim


def fgsm(victim: Victim, x: Tensor, y: Tensor, samples: Tensor, draw: int, attack: AttackSpec) -> Tensor:  # noqa: ARG001
    """sign ∇ₓL(x, y) (Goodfellow et al. 2015, section 4); for l2 the normalised gradient. One gradient serves every ε."""
    from core.engine.losses import LOSSES

    gradient, _ = victim.ascent(x, y, LOSSES[attack.params["loss"]])
    return ascent_direction(gradient, attack.norm)


ENTRY = Attack(
    "fgsm",
    "one gradient step to the surface of the ball",
    "Goodfellow et al. 2015",
    (loss("ce"),),
    engine=2,
    direction=fgsm,
)
