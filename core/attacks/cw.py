"""The attack of Carlini and Wagner in ℓ2: the nearest confident mistake, by descent on a weighted sum."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.engine.attack import Attack, kind_of, steps
from core.engine.geometry import per_sample
from core.records.attack import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.recorded import Number
    from core.engine.victim import Victim

_BETA1, _BETA2, _TINY = 0.9, 0.999, 1e-8
"""Adam's, as the authors use it."""
_USUAL = (0.002, 200.0)
"""Spreads of the clean logits for which c is searched well from where the option says. Of 60 images on a relu net the median
distance is 0.81 with its logits (which spread over 12) times 0.0001 to 100, 1.12 with them times 10,000, and none is found with
them times 0.000001; with saturated sigmoids 0.71 to 0.75 from 0.01 to 3 times, 0.87 at 100, 1.5 at 10,000, 1.17 at 0.0001."""
_PROGRESS = 0.9999
"""A search for δ ends for a sample whose objective has not fallen below this share of its value a tenth of the steps ago."""


@dataclass(frozen=True)
class _Descent:
    """Adam's `mean` and `square` of the slopes at `delta`; `reference` is the objective at the last tenth of the steps, after
    which a row is still `going` or not; `images` are the nearest mistakes so far, at `distance`."""

    x: Tensor
    y: Tensor
    c: Tensor
    delta: Tensor
    mean: Tensor
    square: Tensor
    reference: Tensor
    going: Tensor
    fooled_once: Tensor
    distance: Tensor
    images: Tensor


def cw(victim: Victim, x: Tensor, y: Tensor, samples: Tensor, attack: AttackSpec) -> Tensor:  # noqa: ARG001
    """min ‖δ‖₂² + c·max(z_y − max_{i≠y} z_i, −κ) with x + δ in [0, 1], by Adam, and c searched for each sample by itself:
    times ten until it fools, then by bisection (Carlini, Wagner 2017, sections V and VI).

    Where the victim evens logits that are not usual, so is the first c: six of them reach only so far.
    The box is kept by projection, not by the change of variables x = (tanh w + 1)/2: its slope is 0 at pixels that are
    exactly black or white, which most of MNIST's are. The margin counts as it is, also where all logits are negative,
    and a sample stops by itself. Adam's step falls along a cosine: a constant one never comes to rest on the boundary.
    """
    import torch

    from core.engine.buckets import first, whole_buckets
    from core.engine.distances import Nearest, nearer
    from core.engine.losses import margin
    from core.engine.recorded import Table, at, chosen
    from core.engine.repeating import carry_out

    params, count = attack.params, attack.params["steps"]
    tenth = max(1, count // 10)
    numbers = range(count + 1)
    firsts, seconds = (Table([1 - beta**number for number in numbers]) for beta in (_BETA1, _BETA2))
    rates = Table([params["lr"] * (0.01 + 0.99 * (1.0 + math.cos(math.pi * n / count)) / 2.0) for n in numbers])

    def step(state: _Descent, number: Number) -> _Descent:
        x, y, c, delta = state.x, state.y, state.c, state.delta
        adversarial = x + delta
        gradient, logits = victim.gradient(adversarial, y, margin)
        height = margin(logits, y)
        fooled = (logits.argmax(dim=1) != y) & (height >= params["confidence"]) & state.going
        _, distance, images = nearer(x, state.distance, state.images, adversarial, fooled, "l2")
        hinge = (params["confidence"] - height).clamp_min(0.0)
        objective = delta.flatten(1).square().sum(dim=1) + c * hinge
        pull = per_sample(c * (hinge > 0), delta)
        gradient = 2.0 * delta - pull * gradient.nan_to_num(0.0, 0.0, 0.0)
        mean = _BETA1 * state.mean + (1 - _BETA1) * gradient
        square = _BETA2 * state.square + (1 - _BETA2) * gradient.square()
        moved = mean / firsts[number] / ((square / seconds[number]).sqrt() + _TINY)
        after = replace(
            state,
            delta=(x + delta - rates[number] * moved).clamp(0.0, 1.0) - x,
            mean=mean,
            square=square,
            fooled_once=state.fooled_once | fooled,
            distance=distance,
            images=images,
        )

        def looked_at() -> _Descent:
            going = after.going & (objective < _PROGRESS * after.reference)
            return replace(after, going=going, reference=objective)

        return chosen(number % tenth == 0, looked_at, after)

    nearest = Nearest(x, "l2")
    c = x.new_full((len(x),), params["c"])
    for factor in victim.factors(x, _USUAL):
        c = c * factor
    low, high = torch.zeros_like(c), torch.full_like(c, float("inf"))
    recorded = victim.recordings(x.device) is not None
    for _ in range(params["search_steps"]):
        places, none = torch.arange(len(x), device=x.device), torch.zeros_like(x)
        all_rows = torch.ones_like(c, dtype=torch.bool)
        fooled_once = ~all_rows
        state = _Descent(
            x, y, c, none, none, none, torch.full_like(c, float("inf")), all_rows, fooled_once, nearest.distance, nearest.images
        )  # fmt: skip
        for begun in range(1, count + 1, tenth):
            state = carry_out(victim, step, state, range(begun, min(begun + tenth, count + 1)), kind_of(attack))
            (left,) = victim.look(state.going.sum())
            if left == 0:
                break
            if recorded:
                keep = first(state.going, left) if left <= len(places) // 2 else None
            else:
                keep = whole_buckets(state.going, left)
            if keep is not None:
                fooled_once = fooled_once.index_copy(0, places, state.fooled_once)
                nearest.keep(places, state.distance, state.images)
                places, state = places[keep], at(keep, state)
        fooled_once = fooled_once.index_copy(0, places, state.fooled_once)
        nearest.keep(places, state.distance, state.images)
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
