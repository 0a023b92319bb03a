"""One step of a training: random streams, augmentation, the defense's loss, backward, the optimizer.

A function of (seed, epoch, batch) and of the state before it. Imports torch: for children only.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.identity import stream_seed
from core.precision import multiplying_in
from core.records import TrialSpec
from core.training import optimizers
from core.training.defenses import DEFENSES

_CROP_MARGIN = 4
"""Pixels of zero around an image before a random crop (He et al. 2015, section 4.2)."""


@dataclass
class Epoch:
    """The epoch in hand: the `batch` that is next, seconds at work and sums over the `seen` images so far.

    `loss` and `right` are float64 on the device, so that the order of adding is all that counts.
    """

    number: int
    batch: int
    loss: Tensor
    right: Tensor
    seconds: float
    seen: int


@dataclass(frozen=True)
class Learner:
    """What a step changes: the weights, the optimizer's and the loss scaler's state, and the defense's memory."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    memory: dict[str, Tensor]


def learner(trial: TrialSpec, model: nn.Module, images: Tensor) -> Learner:
    """At the start of a training; `images` uint8 [n, c, h, w] are as many as the largest batch has."""
    assert trial.optimizer is not None, "imported weights are not trained"
    assert trial.defense is not None
    assert trial.training is not None
    return Learner(
        model,
        optimizers.build(trial.optimizer, model.parameters()),
        torch.amp.GradScaler(images.device.type, enabled=trial.training.precision == "fp16"),
        DEFENSES[trial.defense.name].remembered(pixels(images), trial.defense.options),
    )


def fresh_epoch(number: int, device: torch.device) -> Epoch:
    """Before its first batch."""
    # MPS has no float64; a mean loss in float32 is still good to six digits.
    dtype = torch.float32 if device.type == "mps" else torch.float64
    zero = torch.zeros((), dtype=dtype, device=device)
    return Epoch(number, 0, zero, zero.clone(), 0.0, 0)


def take_step(trial: TrialSpec, learner: Learner, images: Tensor, labels: Tensor, rate: float, epoch: Epoch) -> None:
    """Descend once on a batch, uint8 images [n, c, h, w] and labels [n], with learning rate `rate`; moves `epoch` on."""
    assert trial.defense is not None
    assert trial.training is not None
    training, options, defense = trial.training, trial.defense.options, DEFENSES[trial.defense.name]
    # Dropout, augmentation and the defense's noise all follow from here, so a checkpoint needs no random state.
    replayed, device = epoch.batch % defense.replays(options), images.device
    reseed(stream_seed(trial.seed, "step", epoch.number, epoch.batch - replayed), device)
    x = pixels(_augmented(images) if training.augment else images)
    if replayed:  # the same images once more, augmented as before, under other dropout
        reseed(stream_seed(trial.seed, "step", epoch.number, epoch.batch), device)
    for group in learner.optimizer.param_groups:
        group["lr"] = rate
    with multiplying_in(training.precision):
        with autocast(device, training.precision):
            batch = defense.objective(learner.model, x, labels, training.label_smoothing, options, learner.memory)
        learner.optimizer.zero_grad(set_to_none=True)
        learner.scaler.scale(batch.loss).backward()  # type: ignore[no-untyped-call]
        if batch.afterwards is not None:
            batch.afterwards()
        learner.scaler.step(learner.optimizer)
        learner.scaler.update()
    epoch.loss += batch.loss.detach() * len(labels)
    epoch.right += (batch.logits.detach().argmax(dim=1) == labels).sum()
    epoch.seen += len(labels)
    epoch.batch += 1


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision for "bf16" and "fp16"; nothing for "fp32" and "tf32" (`core.precision`)."""
    if precision in ("fp32", "tf32"):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def pixels(images: Tensor) -> Tensor:
    """uint8 [n, c, h, w] as floats in [0, 1]."""
    return images.to(torch.float32).div_(255.0)


def reseed(seed: int, device: torch.device) -> None:
    """Set the random streams that a step on `device` draws from, as `torch.manual_seed` sets those of all devices.

    That one also notes the call for each kind of device that is not in use yet, stack trace and all: a quarter of the time
    of a small model's step on the CPU, and a list that grows with every step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def _augmented(images: Tensor) -> Tensor:
    """A mirror image for half of them, and a crop out of a frame of zeros, for [n, c, h, w] at once."""
    count, _, height, width = images.shape
    device = images.device
    mirrored = torch.rand(count, device=device) < 0.5
    images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    framed = functional.pad(images, [_CROP_MARGIN] * 4)
    down, right = torch.randint(0, 2 * _CROP_MARGIN + 1, (2, count), device=device)
    rows = (down[:, None] + torch.arange(height, device=device))[:, :, None]
    columns = (right[:, None] + torch.arange(width, device=device))[:, None, :]
    which = torch.arange(count, device=device)[:, None, None]
    return framed[which, :, rows, columns].permute(0, 3, 1, 2)
