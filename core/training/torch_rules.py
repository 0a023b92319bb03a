"""torch.optim's update rules in a form that a CUDA graph can capture. Imports torch: for children only.

Written from the formulas of torch.optim's documentation, with torch's names for what is remembered, so that a state passes
from one form to the other. torch's own `capturable` is not taken: SGD, Adagrad and Adafactor do not have it, the others launch
a kernel for every weight where a number meets a list of tensors, and a state that was saved without it turns it off.

g is the gradient, w a weight, t counts the steps from 1. Launches are what a step of a small net costs, so an operation takes
all weights of a group at once where there is one that can. What torch makes of numbers on the host, in float64, is made here
on the device, in float32 where that costs no more than a rounding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from core.training.rule import CountedRule, Group, Numbers, Rule, missing

Tensors = list[Tensor] | tuple[Tensor, ...]


class Adam(CountedRule):
    """torch.optim.Adam, in one kernel that takes its learning rate and the number of the step from the device."""

    decay = "own"
    fused: ClassVar[Any] = torch._fused_adam_

    def _move(self, group: Group, numbers: Numbers, weights: list[Tensor], gradients: list[Tensor]) -> None:
        type(self).fused(
            weights,
            gradients,
            self.kept(weights, "exp_avg"),
            self.kept(weights, "exp_avg_sq"),
            self.kept(weights, "max_exp_avg_sq") if group["amsgrad"] else [],
            [numbers["step"]] * len(weights),
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=group["amsgrad"],
            maximize=False,
        )


class AdamW(Adam):
    """torch.optim.AdamW: w −= lr · decay · w, then Adam's step."""

    fused = torch._fused_adamw_


