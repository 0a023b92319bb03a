"""Update rules of our own, whose steps a CUDA graph can capture. Imports torch: for children only."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

Group = Mapping[str, Any]
Numbers = Mapping[str, Tensor]


class Rule(torch.optim.Optimizer):
    """A rule changes all weights of a group at once; the options of the registry's entry, or of torch's optimizer, are the
    group's.

    Every rule takes its learning rate anew at each step, as a number or as a 0-d tensor beside the weights, and never looks
    at a value on the device: a CUDA graph can capture a step once the first one has made the state. A group whose learning
    rate is a tensor keeps that very tensor when a state is loaded.
    """

    decay: ClassVar[str] = "penalty"
    """What a weight decay is: "penalty" adds decay · w to the gradient, "decoupled" is w −= lr · decay · w before the step,
    and "own" leaves it to the rule."""

    def __init__(self, parameters: Iterable[torch.nn.Parameter], **options: Any) -> None:
        super().__init__(parameters, options)

    def step(self, closure: Any = None) -> Any:
        loss = None if closure is None else closure()
        with torch.no_grad():
            for group in self.param_groups:
                weights = [weight for weight in group["params"] if weight.grad is not None]
                gradients = [weight.grad for weight in weights]
                if not weights:
                    continue
                if isinstance(group["lr"], Tensor):
                    gradients = [_laid_out_as(*pair) for pair in zip(weights, gradients, strict=True)]
                decay = 0.0 if self.decay == "own" else group["weight_decay"]
                if decay and self.decay == "decoupled":
                    torch._foreach_mul_(weights, 1 - group["lr"] * decay)
                elif decay:
                    gradients = list(torch._foreach_add(gradients, weights, alpha=decay))
                self._update(group, weights, gradients)
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, but a learning rate that is a tensor stays, and what was kept in another layout (a channels-last
        network resumes one that was not) takes that of its weight."""
        rates = [group["lr"] for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, rate in zip(self.param_groups, rates, strict=True):
            if isinstance(rate, Tensor):
                group["lr"] = rate
            for weight in group["params"]:
                kept = self.state.get(weight, {})
                for name, value in kept.items():
                    if isinstance(value, Tensor) and value.shape == weight.shape:
                        kept[name] = _laid_out_as(weight.detach(), value)

    @abstractmethod
    def _update(self, group: Group, weights: list[Tensor], gradients: list[Tensor]) -> None:
        """Change `weights` in place."""

    def kept(self, weights: Iterable[Tensor], name: str, start: float = 0.0) -> list[Tensor]:
        """What is remembered of each weight under `name`, `start` everywhere at first."""
        for weight in weights:
            if name not in self.state[weight]:
                self.state[weight][name] = torch.full_like(weight, start)
        return [self.state[weight][name] for weight in weights]


class CountedRule(Rule):
    """A rule with numbers that change with the steps that a weight has taken. torch keeps them with each weight; here the
    weights that have always stepped together share theirs, so that they are worked out once for all."""

    numbers: ClassVar[tuple[str, ...]] = ("step",)

    def state_dict(self) -> dict[str, Any]:
        """As torch's, each weight with numbers of its own: torch's optimizers count every weight's up by itself."""
        content = super().state_dict()
        content["state"] = {
            weight: {name: value.clone() if name in self.numbers else value for name, value in kept.items()}
            for weight, kept in content["state"].items()
        }
        return content

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        for group in self.param_groups:
            shared: dict[tuple[float, ...], dict[str, Tensor]] = {}
            for weight in group["params"]:
                kept = self.state.get(weight)
                if kept:
                    values = tuple(float(kept[name]) for name in self.numbers)
                    if values not in shared:
                        shared[values] = {
                            name: torch.full((), value, dtype=torch.float32, device=weight.device)
                            for name, value in zip(self.numbers, values, strict=True)
                        }
                    kept.update(shared[values])

    def _update(self, group: Group, weights: list[Tensor], gradients: list[Tensor]) -> None:
        for numbers, places in self._together(group, weights):
            numbers["step"].add_(1)
            self._move(group, numbers, [weights[place] for place in places], [gradients[place] for place in places])

    def _together(self, group: Group, weights: list[Tensor]) -> Iterator[tuple[dict[str, Tensor], list[int]]]:
        """The numbers of weights that step together, and these weights' places in `weights`."""
        alike: dict[int, list[int]] = {}
        for place, weight in enumerate(weights):
            alike.setdefault(id(self.state.get(weight, {}).get("step")), []).append(place)
        for places in alike.values():
            kept = self.state[weights[places[0]]]
            if "step" not in kept:
                numbers = self._begin(group, weights[places[0]].device)
            else:
                numbers = {name: kept[name] for name in self.numbers}
                sharing = sum(self.state.get(one, {}).get("step") is kept["step"] for one in group["params"])
                if sharing > len(places):  # some of them have no gradient this time, and fall behind
                    numbers = {name: value.clone() for name, value in numbers.items()}
            for place in places:
                self.state[weights[place]].update(numbers)
            yield numbers, places

    def _begin(self, group: Group, device: torch.device) -> dict[str, Tensor]:  # noqa: ARG002
        """The numbers of a weight that has taken no step."""
        return {name: torch.zeros((), dtype=torch.float32, device=device) for name in self.numbers}

    @abstractmethod
    def _move(self, group: Group, numbers: Numbers, weights: list[Tensor], gradients: list[Tensor]) -> None:
        """Change `weights`, which are all at step `numbers["step"]`, in place."""


def missing(beta: float, t: Tensor) -> Tensor:
    """1 − βᵗ, what a running average that began at 0 has of its full weight; exact in float32 also where βᵗ is near 1."""
    return -torch.expm1(t * (math.log(beta) if beta else -math.inf))


def _laid_out_as(weight: Tensor, value: Tensor) -> Tensor:
    """`value` in the memory layout of `weight`: else fused kernels refuse the two, and foreach operations launch a kernel
    for every weight. Gradients of 1×1 convolutions differ in the strides of the axes that have one element."""
    return value if value.stride() == weight.stride() else torch.empty_like(weight).copy_(value)
