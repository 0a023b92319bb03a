"""The average of a model's weights, kept while it learns. Imports torch: for children only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from core.records.trial import Training
from core.training.averaging import first_averaged

State = dict[str, Tensor]
_COUNT = "count"


class Average:
    """Of all weights and floating-point buffers of `model`; a checkpoint holds its `state`.

    "ema": after step t (from 0), a += (w − a)(1 − d), d = min(decay, (1 + t) / (10 + t)), so that the initial weights do not
    stand out in short trainings. "swa": a is the mean of w after each epoch from `first_averaged` on.
    """

    def __init__(self, training: Training, model: nn.Module) -> None:
        self._choice = training.averaging
        self._epochs = training.epochs
        named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self._weights = {key: one.detach() for key, one in named.items() if one.is_floating_point()}
        self._averaged = {key: one.clone() for key, one in self._weights.items()}
        self._count = torch.zeros((), device=next(iter(self._weights.values())).device)

    def stepped(self) -> None:
        """After a step. Looks at no value on the device: a CUDA graph can capture it with the step."""
        if self._choice.name != "ema":
            return
        keep = ((self._count + 1.0) / (self._count + 10.0)).clamp_max(self._choice.options["decay"])
        self._count.add_(1.0)
        averaged = list(self._averaged.values())
        moves = torch._foreach_sub(list(self._weights.values()), averaged)
        torch._foreach_mul_(moves, 1.0 - keep)
        torch._foreach_add_(averaged, moves)

    def epoch_over(self, epoch: int) -> bool:
        """After `epoch`, counted from 1, where the average has `begun`. Whether batch norm's statistics are now those of other
        weights, and `statistics_taken` is to follow."""
        if self._choice.name != "swa":
            return False
        before = epoch - first_averaged(self._choice, self._epochs)
        for averaged, weight in zip(self._averaged.values(), self._weights.values(), strict=True):
            if before == 0:
                averaged.copy_(weight)
            else:
                averaged.add_(weight - averaged, alpha=1.0 / (before + 1))
        return True

    def begun(self, epoch: int) -> bool:
        """Whether there is an average after `epoch`."""
        return self._choice.name == "ema" or epoch >= first_averaged(self._choice, self._epochs)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within, the model has the averaged weights."""
        aside = {key: one.clone() for key, one in self._weights.items()}
        self.settle()
        try:
            yield
        finally:
            _copy(aside, self._weights)

    def settle(self) -> None:
        """The model has the averaged weights from now on."""
        _copy(self._averaged, self._weights)

    def statistics_taken(self) -> None:
        """Within `in_place`, once batch norm's statistics have been estimated anew: they are the average's."""
        _copy(self._weights, self._averaged)

    def state(self) -> State:
        return {**self._averaged, _COUNT: self._count}

    def restore(self, saved: Mapping[str, Tensor]) -> None:
        _copy(saved, {**self._averaged, _COUNT: self._count})


def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """In place: recorded steps read and write these very tensors."""
    for key, tensor in target.items():
        tensor.copy_(source[key])