class Adamax(CountedRule):
    """torch.optim.Adamax.

    m += (1 − β₁)(g − m);  u = max(β₂ u, |g| + ε);  w −= lr / (1 − β₁ᵗ) · m / u
    """

    def _move(self, group: Group, numbers: Numbers, weights: list[Tensor], gradients: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        m, u = self.kept(weights, "exp_avg"), self.kept(weights, "exp_inf")
        torch._foreach_lerp_(m, gradients, 1 - beta1)
        size = torch._foreach_abs(gradients)
        torch._foreach_add_(size, group["eps"])
        torch._foreach_mul_(u, beta2)
        torch._foreach_maximum_(u, size)
        _descend(weights, torch._foreach_div(m, u), group["lr"] / missing(beta1, numbers["step"]))


class NAdam(CountedRule):
    """torch.optim.NAdam.

    μₜ = β₁ (1 − 0.96^(t ψ) / 2);  m += (1 − β₁)(g − m);  v += (1 − β₂)(g² − v)
    w −= lr · ((1 − μₜ) / (1 − μ₁…μₜ) · g + μₜ₊₁ / (1 − μ₁…μₜ₊₁) · m) / (√(v / (1 − β₂ᵗ)) + ε)
    """

    numbers = ("step", "mu_product")

    def _begin(self, group: Group, device: torch.device) -> dict[str, Tensor]:
        return {**super()._begin(group, device), "mu_product": torch.ones((), dtype=torch.float32, device=device)}

    def _move(self, group: Group, numbers: Numbers, weights: list[Tensor], gradients: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        t, product, shrink = numbers["step"], numbers["mu_product"], group["momentum_decay"] * math.log(0.96)
        power = torch.exp(t * shrink)
        now, after = (torch.rsub(power, beta1, alpha=0.5 * beta1 * math.exp(ahead * shrink)) for ahead in (0, 1))
        product.mul_(now)
        m, v = _moments(self, group, weights, gradients)
        change = torch._foreach_mul(gradients, (1 - now) / (1 - product))
        torch._foreach_add_(change, torch._foreach_mul(m, after / (1 - product * after)))
        below = torch._foreach_sqrt(v)
        torch._foreach_mul_(below, missing(beta2, t).rsqrt())
        torch._foreach_add_(below, group["eps"])
        torch._foreach_div_(change, below)
        _descend(weights, change, group["lr"])


class RAdam(CountedRule):
    """torch.optim.RAdam.

    m += (1 − β₁)(g − m);  v += (1 − β₂)(g² − v);  ρ = 2 / (1 − β₂) − 1;  ρₜ = ρ − 2 t β₂ᵗ / (1 − β₂ᵗ)
    ρₜ > 5: w −= lr / (1 − β₁ᵗ) · m · √((ρₜ − 4)(ρₜ − 2) ρ / ((ρ − 4)(ρ − 2) ρₜ)) · √(1 − β₂ᵗ) / (√v + ε)
    else:   w −= lr / (1 − β₁ᵗ) · m

    (ρₜ − 4)(ρₜ − 2) / ρₜ is taken as ρₜ − 6 + 8 / ρₜ. ρₜ is a small difference of large numbers, and taken in float64.
    """

    def _move(self, group: Group, numbers: Numbers, weights: list[Tensor], gradients: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        m, v = _moments(self, group, weights, gradients)
        rate, longest = group["lr"] / missing(beta1, numbers["step"]), 2 / (1 - beta2) - 1
        if longest <= 5:
            _descend(weights, torch._foreach_mul(m, rate))
            return
        t = numbers["step"].double()
        power = torch.exp(t * math.log(beta2))
        full = 1 - power
        length = torch.rsub(t * power / full, longest, alpha=2)
        known = length.clamp(min=5)
        root = ((known - 6 + 8 / known) * full * (longest / ((longest - 4) * (longest - 2)))).sqrt()
        # Both cases in one formula, where the flag is 1 or 0: m is divided by √v + ε, or by 1.
        flag = (length > 5).to(rate.dtype)
        other = 1 - flag
        below = torch._foreach_sqrt(v)
        torch._foreach_add_(below, group["eps"])
        torch._foreach_mul_(below, flag)
        # With `alpha`, for otherwise torch takes the tensor for a number, and looks at it.
        torch._foreach_add_(below, other, alpha=1)
        _descend(weights, torch._foreach_div(m, below), rate * (flag * root + other).to(rate.dtype))


class Adadelta(CountedRule):
    """torch.optim.Adadelta.

    v += (1 − ρ)(g² − v);  s = √(u + ε) / √(v + ε) · g;  u += (1 − ρ)(s² − u);  w −= lr · s
    """

    def _move(self, group: Group, numbers: Numbers, weights: list[Tensor], gradients: list[Tensor]) -> None:  # noqa: ARG002
        rho, v, u = group["rho"], self.kept(weights, "square_avg"), self.kept(weights, "acc_delta")
        _average_squares(v, gradients, rho)
        below, change = torch._foreach_add(v, group["eps"]), torch._foreach_add(u, group["eps"])
        torch._foreach_sqrt_(below)
        torch._foreach_sqrt_(change)
        torch._foreach_div_(change, below)
        torch._foreach_mul_(change, gradients)
        _average_squares(u, change, rho)
        _descend(weights, change, group["lr"])


class Adagrad(CountedRule):
    """torch.optim.Adagrad.

    s += g², from `initial_accumulator_value`;  w −= lr / (1 + (t − 1) lr_decay) · g / (√s + ε)

    torch's has a state from the start, also for weights that never have a gradient.
    """

    def __init__(self, parameters: Iterable[torch.nn.Parameter], **options: Any) -> None:
        super().__init__(parameters, **options)
        for group in self.param_groups:
            numbers = self._begin(group, group["params"][0].device)
            for weight in group["params"]:
                self.state[weight].update(numbers)
            self.kept(group["params"], "sum", group["initial_accumulator_value"])

    def _move(self, group: Group, numbers: Numbers, weights: list[Tensor], gradients: list[Tensor]) -> None:
        s = self.kept(weights, "sum", group["initial_accumulator_value"])
        torch._foreach_addcmul_(s, gradients, gradients, 1)
        below = torch._foreach_sqrt(s)
        torch._foreach_add_(below, group["eps"])
        rate = group["lr"]
        if group["lr_decay"]:
            rate = rate / (1 + (numbers["step"] - 1) * group["lr_decay"])
        _descend(weights, torch._foreach_div(gradients, below), rate)


class RMSprop(CountedRule):
    """torch.optim.RMSprop; its ρ is `alpha`.

    v += (1 − ρ)(g² − v);  centered: a += (1 − ρ)(g − a), else a = 0;  s = g / (√(v − a²) + ε)
    w −= lr · s, or with momentum μ: b = μ b + s;  w −= lr · b
    """

    def _move(self, group: Group, numbers: Numbers, weights: list[Tensor], gradients: list[Tensor]) -> None:  # noqa: ARG002
        rho, v = group["alpha"], self.kept(weights, "square_avg")
        _average_squares(v, gradients, rho)
        if group["centered"]:
            a = self.kept(weights, "grad_avg")
            torch._foreach_lerp_(a, gradients, 1 - rho)
            below = torch._foreach_addcmul(v, a, a, -1)
            torch._foreach_sqrt_(below)
        else:
            below = torch._foreach_sqrt(v)
        torch._foreach_add_(below, group["eps"])
        if group["momentum"]:
            b = self.kept(weights, "momentum_buffer")
            torch._foreach_mul_(b, group["momentum"])
            torch._foreach_addcdiv_(b, gradients, below, 1)
            _descend(weights, torch._foreach_mul(b, group["lr"]))
        else:
            _descend(weights, torch._foreach_div(gradients, below), group["lr"])


class SGD(Rule):
    """torch.optim.SGD, in one kernel that takes its learning rate from the device."""

    decay = "own"

    def _update(self, group: Group, weights: list[Tensor], gradients: list[Tensor]) -> None:
        if not group["momentum"]:
            self._fused(group, weights, gradients, [])
            return
        known = [self.state.get(weight, {}).get("momentum_buffer") is not None for weight in weights]
        for begun in (True, False):
            chosen = [weight for weight, has in zip(weights, known, strict=True) if has is begun]
            theirs = [gradient for gradient, has in zip(gradients, known, strict=True) if has is begun]
            if chosen:
                # What is remembered begins with the first gradient, to which no dampening is applied.
                self._fused(group, chosen, theirs, self.kept(chosen, "momentum_buffer"), first=not begun)

    def _fused(
        self,
        group: Group,
        weights: list[Tensor],
        gradients: list[Tensor],
        remembered: list[Tensor],
        first: bool = False,
    ) -> None:
        torch._fused_sgd_(
            weights,
            gradients,
            remembered,
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=False,
            is_first_step=first,
        )


class ASGD(CountedRule):
    """torch.optim.ASGD; what a step makes of η and μ holds from the next one on, and ax moves no weight.

    w = (1 − λ η) w − η g;  ax += μ (w − ax);  η = lr / (1 + λ lr t)^α;  μ = 1 / max(1, t − t₀)
    """

    numbers = ("step", "eta", "mu")

    def _begin(self, group: Group, device: torch.device) -> dict[str, Tensor]:
        numbers = super()._begin(group, device)
        numbers["eta"].add_(group["lr"])
        numbers["mu"].add_(1)
        return numbers

    def _move(self, group: Group, numbers: Numbers, weights: list[Tensor], gradients: list[Tensor]) -> None:
        t, eta, mu, lr, lambd = (*(numbers[name] for name in self.numbers), group["lr"], group["lambd"])
        torch._foreach_mul_(weights, torch.rsub(eta, 1, alpha=lambd))
        _descend(weights, torch._foreach_mul(gradients, eta))
        # As w + (1 − μ)(ax − w), which is w where μ is 1.
        ax = self.kept(weights, "ax")
        torch._foreach_sub_(ax, weights)
        torch._foreach_mul_(ax, 1 - mu)
        torch._foreach_add_(ax, weights)
        eta.copy_(lr * (1 + lambd * lr * t) ** -group["alpha"])
        mu.copy_((t - group["t0"]).clamp(min=1).reciprocal())


class Rprop(CountedRule):
    """torch.optim.Rprop; steps s of each weight's elements begin at the learning rate, which counts no more afterwards.

    s = clamp(s · (η₊ where g · previous g > 0, η₋ where < 0, else 1));  g = 0 where it was < 0;  w −= sign(g) · s
    """

    decay = "own"

    def _move(self, group: Group, numbers: Numbers, weights: list[Tensor], gradients: list[Tensor]) -> None:  # noqa: ARG002
        (shrink, grow), (least, largest) = group["etas"], group["step_sizes"]
        before = self.kept(weights, "prev")
        for weight in weights:
            if "step_size" not in self.state[weight]:
                self.state[weight]["step_size"] = torch.zeros_like(weight).add_(group["lr"])
        sizes = self.kept(weights, "step_size")
        sign = torch._foreach_mul(gradients, before)
        torch._foreach_sign_(sign)
        # 1 − |sign| + η₊ max(sign, 0) − η₋ min(sign, 0), exact because all but one of them are 0.
        factor = torch._foreach_abs(sign)
        torch._foreach_neg_(factor)
        torch._foreach_add_(factor, 1)
        torch._foreach_add_(factor, torch._foreach_clamp_min(sign, 0), alpha=grow)
        torch._foreach_add_(factor, torch._foreach_clamp_max(sign, 0), alpha=-shrink)
        torch._foreach_mul_(sizes, factor)
        torch._foreach_clamp_min_(sizes, least)
        torch._foreach_clamp_max_(sizes, largest)
        # Not by a product: an infinite gradient turns to 0 here as well.
        nothing = weights[0].new_zeros(())
        gradients = [torch.where(way < 0, nothing, g) for way, g in zip(sign, gradients, strict=True)]
        torch._foreach_copy_(before, gradients)
        change = torch._foreach_sign(gradients)
        torch._foreach_mul_(change, sizes)
        _descend(weights, change)


class Adafactor(CountedRule):
    """torch.optim.Adafactor; with b = t^beta2_decay, ε₁ and ε₂ its two `eps` (None: the type's precision).

    ρ = min(lr, 1/√t);  α = max(ε₂, rms(w)) · ρ;  w −= lr · decay · w;  q = g²
    vectors: v += b (q − v)
    others: r += b (mean of q over the last axis − r);  c += b (mean over the last but one − c);  v = r c / max(mean(r), ε₁)
    u = g / √max(v, ε₁²);  w −= α · u / max(1, rms(u) / d)
    """

    decay = "own"

    def _move(self, group: Group, numbers: Numbers, weights: list[Tensor], gradients: list[Tensor]) -> None:
        t, lr, (least, smallest) = numbers["step"], group["lr"], group["eps"]
        least = torch.finfo(weights[0].dtype).eps if least is None else least
        roots = [weight.numel() ** 0.5 for weight in weights]
        rate, fresh = torch.minimum(t.rsqrt(), lr), t ** group["beta2_decay"]
        alpha = torch._foreach_norm(weights)
        torch._foreach_div_(alpha, roots)
        torch._foreach_clamp_min_(alpha, smallest)
        torch._foreach_mul_(alpha, rate)
        if group["weight_decay"]:
            torch._foreach_mul_(weights, 1 - lr * group["weight_decay"])
        below = self._second_moments(weights, torch._foreach_mul(gradients, gradients), fresh, least)
        torch._foreach_clamp_min_(below, least * least)
        torch._foreach_sqrt_(below)
        change = torch._foreach_div(gradients, below)
        excess = torch._foreach_norm(change)
        torch._foreach_div_(excess, [root * group["d"] for root in roots])
        torch._foreach_clamp_min_(excess, 1.0)
        torch._foreach_div_(alpha, excess)
        torch._foreach_mul_(change, alpha)
        _descend(weights, change)

    def _second_moments(self, weights: list[Tensor], squares: Tensors, fresh: Tensor, least: float) -> list[Tensor]:
        names: list[tuple[Tensor, str, Tensor]] = []
        for weight, square in zip(weights, squares, strict=True):
            if weight.dim() > 1:
                names.append((weight, "row_var", square.mean(-1, keepdim=True)))
                names.append((weight, "col_var", square.mean(-2, keepdim=True)))
            else:
                names.append((weight, "variance", square))
        for weight, name, value in names:
            if name not in self.state[weight]:
                self.state[weight][name] = torch.zeros_like(value)
        averages = [self.state[weight][name] for weight, name, _ in names]
        torch._foreach_mul_(averages, 1 - fresh)
        torch._foreach_add_(averages, torch._foreach_mul([value for _, _, value in names], fresh))
        return [self._second_moment(weight, least) for weight in weights]

    def _second_moment(self, weight: Tensor, least: float) -> Tensor:
        kept = self.state[weight]
        if weight.dim() < 2:
            variance: Tensor = kept["variance"]
            return variance.clone()
        # Not by a product of matrices, which TF32 would round.
        row: Tensor = kept["row_var"]
        column: Tensor = kept["col_var"]
        return row / row.mean(-2, keepdim=True).clamp(min=least) * column


def _moments(
    rule: CountedRule, group: Group, weights: list[Tensor], gradients: list[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """Running averages of gradients and of their squares, with this step's."""
    m, v = rule.kept(weights, "exp_avg"), rule.kept(weights, "exp_avg_sq")
    torch._foreach_lerp_(m, gradients, 1 - group["betas"][0])
    _average_squares(v, gradients, group["betas"][1])
    return m, v


def _average_squares(average: list[Tensor], values: Tensors, rho: float) -> None:
    torch._foreach_mul_(average, rho)
    torch._foreach_addcmul_(average, values, values, 1 - rho)


def _descend(weights: list[Tensor], change: Tensors, rate: Tensor | None = None) -> None:
    """w −= rate · change; `change` is spent."""
    if rate is not None:
        torch._foreach_mul_(change, rate)
    torch._foreach_sub_(weights, change)


RULES: Mapping[str, type[Rule]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "adamax": Adamax,
    "nadam": NAdam,
    "radam": RAdam,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adadelta": Adadelta,
    "asgd": ASGD,
    "rprop": Rprop,
    "adafactor": Adafactor,
}
