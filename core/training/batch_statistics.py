"""Batch norm's statistics, estimated anew for weights that no step has led to. Imports torch: for children only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from core.datasets.staging import StagedImages, ahead
from core.identity import stream_seed
from core.lanes.lane import Lane
from core.precision import multiplying_in
from core.training.defenses import DEFENSES
from core.training.step import Learner, augmented, autocast

_IMAGES = 10_000
"""At most: more move a channel's mean by less than a hundredth of its deviation."""


def estimate(
    learner: Learner,
    images: Tensor | StagedImages,
    labels: Tensor,
    order: Tensor,
    bounds: Sequence[tuple[int, int]],
    epoch: int,
    lane: Lane,
) -> None:
    """Set the running statistics of the learner's model, in training mode, to the mean over batches of what its weights make of
    the training images [n, c, h, w], as its defense shows them to it; no weight changes.

    `order` [n] are rows, and `bounds` where its batches begin and end. A network without batch norm is left as it is.
    """
    trial, norms = learner.trial, _norms(learner.model)
    if not norms:
        return
    assert trial.defense is not None
    assert trial.training is not None
    defense, smoothing = DEFENSES[trial.defense.name], trial.training.label_smoothing
    pieces = [piece for piece in bounds if piece[0] < _IMAGES]
    with _counting_alike(norms), torch.no_grad(), ahead(images, order, pieces) as staged:
        for number, ((first, last), batch) in enumerate(zip(pieces, staged, strict=True)):
            rows = order[first:last]
            with lane.drawing(stream_seed(trial.seed, "statistics", epoch, number)):
                x = augmented(trial, images[rows] if batch is None else batch)
                with multiplying_in(trial.training.precision), autocast(x.device, trial.training.precision):
                    defense.objective(learner.model, x, labels[rows], smoothing, trial.defense.options, learner.memory)


def _norms(model: nn.Module) -> list[_BatchNorm]:
    return [one for one in model.modules() if isinstance(one, _BatchNorm) and one.track_running_stats]


@contextmanager
def _counting_alike(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Within, running statistics are the mean over the batches seen within; until the first, what they were."""
    before = []
    for norm in norms:
        assert norm.num_batches_tracked is not None
        before.append((norm, norm.momentum, norm.num_batches_tracked, norm.num_batches_tracked.clone()))
        norm.momentum = None  # torch's word for the mean over all batches seen
        norm.num_batches_tracked.zero_()
    try:
        yield
    finally:
        for norm, momentum, seen, count in before:
            norm.momentum = momentum
            seen.copy_(count)
