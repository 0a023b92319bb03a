"""The fast gradient sign method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.engine.attack import Attack, loss
from core.engine.geometry import ascent_direction
from core.records.attack import AttackSpec

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.victim import Victim


def fgsm(victim: Victim, x: Tensor, y: Tensor, samples: Tensor, draw: int, attack: AttackSpec) -> Tensor:  # noqa: ARG001
    """sign ∇ₓL(x, y) (Goodfellow et al. 2015, section 4); for l2 the normalised gradient. One gradient serves every ε.
    L is the cross-entropy of even logits where the victim has such; with the loss "usual" that of the logits as they are, as
    libraries compute it."""
    from core.engine.losses import log_odds, log_odds_of_clean, usual

    if attack.params["loss"] == "usual":
        gradient, _ = victim.ascent(x, y, usual)
    else:
        gradient, _ = victim.ascent(x, y, log_odds_of_clean if victim.evens else log_odds)
    return ascent_direction(gradient, attack.norm)


ENTRY = Attack(
    "fgsm",
    "one gradient step to the surface of the ball",
    "Goodfellow et al. 2015",
    (loss("ce", "usual"),),
    engine=3,
    direction=fgsm,
)
