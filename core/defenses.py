"""Defenses: what a model is trained on instead of clean images. To add one: an entry here and its function.

The notebooks, like Madry et al., train on adversarial images only; so do these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.attacks.geometry import ascent_direction, project
from core.attacks.steps import step_size
from core.records import Choice
from core.registry import Parameter, Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

    Craft = Callable[[nn.Module, Tensor, Tensor, Mapping[str, Any]], Tensor]


@dataclass(frozen=True)
class Defense:
    """`craft(model, x, y, options)` gives the images to train on, for x [n, c, h, w] in [0, 1]; None leaves them be."""

    name: str
    summary: str
    source: str
    craft: Craft | None
    parameters: tuple[Parameter, ...] = ()


def _fgsm(model: nn.Module, x: Tensor, y: Tensor, options: Mapping[str, Any]) -> Tensor:
    """x + ε·sign ∇L: one step of the full radius from the image itself (Goodfellow et al. 2015, section 6)."""
    norm, eps = options["norm"], options["eps"]
    return project(x + eps * ascent_direction(_gradient(model, x, y), norm), x, eps, norm)


def _pgd(model: nn.Module, x: Tensor, y: Tensor, options: Mapping[str, Any]) -> Tensor:
    """The inner maximisation of Madry et al. 2018, section 2.1, equation 2.1."""
    import torch

    norm, eps = options["norm"], options["eps"]
    alpha = step_size(options["alpha"], eps)
    adversarial = x
    if options["random_start"]:
        if norm == "linf":
            start = torch.empty_like(x).uniform_(-1.0, 1.0)
        else:
            radius = torch.rand(len(x), 1, 1, 1, device=x.device) ** (1.0 / x[0].numel())
            start = ascent_direction(torch.randn_like(x), norm) * radius
        adversarial = project(x + eps * start, x, eps, norm)
    for _ in range(options["steps"]):
        step = alpha * ascent_direction(_gradient(model, adversarial, y), norm)
        adversarial = project(adversarial + step, x, eps, norm)
    return adversarial


def _gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """∇ₓ of the summed cross-entropy; the weights' own gradients are not computed."""
    import torch
    from torch.nn import functional

    x = x.detach().requires_grad_()
    with torch.enable_grad():
        loss = functional.cross_entropy(model(x).float(), y, reduction="sum")
    (gradient,) = torch.autograd.grad(loss, x)
    return gradient


_NORM = Parameter("norm", "str", "linf", "norm of the ball", choices=("linf", "l2"))
_EPS = Parameter("eps", "float", 0.3, "radius", low=0.0, open_low=True, unit="pixels in [0, 1]")

DEFENSES: Registry[Defense] = Registry(
    "defense",
    (
        Defense("none", "train on clean images", "-", None),
        Defense(
            "fgsm-at",
            "train on FGSM images only; known to overfit to single steps (watch PGD)",
            "Goodfellow et al. 2015",
            _fgsm,
            (_EPS, _NORM),
        ),
        Defense(
            "pgd-at",
            "train on PGD images only",
            "Madry et al. 2018",
            _pgd,
            (
                _EPS,
                _NORM,
                Parameter("steps", "int", 10, "gradient steps", low=1),
                Parameter(
                    "alpha",
                    "float",
                    "eps/4",
                    'step size, a number or "eps/K"',
                    low=0.0,
                    open_low=True,
                    unit="pixels in [0, 1]",
                    step_size=True,
                ),
                Parameter("random_start", "bool", True, "start from a random point of the ball"),
            ),
        ),
    ),
)


def craft(defense: Choice, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The images to train on. Crafted in eval mode (batch norm's statistics and dropout stay out of it), drawing from
    the global random stream, which training seeds before every step."""
    make = DEFENSES[defense.name].craft
    if make is None:
        return x
    with _eval_mode(model):
        return make(model, x, y, defense.options).detach()


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode within, and each module's own mode after: `model.train()` would thaw a frozen batch norm."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
