"""SimpleNet: thirteen plain convolutions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from core.models.architectures.entry import Architecture, activated, batch_norm, dropout, norm, normalise, wide, width
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import nn

_POOL = (0, 0)
_LAYERS = (
    *((64, 3), (128, 3), (128, 3), (128, 3), _POOL),
    *((128, 3), (128, 3), (256, 3), _POOL),
    *((256, 3), (256, 3), _POOL),
    *((512, 3), _POOL),
    *((2048, 1), (256, 1), _POOL),
    (256, 3),
)
"""(channels, kernel) of each convolution, and where the image is halved (section 4 of the paper, CIFAR-10 column)."""


def build(
    shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module], options: Mapping[str, Any]
) -> nn.Module:
    """The thirteen convolutions, global max pooling, dense logits; on small images the last halvings fall away."""
    from torch import nn

    channels, side = shape[0], min(shape[1:])
    layers: list[nn.Module] = []
    for size, kernel in _LAYERS:
        if (size, kernel) == _POOL:
            if side >= 2:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            layers.append(nn.Dropout2d(options["dropout"]))
            continue
        outputs = wide(size, options["width"])
        layers.append(nn.Conv2d(channels, outputs, kernel, padding=kernel // 2))
        channels = outputs
        layers += activated(options, "before", activation, partial(nn.BatchNorm2d, outputs))
    layers += [nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels, classes)]
    network = nn.Sequential(*layers)
    if options["xavier"]:
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
    return network


ENTRY = Architecture(
    "simplenet",
    "13 convolutions, batch norm, 5.5 million weights",
    "Hasanpour et al. 2016 (SimpleNet v1); the paper's CIFAR-10 script",
    build,
    smallest=4,
    parameters=(
        width(),
        batch_norm(default=True),
        norm("before"),
        dropout(0.1),
        Parameter("xavier", "bool", True, "Xavier initialisation of the convolutions, whatever the study's is"),
        normalise(default=True),
    ),
)
