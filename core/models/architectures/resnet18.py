"""ResNet-18 in its CIFAR form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from core.models.architectures.entry import Architecture, normalise, wide, width
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import nn


def build(
    shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module], options: Mapping[str, Any]
) -> nn.Module:
    """A 3×3 stem without pooling, four stages of basic blocks (64, 128, 256, 512 channels), global average pooling."""
    from torch import nn

    from core.models.architectures.residual import BasicBlock

    channels = wide(64, options["width"])
    layers: list[nn.Module] = [
        nn.Conv2d(shape[0], channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        activation(),
    ]
    for stage, size in enumerate((64, 128, 256, 512)):
        outputs = wide(size, options["width"])
        for block in range(options["blocks"]):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(BasicBlock(channels, outputs, stride, activation))
            channels = outputs
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    return nn.Sequential(*layers)


ENTRY = Architecture(
    "resnet18",
    "residual net in its CIFAR form: 3×3 stem, no pooling before the stages; always batch-normalised",
    "He et al. 2015, section 4.2",
    build,
    smallest=4,
    parameters=(
        width(),
        Parameter("blocks", "int", 2, "blocks per stage (depth = 8 · blocks + 2)", low=1, high=32),
        normalise(default=True),
    ),
)
