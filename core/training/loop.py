"""The training loop: data on the device, no per-sample Python, every step a function of (seed, epoch, batch).

Imports torch: for children only.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.datasets.staging import StagedImages, ahead
from core.errors import InnateError
from core.events import EpochFinished, EpochRecord, TrainingProgress
from core.identity import stream_seed
from core.lanes.lane import Lane, current_lane
from core.precision import multiplying_in
from core.records.choice import Choice
from core.records.trial import TrialSpec
from core.training import batch_statistics, checkpoints
from core.training.aside import Aside
from core.training.defenses import DEFENSES
from core.training.defenses.inner import eval_mode
from core.training.overfitting import overfitting
from core.training.probe import Probe, probe_accuracy
from core.training.schedules import learning_rate
from core.training.step import Epoch, Learner, fresh_epoch, learner, pixels
from core.training.steps import Batch, Steps

_PROGRESS_SECONDS = 0.25
_FINITE_CHECK_STEPS = 50
"""Looking at the loss stops a device's queue, so it is looked at now and then; in a lane that records whenever progress is
told."""
_RECORDED_CHECKPOINT_SECONDS = 10.0
"""Between two checkpoints of a lane that records, where an epoch may take a second."""
_EVALUATION_BATCH = 512


class Diverged(InnateError):
    """The loss stopped being a number."""


class TrainingStopped(Exception):
    """The worker asked to stop; a checkpoint has been written."""


@dataclass(frozen=True)
class TrainingData:
    """On the device, images perhaps only batch by batch: uint8 [n, c, h, w], and int64 labels [n]; the validation part may
    be empty. Without a `probe` nobody looks at robustness while a defense trains."""

    images: Tensor | StagedImages
    labels: Tensor
    validation_images: Tensor | StagedImages
    validation_labels: Tensor
    probe: Probe | None = None


def train(
    trial: TrialSpec,
    model: nn.Module,
    data: TrainingData,
    folder: Path,
    initial_digest: str,
    resume: Mapping[str, Any] | None,
    stop: Callable[[], bool],
) -> Generator[TrainingProgress | EpochFinished, None, tuple[str, ...]]:
    """Train `model` in place, from `resume` (a checkpoint of this trial) or from the start.

    Yields progress a few times a second and each epoch, once its checkpoint in `folder` is durable; in a lane that records
    (`core.lanes`) checkpoints are written aside, one in ten seconds wherever it is then. Where weights are averaged the model
    ends with the average, and once there is one it is what validation and probe look at. Returns what a reader should know
    of how it went. Raises Diverged, or TrainingStopped once `stop()` was true and the state is on disk. A resumed training
    ends with the weights of an undisturbed one, bit for bit, on the same device kind and thread count.
    """
    assert trial.defense is not None
    assert trial.training is not None
    defense, device = trial.defense, data.images.device
    lane = current_lane(device)
    bounds = batch_bounds(len(data.labels), trial.training.batch_size)
    largest = max(last - first for first, last in bounds)
    learned = learner(trial, model, data.images[:largest], recorded=lane.records)
    state = _State(learned, fresh_epoch(1, device), [])
    if resume is not None:
        state.restore(resume)
    model.train()
    steps = Steps(learned, data.images, data.labels, state.epoch, lane)
    aside = Aside(folder / checkpoints.LAST, _RECORDED_CHECKPOINT_SECONDS if lane.records else 0.0)
    clock = _Clock()
    while state.epoch.number <= trial.training.epochs:
        order = _order(trial.seed, state.epoch.number, len(data.labels)).to(device)
        begun = time.monotonic() - state.epoch.seconds
        replays = DEFENSES[defense.name].replays(defense.options)
        pieces = [bounds[batch // replays] for batch in range(state.epoch.batch, len(bounds))]
        with ahead(data.images, order, pieces) as staged:
            for (first, last), images in zip(pieces, staged, strict=True):
                if stop():
                    state.epoch.seconds = time.monotonic() - begun
                    aside.write_now(state.content(trial, initial_digest))
                    raise TrainingStopped
                rate = _rate(trial, state.epoch.batch, state.epoch.number, len(bounds))
                steps.take(Batch(order[first:last], images), rate)
                if not lane.records and state.epoch.batch % _FINITE_CHECK_STEPS == 0:
                    _refuse_divergence(state.epoch, trial)
                if clock.due():
                    if lane.records:
                        _refuse_divergence(state.epoch, trial)
                        if aside.due():
                            state.epoch.seconds = time.monotonic() - begun
                            aside.write(state.content(trial, initial_digest))
                    yield _progress(state.epoch, trial.training.epochs, len(bounds), time.monotonic() - begun)
        _refuse_divergence(state.epoch, trial)
        rate = _rate(trial, len(bounds) - 1, state.epoch.number, len(bounds))
        with _looked_at(learned, data, bounds, state.epoch.number, lane):
            record = _record(state.epoch, defense, model, data, rate, begun)
        warned = any(_overfitting(defense, state.history[:count]) for count in range(1, len(state.history) + 1))
        state.history.append(record)
        state.epoch.begin(record.epoch + 1)
        if record.epoch == trial.training.epochs:
            aside.write_now(state.content(trial, initial_digest))
        elif aside.due():
            aside.write(state.content(trial, initial_digest))
        yield EpochFinished(record, None if warned else _overfitting(defense, state.history))
    if learned.average is not None:
        learned.average.settle()
    return () if steps.gave_up is None or not lane.records else (f"trained without CUDA graphs: {steps.gave_up}",)


@dataclass
class _State:
    """All that a checkpoint holds of a training under way."""

    learner: Learner
    epoch: Epoch
    history: list[EpochRecord]

    def content(self, trial: TrialSpec, initial_digest: str) -> dict[str, Any]:
        return {
            "trial": trial.id,
            "initial_digest": initial_digest,
            "model": self.learner.model.state_dict(),
            "optimizer": self.learner.optimizer.state_dict(),
            "scaler": self.learner.scaler.state_dict(),
            "memory": self.learner.memory,
            "average": {} if self.learner.average is None else self.learner.average.state(),
            "history": checkpoints.pack(self.history),
            "epoch": self.epoch.number,
            "batch": self.epoch.batch,
            "seconds": self.epoch.seconds,
            "seen": self.epoch.seen,
            "loss": float(self.epoch.loss),
            "right": float(self.epoch.right),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        self.learner.model.load_state_dict(saved["model"])
        self.learner.optimizer.load_state_dict(saved["optimizer"])
        self.learner.scaler.load_state_dict(saved["scaler"])
        for name, remembered in saved.get("memory", {}).items():
            self.learner.memory[name].copy_(remembered)
        if self.learner.average is not None:
            self.learner.average.restore(saved["average"])
        self.history = list(checkpoints.unpack(saved["history"]))
        self.epoch.begin(saved["epoch"])
        self.epoch.batch, self.epoch.seconds, self.epoch.seen = saved["batch"], saved["seconds"], saved["seen"]
        self.epoch.loss += saved["loss"]
        self.epoch.right += saved["right"]


class _Clock:
    """Says a few times a second that progress is due: telling it stops a GPU's queue."""

    def __init__(self) -> None:
        self._told_at = time.monotonic()

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._told_at < _PROGRESS_SECONDS:
            return False
        self._told_at = now
        return True


