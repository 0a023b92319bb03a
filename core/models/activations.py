"""Activations: the paper's five and the rest of torch.nn's elementwise ones. To add one: an entry here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.records.choice import Choice
from core.registry import Parameter, Registry

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Activation:
    """`module` is the class in torch.nn, whose keyword arguments `parameters` are."""

    name: str
    summary: str
    source: str
    module: str
    parameters: tuple[Parameter, ...] = ()


def _real(name: str, default: float, summary: str, low: float | None = None) -> Parameter:
    return Parameter(name, "float", default, summary, low=low)


# Not here: rrelu (random in training, so no elementwise function), glu and softmax (not elementwise), threshold (a
# hard relu with two free constants), multi-head attention (no activation but in torch.nn's listing).
ACTIVATIONS: Registry[Activation] = Registry(
    "activation",
    (
        Activation("relu", "max(0, x)", "Nair, Hinton 2010", "ReLU"),
        Activation("sigmoid", "1 / (1 + exp(-x))", "the logistic function", "Sigmoid"),
        Activation("silu", "x · sigmoid(x), also called swish", "Ramachandran et al. 2017", "SiLU"),
        Activation("tanh", "hyperbolic tangent", "LeCun et al. 1998", "Tanh"),
        Activation(
            "elu", "x, or α(exp(x) - 1) below 0", "Clevert et al. 2015", "ELU", (_real("alpha", 1.0, "α", low=0.0),)
        ),
        Activation(
            "leaky_relu",
            "x, or slope · x below 0",
            "Maas et al. 2013",
            "LeakyReLU",
            (_real("negative_slope", 0.01, "slope below 0"),),
        ),
        Activation("relu6", "min(max(0, x), 6)", "Krizhevsky 2010", "ReLU6"),
        Activation(
            "prelu",
            "x, or a learnt slope · x below 0",
            "He et al. 2015",
            "PReLU",
            (_real("init", 0.25, "slope at the start"),),
        ),
        Activation("gelu", "x · Φ(x)", "Hendrycks, Gimpel 2016", "GELU"),
        Activation("selu", "self-normalising elu", "Klambauer et al. 2017", "SELU"),
        Activation(
            "celu", "continuously differentiable elu", "Barron 2017", "CELU", (_real("alpha", 1.0, "α", low=1e-6),)
        ),
        Activation(
            "softplus",
            "log(1 + exp(βx)) / β",
            "Dugas et al. 2001",
            "Softplus",
            (_real("beta", 1.0, "β; the larger, the closer to relu", low=1e-6),),
        ),
        Activation("softsign", "x / (1 + |x|)", "Bergstra et al. 2009", "Softsign"),
        Activation("mish", "x · tanh(softplus(x))", "Misra 2019", "Mish"),
        Activation(
            "hardtanh",
            "x cut to [min_val, max_val]",
            "Collobert 2004",
            "Hardtanh",
            (_real("min_val", -1.0, "lower bound"), _real("max_val", 1.0, "upper bound")),
        ),
        Activation("hardswish", "piecewise silu", "Howard et al. 2019", "Hardswish"),
        Activation("hardsigmoid", "piecewise sigmoid", "Courbariaux et al. 2015", "Hardsigmoid"),
        Activation("logsigmoid", "log(sigmoid(x))", "torch.nn", "LogSigmoid"),
        Activation("tanhshrink", "x - tanh(x)", "torch.nn", "Tanhshrink"),
        Activation(
            "softshrink",
            "x moved towards 0 by λ",
            "Donoho 1995",
            "Softshrink",
            (_real("lambd", 0.5, "λ", low=0.0),),
        ),
        Activation(
            "hardshrink",
            "x, or 0 where |x| ≤ λ",
            "Donoho, Johnstone 1994",
            "Hardshrink",
            (_real("lambd", 0.5, "λ", low=0.0),),
        ),
    ),
)

_RANGES: dict[str, tuple[float, float]] = {
    "relu": (0.0, math.inf),
    "sigmoid": (0.0, 1.0),
    "silu": (-0.2785, math.inf),
    "tanh": (-1.0, 1.0),
    "relu6": (0.0, 6.0),
    "gelu": (-0.17, math.inf),
    "selu": (-1.7581, math.inf),
    "softplus": (0.0, math.inf),
    "softsign": (-1.0, 1.0),
    "mish": (-0.3089, math.inf),
    "hardswish": (-0.375, math.inf),
    "hardsigmoid": (0.0, 1.0),
    "logsigmoid": (-math.inf, 0.0),
}


def output_range(choice: Choice) -> tuple[float, float]:
    """The least and the largest value that the activation gives, infinite where there is none."""
    options = choice.options
    if choice.name in ("elu", "celu"):
        return -float(options["alpha"]), math.inf
    if choice.name == "hardtanh":
        return float(options["min_val"]), float(options["max_val"])
    return _RANGES.get(choice.name, (-math.inf, math.inf))


def factory(choice: Choice) -> Callable[[], nn.Module]:
    """Makes a fresh module at each call: some activations hold a weight of their own."""
    from torch import nn

    module: type[nn.Module] = getattr(nn, ACTIVATIONS[choice.name].module)
    options = dict(choice.options)
    return lambda: module(**options)
