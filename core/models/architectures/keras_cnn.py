"""The small CNN of Keras's CIFAR-10 tutorial, which the paper's CIFAR-10 script uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from core.models.architectures.entry import Architecture, activated, batch_norm, dropout, norm, normalise, wide, width

if TYPE_CHECKING:
    from torch import nn


def build(
    shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module], options: Mapping[str, Any]
) -> nn.Module:
    """Conv 32, pool, conv 64, pool, conv 64 (3×3, no padding), dense 64, dense logits."""
    from torch import nn

    channels, height, breadth = shape
    layers: list[nn.Module] = []
    for stage, size in enumerate((32, 64, 64)):
        outputs = wide(size, options["width"])
        layers.append(nn.Conv2d(channels, outputs, 3))
        layers += activated(options, "after", activation, partial(nn.BatchNorm2d, outputs))
        channels, height, breadth = outputs, height - 2, breadth - 2
        if stage < 2:
            layers.append(nn.MaxPool2d(2))
            height, breadth = height // 2, breadth // 2
    dense = wide(64, options["width"])
    layers += [
        nn.Dropout(options["dropout"]),
        nn.Flatten(),
        nn.Linear(channels * height * breadth, dense),
        activation(),
    ]
    layers.append(nn.Linear(dense, classes))
    return nn.Sequential(*layers)


ENTRY = Architecture(
    "keras-cnn",
    "Keras's CIFAR-10 tutorial net: 32-64-64 convolutions, dense 64",
    "the paper's CIFAR-10 script",
    build,
    smallest=18,
    parameters=(width(), batch_norm(default=False), norm(), dropout(0.0), normalise(default=False)),
)
