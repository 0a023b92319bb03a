"""LeNet-5."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from core.models.architectures.entry import Architecture, activated, batch_norm, dropout, norm, normalise, wide, width
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import nn


def build(
    shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module], options: Mapping[str, Any]
) -> nn.Module:
    """Conv 6@5×5, pool, conv 16@5×5, pool, dense 120, dense 84, dense logits.

    LeNet saw 28×28 digits in a 32×32 frame: images under 32 pixels are framed by two zeros on each side.
    """
    from torch import nn

    channels, height, breadth = shape
    first, second, dense, last = (wide(size, options["width"]) for size in (6, 16, 120, 84))
    frame = 2 if min(height, breadth) < 32 else 0
    pool = nn.AvgPool2d if options["pooling"] == "average" else nn.MaxPool2d
    layers: list[nn.Module] = []
    for outputs, padding in ((first, frame), (second, 0)):
        layers.append(nn.Conv2d(channels, outputs, 5, padding=padding))
        layers += activated(options, "after", activation, partial(nn.BatchNorm2d, outputs))
        layers.append(pool(2))
        channels, height, breadth = outputs, (height + 2 * padding - 4) // 2, (breadth + 2 * padding - 4) // 2
    layers += [
        nn.Flatten(),
        nn.Linear(channels * height * breadth, dense),
        activation(),
        nn.Dropout(options["dropout"]),
    ]
    layers += [nn.Linear(dense, last), activation(), nn.Linear(last, classes)]
    return nn.Sequential(*layers)


ENTRY = Architecture(
    "lenet5",
    "two small convolutions and three dense layers",
    "LeCun et al. 1998",
    build,
    smallest=12,
    parameters=(
        width(),
        Parameter("pooling", "str", "average", "how images are halved", choices=("average", "max")),
        batch_norm(default=False),
        norm(),
        dropout(0.0),
        normalise(default=True),
    ),
)
