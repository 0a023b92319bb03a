"""torchvision's classification models by name, `torchvision:NAME`. Torch-free; `torchvision_fit` builds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from core.models.architectures.entry import Architecture, normalise

if TYPE_CHECKING:
    from torch import nn

PREFIX = "torchvision:"
SMALL = 64
"""Images whose shorter side has at most so many pixels get a stem that keeps more of them."""
SMALL_PATCH = 4
"""Side of a vision transformer's patches on small images."""
PATCH = {"vit_b_16": 16, "vit_b_32": 32, "vit_h_14": 14, "vit_l_16": 16, "vit_l_32": 32}
"""Side of the vision transformers' patches on others."""
_SMALLEST = {
    "alexnet": 7, "convnext": 16, "densenet": 8, "googlenet": 4, "inception_v3": 21, "squeezenet1_0": 4, "squeezenet1_1": 6,
    "swin": 2, "vgg": 16, "vit": SMALL_PATCH,
}  # fmt: skip
"""The least side that the fitted layers take, by the beginning of a name; 1 for all others."""
_INCEPTION = 75
"""The least side that inception_v3 takes with its own stem."""
_MAXVIT = 224
"""maxvit halves five times and then looks through windows of 7×7."""

# fmt: off
NAMES = (
    "alexnet", "convnext_base", "convnext_large", "convnext_small", "convnext_tiny", "densenet121", "densenet161", "densenet169",
    "densenet201", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2", "efficientnet_b3", "efficientnet_b4",
    "efficientnet_b5", "efficientnet_b6", "efficientnet_b7", "efficientnet_v2_l", "efficientnet_v2_m", "efficientnet_v2_s",
    "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3", "mobilenet_v2",
    "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_16gf", "regnet_x_1_6gf", "regnet_x_32gf", "regnet_x_3_2gf",
    "regnet_x_400mf", "regnet_x_800mf", "regnet_x_8gf", "regnet_y_128gf", "regnet_y_16gf", "regnet_y_1_6gf", "regnet_y_32gf",
    "regnet_y_3_2gf", "regnet_y_400mf", "regnet_y_800mf", "regnet_y_8gf", "resnet101", "resnet152", "resnet18", "resnet34",
    "resnet50", "resnext101_32x8d", "resnext101_64x4d", "resnext50_32x4d", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_0", "squeezenet1_1", "swin_b", "swin_s", "swin_t", "swin_v2_b",
    "swin_v2_s", "swin_v2_t", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "vit_b_16",
    "vit_b_32", "vit_h_14", "vit_l_16", "vit_l_32", "wide_resnet101_2", "wide_resnet50_2",
)
# fmt: on
"""torchvision.models.list_models(module=torchvision.models); a test holds this to it."""


def _build(
    name: str,
    shape: tuple[int, int, int],
    classes: int,
    activation: Callable[[], nn.Module],
    options: Mapping[str, Any],  # noqa: ARG001 - all of them are the pixel model's
) -> nn.Module:
    from core.models.architectures.torchvision_fit import fitted

    return fitted(name, shape, classes, activation)


def _misfit(name: str, shape: tuple[int, int, int]) -> str | None:
    """What keeps images of `shape` from the model, beside their being too small for any; None if nothing does."""
    _, height, width = shape
    small = min(height, width) <= SMALL
    if name in PATCH:
        patch = SMALL_PATCH if small else PATCH[name]
        if height != width or height % patch:
            return f"needs square images of a multiple of {patch} pixels, its patches"
    if name.startswith("maxvit") and (height != width or height % _MAXVIT):
        return f"needs square images of a multiple of {_MAXVIT} pixels"
    if name == "inception_v3" and not small and min(height, width) < _INCEPTION:
        return f"needs images of at most {SMALL} pixels, whose stem is fitted, or of at least {_INCEPTION}"
    return None


ENTRIES = tuple(
    Architecture(
        f"{PREFIX}{name}",
        "activations replaced, stem fitted to small images, random weights",
        "torchvision.models",
        partial(_build, name),
        smallest=next((side for family, side in _SMALLEST.items() if name.startswith(family)), 1),
        parameters=(normalise(default=True),),
        misfit=partial(_misfit, name),
    )
    for name in NAMES
)
