"""Keras 3's update rules where torch.optim has another one. Imports torch: for children only.

Written from the formulas of keras.optimizers (3.15). Where torch's formula is Keras's there is no rule here: Adadelta, SGD
without momentum, and Nadam, which is torch's NAdam with `momentum_decay = 1`.

g is the gradient, w a weight, t counts the steps from 1. All state has the type and the device of its weight, and follows
both when it is loaded.

Not Keras's: a weight decay is what torch's optimizer of that name makes of it, an ℓ2 penalty added to the gradient. AdamW
and Adafactor decay apart from the gradient, w −= lr · decay · w before the step; there the two agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from core.training.rule import Rule, missing


class KerasRule(Rule):
    """A rule that counts the steps of a group as a whole."""

    def _t(self, group: Mapping[str, Any]) -> Tensor:
        """The number of the step in hand; to be asked once a step. Kept with the group's first weight."""
        first = group["params"][0]
        if "t" not in self.state[first]:
            self.state[first]["t"] = torch.zeros((), dtype=first.dtype, device=first.device)
        t: Tensor = self.state[first]["t"]
        return t.add_(1)


class Adam(KerasRule):
    """keras.optimizers.Adam; its ε is added before the bias correction ("ε hat" of Kingma, Ba 2014, section 2).

    m += (1 − β₁)(g − m);  v += (1 − β₂)(g² − v);  v̂ = v, with amsgrad the largest v so far
    w −= lr · √(1 − β₂ᵗ) / (1 − β₁ᵗ) · m / (√v̂ + ε)
    """

    def _update(self, group: Mapping[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        t, beta1, beta2 = self._t(group), group["beta1"], group["beta2"]
        m, v = self.kept(weights, "m"), self.kept(weights, "v")
        torch._foreach_lerp_(m, gradients, 1 - beta1)
        torch._foreach_mul_(v, beta2)
        torch._foreach_addcmul_(v, gradients, gradients, 1 - beta2)
        if group["amsgrad"]:
            largest = self.kept(weights, "largest")
            torch._foreach_maximum_(largest, v)
            v = largest
        below = torch._foreach_sqrt(v)
        torch._foreach_add_(below, group["eps"])
        change = torch._foreach_div(m, below)
        torch._foreach_mul_(change, group["lr"] * missing(beta2, t).sqrt() / missing(beta1, t))
        torch._foreach_sub_(weights, change)


class AdamW(Adam):
    """keras.optimizers.AdamW: w −= lr · decay · w, then Adam's step."""

    decay = "decoupled"


class Adamax(KerasRule):
    """keras.optimizers.Adamax; torch has its ε inside the maximum, where it decays with u.

    m += (1 − β₁)(g − m);  u = max(β₂ u, |g|);  w −= lr / (1 − β₁ᵗ) · m / (u + ε)
    """

    def _update(self, group: Mapping[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        t, beta1 = self._t(group), group["beta1"]
        m, u = self.kept(weights, "m"), self.kept(weights, "u")
        torch._foreach_lerp_(m, gradients, 1 - beta1)
        torch._foreach_mul_(u, group["beta2"])
        torch._foreach_maximum_(u, torch._foreach_abs(gradients))
        change = torch._foreach_div(m, torch._foreach_add(u, group["eps"]))
        torch._foreach_mul_(change, group["lr"] / missing(beta1, t))
        torch._foreach_sub_(weights, change)


class RMSprop(KerasRule):
    """keras.optimizers.RMSprop; its ε is under the root, its ρ is `alpha` here.

    v = ρ v + (1 − ρ) g²;  centered: a = ρ a + (1 − ρ) g, else a = 0;  s = lr · g / √(v − a² + ε)
    w −= s, or with momentum μ: b = μ b + s;  w −= b

    v − a² is a variance, so at least 0; where rounding makes it less it is set to 0 (Keras's root would give NaN).
    """

    def _update(self, group: Mapping[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        rho, v = group["alpha"], self.kept(weights, "v")
        torch._foreach_mul_(v, rho)
        torch._foreach_addcmul_(v, gradients, gradients, 1 - rho)
        if group["centered"]:
            a = self.kept(weights, "a")
            torch._foreach_lerp_(a, gradients, 1 - rho)
            v = list(torch._foreach_addcmul(v, a, a, -1))
            torch._foreach_clamp_min_(v, 0.0)
        below = torch._foreach_add(v, group["eps"])
        torch._foreach_sqrt_(below)
        change = list(torch._foreach_div(gradients, below))
        torch._foreach_mul_(change, group["lr"])
        if group["momentum"]:
            b = self.kept(weights, "b")
            torch._foreach_mul_(b, group["momentum"])
            torch._foreach_add_(b, change)
            change = b
        torch._foreach_sub_(weights, change)


class Adagrad(KerasRule):
    """keras.optimizers.Adagrad; its ε is under the root.

    s += g², from `initial_accumulator_value`;  w −= lr · g / √(s + ε)
    """

    def _update(self, group: Mapping[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        s = self.kept(weights, "s", group["initial_accumulator_value"])
        torch._foreach_addcmul_(s, gradients, gradients, 1)
        below = torch._foreach_add(s, group["eps"])
        torch._foreach_sqrt_(below)
        change = torch._foreach_div(gradients, below)
        torch._foreach_mul_(change, group["lr"])
        torch._foreach_sub_(weights, change)


class SGD(KerasRule):
    """keras.optimizers.SGD with momentum μ; the learning rate is inside what is remembered, in torch outside. The two
    agree while the learning rate stays the same.

    v = μ v − lr · g;  w += v, with nesterov: w += μ v − lr · g
    """

    def _update(self, group: Mapping[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        v, change = self.kept(weights, "v"), torch._foreach_mul(gradients, group["lr"])
        torch._foreach_mul_(v, group["momentum"])
        torch._foreach_sub_(v, change)
        if group["nesterov"]:
            torch._foreach_add_(weights, v, alpha=group["momentum"])
            torch._foreach_sub_(weights, change)
        else:
            torch._foreach_add_(weights, v)


class Adafactor(KerasRule):
    """keras.optimizers.Adafactor with its `relative_step`; `beta2_decay` is its beta_2_decay, `d` its clip_threshold.

    ρ = min(lr, 1/√t);  α = max(1e-3, rms(w)) · ρ;  β = 1 − t^beta2_decay;  q = g² + 1e-30
    vectors: v = β v + (1 − β) q;  u = g / √v
    others: r = β r + (1 − β) mean of q over outputs;  c = β c + (1 − β) mean of q over inputs;  u = g / √(r c / mean(r))
    w −= α · u / max(1, rms(u) / d)

    Keras takes the means over a kernel's last two axes, (height, width, in, out); here those are the first two, (out, in,
    height, width). √(r c / mean(r)) is taken factor by factor: a weight of an input and an output that both had no
    gradient yet has r c = 1e-60, which float32 rounds to 0, and Keras's 0 / √0 is NaN.
    """

    decay = "decoupled"

    def _update(self, group: Mapping[str, Any], weights: list[Tensor], gradients: list[Tensor]) -> None:
        t = self._t(group)
        rate, fresh = t.rsqrt().clamp(max=group["lr"]), t ** group["beta2_decay"]
        for weight, g in zip(weights, gradients, strict=True):
            alpha, q = _rms(weight).clamp(min=1e-3) * rate, g.square() + 1e-30
            if weight.dim() < 2:
                u = g * self._average(weight, "v", q, fresh).rsqrt()
            else:
                r = self._average(weight, "r", q.mean(0, keepdim=True), fresh)
                c = self._average(weight, "c", q.mean(1, keepdim=True), fresh)
                u = g * r.rsqrt() * c.rsqrt() * r.mean(1, keepdim=True).sqrt()
            weight.sub_(alpha * u / (_rms(u) / group["d"]).clamp(min=1.0))

    def _average(self, weight: Tensor, name: str, value: Tensor, fresh: Tensor) -> Tensor:
        if name not in self.state[weight]:
            self.state[weight][name] = torch.zeros_like(value)
        average: Tensor = self.state[weight][name]
        return average.lerp_(value, fresh)


def _rms(x: Tensor) -> Tensor:
    return x.square().mean().sqrt()


RULES: Mapping[str, type[KerasRule]] = {
    "adam": Adam,
    "adagrad": Adagrad,
    "adamax": Adamax,
    "rmsprop": RMSprop,
    "sgd": SGD,
    "adamw": AdamW,
    "adafactor": Adafactor,
}
