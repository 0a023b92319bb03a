"""The attack of Carlini and Wagner in ℓ2: the nearest confident mistake, by descent on a weighted sum."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from core.engine.attack import Attack, steps
from core.engine.geometry import per_sample
from core.records import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.victim import Victim

_BETA1, _BETA2, _TINY = 0.9, 0.999, 1e-8
"""Adam's, as the authors use it."""
_USUAL = (0.002, 200.0)
"""Spreads of the clean logits for which c is searched well from where the option says. Of 60 images on a relu net the median
distance is 0.81 with its logits (which spread over 12) times 0.0001 to 100, 1.12 with them times 10,000, and none is found with
them times 0.000001; with saturated sigmoids 0.71 to 0.75 from 0.01 to 3 times, 0.87 at 100, 1.5 at 10,000, 1.17 at 0.0001."""
_PROGRESS = 0.9999
"""A search for δ ends for a sample whose objective has not fallen below this share of its value a tenth of the steps ago."""


def cw(victim: Victim, x: Tensor, y: Tensor, samples: Tensor, attack: AttackSpec) -> Tensor:  # noqa: ARG001
    """min ‖δ‖₂² + c·max(z_y − max_{i≠y} z_i, −κ) with x + δ in [0, 1], by Adam, and c searched for each sample by itself:
    times ten until it fools, then by bisection (Carlini, Wagner 2017, sections V and VI).

    Where the victim evens logits that are not usual, so is the first c: six of them reach only so far.
    The box is kept by projection, not by the change of variables x = (tanh w + 1)/2: its slope is 0 at pixels that are
    exactly black or white, which most of MNIST's are. The margin counts as it is, also where all logits are negative,
    and a sample stops by itself. Adam's step falls along a cosine: a constant one never comes to rest on the boundary.
    """
    import torch

    from core.engine.buckets import whole_buckets
    from core.engine.distances import Nearest
    from core.engine.losses import margin

    params, count = attack.params, attack.params["steps"]
    nearest = Nearest(x, "l2")
    c = x.new_full((len(x),), params["c"])
    for factor in victim.factors(x, _USUAL):
        c = c * factor
    low, high = torch.zeros_like(c), torch.full_like(c, float("inf"))
    for _ in range(params["search_steps"]):
        at = torch.arange(len(x), device=x.device)
        delta, first, second = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
        fooled_once = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        reference, going = torch.full_like(c, float("inf")), torch.ones_like(fooled_once)
        for step in range(1, count + 1):
            adversarial = x[at] + delta
            gradient, logits = victim.gradient(adversarial, y[at], margin)
            height = margin(logits, y[at])
            fooled = (logits.argmax(dim=1) != y[at]) & (height >= params["confidence"]) & going
            fooled_once[at] |= fooled
            nearest.see(adversarial, fooled, at)
            hinge = (params["confidence"] - height).clamp_min(0.0)
            objective = delta.flatten(1).square().sum(dim=1) + c[at] * hinge
            pull = per_sample(c[at] * (hinge > 0), delta)
            gradient = 2.0 * delta - pull * gradient.nan_to_num(0.0, 0.0, 0.0)
            first = _BETA1 * first + (1 - _BETA1) * gradient
            second = _BETA2 * second + (1 - _BETA2) * gradient.square()
            moved = first / (1 - _BETA1**step) / ((second / (1 - _BETA2**step)).sqrt() + _TINY)
            rate = params["lr"] * (0.01 + 0.99 * (1.0 + math.cos(math.pi * step / count)) / 2.0)
            delta = (x[at] + delta - rate * moved).clamp(0.0, 1.0) - x[at]
            if step % max(1, count // 10) == 0:
                going = going & (objective < _PROGRESS * reference[at])
                reference[at] = objective
                left = int(going.sum())
                if left == 0:
                    break
                keep = whole_buckets(going, left)
                if keep is not None:
                    at, delta, first, second, going = at[keep], delta[keep], first[keep], second[keep], going[keep]
        high = torch.where(fooled_once, torch.minimum(high, c), high)
        low = torch.where(fooled_once, low, torch.maximum(low, c))
        c = torch.where(torch.isfinite(high), (low + high) / 2.0, c * 10.0)
    return nearest.images


ENTRY = Attack(
    "cw",
    "descent on distance and margin, their balance searched for each sample",
    "Carlini, Wagner 2017",
    (
        steps(200, "steps of Adam for each c, at most"),
        Parameter("search_steps", "int", 6, "values of c tried for each sample", low=1),
        Parameter("c", "float", 1.0, "first weight of the margin", low=0.0, open_low=True),
        Parameter("lr", "float", 0.01, "Adam's step", low=0.0, open_low=True, unit="pixels in [0, 1]"),
        Parameter("confidence", "float", 0.0, "κ: margin that a mistake must have", low=0.0, unit="logits"),
    ),
    norms=("l2",),
    minimise=cw,
)
