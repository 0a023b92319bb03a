"""The training loop: data on the device, no per-sample Python, every step a function of (seed, epoch, batch).

Imports torch: for children only.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.errors import InnateError
from core.events import EpochFinished, EpochRecord, TrainingProgress
from core.identity import stream_seed
from core.precision import multiplying_in
from core.records import Choice, TrialSpec
from core.training import checkpoints, optimizers
from core.training.defenses import DEFENSES
from core.training.defenses.inner import eval_mode
from core.training.overfitting import overfitting
from core.training.probe import Probe, probe_accuracy
from core.training.schedules import learning_rate

_PROGRESS_SECONDS = 0.25
_FINITE_CHECK_STEPS = 50
"""Looking at the loss stops a GPU's queue, so it is looked at now and then."""
_EVALUATION_BATCH = 512
_CROP_MARGIN = 4
"""Pixels of zero around an image before a random crop (He et al. 2015, section 4.2)."""


class Diverged(InnateError):
    """The loss stopped being a number."""


class TrainingStopped(Exception):
    """The worker asked to stop; a checkpoint has been written."""


@dataclass(frozen=True)
class TrainingData:
    """On the device: uint8 images [n, c, h, w] and int64 labels [n]; the validation part may be empty. Without a `probe`
    nobody looks at robustness while a defense trains."""

    images: Tensor
    labels: Tensor
    validation_images: Tensor
    validation_labels: Tensor
    probe: Probe | None = None


@dataclass
class _Epoch:
    """Sums over the batches of the epoch in hand; float64 on the device, so that the order of adding is all that counts."""

    number: int
    batch: int
    loss: Tensor
    right: Tensor
    seconds: float
    seen: int


