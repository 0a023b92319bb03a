"""The model under attack, as attacks see it: logits, input gradients, confirmation, and a count of what they cost.

Imports torch: for children only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.attacks.geometry import flat_norm
from core.errors import InnateError

_TOLERANCE = 1e-6
"""How far rounding may carry an image over the surface of its ball, in pixel units."""


class NonFiniteLogits(InnateError):
    """The model answered with NaN or infinity: nothing it says under attack can be judged."""


class EvaluationStopped(Exception):
    """The worker asked to stop; what the attack had found so far is dropped, since only whole evaluations count."""


class Victim:
    """`forward_passes` and `backward_passes` count images, so that they do not hang on the batch size.

    `crafting` is the precision of gradient passes ("fp32", "bf16", "fp16"); what counts as broken is always decided by
    an fp32 pass. `stop` is asked before every gradient.
    """

    def __init__(self, model: nn.Module, crafting: str = "fp32", stop: Callable[[], bool] = lambda: False) -> None:
        self.model = model
        self.crafting = crafting
        self.stop = stop
        self.forward_passes = 0
        self.backward_passes = 0

    def logits(self, x: Tensor) -> Tensor:
        """fp32 logits [n, classes] of pixels [n, c, h, w]; raises NonFiniteLogits."""
        with torch.no_grad():
            logits: Tensor = self.model(x)
        self.forward_passes += len(x)
        return _finite(logits)

    def gradient(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """∇ₓ of the summed cross-entropy, like x, and the logits [n, classes] of the same pass.

        Raises EvaluationStopped once `stop()` is true.
        """
        if self.stop():
            raise EvaluationStopped
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            if self.crafting == "fp32":
                logits = self.model(x)
            else:
                dtype = torch.bfloat16 if self.crafting == "bf16" else torch.float16
                with torch.autocast(x.device.type, dtype=dtype):
                    logits = self.model(x)
                logits = logits.float()
            loss = functional.cross_entropy(logits, y, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x)
        self.forward_passes += len(x)
        self.backward_passes += len(x)
        return gradient, _finite(logits.detach())

    def confirm(self, adversarial: Tensor, x: Tensor, y: Tensor, eps: float, norm: str) -> Tensor:
        """[n] bool: misclassified in a fresh fp32 pass, inside the ε-ball around `x`, and inside [0, 1]."""
        delta = adversarial - x
        size = delta.flatten(1).abs().amax(dim=1) if norm == "linf" else flat_norm(delta).flatten()
        inside = (size <= eps * (1 + _TOLERANCE) + _TOLERANCE) & (adversarial.flatten(1).amin(dim=1) >= 0.0)
        inside &= adversarial.flatten(1).amax(dim=1) <= 1.0
        return inside & (self.logits(adversarial).argmax(dim=1) != y)


@contextmanager
def under_attack(model: nn.Module) -> Iterator[None]:
    """Eval mode and no gradients to the weights within; each module's and parameter's own setting after."""
    modes = [(module, module.training) for module in model.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.eval()
    for parameter, _ in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad)


def _finite(logits: Tensor) -> Tensor:
    if not bool(torch.isfinite(logits).all()):
        raise NonFiniteLogits(
            "the model's logits are NaN or infinite on some image; its outcome under attack means nothing"
        )
    return logits
