"""What the inner maximisations share: eval mode, gradients to the input, starts, and the loss on crafted images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from core.engine.geometry import ascent_direction, project
from core.training.defenses.entry import BatchLoss

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.training.defenses.entry import Memory, Objective, Options

    Craft = Callable[[nn.Module, Tensor, Tensor, Options], Tensor]
    """(model, x, y, options) → images near x and in [0, 1]: in the ball around it, but for n-fgsm."""


def on_crafted_images(craft: Craft) -> Objective:
    """Cross-entropy on the images that `craft` makes in eval mode (batch norm's statistics and dropout stay out of it).

    The first round(clean_share · n) images of a batch stay clean: which ones these are is chance, the epoch's order.
    """

    def objective(
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        smoothing: float,
        options: Options,
        memory: Memory,  # noqa: ARG001 - crafted anew each time
    ) -> BatchLoss:
        return plain(model, mixed(craft, model, x, y, options), y, smoothing)

    return objective


def mixed(craft: Craft, model: nn.Module, x: Tensor, y: Tensor, options: Options) -> Tensor:
    """x with all but its clean share crafted."""
    import torch

    clean = round(options.get("clean_share", 0.0) * len(x))
    if clean == len(x):
        return x
    with eval_mode(model):
        crafted = craft(model, x[clean:], y[clean:], options).detach()
    return torch.cat([x[:clean], crafted]) if clean else crafted


def plain(model: nn.Module, x: Tensor, y: Tensor, smoothing: float) -> BatchLoss:
    """Cross-entropy on x as it is."""
    from torch.nn import functional

    logits = model(x).float()
    return BatchLoss(functional.cross_entropy(logits, y, label_smoothing=smoothing), logits)


def loss_gradient(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """A gradient in the direction of the cross-entropy's, for those who follow nothing else (`core.engine.losses`); the
    weights' own gradients are not computed."""
    import torch

    from core.engine.losses import lifted, log_odds

    kind = x.device.type
    # fp16 ends at 65,504; where it trains, its own scaling must do.
    short = torch.is_autocast_enabled(kind) and torch.get_autocast_dtype(kind) == torch.float16
    ascended = log_odds if short else lifted(log_odds)
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        total = ascended(model(x).float(), y).sum()
    (gradient,) = torch.autograd.grad(total, x)
    return gradient


def random_start(x: Tensor, eps: float, norm: str) -> Tensor:
    """A point drawn uniformly from the ball around each image, clipped to [0, 1]."""
    import torch

    if norm == "linf":
        start = torch.empty_like(x).uniform_(-1.0, 1.0)
    else:
        radius = torch.rand(len(x), 1, 1, 1, device=x.device) ** (1.0 / x[0].numel())
        start = ascent_direction(torch.randn_like(x), norm) * radius
    return project(x + eps * start, x, eps, norm)


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode within, and each module's own mode after: `model.train()` would thaw a frozen batch norm."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
