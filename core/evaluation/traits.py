"""A model's traits (`core.traits`), from the pass over the clean images and one gradient on a sample of them. Imports torch: for
children only.

Counts and medians over images: neither the batch size nor the order of images changes them beyond the rounding of a pass.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core.datasets.subsets import evenly_spread
from core.engine.losses import margin
from core.engine.units import flat, is_bounded
from core.engine.victim import Victim, under_attack
from core.evaluation.batches import usual_batch
from core.evaluation.evaluate import CleanPass, TestSet
from core.models.activations import ACTIVATIONS
from core.traits import SAMPLE, Measured

Floats = NDArray[np.float64]


def measure(
    model: nn.Module,
    test_set: TestSet,
    clean: CleanPass,
    stop: Callable[[], bool] = lambda: False,
    batch_size: int | None = None,
) -> Measured:
    """The traits of `model`, whose pass over the clean images of `test_set` was `clean`; in fp32, norms of weights in float64.

    Raises EvaluationStopped once `stop()` is true, NonFiniteLogits.
    """
    right = np.flatnonzero(clean.outcome.correct)
    chosen = evenly_spread(right, SAMPLE)
    margins = clean.margins[right]
    units = _Units()
    first, second = _slopes(model, test_set, chosen, units, stop, batch_size or usual_batch(model, test_set))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = margins / clean.deviations[right]
        boundary = clean.margins[chosen] / first
    return Measured(
        margin=_median(margins),
        margin_mean=_mean(margins),
        logit_scale=_mean(clean.deviations),
        relative_margin=_median(relative),
        gradient_l1=_median(first),
        gradient_l2=_median(second),
        boundary=_median(boundary),
        saturated=units.share(units.flat),
        sparsity=units.share(units.zero),
        dead=units.dead(),
        weight_norm=_weight_norm(model),
        spectral_norm=_spectral_norm(model),
    )


def _slopes(
    model: nn.Module,
    test_set: TestSet,
    chosen: NDArray[np.int64],
    units: _Units,
    stop: Callable[[], bool],
    batch_size: int,
) -> tuple[Floats, Floats]:
    """[n] twice: the ℓ1 and the ℓ2 norm of the margin's gradient at the chosen images; their activations go to `units`."""
    found: list[tuple[Floats, Floats]] = [(np.empty(0), np.empty(0))]
    victim, rows = Victim(model, "fp32", stop), torch.from_numpy(chosen).to(test_set.labels.device)
    with under_attack(model):
        for part in torch.split(rows, batch_size) if len(rows) else ():
            x = test_set.pixels(part)
            gradient = victim.gradient(x, test_set.labels[part], margin)[0].flatten(1).cpu().numpy().astype(np.float64)
            found.append((np.abs(gradient).sum(axis=1), np.sqrt((gradient**2).sum(axis=1))))
            with _observed(model, units):
                victim.observed(x)
        victim.check()
    first, second = zip(*found, strict=True)
    return np.concatenate(first), np.concatenate(second)


@dataclass
class _Units:
    """What activations put out, over the images seen so far; a unit is a place in one output of one module."""

    seen: int = 0
    zero: int = 0
    flat: int = 0
    alive: dict[int, Tensor] = field(default_factory=dict)
    """By the place of a module in the order of a pass: the units that were not 0 on some image."""

    def share(self, count: int) -> float | None:
        return count / self.seen if self.seen else None

    def dead(self) -> float | None:
        total = sum(one.numel() for one in self.alive.values())
        return sum(int((~one).sum()) for one in self.alive.values()) / total if total else None


_ACTIVATIONS = tuple({getattr(nn, entry.module) for entry in ACTIVATIONS.values()})


@contextmanager
def _observed(model: nn.Module, units: _Units) -> Iterator[None]:
    """Within, one pass: each activation that it meets is counted."""
    met = itertools.count()

    def look(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        place, nonzero = next(met), output != 0
        units.seen += output.numel()
        units.zero += output.numel() - int(nonzero.sum())
        if is_bounded(module):
            units.flat += int(flat(module, inputs[0]).sum())
        alive = nonzero.any(dim=0)
        units.alive[place] = alive | units.alive[place] if place in units.alive else alive

    hooks = [module.register_forward_hook(look) for module in model.modules() if isinstance(module, _ACTIVATIONS)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _matrices(model: nn.Module) -> list[NDArray[np.float64]]:
    """Every kernel and matrix as [outputs, rest]."""
    weights = [weight for weight in model.parameters() if weight.dim() > 1]
    return [weight.detach().flatten(1).cpu().numpy().astype(np.float64) for weight in weights]


def _weight_norm(model: nn.Module) -> float:
    return math.sqrt(math.fsum(float((one**2).sum()) for one in _matrices(model)))


def _spectral_norm(model: nn.Module) -> float | None:
    """By the largest eigenvalue of each matrix's smaller Gram matrix."""
    found = []
    for one in _matrices(model):
        gram = one @ one.T if one.shape[0] <= one.shape[1] else one.T @ one
        found.append(math.sqrt(max(0.0, float(np.linalg.eigvalsh(gram)[-1]))))
    if not found:
        return None
    return math.exp(math.fsum(map(math.log, found)) / len(found)) if all(found) else 0.0


def _median(values: Floats) -> float | None:
    return _known(float(np.median(values))) if len(values) else None


def _mean(values: Floats) -> float | None:
    return _known(math.fsum(values) / len(values)) if len(values) else None


def _known(value: float) -> float | None:
    """None for infinity (no slope on most images) and NaN."""
    return value if math.isfinite(value) else None
