"""The small Inception of Zhang et al.: GoogLeNet's idea for images of 28 to 32 pixels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from core.models.architectures.entry import Architecture, activated, batch_norm, dropout, norm, normalise, wide, width

if TYPE_CHECKING:
    from torch import nn

_STAGES = (((32, 32), (32, 48)), ((112, 48), (96, 64), (80, 80), (48, 96)), ((176, 160), (176, 160)))
"""(1×1 channels, 3×3 channels) of the inception modules, stage by stage."""
_HALVING = (80, 96)
"""3×3 channels of stride 2, beside a max pool, between two stages."""


def build(
    shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module], options: Mapping[str, Any]
) -> nn.Module:
    """Conv 96@3×3, three stages of inception modules that are halved in between, global average pooling, dense logits.

    The paper's images have 28×28 pixels and end in 7×7, over which it takes the mean; here the mean is over whatever is left.
    """
    from torch import nn

    from core.models.architectures.branches import Branches

    def convolved(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2),
            *activated(options, "before", activation, partial(nn.BatchNorm2d, outputs)),
        )

    channels = wide(96, options["width"])
    layers: list[nn.Module] = [convolved(shape[0], channels, 3)]
    for stage, modules in enumerate(_STAGES):
        if stage > 0:
            halved = wide(_HALVING[stage - 1], options["width"])
            layers.append(Branches(convolved(channels, halved, 3, stride=2), nn.MaxPool2d(3, 2, padding=1)))
            channels += halved
        for sizes in modules:
            one, three = (wide(size, options["width"]) for size in sizes)
            layers.append(Branches(convolved(channels, one, 1), convolved(channels, three, 3)))
            channels = one + three
    layers += [
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(options["dropout"]),
        nn.Linear(channels, classes),
    ]
    return nn.Sequential(*layers)


ENTRY = Architecture(
    "inception",
    "small Inception: 1×1 and 3×3 convolutions side by side, 1.6 million weights",
    "Szegedy et al. 2014; in the form of Zhang et al. 2017, appendix A",
    build,
    smallest=4,
    parameters=(width(), batch_norm(default=True), norm("before"), dropout(0.0), normalise(default=True)),
)
