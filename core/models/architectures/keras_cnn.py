"""The small CNN of Keras's CIFAR-10 tutorial, which the paper's CIFAR-10 script uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from core.models.architectures.entry import Architecture, batch_norm, dropout, normalise, wide, width

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
        layers += [nn.Conv2d(channels, outputs, 3), activation()]
        channels, height, breadth = outputs, height - 2, breadth - 2
        if options["batch_norm"]:
            layers.append(nn.BatchNorm2d(channels))
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
    parameters=(width(), batch_norm(default=False), dropout(0.0), normalise(default=False)),
)
