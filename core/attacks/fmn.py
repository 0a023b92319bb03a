"""The fast minimum-norm attack: one run tells how near the nearest mistake is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from core.engine.attack import Attack, steps
from core.engine.geometry import lengths, per_sample
from core.records import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.distances import Nearest
    from core.engine.victim import Victim

_DUAL = {"linf": 1, "l2": 2}
"""The p of the dual norm, in which a gradient is measured."""
_GAMMA_END = 0.001
"""Where the change of the radius ends; it begins at the option `gamma`."""


def fmn(victim: Victim, x: Tensor, y: Tensor, samples: Tensor, attack: AttackSpec) -> Tensor:  # noqa: ARG001
    """δ ← Π_ε(δ + α·g/‖g‖₂) with g the slope of max_{i≠y} z_i − z_y; ε shrinks by 1 − γ where the image fools and grows
    by 1 + γ where it does not, or, before the first success, to where the slope puts the boundary; α and γ follow a
    cosine (Pintor et al. 2021, algorithm 1)."""
    params = attack.params
    return nearest_mistakes(victim, x, y, attack.norm, params["steps"], params["alpha"], params["gamma"]).images


def nearest_mistakes(
    victim: Victim,
    x: Tensor,
    y: Tensor,
    norm: str,
    count: int,
    first_alpha: float = 1.0,
    first_gamma: float = 0.05,
    target: Tensor | None = None,
) -> Nearest:
    """FMN in `count` steps; with `target` [n], along the slope of z_t − z_y, where any mistake is one."""
    import torch

    from core.engine.distances import Nearest
    from core.engine.losses import difference, margin

    ascended, aims = (margin, ()) if target is None else (difference, (target,))
    nearest = Nearest(x, norm)
    delta = torch.zeros_like(x)
    radius = x.new_full((len(x),), float("inf"))
    for step in range(count + 1):
        adversarial = (x + delta).clamp(0.0, 1.0)
        if step == count:
            nearest.see(adversarial, victim.logits(adversarial).argmax(dim=1) != y)
            break
        fall = (1.0 + math.cos(math.pi * step / count)) / 2.0
        alpha = first_alpha * (0.01 + 0.99 * fall)
        gamma = _GAMMA_END + (first_gamma - _GAMMA_END) * fall
        gradient, logits = victim.gradient(adversarial, y, ascended, *aims)
        gradient = _free(gradient.nan_to_num(0.0, 0.0, 0.0), adversarial)
        fooled = logits.argmax(dim=1) != y
        nearest.see(adversarial, fooled)
        height = ascended(logits, y, *aims)
        slope = gradient.flatten(1).norm(p=_DUAL[norm], dim=1).clamp_min(1e-12)
        found = torch.isfinite(nearest.distance)
        # A little beyond where the slope puts it: a boundary that is met exactly is not crossed.
        reach = lengths(adversarial - x, norm) + (1.0 + gamma) * height.abs() / slope
        missed = torch.where(found, radius * (1.0 + gamma), reach)
        radius = torch.where(fooled, torch.minimum(radius * (1.0 - gamma), nearest.distance), missed)
        length = per_sample(lengths(gradient, "l2").clamp_min(1e-12), x)
        delta = (adversarial - x) + alpha * gradient / length
        delta = _onto_ball(delta, radius, norm)
        delta = (x + delta).clamp(0.0, 1.0) - x
    return nearest


def _free(gradient: Tensor, adversarial: Tensor) -> Tensor:
    """The slope within the box: 0 where it leads out of [0, 1]. On images with many black pixels the whole slope would
    promise boundaries that the box keeps out of reach, and most of each step would be cut off."""
    leads_out = ((adversarial <= 0.0) & (gradient < 0.0)) | ((adversarial >= 1.0) & (gradient > 0.0))
    return gradient.masked_fill(leads_out, 0.0)


def _onto_ball(delta: Tensor, radius: Tensor, norm: str) -> Tensor:
    bound = per_sample(radius, delta)
    assert not isinstance(bound, float)
    if norm == "linf":
        return delta.clamp(min=-bound, max=bound)
    length = per_sample(lengths(delta, "l2").clamp_min(1e-12), delta)
    return delta * (bound / length).clamp_max(1.0)


ENTRY = Attack(
    "fmn",
    "the nearest adversarial image in one run: the whole curve of accuracy against ε",
    "Pintor et al. 2021",
    (
        steps(100),
        Parameter("alpha", "float", 1.0, "first length of a step, ℓ2", low=0.0, open_low=True, unit="pixels in [0, 1]"),
        Parameter(
            "gamma", "float", 0.05, "first change of the radius", low=0.0, high=1.0, open_low=True, open_high=True
        ),
    ),
    norms=("l2", "linf"),
    minimise=fmn,
)
