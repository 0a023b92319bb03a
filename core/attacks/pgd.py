"""Projected gradient ascent, with a random start (PGD) and without (BIM)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.attacks.entry import Attack, alpha, loss, restarts, steps
from core.attacks.geometry import ascent_direction, noise, project
from core.attacks.steps import step_size
from core.records import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.attacks.victim import Victim

_COMPACT = 32
"""Broken samples leave the batch this many at a time: every new batch shape costs the kernels a set-up."""


def pgd(
    victim: Victim, x: Tensor, y: Tensor, samples: Tensor, restart: int, eps: float, attack: AttackSpec
) -> tuple[Tensor, Tensor]:
    """x ← Π(x + α·sign ∇ₓL(x, y)), the projection being on the ε-ball and [0, 1] (Madry et al. 2018, section 2.1).

    Success is looked for at every iterate, the start and the last included: the forward pass of each gradient tells.
    """
    import torch

    params = attack.params
    step = step_size(params["alpha"], eps)
    adversarial = x
    if params.get("random_start", False):
        adversarial = project(x + eps * noise(attack.seed, samples, restart, x, attack.norm), x, eps, attack.norm)
    broken = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    found = x.clone()
    standing = torch.arange(len(x), device=x.device)  # positions of the rows below in the batch as it came
    rows_x, rows_y = x, y
    for _ in range(params["steps"]):
        gradient, logits = victim.gradient(adversarial, rows_y)
        _settle(victim, logits, adversarial, rows_x, rows_y, standing, eps, attack.norm, broken, found)
        alive = ~broken[standing]
        left = int(alive.sum())
        if left == 0:
            return broken, found
        if left <= len(standing) - _COMPACT:
            standing, rows_x, rows_y = standing[alive], rows_x[alive], rows_y[alive]
            adversarial, gradient = adversarial[alive], gradient[alive]
        adversarial = project(adversarial + step * ascent_direction(gradient, attack.norm), rows_x, eps, attack.norm)
    logits = victim.logits(adversarial)
    _settle(victim, logits, adversarial, rows_x, rows_y, standing, eps, attack.norm, broken, found)
    return broken, found


def _settle(
    victim: Victim,
    logits: Tensor,
    adversarial: Tensor,
    x: Tensor,
    y: Tensor,
    standing: Tensor,
    eps: float,
    norm: str,
    broken: Tensor,
    found: Tensor,
) -> None:
    """Note the rows that `logits` says are misclassified and that a fresh pass confirms."""
    fooled = (logits.argmax(dim=1) != y) & ~broken[standing]
    if not bool(fooled.any()):
        return
    confirmed = victim.confirm(adversarial[fooled], x[fooled], y[fooled], eps, norm)
    at = standing[fooled][confirmed]
    broken[at] = True
    found[at] = adversarial[fooled][confirmed]


PGD = Attack(
    "pgd",
    "projected gradient ascent from a random start",
    "Madry et al. 2018",
    (
        steps(40),
        alpha("eps/4"),
        restarts(1, "runs from other starts, on those that still stand"),
        loss(),
        Parameter("random_start", "bool", True, "start from a random point of the ball"),
    ),
    iterate=pgd,
)

BIM = Attack(
    "bim",
    "projected gradient ascent from the image itself",
    "Kurakin et al. 2017",
    (steps(10), alpha("eps/10"), loss()),
    iterate=pgd,
)
