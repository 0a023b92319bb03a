"""The model under attack, as attacks see it: logits, input gradients, confirmation, and a count of what they cost.

Imports torch: for children only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.engine.geometry import lengths
from core.engine.losses import Loss, even, lifted, log_odds
from core.engine.passes import Pass, Replayed, gradient_pass
from core.errors import InnateError
from core.precision import multiplying_in

_TOLERANCE = 1e-6
"""How far rounding may carry an image over the surface of its ball, in pixel units."""
_CUDA_SETTLE_EVERY = 8
"""Steps between two looks at a GPU's results: each look stops its queue."""


class NonFiniteLogits(InnateError):
    """The model answered with NaN or infinity: nothing it says under attack can be judged."""


class EvaluationStopped(Exception):
    """The worker asked to stop; what the attack had found so far is dropped, since only whole evaluations count."""


@dataclass
class Cost:
    """Images that went forward and backward through a model."""

    forward: int = 0
    backward: int = 0


class Victim:
    """`forward_passes` and `backward_passes` count the images that went through the model, those included that were
    broken already and only kept a batch's shape.

    `crafting` is the precision of gradient passes ("fp32", on a GPU also "tf32"); what counts as broken is always decided
    by a true fp32 pass. With `evens`, attacks whose steps hang on the size of the logits see them at one that belongs to the
    sample (`core.engine.losses.even`), so that what a net times a constant leaves standing is what the net does; without, as
    they are, for attacks to the letter. `stop` is asked before every pass. The weights must not change while a victim is in use.
    """

    def __init__(
        self,
        model: nn.Module,
        crafting: str = "fp32",
        stop: Callable[[], bool] = lambda: False,
        *,
        evens: bool = False,
    ) -> None:
        self.model = model
        self.evens = evens
        self.crafting = crafting
        self.stop = stop
        self._cost = Cost()
        self._passes: dict[torch.device, Pass] = {}
        self._exact: Victim | None = None
        self._finite: Tensor | None = None
        """On a GPU: whether all logits since the last look were finite."""

    @property
    def forward_passes(self) -> int:
        return self._cost.forward

    @property
    def backward_passes(self) -> int:
        return self._cost.backward

    def in_fp32(self) -> Victim:
        """The same victim, its cost counted together: for the very boundary, and for what a short precision left standing."""
        if self.crafting == "fp32":
            return self
        if self._exact is None:
            self._exact = Victim(self.model, "fp32", self.stop, evens=self.evens)
            self._exact._cost = self._cost
        return self._exact

    def logits(self, x: Tensor) -> Tensor:
        """fp32 logits [n, K] of pixels [n, c, h, w].

        Raises EvaluationStopped once `stop()` is true, NonFiniteLogits (on a GPU at the next `check` only).
        """
        if self.stop():
            raise EvaluationStopped
        with torch.no_grad(), multiplying_in("fp32"):
            logits: Tensor = self.model(x)
        self._cost.forward += len(x)
        self._note(logits)
        return logits

    def factors(self, x: Tensor, usual: tuple[float, float] | None = None) -> tuple[Tensor, ...]:
        """What `core.engine.losses.even` says [n] of the clean images x; none where logits count as they are.

        Raises as `logits` does.
        """
        return (even(self.logits(x), usual),) if self.evens else ()

    def ascent(self, x: Tensor, y: Tensor, loss: Loss = log_odds, *more: Tensor) -> tuple[Tensor, Tensor]:
        """`gradient` times a power of two, for attacks that follow its direction alone: what would end below the smallest
        float on its way back through saturated layers keeps its sign. The logits are as they are."""
        return self.gradient(x, y, lifted(loss), *more)

    def gradient(self, x: Tensor, y: Tensor, loss: Loss = log_odds, *more: Tensor) -> tuple[Tensor, Tensor]:
        """∇ₓ of the summed `loss(logits, y, *more)`, like x, and the logits [n, K] of the same pass.

        Raises as `logits` does.
        """
        if self.stop():
            raise EvaluationStopped
        take = self._passes.get(x.device)
        if take is None:
            take = self._passes[x.device] = gradient_pass(self.model, self.crafting, x.device)
        gradient, logits = take(x, loss, (y, *more))
        self._cost.forward += len(x)
        self._cost.backward += len(x)
        self._note(logits)
        return gradient, logits

    def jacobian(self, x: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """∇ₓ of the logits of `classes` [n, k], shaped [n, k, c, h, w], and the logits [n, K]; fp32, k backward passes.

        Raises as `logits` does.
        """
        if self.stop():
            raise EvaluationStopped
        x = x.detach().requires_grad_()
        with torch.enable_grad(), multiplying_in("fp32"):
            logits: Tensor = self.model(x)
            chosen = logits.gather(1, classes).sum(dim=0)
            rows = [torch.autograd.grad(value, x, retain_graph=True)[0] for value in chosen]
        self._cost.forward += len(x)
        self._cost.backward += len(x) * classes.shape[1]
        self._note(logits.detach())
        return torch.stack(rows, dim=1), logits.detach()

    def settle_every(self, device: torch.device) -> int:
        """After how many steps an attack looks at its results."""
        return _CUDA_SETTLE_EVERY if device.type == "cuda" else 1

    def check(self) -> None:
        """Raises NonFiniteLogits if any logits since the last look were not finite."""
        if self._finite is not None and not bool(self._finite):
            self._finite = None
            raise NonFiniteLogits(
                "the model's logits are NaN or infinite on some image; its outcome under attack means nothing"
            )

    def confirm(
        self, adversarial: Tensor, x: Tensor, y: Tensor, eps: float | Tensor, norm: str
    ) -> tuple[Tensor, Tensor]:
        """Two [n] bool: misclassified in a fresh fp32 pass and within ball and box; misclassified but outside of them.

        `eps` is one radius or one per sample.
        """
        delta = adversarial - x
        inside = (lengths(delta, norm) <= eps * (1 + _TOLERANCE) + _TOLERANCE) & in_box(adversarial)
        fooled = self.logits(adversarial).argmax(dim=1) != y
        return fooled & inside, fooled & ~inside

    @property
    def notes(self) -> list[str]:
        """What a reader of the results should know of how the passes went."""
        reasons = [take.gave_up for take in self._passes.values() if isinstance(take, Replayed) and take.gave_up]
        return [f"passes ran without CUDA graphs: {reason}" for reason in reasons]

    def _note(self, logits: Tensor) -> None:
        finite = torch.isfinite(logits).all()
        self._finite = finite if self._finite is None else self._finite & finite
        if self.settle_every(logits.device) == 1:
            self.check()


def in_box(images: Tensor) -> Tensor:
    """[n] bool: every pixel lies in [0, 1]; NaN does not."""
    flat = images.flatten(1)
    return (flat.amin(dim=1) >= 0.0) & (flat.amax(dim=1) <= 1.0)


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
