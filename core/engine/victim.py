"""The model under attack, as attacks see it: logits, input gradients, confirmation, and a count of what they cost.

Imports torch: for children only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.engine.buckets import power_of_two, sized
from core.engine.geometry import lengths
from core.engine.losses import Loss, even, lifted, log_odds
from core.engine.passes import Pass, gradient_pass, replayed
from core.engine.recorded import Recordings
from core.errors import InnateError
from core.lanes.lane import current_lane
from core.precision import multiplying_in

_TOLERANCE = 1e-6
"""How far rounding may carry an image over the surface of its ball, in pixel units."""
_SETTLE_EVERY = 8
"""Steps between the first looks at the results of a GPU: each look stops its queue."""


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
    broken already and stayed in the batch, but not what a recorded pass is padded with.

    `crafting` is the precision of gradient passes ("fp32", on a GPU also "tf32"); what counts as broken is always decided
    by a true fp32 pass. With `evens`, attacks whose steps hang on the size of the logits see them at one that belongs to the
    sample (`core.engine.losses.even`), so that what a net times a constant leaves standing is what the net does; without, as
    they are, for attacks to the letter. `stop` is asked before every pass, of recorded steps at every look. The weights must not
    change while a victim is in use.
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
        """Whether all logits since the last look were finite, always in the same place, which recorded steps write to."""
        self._recordings: Recordings | None = None
        self._within: Cost | None = None
        """Within a step that is recorded: what it costs each row, told to whoever repeats it."""

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
        if self._within is not None:
            self._within.forward += 1
            return self._noted(self._forward(x))
        if self.stop():
            raise EvaluationStopped
        recordings = self.recordings(x.device)
        if recordings is None:
            logits = self._forward(x)
        else:
            (logits,) = replayed(recordings, "logits", power_of_two, lambda held: (self._forward(held),), x)
        self._cost.forward += len(x)
        return self._noted(logits)

    def observed(self, x: Tensor) -> Tensor:
        """`logits` by a pass that is never recorded, so that the hooks of the model's modules see it."""
        if self.stop():
            raise EvaluationStopped
        self._cost.forward += len(x)
        return self._noted(self._forward(x))

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
        eager = self._passes.get(x.device)
        if eager is None:
            eager = self._passes[x.device] = gradient_pass(self.model, self.crafting, x.device)
        if self._within is not None:
            self._within.forward += 1
            self._within.backward += 1
            gradient, logits = eager(x, loss, (y, *more))
            return gradient, self._noted(logits)
        if self.stop():
            raise EvaluationStopped
        recordings = self.recordings(x.device)
        if recordings is None:
            gradient, logits = eager(x, loss, (y, *more))
        else:

            def take(held: Tensor, *labels: Tensor) -> tuple[Tensor, Tensor]:
                return eager(held, loss, labels)

            gradient, logits = replayed(recordings, ("gradient", loss), sized, take, x, y, *more)
        self._cost.forward += len(x)
        self._cost.backward += len(x)
        return gradient, self._noted(logits)

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
        return torch.stack(rows, dim=1), self._noted(logits.detach())

    def settle_every(self, device: torch.device) -> int:
        """After how many steps an attack first looks at its results."""
        return _SETTLE_EVERY if device.type == "cuda" or current_lane(device).records else 1

    def check(self) -> None:
        """Raises NonFiniteLogits if any logits since the last look were not finite."""
        if self._finite is not None and not bool(self._finite):
            self._not_finite()

    def look(self, *counts: Tensor) -> list[int]:
        """The numbers `counts` [] that recorded steps have come to: the one wait for the device. Raises as `logits` and `check`
        do."""
        if self.stop():
            raise EvaluationStopped
        if self._finite is None:
            return [int(count) for count in counts]
        finite, *found = torch.stack([self._finite.long(), *(count.long() for count in counts)]).tolist()
        if not finite:
            self._not_finite()
        return found

    def recordings(self, device: torch.device) -> Recordings | None:
        """What this thread's lane has recorded of the model; None in a lane that does not record."""
        lane = current_lane(device)
        if not lane.records:
            return None
        if self._recordings is None or self._recordings.lane is not lane:
            self._recordings = Recordings(lane)
        return self._recordings

    @contextmanager
    def within(self, cost: Cost) -> Iterator[None]:
        """Passes are those of a step that is recorded: they are eager, ask for no stop, and add 1 each to `cost`, of which
        `repeated` is told whenever the step is carried out."""
        cost.forward = cost.backward = 0
        self._within = cost
        try:
            yield
        finally:
            self._within = None

    def repeated(self, cost: Cost, rows: int) -> None:
        """Count a recorded step of so many rows."""
        self._cost.forward += cost.forward * rows
        self._cost.backward += cost.backward * rows

    def forget(self) -> None:
        """Give back the memory that recordings take."""
        for one in (self, self._exact):
            if one is not None and one._recordings is not None:
                one._recordings.forget()

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
        reasons = [
            reason
            for one in (self, self._exact)
            if one is not None and one._recordings is not None
            for reason in one._recordings.refused.values()
        ]
        return [f"passes ran without CUDA graphs: {reason}" for reason in dict.fromkeys(reasons)]

    def _forward(self, x: Tensor) -> Tensor:
        with torch.no_grad(), multiplying_in("fp32"):
            logits: Tensor = self.model(x)
        return logits

    def _noted(self, logits: Tensor) -> Tensor:
        """`logits`, which are looked at later on a GPU."""
        finite = torch.isfinite(logits).all()
        if self._finite is None:
            self._finite = finite
        else:
            self._finite.logical_and_(finite)
        if self._within is None and self.settle_every(logits.device) == 1:
            self.check()
        return logits

    def _not_finite(self) -> None:
        assert self._finite is not None
        self._finite.fill_(True)
        raise NonFiniteLogits(
            "the model's logits are NaN or infinite on some image; its outcome under attack means nothing"
        )


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
