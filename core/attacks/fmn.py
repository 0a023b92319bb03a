"""The fast minimum-norm attack: one run tells how near the nearest mistake is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.engine.attack import Attack, steps
from core.engine.geometry import lengths, per_sample
from core.records.attack import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.distances import Nearest
    from core.engine.recorded import Number
    from core.engine.victim import Victim

_DUAL = {"linf": 1, "l2": 2}
"""The p of the dual norm, in which a gradient is measured."""
_GAMMA_END = 0.001
"""Where the change of the radius ends; it begins at the option `gamma`."""


@dataclass(frozen=True)
class _Search:
    """x + `delta` is where the search stands, `radius` that of the ball it keeps to; `images` are the nearest mistakes so far,
    at `distance`."""

    x: Tensor
    y: Tensor
    aims: tuple[Tensor, ...]
    delta: Tensor
    radius: Tensor
    distance: Tensor
    images: Tensor


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

    from core.engine.distances import Nearest, nearer
    from core.engine.losses import difference, margin
    from core.engine.recorded import Table
    from core.engine.repeating import carry_out

    falls = [(1.0 + math.cos(math.pi * number / count)) / 2.0 for number in range(count)]
    alphas = Table([first_alpha * (0.01 + 0.99 * fall) for fall in falls])
    gammas = Table([_GAMMA_END + (first_gamma - _GAMMA_END) * fall for fall in falls])
    ascended = margin if target is None else difference

    def step(state: _Search, number: Number) -> _Search:
        x, y, aims, delta = state.x, state.y, state.aims, state.delta
        adversarial = (x + delta).clamp(0.0, 1.0)
        alpha, gamma = alphas[number], gammas[number]
        gradient, logits = victim.gradient(adversarial, y, ascended, *aims)
        gradient = _free(gradient.nan_to_num(0.0, 0.0, 0.0), adversarial)
        fooled = logits.argmax(dim=1) != y
        _, distance, images = nearer(x, state.distance, state.images, adversarial, fooled, norm)
        height = ascended(logits, y, *aims)
        slope = gradient.flatten(1).norm(p=_DUAL[norm], dim=1).clamp_min(1e-12)
        found = torch.isfinite(distance)
        # A little beyond where the slope puts it: a boundary that is met exactly is not crossed.
        reach = lengths(adversarial - x, norm) + (1.0 + gamma) * height.abs() / slope
        missed = torch.where(found, state.radius * (1.0 + gamma), reach)
        radius = torch.where(fooled, torch.minimum(state.radius * (1.0 - gamma), distance), missed)
        length = per_sample(lengths(gradient, "l2").clamp_min(1e-12), x)
        delta = (adversarial - x) + alpha * gradient / length
        delta = _onto_ball(delta, radius, norm)
        return _Search(x, y, aims, (x + delta).clamp(0.0, 1.0) - x, radius, distance, images)

    nearest = Nearest(x, norm)
    radius = x.new_full((len(x),), float("inf"))
    aims = () if target is None else (target,)
    state = _Search(x, y, aims, torch.zeros_like(x), radius, nearest.distance, nearest.images)
    kind = ("fmn", norm, count, first_alpha, first_gamma)
    state = carry_out(victim, step, state, range(count), kind)
    # Copies: the memory of steps that were recorded is used again.
    nearest.distance, nearest.images = state.distance.clone(), state.images.clone()
    adversarial = (x + state.delta).clamp(0.0, 1.0)
    nearest.see(adversarial, victim.logits(adversarial).argmax(dim=1) != y)
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
