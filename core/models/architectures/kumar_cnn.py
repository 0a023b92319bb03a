"""The MNIST net of the paper's notebooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from core.models.architectures.entry import Architecture, activated, batch_norm, dropout, norm, normalise, wide, width
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import nn

_DEPTH = 3
"""Convolutions of the notebooks' net."""


def build(
    shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module], options: Mapping[str, Any]
) -> nn.Module:
    """Conv 64@8×8 stride 2 "same", 128@6×6 stride 2, 128@5×5, dropout, dense 128, dense logits.

    Kernels shrink to fit smaller images. Batch norm, off as in the notebooks, stands behind each activation unless
    `norm` says otherwise, where their commented-out lines have it. A `depth` below 3 leaves the last convolutions out, one
    above adds 128@3×3 "same" behind them. With `pooling` the strides of 2 become halvings by 2×2 windows behind the layer.
    """
    from torch import nn

    channels, height, breadth = shape
    first, hidden, dense = (wide(size, options["width"]) for size in (64, 128, 128))
    depth, pooling = options.get("depth", _DEPTH), options.get("pooling", "none")
    layers: list[nn.Module] = []

    def convolve(outputs: int, kernel: int, stride: int, padding: str) -> None:
        nonlocal channels, height, breadth
        halved = stride == 2 and pooling != "none"
        stride = 1 if halved else stride
        kernels = (min(kernel, height), min(kernel, breadth))
        if padding == "same":
            top, bottom = _same(height, kernels[0], stride)
            left, right = _same(breadth, kernels[1], stride)
            if (top, left) == (bottom, right):
                layers.append(nn.Conv2d(channels, outputs, kernels, stride, (top, left)))
            else:
                layers.append(nn.ZeroPad2d((left, right, top, bottom)))
                layers.append(nn.Conv2d(channels, outputs, kernels, stride))
            height, breadth = -(-height // stride), -(-breadth // stride)
        else:
            layers.append(nn.Conv2d(channels, outputs, kernels, stride))
            height, breadth = (height - kernels[0]) // stride + 1, (breadth - kernels[1]) // stride + 1
        layers.extend(activated(options, "after", activation, partial(nn.BatchNorm2d, outputs)))
        channels = outputs
        if halved and min(height, breadth) > 1:
            layers.append(nn.MaxPool2d(2) if pooling == "max" else nn.AvgPool2d(2))
            height, breadth = height // 2, breadth // 2

    for outputs, kernel, stride, padding in (
        (first, 8, 2, "same"),
        (hidden, 6, 2, "valid"),
        (hidden, 5, 1, "valid"),
        *[(hidden, 3, 1, "same")] * (depth - _DEPTH),
    )[:depth]:
        convolve(outputs, kernel, stride, padding)
    layers += [nn.Dropout(options["dropout"]), nn.Flatten(), nn.Linear(channels * height * breadth, dense)]
    layers += activated(options, "after", activation, partial(nn.BatchNorm1d, dense))
    layers.append(nn.Linear(dense, classes))
    return nn.Sequential(*layers)


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's "same" padding before and after: the output has ⌈size / stride⌉ pixels."""
    total = max(0, (-(-size // stride) - 1) * stride + kernel - size)
    return total // 2, total - total // 2


ENTRY = Architecture(
    "kumar-cnn",
    "the paper's MNIST net: three wide convolutions and a dense layer; fits any size",
    "A-Ravioli/Adversarial-Attack-Impact-Reduction, notebooks",
    build,
    smallest=4,
    parameters=(
        width(),
        Parameter("depth", "int", _DEPTH, "convolutions, beside the dense layer", low=1, high=16, omit_default=True),
        Parameter(
            "pooling",
            "str",
            "none",
            "what halves images in place of strides of 2",
            choices=("none", "max", "average"),
            omit_default=True,
        ),
        batch_norm(default=False),
        norm(),
        dropout(0.25),
        normalise(default=False),
    ),
)
