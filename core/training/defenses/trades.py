"""TRADES: accuracy on clean images, and predictions that stay what they are on adversarial ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.engine.geometry import ascent_direction, project
from core.engine.steps import step_size
from core.registry import Parameter
from core.training.defenses.entry import EPS, NORM, STEPS, BatchLoss, Defense, alpha, in_steps, second_engine_in_l2
from core.training.defenses.inner import eval_mode

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.training.defenses.entry import Memory, Options

_START = 0.001
"""Deviation of the Gaussian start, in pixels: at the image itself the divergence is 0, and so is its gradient."""


def trades(model: nn.Module, x: Tensor, y: Tensor, smoothing: float, options: Options, memory: Memory) -> BatchLoss:  # noqa: ARG001
    """CE(f(x), y) + β·KL(p(x) ‖ p(x′)) (Zhang et al. 2019, equation 5 and algorithm 1).

    Label smoothing acts on the first term. The accuracy in training is that on x′.
    """
    from torch.nn import functional

    adversarial = ascend_divergence(model, x, options)
    logits = model(x).float()
    moved = model(adversarial).float()
    loss = functional.cross_entropy(logits, y, label_smoothing=smoothing)
    return BatchLoss(loss + options["beta"] * divergence(logits, moved) / len(x), moved)


def ascend_divergence(model: nn.Module, x: Tensor, options: Options) -> Tensor:
    """x′: PGD on KL(p(x) ‖ p(x′)) from a small Gaussian start, in eval mode; no label is looked at."""
    import torch

    norm, eps = options["norm"], options["eps"]
    size = step_size(options["alpha"], eps)
    with eval_mode(model):
        with torch.no_grad():
            clean = model(x).float()
        # An older torch would hand the weights that were converted here, without gradients, to the passes that need them.
        torch.clear_autocast_cache()
        adversarial = project(x + _START * torch.randn_like(x), x, eps, norm)
        for _ in range(options["steps"]):
            adversarial = adversarial.detach().requires_grad_()
            with torch.enable_grad():
                distance = divergence(clean, model(adversarial).float())
            (gradient,) = torch.autograd.grad(distance, adversarial)
            adversarial = project(adversarial.detach() + size * ascent_direction(gradient, norm), x, eps, norm)
    return adversarial


def divergence(logits: Tensor, moved: Tensor) -> Tensor:
    """KL(p ‖ p′) of the softmax of two logits [n, classes], summed over the batch, in nats."""
    from torch.nn import functional

    return functional.kl_div(
        functional.log_softmax(moved, dim=1), functional.log_softmax(logits, dim=1), reduction="sum", log_target=True
    )


TRADES = Defense(
    "trades",
    "train on clean images, and keep predictions the same in the ball",
    "Zhang et al. 2019",
    trades,
    (
        EPS,
        NORM,
        STEPS,
        alpha("eps/4"),
        Parameter("beta", "float", 6.0, "weight of the divergence, 1/λ in the paper", low=0.0),
    ),
    gradients=in_steps,
    engine=second_engine_in_l2,
)
