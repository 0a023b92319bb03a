"""Training on adversarial images: FGSM, FGSM from a random start or from noise, PGD.

The notebooks, like Madry et al., train on adversarial images only; so do these unless `clean_share` says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.engine.geometry import ascent_direction, project
from core.engine.steps import step_size
from core.registry import Parameter
from core.training.defenses.entry import (
    CLEAN_SHARE,
    EPS,
    NORM,
    STEPS,
    Defense,
    alpha,
    in_steps,
    one_step_each,
    second_engine,
)
from core.training.defenses.inner import loss_gradient, on_crafted_images, random_start

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.training.defenses.entry import Options


def fgsm(model: nn.Module, x: Tensor, y: Tensor, options: Options) -> Tensor:
    """x + ε·sign ∇L: one step of the full radius from the image itself (Goodfellow et al. 2015, section 6)."""
    norm, eps = options["norm"], options["eps"]
    return project(x + eps * ascent_direction(loss_gradient(model, x, y), norm), x, eps, norm)


def fgsm_rs(model: nn.Module, x: Tensor, y: Tensor, options: Options) -> Tensor:
    """One step from a random point of the ball, projected back into it (Wong et al. 2020, algorithm 3)."""
    norm, eps = options["norm"], options["eps"]
    start = random_start(x, eps, norm)
    step = step_size(options["alpha"], eps) * ascent_direction(loss_gradient(model, start, y), norm)
    return project(start + step, x, eps, norm)


def n_fgsm(model: nn.Module, x: Tensor, y: Tensor, options: Options) -> Tensor:
    """x + η + α·sign ∇L(x + η) with η uniform in [−kε, kε], and no projection into the ball: only into [0, 1], η too
    (de Jorge et al. 2022, algorithm 1 and the authors' code)."""
    import torch

    eps = options["eps"]
    noise = options["k"] * eps * torch.empty_like(x).uniform_(-1.0, 1.0)
    noisy = (x + noise).clamp_(0.0, 1.0)
    step = step_size(options["alpha"], eps) * ascent_direction(loss_gradient(model, noisy, y), "linf")
    crafted: Tensor = (noisy + step).clamp_(0.0, 1.0)
    return crafted


def pgd(model: nn.Module, x: Tensor, y: Tensor, options: Options) -> Tensor:
    """The inner maximisation of Madry et al. 2018, section 2.1, equation 2.1."""
    norm, eps = options["norm"], options["eps"]
    size = step_size(options["alpha"], eps)
    adversarial = random_start(x, eps, norm) if options["random_start"] else x
    for _ in range(options["steps"]):
        step = size * ascent_direction(loss_gradient(model, adversarial, y), norm)
        adversarial = project(adversarial + step, x, eps, norm)
    return adversarial


FGSM_AT = Defense(
    "fgsm-at",
    "train on FGSM images only; known to overfit to single steps (watch PGD)",
    "Goodfellow et al. 2015",
    on_crafted_images(fgsm),
    (EPS, NORM, CLEAN_SHARE),
    gradients=one_step_each,
    engine=second_engine,
)
FGSM_RS = Defense(
    "fgsm-rs",
    "train on single steps from a random start (fast adversarial training)",
    "Wong et al. 2020",
    on_crafted_images(fgsm_rs),
    (EPS, NORM, alpha("eps/0.8"), CLEAN_SHARE),
    gradients=one_step_each,
    engine=second_engine,
)
N_FGSM = Defense(
    "n-fgsm",
    "train on single steps from noise wider than the ball, unprojected",
    "de Jorge et al. 2022",
    on_crafted_images(n_fgsm),
    (
        EPS,
        Parameter("norm", "str", "linf", "norm of the ball; the method is for ℓ∞ alone", choices=("linf",)),
        Parameter("k", "float", 2.0, "the noise is uniform in [−kε, kε]", low=0.0, open_low=True),
        alpha("eps/1"),
        CLEAN_SHARE,
    ),
    gradients=one_step_each,
)
PGD_AT = Defense(
    "pgd-at",
    "train on PGD images only",
    "Madry et al. 2018",
    on_crafted_images(pgd),
    (
        EPS,
        NORM,
        STEPS,
        alpha("eps/4"),
        Parameter("random_start", "bool", True, "start from a random point of the ball"),
        CLEAN_SHARE,
    ),
    gradients=in_steps,
    engine=second_engine,
)