def train(
    trial: TrialSpec,
    model: nn.Module,
    data: TrainingData,
    folder: Path,
    initial_digest: str,
    resume: Mapping[str, Any] | None,
    stop: Callable[[], bool],
) -> Iterator[TrainingProgress | EpochFinished]:
    """Train `model` in place, from `resume` (a checkpoint of this trial) or from the start.

    Yields progress a few times a second and each epoch once its checkpoint in `folder` is durable. Raises Diverged, or
    TrainingStopped once `stop()` was true and the state is on disk. A resumed training ends with the weights of an
    undisturbed one, bit for bit, on the same device kind and thread count.
    """
    assert trial.optimizer is not None, "imported weights are not trained"
    assert trial.defense is not None
    assert trial.training is not None
    training, defense, device = trial.training, trial.defense, data.images.device
    optimizer = optimizers.build(trial.optimizer, model.parameters())
    scaler = torch.amp.GradScaler(device.type, enabled=training.precision == "fp16")
    bounds = batch_bounds(len(data.labels), training.batch_size)
    largest = max(last - first for first, last in bounds)
    memory = DEFENSES[defense.name].remembered(pixels(data.images[:largest]), defense.options)
    history: list[EpochRecord] = []
    epoch = _fresh_epoch(1, device)
    if resume is not None:
        model.load_state_dict(resume["model"])
        optimizer.load_state_dict(resume["optimizer"])
        scaler.load_state_dict(resume["scaler"])
        for name, remembered in resume.get("memory", {}).items():
            memory[name].copy_(remembered)
        history = list(checkpoints.unpack(resume["history"]))
        epoch = _fresh_epoch(resume["epoch"], device)
        epoch.batch, epoch.seconds, epoch.seen = resume["batch"], resume["seconds"], resume["seen"]
        epoch.loss += resume["loss"]
        epoch.right += resume["right"]

    def save() -> None:
        checkpoints.write(
            folder / checkpoints.LAST,
            {
                "trial": trial.id,
                "initial_digest": initial_digest,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scaler": scaler.state_dict(),
                "memory": memory,
                "history": checkpoints.pack(history),
                "epoch": epoch.number,
                "batch": epoch.batch,
                "seconds": epoch.seconds,
                "seen": epoch.seen,
                "loss": float(epoch.loss),
                "right": float(epoch.right),
            },
        )

    model.train()
    replays = DEFENSES[defense.name].replays(defense.options)
    base = float(trial.optimizer.options["lr"])
    shown_at = time.monotonic()
    while epoch.number <= training.epochs:
        order = _order(trial.seed, epoch.number, len(data.labels)).to(device)
        rate = base
        begun = time.monotonic() - epoch.seconds
        while epoch.batch < len(bounds):
            if stop():
                epoch.seconds = time.monotonic() - begun
                save()
                raise TrainingStopped
            step = (epoch.number - 1) * len(bounds) + epoch.batch
            rate = learning_rate(training.schedule, base, step, len(bounds), training.epochs)
            first, last = bounds[epoch.batch // replays]
            with multiplying_in(training.precision):
                _step(trial, model, optimizer, scaler, data, order[first:last], rate, epoch, memory)
            if epoch.batch % _FINITE_CHECK_STEPS == 0:
                _refuse_divergence(epoch, trial)
            now = time.monotonic()
            if now - shown_at >= _PROGRESS_SECONDS:
                shown_at = now
                yield TrainingProgress(
                    epoch=epoch.number,
                    epochs=training.epochs,
                    batch=epoch.batch,
                    batches=len(bounds),
                    loss=float(epoch.loss) / epoch.seen,
                    accuracy=float(epoch.right) / epoch.seen,
                    samples_per_second=epoch.seen / max(1e-9, now - begun),
                )
        _refuse_divergence(epoch, trial)
        record = EpochRecord(
            epoch=epoch.number,
            loss=float(epoch.loss) / epoch.seen,
            accuracy=float(epoch.right) / epoch.seen,
            validation_accuracy=_validation_accuracy(model, data),
            lr=rate,
            probe_accuracy=_probe_accuracy(defense, model, data),
            seconds=time.monotonic() - begun,
        )
        warned = any(_overfitting(defense, history[:count]) for count in range(1, len(history) + 1))
        history.append(record)
        epoch = _fresh_epoch(epoch.number + 1, device)
        save()
        yield EpochFinished(record, None if warned else _overfitting(defense, history))


def batch_bounds(samples: int, batch_size: int) -> list[tuple[int, int]]:
    """Where each batch begins and ends. The last, smaller batch is kept; one of a single sample joins the one before,
    because batch normalisation cannot take it."""
    bounds = [(first, min(first + batch_size, samples)) for first in range(0, samples, batch_size)]
    if len(bounds) > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        (first, _), (_, last) = bounds[-2:]
        bounds[-2:] = [(first, last)]
    return bounds


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision for "bf16" and "fp16"; nothing for "fp32" and "tf32" (`core.precision`)."""
    if precision in ("fp32", "tf32"):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16 if precision == "bf16" else torch.float16)


def pixels(images: Tensor) -> Tensor:
    """uint8 [n, c, h, w] as floats in [0, 1]."""
    return images.to(torch.float32).div_(255.0)


def _step(
    trial: TrialSpec,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    data: TrainingData,
    chosen: Tensor,
    rate: float,
    epoch: _Epoch,
    memory: dict[str, Tensor],
) -> None:
    """One optimizer step on the samples `chosen`; adds to the sums of `epoch`, and to the defense's `memory`."""
    assert trial.defense is not None
    assert trial.training is not None
    training, options, defense = trial.training, trial.defense.options, DEFENSES[trial.defense.name]
    # Dropout, augmentation and the defense's noise all follow from here, so a checkpoint needs no random state.
    replayed = epoch.batch % defense.replays(options)
    device = data.images.device
    reseed(stream_seed(trial.seed, "step", epoch.number, epoch.batch - replayed), device)
    images, labels = data.images[chosen], data.labels[chosen]
    x = pixels(_augmented(images) if training.augment else images)
    if replayed:  # the same images once more, augmented as before, under other dropout
        reseed(stream_seed(trial.seed, "step", epoch.number, epoch.batch), device)
    for group in optimizer.param_groups:
        group["lr"] = rate
    with autocast(x.device, training.precision):
        lesson = defense.teach(model, x, labels, training.label_smoothing, options, memory)
    optimizer.zero_grad(set_to_none=True)
    scaler.scale(lesson.loss).backward()  # type: ignore[no-untyped-call]
    if lesson.afterwards is not None:
        lesson.afterwards()
    scaler.step(optimizer)
    scaler.update()
    epoch.loss += lesson.loss.detach() * len(chosen)
    epoch.right += (lesson.logits.detach().argmax(dim=1) == labels).sum()
    epoch.seen += len(chosen)
    epoch.batch += 1


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


def _validation_accuracy(model: nn.Module, data: TrainingData) -> float | None:
    if len(data.validation_labels) == 0:
        return None
    with eval_mode(model), torch.no_grad():
        right = 0
        for first in range(0, len(data.validation_labels), _EVALUATION_BATCH):
            part = slice(first, first + _EVALUATION_BATCH)
            predictions = model(pixels(data.validation_images[part])).argmax(dim=1)
            right += int((predictions == data.validation_labels[part]).sum())
    return right / len(data.validation_labels)


def _probe_accuracy(defense: Choice, model: nn.Module, data: TrainingData) -> float | None:
    options = defense.options
    if data.probe is None or "eps" not in options:
        return None
    return probe_accuracy(model, data.probe, options["eps"], options["norm"])


def _overfitting(defense: Choice, history: Sequence[EpochRecord]) -> str | None:
    return overfitting(
        [record.accuracy for record in history],
        [record.probe_accuracy for record in history],
        clean_share=defense.options.get("clean_share", 0.0),
    )


def _refuse_divergence(epoch: _Epoch, trial: TrialSpec) -> None:
    if not math.isfinite(float(epoch.loss)):
        assert trial.optimizer is not None
        rate = trial.optimizer.options["lr"]
        raise Diverged(
            f"the loss became NaN or infinite in epoch {epoch.number} "
            f"({trial.optimizer.name}, lr {rate:g}); try a smaller learning rate"
        )


def _order(seed: int, epoch: int, samples: int) -> Tensor:
    """The epoch's permutation, drawn on the CPU so that it is the same on every device."""
    generator = torch.Generator().manual_seed(stream_seed(seed, "order", epoch))
    return torch.randperm(samples, generator=generator)


def _fresh_epoch(number: int, device: torch.device) -> _Epoch:
    # MPS has no float64; a mean loss in float32 is still good to six digits.
    dtype = torch.float32 if device.type == "mps" else torch.float64
    zero = torch.zeros((), dtype=dtype, device=device)
    return _Epoch(number, 0, zero, zero.clone(), 0.0, 0)
