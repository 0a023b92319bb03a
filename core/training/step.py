"""One step of a training: random draws, augmentation, the defense's loss, backward, the optimizer.

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
from core.lanes.lane import Lane
from core.precision import multiplying_in
from core.records.trial import TrialSpec
from core.training import optimizers
from core.training.average import Average
from core.training.defenses import DEFENSES

_CROP_MARGIN = 4
"""Pixels of zero around an image before a random crop (He et al. 2015, section 4.2)."""


@dataclass
class Epoch:
    """The epoch in hand: the `batch` that is next, seconds at work and sums over the `seen` images so far.

    `loss` and `right` are float64 on the device, so that the order of adding is all that counts. They stay the same tensors
    from epoch to epoch: recorded steps add to them.
    """

    number: int
    batch: int
    loss: Tensor
    right: Tensor
    seconds: float
    seen: int

    def begin(self, number: int) -> None:
        """Be the epoch `number`, before its first batch."""
        self.number, self.batch, self.seconds, self.seen = number, 0, 0.0, 0
        self.loss.zero_()
        self.right.zero_()


@dataclass(frozen=True)
class Learner:
    """What a step changes: the weights, their average, the optimizer's and the loss scaler's state, and the defense's memory."""

    trial: TrialSpec
    model: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    memory: dict[str, Tensor]
    rate: Tensor | None
    """The learning rate on the device, where steps are recorded; elsewhere the optimizer is given a number."""
    average: Average | None
    """None where the weights of the last step are the model."""

    def learn_at(self, rate: float) -> None:
        """Set the learning rate of the steps from now on."""
        if self.rate is not None:
            self.rate.fill_(rate)
            return
        for group in self.optimizer.param_groups:
            group["lr"] = rate


def learner(trial: TrialSpec, model: nn.Module, images: Tensor, *, recorded: bool = False) -> Learner:
    """At the start of a training; `images` uint8 [n, c, h, w] are as many as the largest batch has. `recorded`: its steps
    are going to be."""
    assert trial.optimizer is not None, "imported weights are not trained"
    assert trial.defense is not None
    assert trial.training is not None
    rate = torch.zeros((), device=images.device) if recorded else None
    return Learner(
        trial,
        model,
        optimizers.build(trial.optimizer, model.parameters(), rate),
        torch.amp.GradScaler(images.device.type, enabled=trial.training.precision == "fp16"),
        DEFENSES[trial.defense.name].remembered(pixels(images), trial.defense.options),
        rate,
        None if trial.training.averaging.name == "none" else Average(trial.training, model),
    )


def fresh_epoch(number: int, device: torch.device) -> Epoch:
    """Before its first batch."""
    # MPS has no float64; a mean loss in float32 is still good to six digits.
    dtype = torch.float32 if device.type == "mps" else torch.float64
    zero = torch.zeros((), dtype=dtype, device=device)
    return Epoch(number, 0, zero, zero.clone(), 0.0, 0)


@dataclass(frozen=True)
class Draws:
    """The seeds of a step. Dropout, augmentation and the defense's noise all follow from them, so a checkpoint needs no
    random state."""

    first: int
    again: int | None
    """Where a batch of data is taken once more: it is augmented as before, from `first`, and goes on under other dropout."""


def draws_of(trial: TrialSpec, epoch: int, batch: int) -> Draws:
    assert trial.defense is not None
    replayed = batch % DEFENSES[trial.defense.name].replays(trial.defense.options)
    first = stream_seed(trial.seed, "step", epoch, batch - replayed)
    return Draws(first, stream_seed(trial.seed, "step", epoch, batch) if replayed else None)


def take_step(learner: Learner, images: Tensor, labels: Tensor, epoch: Epoch, lane: Lane) -> None:
    """Descend once on a batch, uint8 images [n, c, h, w] and labels [n]; moves `epoch` on."""
    draws = draws_of(learner.trial, epoch.number, epoch.batch)
    with lane.drawing(draws.first):
        x = augmented(learner.trial, images)
        if draws.again is not None:
            lane.reseed(draws.again)
        backward(learner, x, labels, epoch)
    descend(learner)
    moved_on(epoch, len(labels))


def augmented(trial: TrialSpec, images: Tensor) -> Tensor:
    """What the model is to learn from: pixels in [0, 1] of uint8 images [n, c, h, w]."""
    assert trial.training is not None
    return pixels(_moved(images) if trial.training.augment else images)


def backward(learner: Learner, x: Tensor, labels: Tensor, epoch: Epoch) -> None:
    """The gradients of the defense's loss, and the sums of `epoch`."""
    trial = learner.trial
    assert trial.defense is not None
    assert trial.training is not None
    training, options, defense = trial.training, trial.defense.options, DEFENSES[trial.defense.name]
    with multiplying_in(training.precision):
        with autocast(x.device, training.precision):
            batch = defense.objective(learner.model, x, labels, training.label_smoothing, options, learner.memory)
        learner.optimizer.zero_grad(set_to_none=True)
        learner.scaler.scale(batch.loss).backward()  # type: ignore[no-untyped-call]
        if batch.afterwards is not None:
            batch.afterwards()
    epoch.loss += batch.loss.detach() * len(labels)
    epoch.right += (batch.logits.detach().argmax(dim=1) == labels).sum()


def descend(learner: Learner) -> None:
    """Follow the gradients. A loss scaler waits for the device here."""
    learner.scaler.step(learner.optimizer)
    learner.scaler.update()
    if learner.average is not None:
        learner.average.stepped()


def moved_on(epoch: Epoch, count: int) -> None:
    """A batch of `count` images is done."""
    epoch.seen += count
    epoch.batch += 1


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision for "bf16" and "fp16"; nothing for "fp32" and "tf32" (`core.precision`)."""
    if precision in ("fp32", "tf32"):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def pixels(images: Tensor) -> Tensor:
    """uint8 [n, c, h, w] as floats in [0, 1]."""
    return images.to(torch.float32).div_(255.0)


def _moved(images: Tensor) -> Tensor:
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
