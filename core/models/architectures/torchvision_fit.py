"""torchvision's classification models, fitted to a study: its activation, its images, its classes. Imports torch: only builders
import it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from torch import nn

from core.errors import BadInput
from core.models.architectures.torchvision_models import PATCH, SMALL, SMALL_PATCH

_ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU)
"""What torchvision's models have between their layers. Their sigmoids are gates (squeeze and excitation), and stay."""
_OF_GOOGLE = ("googlenet", "inception_v3")
_PLAIN = {"aux_logits": False, "init_weights": True}
"""Without their auxiliary heads; with the initial weights that torchvision documents, said so that it does not warn."""
_FIVE_HALVINGS = 32
"""VGG strides nowhere before its five max pools; smaller images lose the first."""


def fitted(name: str, shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module]) -> nn.Module:
    """torchvision's `name` from images of `shape` (channels, height, width) to logits of `classes`, randomly initialised.

    Raises BadInput where the installed torchvision has no such model.
    """
    from torchvision import models

    if name not in models.list_models(module=models):
        raise BadInput(f"the installed torchvision has no model {name!r}; a newer one may")
    options: dict[str, Any] = {"num_classes": classes, **(_PLAIN if name in _OF_GOOGLE else {})}
    small = min(shape[1:]) <= SMALL
    patch = PATCH.get(name)
    if patch is not None and small:
        options["image_size"] = shape[1] // SMALL_PATCH * patch  # as many patches as there will be
    elif patch is not None:
        options["image_size"] = shape[1]
    elif name.startswith("maxvit"):
        options["input_size"] = shape[1:]
    network: nn.Module = models.get_model(name, weights=None, **options)
    if patch is not None and small:
        network.image_size, network.patch_size = shape[1], SMALL_PATCH  # type: ignore[assignment]
    _fit_stem(name, network, shape[0], min(shape[1:]))
    if name.startswith("squeezenet"):
        # It rectifies its logits: a bounded activation there would bound what any training can say.
        _replace(network, "classifier.2", nn.Identity())
    network = _without_functions(name, network, activation)
    _replace_activations(network, activation)
    return network


def _fit_stem(name: str, network: nn.Module, channels: int, side: int) -> None:
    """The first convolution takes `channels`. On images of at most SMALL pixels it is of 3×3 at most and of stride 1, and the
    max pool behind a stride falls away; where it cuts into patches they become 2×2, a vision transformer's 4×4.

    A convolution that changes starts as torch's default has it, all else as torchvision does.
    """
    place, first = next((key, one) for key, one in network.named_modules() if isinstance(one, nn.Conv2d))
    kernel, stride, padding = _side(first.kernel_size), _side(first.stride), _side(first.padding)
    strided = stride > 1
    if side <= SMALL:
        if name in PATCH:
            kernel = stride = SMALL_PATCH
        elif kernel == stride > 1:
            kernel = stride = 2
        else:
            stride = 1
            if kernel > 3:
                kernel, padding = 3, 1
        pool = next((key for key, one in network.named_modules() if isinstance(one, nn.MaxPool2d)), None)
        if pool is not None and (strided or side < _FIVE_HALVINGS):
            _replace(network, pool, nn.Identity())
        _shrink_grid(network)
    if (channels, kernel, stride) != (first.in_channels, _side(first.kernel_size), _side(first.stride)):
        made = nn.Conv2d(channels, first.out_channels, kernel, stride, padding, bias=first.bias is not None)
        _replace(network, place, made)


def _side(pair: Any) -> int:
    """Of something square."""
    return int(pair[0])


def _shrink_grid(network: nn.Module) -> None:
    """A head that expects a grid of features (alexnet 6×6, vgg 7×7) sees the mean of it: small images leave no such grid."""
    for key, pool in list(network.named_modules()):
        # Only grids are written as pairs.
        size = pool.output_size if isinstance(pool, nn.AdaptiveAvgPool2d) else 1
        cells = math.prod(side or 1 for side in size) if isinstance(size, tuple) else 1
        if cells > 1:
            _replace(network, key, nn.AdaptiveAvgPool2d(1))
            place, dense = next((key, one) for key, one in network.named_modules() if isinstance(one, nn.Linear))
            _replace(network, place, nn.Linear(dense.in_features // cells, dense.out_features))


def _without_functions(name: str, network: nn.Module, activation: Callable[[], nn.Module]) -> nn.Module:
    """The network with a module for each activation that torchvision calls as a function."""
    if name in _OF_GOOGLE:
        for key, block in list(network.named_modules()):
            if type(block).__name__ == "BasicConv2d":
                _replace(
                    network, key, nn.Sequential(OrderedDict(conv=block.conv, bn=block.bn, activation=activation()))
                )
    if name.startswith("densenet"):
        parts = OrderedDict[str, nn.Module](
            features=network.get_submodule("features"),
            activation=activation(),
            pool=nn.AdaptiveAvgPool2d(1),
            flatten=nn.Flatten(),
            classifier=network.get_submodule("classifier"),
        )
        return nn.Sequential(parts)
    return network


def _replace_activations(network: nn.Module, activation: Callable[[], nn.Module]) -> None:
    """A fresh one for each; where torchvision uses one in several places of a block, so does this."""
    for key, module in list(network.named_modules()):
        if isinstance(module, _ACTIVATIONS):
            _replace(network, key, activation())


def _replace(network: nn.Module, key: str, module: nn.Module) -> None:
    parent, _, name = key.rpartition(".")
    setattr(network.get_submodule(parent), name, module)
