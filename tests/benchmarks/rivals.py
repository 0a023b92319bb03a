"""Other libraries' ℓ∞ PGD, called as their documentation shows it, and ours on the same images. Imports torch."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.benchmarks.nets import Cost, Net, attacked

EPS = (0.05, 0.1, 0.15, 0.3)
STEPS, ALPHA = 40, 0.01
BATCHES = (64, 128, 256)

Craft = Callable[[Tensor, Tensor, float, int], Tensor]
"""(pixels, labels, ε, steps) → adversarial pixels of one batch."""


def torchattacks(model: nn.Module) -> Craft:
    library = pytest.importorskip("torchattacks", reason="torchattacks is installed by `make bench`")
    return lambda x, y, eps, steps: library.PGD(model, eps=eps, alpha=ALPHA, steps=steps, random_start=True)(x, y)


def foolbox(model: nn.Module) -> Craft:
    library = pytest.importorskip("foolbox", reason="foolbox is in the extra `parity`")
    wrapped = library.PyTorchModel(model, bounds=(0, 1), device=str(_device(model)))

    def craft(x: Tensor, y: Tensor, eps: float, steps: int) -> Tensor:
        attack = library.attacks.LinfPGD(abs_stepsize=ALPHA, steps=steps, random_start=True)
        return attack(wrapped, x, y, epsilons=eps)[1]

    return craft


def foolbox_frozen(model: nn.Module) -> Craft:
    """foolbox again, for a user who knows that it would compute the weights' gradients too, and forbids it."""
    inner = foolbox(model)

    def craft(x: Tensor, y: Tensor, eps: float, steps: int) -> Tensor:
        model.requires_grad_(False)
        try:
            return inner(x, y, eps, steps)
        finally:
            model.requires_grad_(True)

    return craft


def art(model: nn.Module) -> Craft:
    evasion = pytest.importorskip("art.attacks.evasion", reason="ART is in the extra `bench`")
    from art.estimators.classification import PyTorchClassifier

    classifier = PyTorchClassifier(
        model, nn.CrossEntropyLoss(), (1, 28, 28), 10, clip_values=(0.0, 1.0), device_type="cpu"
    )

    def craft(x: Tensor, y: Tensor, eps: float, steps: int) -> Tensor:
        attack = evasion.ProjectedGradientDescent(
            classifier, norm=np.inf, eps=eps, eps_step=ALPHA, max_iter=steps, num_random_init=1, batch_size=len(x),
            verbose=False,
        )  # fmt: skip
        return torch.from_numpy(attack.generate(x.numpy(), y.numpy()))

    return craft


RIVALS = {"torchattacks": torchattacks, "foolbox": foolbox, "foolbox, frozen": foolbox_frozen, "ART": art}


@dataclass(frozen=True)
class Row:
    name: str
    images: int
    batch: int
    cost: Cost
    accuracies: tuple[float, ...]
    """Robust, at each ε."""

    @property
    def per_image(self) -> float:
        return self.cost.cpu / self.images


def rival(name: str, net: Net, images: int, batches: Sequence[int] = BATCHES) -> Row:
    """A library's sweep as its documentation shows it, in the one of `batches` that it is quickest with here."""
    craft = RIVALS[name](net.model)
    x, y = net.tests.pixels(torch.arange(images)), net.tests.labels[:images]
    batch = min(batches, key=lambda size: quick_look(craft, x, y, size))
    passes = [0, 0]

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        passes[0] += len(inputs[0])
        passes[1] += len(inputs[0]) * (torch.is_grad_enabled() and inputs[0].requires_grad)

    hook = net.model.register_forward_pre_hook(count)
    cpu, wall = time.process_time(), time.perf_counter()
    accuracies = []
    for eps in EPS:
        right = 0
        for first in range(0, images, batch):
            adversarial = craft(x[first : first + batch], y[first : first + batch], eps, STEPS)
            with torch.no_grad():
                right += int((net.model(adversarial).argmax(dim=1) == y[first : first + batch]).sum())
        accuracies.append(right / images)
    cost = Cost(time.process_time() - cpu, time.perf_counter() - wall, *passes)
    hook.remove()
    return Row(name, images, batch, cost, tuple(accuracies))


def quick_look(craft: Craft, x: Tensor, y: Tensor, batch: int) -> float:
    """Seconds an image of two steps on 256 images, or on one batch if that has more, in batches of that size."""
    craft(x[:batch], y[:batch], 0.1, 1)
    images = min(max(256, batch), len(x))
    begun = _moment(x.device)
    for first in range(0, images, batch):
        craft(x[first : first + batch], y[first : first + batch], 0.1, 2)
    return (_moment(x.device) - begun) / images


def _moment(device: torch.device) -> float:
    """Processor seconds on the CPU; on a GPU wall seconds, once all that it was asked for is done."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def ours(net: Net, crafting: str = "auto") -> Row:
    cost, event = attacked(net, "pgd", {"eps": list(EPS), "steps": STEPS, "alpha": ALPHA}, crafting)
    accuracies = tuple(float(ledger.survived.mean()) for ledger in event.ledgers)
    return Row("innate", len(net.tests), event.batch_size, cost, accuracies)
