"""Free adversarial training: the backward pass that trains the weights also moves the adversarial perturbation.

Each batch is taken several times in a row. An epoch has the same number of steps as under any other defense, so it sees
1/replays of the data, and costs as much as an epoch on clean images.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.engine.geometry import ascent_direction, flat_norm
from core.engine.steps import step_size
from core.registry import Parameter
from core.training.defenses.entry import EPS, NORM, BatchLoss, Defense, alpha, second_engine

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.training.defenses.entry import Memory, Options


def free(model: nn.Module, x: Tensor, y: Tensor, smoothing: float, options: Options, memory: Memory) -> BatchLoss:
    """Descend on x + δ, and move δ up the same backward pass's gradient (Shafahi et al. 2019, algorithm 1).

    δ belongs to the places in the batch, not to images, and goes on from batch to batch. The gradient is taken at the
    image clipped to [0, 1], so that a δ which points out of the box can come back. The loss is the cross-entropy in the form
    that keeps its slope towards images on which the model is sure.
    """
    norm, eps = options["norm"], options["eps"]
    delta = memory["delta"][: len(x)]
    adversarial = (x + delta).clamp_(0.0, 1.0).requires_grad_()
    logits = model(adversarial).float()

    def afterwards() -> None:
        assert adversarial.grad is not None, "the loss has been differentiated"
        # Under a gradient scaler a step may overflow: the optimizer passes over it, and so does δ.
        gradient = adversarial.grad.nan_to_num(0.0, 0.0, 0.0)
        moved = delta + step_size(options["alpha"], eps) * ascent_direction(gradient, norm)
        delta.copy_(into_ball(moved, eps, norm))

    return BatchLoss(sloping_cross_entropy(logits, y, smoothing), logits, afterwards)


def sloping_cross_entropy(logits: Tensor, y: Tensor, smoothing: float) -> Tensor:
    """The mean cross-entropy of logits [n, classes] with label smoothing s: (1 − s)·softplus(d) + s·(logsumexp z − mean z),
    d being the log-odds of a mistake (`core.engine.losses.log_odds`)."""
    from torch.nn import functional

    from core.engine.losses import log_odds

    loss = functional.softplus(log_odds(logits, y)).mean()
    if not smoothing:
        return loss
    return (1.0 - smoothing) * loss + smoothing * (logits.logsumexp(dim=1) - logits.mean(dim=1)).mean()


def into_ball(delta: Tensor, eps: float, norm: str) -> Tensor:
    """The nearest point of the ball around 0."""
    if norm == "linf":
        return delta.clamp(-eps, eps)
    return delta * (eps / flat_norm(delta).clamp_min(1e-12)).clamp_max(1.0)


def _no_perturbation(x: Tensor, options: Options) -> Memory:  # noqa: ARG001
    import torch

    return {"delta": torch.zeros_like(x)}


def _replays(options: Options) -> int:
    replays: int = options["replays"]
    return replays


FREE_AT = Defense(
    "free-at",
    "train on replayed batches; an epoch sees 1/replays of the data",
    "Shafahi et al. 2019",
    free,
    (
        EPS,
        NORM,
        Parameter("replays", "int", 8, "steps in a row on the same batch, m in the paper", low=1),
        alpha("eps/1"),
    ),
    replays=_replays,
    remembered=_no_perturbation,
    engine=second_engine,
)
