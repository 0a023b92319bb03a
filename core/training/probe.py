"""A look at robustness while a defense trains: PGD on a fixed held-out batch after each epoch. Imports torch: for
children only. It is there to warn; nothing is scored or chosen by it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.datasets.arrays import Arrays
from core.engine.geometry import ascent_direction, noise, project
from core.engine.losses import lifted, log_odds
from core.precision import multiplying_in
from core.training.defenses.inner import eval_mode

SAMPLES = 128
STEPS = 10
_SEED = 20200112
"""Of the draw and of the noise; any fixed number, the same for every trial."""


@dataclass(frozen=True)
class Probe:
    """On the device: uint8 images [n, c, h, w], labels [n], and `samples` [n], the indices that the noise is bound to."""

    images: Tensor
    labels: Tensor
    samples: Tensor


def draw_probe(arrays: Arrays, trained: NDArray[np.int64], validation: NDArray[np.int64], device: str) -> Probe:
    """At most 128 images that the model does not learn from, the same for every trial of the same training images.

    `trained` and `validation` are indices of training images. From the validation part; else from the training images
    that a subset left out; else, where the whole training data is learned from, from the test images. What has fewer
    than 128 is passed over if another has more.
    """
    left_out = np.setdiff1d(np.arange(len(arrays.train_labels)), np.concatenate([trained, validation]))
    training = (arrays.train_images, arrays.train_labels)
    places = [
        (*training, validation),
        (*training, left_out),
        (arrays.test_images, arrays.test_labels, np.arange(len(arrays.test_labels))),
    ]
    images, labels, held = max(places, key=lambda place: min(SAMPLES, len(place[2])))
    chosen = np.sort(np.random.default_rng(_SEED).permutation(held)[:SAMPLES])
    return Probe(
        torch.from_numpy(np.array(images[chosen])).to(device),
        torch.from_numpy(np.array(labels[chosen])).to(device),
        torch.from_numpy(chosen).to(device),
    )


def probe_accuracy(model: nn.Module, probe: Probe, eps: float, norm: str) -> float:
    """The share of the probe that is classified rightly and stands PGD (10 steps of ε/4 from a random start) at `eps`.

    In fp32, drawing from no random stream; the model is left as it was found.
    """
    x, y, samples = probe.images.to(torch.float32).div_(255.0), probe.labels, probe.samples
    with eval_mode(model):
        stands = _right(model, x, y)
        x, y, samples = x[stands], y[stands], samples[stands]
        adversarial = project(x + eps * noise(_SEED, samples, 0, x, norm), x, eps, norm)
        for _ in range(STEPS):
            if len(y) == 0:
                break
            adversarial = adversarial.detach().requires_grad_()
            with multiplying_in("fp32"):
                logits = model(adversarial)
                (gradient,) = torch.autograd.grad(lifted(log_odds)(logits, y).sum(), adversarial)
            moved = adversarial.detach() + eps / 4 * ascent_direction(gradient, norm)
            stands = logits.argmax(dim=1) == y  # what is broken already is not attacked any further
            x, y = x[stands], y[stands]
            adversarial = project(moved[stands], x, eps, norm)
        return int(_right(model, adversarial, y).sum()) / len(probe.labels)


def _right(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    if len(y) == 0:  # not every model takes an empty batch
        return torch.zeros_like(y, dtype=torch.bool)
    with torch.no_grad(), multiplying_in("fp32"):
        right: Tensor = model(x).argmax(dim=1) == y
    return right
