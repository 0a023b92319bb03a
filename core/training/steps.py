"""The steps of a training, one after another: eager, or in a lane that records each captured once per batch size and replayed.

The first step at a batch size is taken eagerly. It is a step like any other, makes the optimizer's state, and is the warm-up
that a capture needs; so nothing has to be put back before the second one, which is captured and replayed. A captured step has
the same operations in the same order as an eager one, so a training that was resumed, and took other steps eagerly, ends with
the same weights.

Imports torch: for children only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from core.datasets.staging import StagedImages
from core.lanes.lane import Lane, Replay
from core.training.defenses import DEFENSES
from core.training.step import Draws, Epoch, Learner, augmented, backward, descend, draws_of, moved_on, take_step


@dataclass(frozen=True)
class Batch:
    """Some rows [n] of the training images; `images` uint8 [n, c, h, w] are theirs where the device does not hold all."""

    rows: Tensor
    images: Tensor | None = None


@dataclass(frozen=True)
class _Recording:
    """A step on memory of its own: `batch` is what it reads, `kept` what else its graphs must not lose."""

    batch: Batch
    replays: tuple[Replay, ...]
    kept: object


class Steps:
    """Of `learner` on uint8 images [n, c, h, w] and labels [n] of `lane`'s device; sums go to `epoch`."""

    def __init__(
        self, learner: Learner, images: Tensor | StagedImages, labels: Tensor, epoch: Epoch, lane: Lane
    ) -> None:
        self._learner = learner
        self._images = images
        self._labels = labels
        self._epoch = epoch
        self._lane = lane
        self._recordings: dict[int, _Recording] = {}
        self._warm: set[int] = set()
        self._slopes = _slopes(learner)
        self._rate: float | None = None
        self.gave_up: str | None = None
        """Why steps are taken eagerly in a lane that records; None where they are not."""
        if learner.scaler.is_enabled():
            self.gave_up = "the scaling of an fp16 loss has to look at every step"

    def take(self, batch: Batch, rate: float) -> None:
        """Descend once with a learning rate."""
        if rate != self._rate:
            self._learner.learn_at(rate)
            self._rate = rate
        self._take(batch, len(batch.rows))
        self._lane.worked(len(batch.rows) * self._slopes)

    def _take(self, batch: Batch, size: int) -> None:
        if not self._lane.records or self.gave_up is not None or size not in self._warm:
            self._take_eagerly(batch)
            self._warm.add(size)
            return
        recording = self._recordings.get(size)
        if recording is None:
            recording = self._record(batch)
            if recording is None:
                self._take_eagerly(batch)
                return
        recording.batch.rows.copy_(batch.rows)
        if recording.batch.images is not None and batch.images is not None:
            recording.batch.images.copy_(batch.images)
        self._replay(recording, draws_of(self._learner.trial, self._epoch.number, self._epoch.batch))
        moved_on(self._epoch, size)

    def _take_eagerly(self, batch: Batch) -> None:
        take_step(self._learner, self._images_of(batch), self._labels[batch.rows], self._epoch, self._lane)

    def _images_of(self, batch: Batch) -> Tensor:
        return self._images[batch.rows] if batch.images is None else batch.images

    def _record(self, like: Batch) -> _Recording | None:
        """A step on a batch of the size of `like`; None, from now on, where it cannot be recorded."""
        held = Batch(torch.zeros_like(like.rows), None if like.images is None else torch.zeros_like(like.images))
        works, kept = self._works(held)
        try:
            replays = tuple(self._lane.record(work)[0] for work in works)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # a defense that looks at its data, or an operation that graphs cannot hold
            self.gave_up = (str(error).strip().splitlines() or [type(error).__name__])[0]
            self._recordings.clear()
            return None
        recording = self._recordings[len(like.rows)] = _Recording(held, replays, kept)
        return recording

    def _works(self, held: Batch) -> tuple[tuple[Callable[[], None], ...], object]:
        """What a step does, in as many pieces as it has seeds, and what they hand on."""
        learner, trial, handed = self._learner, self._learner.trial, list[Tensor]()
        assert trial.defense is not None
        assert trial.training is not None

        def gather() -> None:
            handed[:] = [augmented(trial, self._images_of(held)), self._labels[held.rows]]

        def learn() -> None:
            x, labels = handed
            backward(learner, x, labels, self._epoch)
            descend(learner)

        def whole() -> None:
            gather()
            learn()

        repeats = DEFENSES[trial.defense.name].replays(trial.defense.options) > 1
        return ((gather, learn) if repeats and trial.training.augment else (whole,)), handed

    def _replay(self, recording: _Recording, draws: Draws) -> None:
        first, *rest = recording.replays
        # In one piece, nothing is drawn before the second seed counts.
        self._lane.reseed(draws.first if rest or draws.again is None else draws.again)
        first()
        for replay in rest:
            if draws.again is not None:
                self._lane.reseed(draws.again)
            replay()
        self._lane.pace()


def _slopes(learner: Learner) -> int:
    """How many slopes of the loss a step takes for each image."""
    defense = learner.trial.defense
    assert defense is not None
    return 1 + DEFENSES[defense.name].gradients(defense.options)