def _rate(trial: TrialSpec, batch: int, epoch: int, batches: int) -> float:
    """The learning rate of a step."""
    assert trial.optimizer is not None
    assert trial.training is not None
    step = (epoch - 1) * batches + batch
    base = float(trial.optimizer.options["lr"])
    return learning_rate(trial.training.schedule, base, step, batches, trial.training.epochs)


def _progress(epoch: Epoch, epochs: int, batches: int, seconds: float) -> TrainingProgress:
    return TrainingProgress(
        epoch=epoch.number,
        epochs=epochs,
        batch=epoch.batch,
        batches=batches,
        loss=float(epoch.loss) / epoch.seen,
        accuracy=float(epoch.right) / epoch.seen,
        samples_per_second=epoch.seen / max(1e-9, seconds),
    )


@contextlib.contextmanager
def _looked_at(
    learned: Learner, data: TrainingData, bounds: Sequence[tuple[int, int]], epoch: int, lane: Lane
) -> Iterator[None]:
    """After `epoch`: within, the model is what it would be stored as, averaged once there is an average."""
    average = learned.average
    if average is None or not average.begun(epoch):
        yield
        return
    moved = average.epoch_over(epoch)
    with average.in_place():
        if moved:
            order = _order(learned.trial.seed, epoch, len(data.labels)).to(lane.device)
            batch_statistics.estimate(learned, data.images, data.labels, order, bounds, epoch, lane)
            average.statistics_taken()
        yield


def _record(
    epoch: Epoch, defense: Choice, model: nn.Module, data: TrainingData, rate: float, begun: float
) -> EpochRecord:
    return EpochRecord(
        epoch=epoch.number,
        loss=float(epoch.loss) / epoch.seen,
        accuracy=float(epoch.right) / epoch.seen,
        validation_accuracy=_validation_accuracy(model, data),
        lr=rate,
        probe_accuracy=_probe_accuracy(defense, model, data),
        seconds=time.monotonic() - begun,
    )


def batch_bounds(samples: int, batch_size: int) -> list[tuple[int, int]]:
    """Where each batch begins and ends. The last, smaller batch is kept; one of a single sample joins the one before,
    because batch normalisation cannot take it."""
    bounds = [(first, min(first + batch_size, samples)) for first in range(0, samples, batch_size)]
    if len(bounds) > 1 and bounds[-1][1] - bounds[-1][0] == 1:
        (first, _), (_, last) = bounds[-2:]
        bounds[-2:] = [(first, last)]
    return bounds


def _validation_accuracy(model: nn.Module, data: TrainingData) -> float | None:
    if len(data.validation_labels) == 0:
        return None
    right = torch.zeros_like(data.validation_labels[0])
    with eval_mode(model), torch.no_grad(), multiplying_in("fp32"):
        for first in range(0, len(data.validation_labels), _EVALUATION_BATCH):
            part = slice(first, first + _EVALUATION_BATCH)
            predictions = model(pixels(data.validation_images[part])).argmax(dim=1)
            right += (predictions == data.validation_labels[part]).sum()
    return int(right) / len(data.validation_labels)


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


def _refuse_divergence(epoch: Epoch, trial: TrialSpec) -> None:
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
