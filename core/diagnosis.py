"""A look at a trained model itself: does its gradient say anything? On a small sample, for a fraction of a second.

Only measures; `core.trust` judges. Imports torch: for children only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from core.attacks import ATTACKS, resolve
from core.attacks.geometry import lengths, noise, project
from core.attacks.losses import margin
from core.attacks.victim import Victim, under_attack
from core.evaluation import TestSet
from core.records import Bools, Diagnosis, DiagnosisSpec

IMAGES = 64
_UNDERFLOW = 1e-35
"""A probability below this is lost on its way back through a network: fp32 ends at 1e-38."""
_UNSTEADY = 1e-4
"""Of the largest logit: more than two passes over one image can differ by rounding."""
_SLOPE_LEFT = 0.01
_STEPS, _STEPS_AGAIN = 10, 40
_SEARCHED = 24
"""Of the images that PGD leaves standing, so many are tried without gradients: most of what a look costs."""
_QUERIES = 40
_DRAWS = 2
_BOUNDED = (nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid)
"""Flat on both sides. Rectifiers are flat on one, where that is how they work; relu6 (a Hardtanh to torch) is one of them."""


def diagnose(
    model: nn.Module,
    test_set: TestSet,
    correct: Bools,
    spec: DiagnosisSpec,
    stop: Callable[[], bool] = lambda: False,
) -> Diagnosis:
    """Measure `model` on up to IMAGES of the samples that `correct` [n] says are classified rightly, spread evenly.

    All in fp32 and eval mode; each module's mode is as before afterwards. At the study's ε a short PGD on the margin comes
    first, which no scale of the logits flattens, then search and noise on what is left; what those break is tried again with
    longer PGD, on either loss and from other starts, before it counts against the gradients. Raises EvaluationStopped once
    `stop()` is true, NonFiniteLogits.
    """
    begun = time.monotonic()
    right = np.flatnonzero(correct)
    chosen = (
        right[np.unique(np.linspace(0, len(right) - 1, min(IMAGES, len(right))).astype(int))] if len(right) else right
    )
    rows = torch.from_numpy(chosen).to(test_set.labels.device)
    victim = Victim(model, "fp32", stop)
    if len(rows) == 0:
        return Diagnosis(spec.norm, spec.eps, 0, 0, 0, 0, 0, 0.0, "", 0, 0, (), 0, 0, time.monotonic() - begun)
    x, y, samples = test_set.pixels(rows), test_set.labels[rows], test_set.indices[rows]
    diameter = 1.0 if spec.norm == "linf" else math.sqrt(x[0].numel())
    with under_attack(model):
        logits = victim.logits(x)
        with _slopes(model) as layers:
            again = victim.logits(x)
        differing = (logits - again).abs().amax(dim=1) > _UNSTEADY * logits.abs().amax(dim=1).clamp_min(1.0)
        gradient, _ = victim.gradient(x, y)
        slope, _ = victim.gradient(x, y, margin)
        wrong = logits.softmax(dim=1).scatter(1, y[:, None], 0.0)
        dual = slope.flatten(1).abs().sum(dim=1) if spec.norm == "linf" else lengths(slope, "l2")
        distance = -margin(logits, y) / dual
        standing_at_one = ~_pgd(victim, x, y, samples, diameter, spec.norm, "ce", _STEPS)
        broken = torch.zeros(len(x), dtype=torch.bool, device=x.device)

        def ascend(tried: Tensor, losses: tuple[str, ...], steps: int, restarts: int) -> None:
            for loss in losses:
                at = tried[~broken[tried]]
                fallen = _pgd(victim, x[at], y[at], samples[at], spec.eps, spec.norm, loss, steps, restarts)
                broken[at[fallen]] = True

        ascend(torch.arange(len(x), device=x.device), ("margin",), _STEPS, 1)
        left = torch.nonzero(~broken).flatten()
        left = left[:: max(1, -(-len(left) // _SEARCHED))]
        by_noise, by_search = _without_gradients(victim, x[left], y[left], samples[left], spec)
        ascend(left[by_noise | by_search], ("ce", "margin"), _STEPS_AGAIN, 2)
        stands = ~broken[left]
        victim.check()
    share, layer = max(layers, default=(0.0, ""))
    return Diagnosis(
        norm=spec.norm,
        eps=spec.eps,
        images=len(rows),
        unsteady=int(differing.sum()),
        zero_gradients=int((gradient.flatten(1) == 0).all(dim=1).sum()),
        bad_gradients=int((~torch.isfinite(gradient.flatten(1))).any(dim=1).sum()),
        flat_softmax=int((wrong.amax(dim=1) < _UNDERFLOW).sum()),
        saturated_units=share,
        saturated_layer=layer,
        # No slope at all (0 / 0 or m / 0) is as far as can be.
        distant=int((~(distance <= diameter)).sum()),
        standing_at_one=int(standing_at_one.sum()),
        broken_by_gradient=tuple(int(row) for row in chosen[broken.cpu().numpy()]),
        only_by_search=int((by_search & stands).sum()),
        only_by_noise=int((by_noise & stands).sum()),
        seconds=time.monotonic() - begun,
    )


def _pgd(
    victim: Victim,
    x: Tensor,
    y: Tensor,
    samples: Tensor,
    eps: float,
    norm: str,
    loss: str,
    steps: int,
    restarts: int = 1,
) -> Tensor:
    """[n] bool: who falls to PGD."""
    attack = resolve("pgd", {"eps": [eps], "norm": norm, "steps": steps, "loss": loss}, "diagnosis")
    iterate = ATTACKS["pgd"].iterate
    assert iterate is not None
    broken = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    for restart in range(restarts):
        left = torch.nonzero(~broken).flatten()
        if len(left) == 0:
            break
        broken[left] = iterate(victim, x[left], y[left], samples[left], restart, eps, attack).broken
    return broken


def _without_gradients(
    victim: Victim, x: Tensor, y: Tensor, samples: Tensor, spec: DiagnosisSpec
) -> tuple[Tensor, Tensor]:
    """[n] bool twice: who falls to a few draws of noise, and who to a short random search."""
    by_noise = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    if len(x) == 0:
        return by_noise, by_noise
    for draw in range(_DRAWS):
        step = noise(0, samples, draw, x, spec.norm)
        adversarial = project(x + spec.eps * step, x, spec.eps, spec.norm)
        by_noise |= victim.confirm(adversarial, x, y, spec.eps, spec.norm)[0]
    search = ATTACKS["square"].iterate
    assert search is not None
    attack = resolve("square", {"eps": [spec.eps], "norm": spec.norm, "queries": _QUERIES}, "diagnosis")
    return by_noise, search(victim, x, y, samples, 0, spec.eps, attack).broken


@contextmanager
def _slopes(model: nn.Module) -> Iterator[list[tuple[float, str]]]:
    """Within, each pass appends (share of units without slope, layer's name) for every bounded activation it meets."""
    modules = [module for module in model.modules() if type(module) in _BOUNDED]
    found: list[tuple[float, str]] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        name = f"{type(module).__name__.lower()} {modules.index(module) + 1} of {len(modules)}"
        flat = _slope(module, inputs[0]) < _SLOPE_LEFT * _steepest(module, inputs[0])
        found.append((float(flat.float().mean()), name))

    hooks = [module.register_forward_hook(look) for module in modules]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _slope(module: nn.Module, z: Tensor) -> Tensor:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        # Not called: a call would run the hook again.
        (slope,) = torch.autograd.grad(module.forward(z).sum(), z)
    return slope.abs()


def _steepest(module: nn.Module, like: Tensor) -> Tensor:
    """The largest slope it can have: each of these is steepest near 0."""
    return _slope(module, torch.linspace(-1.0, 1.0, 41, device=like.device, dtype=like.dtype)).max()
