"""A multilayer perceptron."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from core.models.architectures.entry import Architecture, activated, batch_norm, dropout, norm, normalise
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import nn


def build(
    shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module], options: Mapping[str, Any]
) -> nn.Module:
    """Dense layers of the widths in `hidden`, then dense logits."""
    from torch import nn

    inputs = math.prod(shape)
    layers: list[nn.Module] = [nn.Flatten()]
    for outputs in options["hidden"]:
        layers.append(nn.Linear(inputs, outputs))
        layers += activated(options, "after", activation, partial(nn.BatchNorm1d, outputs))
        layers.append(nn.Dropout(options["dropout"]))
        inputs = outputs
    layers.append(nn.Linear(inputs, classes))
    return nn.Sequential(*layers)


ENTRY = Architecture(
    "mlp",
    "dense layers only",
    "Rumelhart et al. 1986",
    build,
    smallest=1,
    parameters=(
        Parameter("hidden", "ints", [256, 256], "width of each hidden layer", low=1, high=65_536),
        batch_norm(default=False),
        norm(),
        dropout(0.0),
        normalise(default=True),
    ),
)
