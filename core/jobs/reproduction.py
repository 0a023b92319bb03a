"""One trial trained again, and its weights held against those of before. Imports torch: for children only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

from core.events import Event, Trained, WeightsCompared
from core.jobs.orders import ReproduceJob
from core.jobs.trial import run_trial
from core.training import checkpoints


def run_reproduction(job: ReproduceJob, stop: Callable[[], bool]) -> Iterator[Event]:
    """The events of the trial; after `Trained` comes WeightsCompared, where the weights of before can be read."""
    for event in run_trial(job.again, stop):
        yield event
        if isinstance(event, Trained) and job.stored is not None:
            before = checkpoints.read(job.stored, job.again.trial.id)
            again = checkpoints.read(event.weights, job.again.trial.id)
            if before is not None and again is not None and _alike(before["model"], again["model"]):
                yield compared(before["model"], again["model"])


def _alike(before: Mapping[str, Tensor], again: Mapping[str, Tensor]) -> bool:
    """Whether both have the same tensors, whatever is in them."""
    return {key: tensor.shape for key, tensor in before.items()} == {key: tensor.shape for key, tensor in again.items()}


def compared(before: Mapping[str, Tensor], again: Mapping[str, Tensor]) -> WeightsCompared:
    """Both have the same names and shapes. Counted in double precision; whole numbers, as batch norm's count of batches, are no
    weights. NaN in either makes both numbers infinite."""
    apart = length = largest = 0.0
    for name, tensor in before.items():
        if not tensor.is_floating_point() or tensor.numel() == 0:
            continue
        one, other = tensor.double(), again[name].double()
        apart += float((other - one).square().sum())
        length += float(one.square().sum())
        largest = max(largest, float((other - one).abs().max()))
    if not math.isfinite(apart + length):
        return WeightsCompared(checkpoints.weights_digest(before), math.inf, math.inf)
    distance = math.sqrt(apart / length) if length else 0.0 if apart == 0.0 else math.inf
    return WeightsCompared(checkpoints.weights_digest(before), distance, largest)
