"""What an architecture's entry holds, and the options that every architecture shares. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.registry import Parameter

if TYPE_CHECKING:
    from torch import nn

    Build = Callable[[tuple[int, int, int], int, Callable[[], nn.Module], Mapping[str, Any]], nn.Module]
    """(shape, classes, activation factory, options) → a module from normalised pixels [n, c, h, w] to logits [n, classes]."""


def fits_all(shape: tuple[int, int, int]) -> str | None:  # noqa: ARG001
    return None


@dataclass(frozen=True)
class Architecture:
    """`smallest` is the least height and width, in pixels, that the layers can take; `misfit((channels, height, width))` says
    in words what else keeps images from it, None if nothing does. `engine` is bumped by hand when the same options give other
    weights or another net than before; while it is 1 no trial's identity mentions it."""

    name: str
    summary: str
    source: str
    build: Build
    smallest: int
    parameters: tuple[Parameter, ...]
    misfit: Callable[[tuple[int, int, int]], str | None] = fits_all
    engine: int = 1


def width(summary: str = "multiplies every layer's width") -> Parameter:
    return Parameter("width", "float", 1.0, summary, low=0.0, high=16.0, open_low=True)


def dropout(default: float) -> Parameter:
    return Parameter("dropout", "float", default, "share of units dropped", low=0.0, high=1.0, open_high=True)


def batch_norm(*, default: bool) -> Parameter:
    return Parameter("batch_norm", "bool", default, "batch normalisation in every hidden layer")


def norm(default: str = "after") -> Parameter:
    return Parameter(
        "norm",
        "str",
        default,
        "where batch normalisation stands, before or after the activation",
        choices=("before", "after"),
        omit_default=True,
    )


def activated(
    options: Mapping[str, Any], usual: str, activation: Callable[[], nn.Module], normalised: Callable[[], nn.Module]
) -> list[nn.Module]:
    """What follows a layer's weights: the activation and, where `batch_norm` is on, the norm, in the order that `norm` says,
    `usual` if it is left out."""
    if not options["batch_norm"]:
        return [activation()]
    if options.get("norm", usual) == "before":
        return [normalised(), activation()]
    return [activation(), normalised()]


def normalise(*, default: bool) -> Parameter:
    return Parameter(
        "normalise", "bool", default, "subtract the training images' mean and divide by their deviation, per channel"
    )


def wide(channels: int, factor: float) -> int:
    """`channels` times the width option, at least one."""
    return max(1, round(channels * factor))
