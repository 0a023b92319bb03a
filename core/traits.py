"""What is measured of a trained model to see why it is as robust as it is: names, units and meanings, in one place. Torch-free;
`core.evaluation.traits` measures.

To add one: an entry here, a field of Measured, a column of table traits and view v_traits (a migration).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from core.registry import Parameter, Registry

SAMPLE = 256
"""Rightly classified test images on which gradients and activations are looked at: spread evenly over the test set, so always
the same ones of a model."""


@dataclass(frozen=True)
class Trait:
    """`unit` is empty for a pure number. `percent`: a share in [0, 1], shown in percent. `like`: it says much the same as that
    trait, and is not named beside it."""

    name: str
    summary: str
    unit: str = ""
    percent: bool = False
    like: str | None = None
    source: str = "-"
    parameters: tuple[Parameter, ...] = ()

    @property
    def scale(self) -> float:
        """What a value is multiplied by where it is shown."""
        return 100.0 if self.percent else 1.0

    @property
    def shown_unit(self) -> str:
        return "%" if self.percent else self.unit


TRAITS: Registry[Trait] = Registry(
    "trait",
    (
        Trait(
            "margin",
            "true logit less the largest other one, z_y − max z_j: median over the rightly classified test images",
            "logits",
            source="Carlini, Wagner 2017, f₆",
        ),
        Trait("margin_mean", "the same, mean", "logits", like="margin"),
        Trait(
            "logit_scale",
            "how far an image's logits lie apart: their standard deviation over the classes, mean over all test images",
            "logits",
        ),
        Trait(
            "relative_margin",
            "margin / standard deviation of the same image's logits, median: what is left of it where the logits' scale is none",
        ),
        Trait(
            "gradient_l1",
            f"ℓ1 norm of the margin's pixel gradient, its slope in ℓ∞; median over up to {SAMPLE} rightly classified images",
            "logits / pixel",
        ),
        Trait("gradient_l2", "the same, ℓ2 norm", "logits / pixel", like="gradient_l1"),
        Trait(
            "boundary",
            "margin / gradient_l1, image by image, median: to first order the distance to the boundary in ℓ∞",
            "pixels",
            source="Moosavi-Dezfooli et al. 2016, equation 8",
        ),
        Trait(
            "saturated",
            "share of all activation units that lie where the function is flat on either side (slope below 1 % of its steepest); "
            "0 without bounded activations",
            percent=True,
        ),
        Trait("sparsity", "share of activation outputs that are exactly 0, on the same images", percent=True),
        Trait("dead", "share of activation units that are 0 on every one of these images", percent=True),
        Trait("weight_norm", "ℓ2 norm of all kernels and matrices together; no biases, no batch norm"),
        Trait(
            "spectral_norm",
            "largest singular value of each kernel or matrix, taken as [outputs, rest]: geometric mean over the layers",
            source="Yoshida, Miyato 2017",
        ),
        Trait("training_loss", "mean loss of the last epoch, of what the defense minimises"),
        Trait("clean_accuracy", "share of clean test images classified rightly", percent=True),
    ),
)
"""All but the last two are fields of Measured; those are known of a model anyway."""

Traits = Mapping[str, float]
"""Name → value, of those that are known of a model."""


@dataclass(frozen=True)
class Measured:
    """What one look at a trained model measures; None where it cannot be said (nothing is classified rightly)."""

    margin: float | None
    margin_mean: float | None
    logit_scale: float | None
    relative_margin: float | None
    gradient_l1: float | None
    gradient_l2: float | None
    boundary: float | None
    saturated: float | None
    sparsity: float | None
    dead: float | None
    weight_norm: float | None
    spectral_norm: float | None

    def as_json(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}
