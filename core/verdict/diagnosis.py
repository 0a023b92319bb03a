"""A look at a trained model itself, on a sample of its images: does its gradient say anything, and do attacks of other kinds
than a study's break more?

Only measures; `core.verdict.trust` judges. Imports torch: for children only.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from core.attacks import ATTACKS, resolve
from core.attacks.fmn import nearest_mistakes
from core.datasets.subsets import evenly_spread
from core.engine.distances import firm
from core.engine.geometry import lengths, noise, project
from core.engine.losses import margin
from core.engine.units import flat, is_bounded
from core.engine.victim import Victim, under_attack
from core.evaluation.batches import usual_batch
from core.evaluation.evaluate import TestSet
from core.records.outcome import Bools, Diagnosis, DiagnosisSpec

IMAGES = 64
_UNSTEADY = 1e-4
"""Of the largest logit: more than two passes over one image can differ by rounding."""
_STEPS, _STEPS_AGAIN = 10, 40
_FREE_STEPS, _AIMED_STEPS, _TARGETS, _LIKELIEST = 60, 15, 3, 9
"""In l2, of FMN: towards any mistake, and towards so many of the likeliest classes."""
_LINF_FREE_STEPS, _LINF_AIMED_STEPS, _LINF_TARGETS = 30, 10, 4
"""In linf, of APGD, at each radius."""
_PASSES = 110
"""About so many gradients an image are all these: in l2 60 + 3 · 15 + the slopes of ten classes; in linf 70 for each radius, at
which ever fewer stand."""
_MOST = 256
_SEARCHED = 24
"""Of the images that gradients leave standing, so many are tried without."""
_QUERIES = 40
_DRAWS = 2


def sample_size(trained: int | None) -> int:
    """How many images those attacks are tried on after a training that took in `trained` images, repeats counted; None for
    weights trained elsewhere.

    Their gradients cost about as much as half of the training then, and attacks often more; never so few that 3 % of them
    could not be told from none, nor more than tell it well.
    """
    return _MOST if trained is None else min(_MOST, max(IMAGES, 2 * trained // (3 * _PASSES)))


def diagnose(
    model: nn.Module,
    test_set: TestSet,
    correct: Bools,
    spec: DiagnosisSpec,
    stop: Callable[[], bool] = lambda: False,
    measured: int = IMAGES,
    *,
    tried: bool = True,
) -> Iterator[Diagnosis]:
    """Measure `model` on up to IMAGES of the samples that `correct` [n] says are classified rightly, spread evenly, and the
    distance to the nearest mistake on up to `measured`: one Diagnosis for each ε of `spec`, upwards.

    Unless they are to be `tried`, the attacks of other kinds on that sample are left out: an audit makes more of them.
    All in fp32 and eval mode; each module's mode is as before afterwards. Short attacks come first, of more than one kind: in
    l2 FMN, whose distances tell who falls at any ε, in linf APGD at each ε. Then search and noise on what is left; what those
    break is tried again with PGD, on either loss and from other starts, before it counts against the gradients. Raises
    EvaluationStopped once `stop()` is true, NonFiniteLogits.
    """
    begun = time.monotonic()
    right = np.flatnonzero(correct)
    if len(right) == 0:
        yield from (Diagnosis(spec.norm, eps, 0, 0, 0, 0, 0, 0.0, "", 0, 0, (), 0, 0, 0.0) for eps in spec.eps)
        return
    chosen = evenly_spread(right, max(measured, IMAGES) if tried else IMAGES)
    victim, device = Victim(model, "fp32", stop, evens=True), test_set.labels.device
    rows = torch.from_numpy(chosen).to(device)
    looked_at = torch.from_numpy(evenly_spread(np.arange(len(chosen)), IMAGES)).to(device)
    part = rows[looked_at]
    x, y, samples = test_set.pixels(part), test_set.labels[part], test_set.indices[part]
    with under_attack(model):
        distance = torch.full(rows.shape, float("inf"), device=device)
        size = usual_batch(model, test_set)
        if tried and spec.norm == "l2":
            distance = _distances(victim, test_set, rows, size)
        whatever_the_radius = _look(victim, x, y, samples, spec.norm)
    nearest = {
        int(row): float(length) for row, length in zip(chosen, distance.tolist(), strict=True) if math.isfinite(length)
    }
    distance = distance.to(device)
    broken = torch.zeros(len(rows), dtype=torch.bool, device=device)
    for eps in spec.eps:
        broken |= distance <= eps
        with under_attack(model):
            if tried and spec.norm == "linf":
                broken |= _fallen_in_linf(victim, test_set, rows, eps, broken, size)
            sample = broken[looked_at]
            by_noise, by_search = _at_radius(victim, x, y, samples, spec.norm, eps, sample)
            broken[looked_at] |= sample
            victim.check()
        yield replace(
            whatever_the_radius,
            eps=eps,
            broken_by_gradient=tuple(rows[broken].tolist()),
            only_by_search=by_search,
            only_by_noise=by_noise,
            seconds=time.monotonic() - begun,
            measured=len(chosen) if tried else 0,
            nearest=nearest,
        )
        begun = time.monotonic()


def _look(victim: Victim, x: Tensor, y: Tensor, samples: Tensor, norm: str) -> Diagnosis:
    """What does not depend on a radius; all that does is left empty."""
    model = victim.model
    diameter = 1.0 if norm == "linf" else math.sqrt(x[0].numel())
    logits = victim.observed(x)  # both as they are: a recorded pass may be padded, and round otherwise
    with _slopes(model) as layers:
        again = victim.observed(x)
    differing = (logits - again).abs().amax(dim=1) > _UNSTEADY * logits.abs().amax(dim=1)
    gradient, _ = victim.ascent(x, y)
    slope, _ = victim.gradient(x, y, margin)
    sure = logits.softmax(dim=1).gather(1, y[:, None]).squeeze(1)
    dual = slope.flatten(1).abs().sum(dim=1) if norm == "linf" else lengths(slope, "l2")
    distance = -margin(logits, y) / dual
    standing_at_one = ~_pgd(victim, x, y, samples, diameter, norm, "ce", _STEPS)
    share, layer = max(layers, default=(0.0, ""))
    return Diagnosis(
        norm=norm,
        eps=0.0,
        images=len(x),
        unsteady=int(differing.sum()),
        zero_gradients=int((gradient.flatten(1) == 0).all(dim=1).sum()),
        bad_gradients=int((~torch.isfinite(gradient.flatten(1))).any(dim=1).sum()),
        flat_softmax=int((1.0 - sure == 0.0).sum()),
        saturated_units=share,
        saturated_layer=layer,
        # No slope at all (0 / 0 or m / 0) is as far as can be.
        distant=int((~(distance <= diameter)).sum()),
        standing_at_one=int(standing_at_one.sum()),
        broken_by_gradient=(),
        only_by_search=0,
        only_by_noise=0,
        seconds=0.0,
    )


def _at_radius(
    victim: Victim, x: Tensor, y: Tensor, samples: Tensor, norm: str, eps: float, broken: Tensor
) -> tuple[int, int]:
    """How many fall to noise and how many to a short search, and to no gradient; `broken` [n] takes in who falls to PGD
    then."""
    left = torch.nonzero(~broken).flatten()
    left = left[:: max(1, -(-len(left) // _SEARCHED))]
    by_noise, by_search = _without_gradients(victim, x[left], y[left], samples[left], norm, eps)
    for loss in ("ce", "margin"):
        at = left[(by_noise | by_search) & ~broken[left]]
        broken[at[_pgd(victim, x[at], y[at], samples[at], eps, norm, loss, _STEPS_AGAIN, restarts=2)]] = True
    stands = ~broken[left]
    return int((by_noise & stands).sum()), int((by_search & stands).sum())


def _distances(victim: Victim, test_set: TestSet, rows: Tensor, size: int) -> Tensor:
    """[n]: how far in l2 the nearest image is that short runs of FMN, on `size` samples at a time, find and a fresh pass
    confirms; inf where they find none.

    One run goes to the nearest mistake of any kind, others to the classes whose linearised boundaries are nearest
    (Moosavi-Dezfooli et al. 2016, equation 8). Of what PGD-40 left standing and the ensemble broke, the first finds most on
    saturated nets; on others attacks without a target go for the wrong class, and the aimed runs find nearly all.
    """
    found = []
    for part in torch.split(rows, size):
        x, y = test_set.pixels(part), test_set.labels[part]
        best = nearest_mistakes(victim, x, y, "l2", _FREE_STEPS)
        for target in _nearest_classes(victim, x, y):
            one = nearest_mistakes(victim, x, y, "l2", _AIMED_STEPS, target=target)
            best.see(one.images, torch.isfinite(one.distance))
        fooled, images = firm(victim, best.images, x, y)
        length = lengths(images - x, "l2")
        found.append(torch.where(fooled, length, torch.full_like(length, float("inf"))))
    return torch.cat(found)


def _fallen_in_linf(victim: Victim, test_set: TestSet, rows: Tensor, eps: float, broken: Tensor, size: int) -> Tensor:
    """[n] bool: who of those that are not `broken` falls to short runs of APGD, on the cross-entropy, then towards one likely
    class after the other. For the same two reasons as in l2; FMN, whose steps follow the length of the gradient, finds half
    as much in linf."""
    classes = victim.logits(test_set.pixels(rows[:1])).shape[1]
    free = resolve("apgd", {"eps": [eps], "steps": _LINF_FREE_STEPS}, "diagnosis")
    aimed = resolve("apgd", {"eps": [eps], "steps": _LINF_AIMED_STEPS, "loss": "targeted"}, "diagnosis")
    iterate = ATTACKS["apgd"].iterate
    assert iterate is not None
    fallen = torch.zeros_like(broken)
    for attack, rank in [(free, 0), *((aimed, rank) for rank in range(min(_LINF_TARGETS, classes - 1)))]:
        left = torch.nonzero(~broken & ~fallen).flatten()
        if len(left) == 0:
            break
        for part in torch.split(left, size):
            at = rows[part]
            x, y, samples = test_set.pixels(at), test_set.labels[at], test_set.indices[at]
            fallen[part] = iterate(victim, x, y, samples, rank, eps, attack).broken
    return fallen


def _nearest_classes(victim: Victim, x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """The targets [n] of each aimed run in l2: of the likeliest wrong classes those with the least
    (z_y − z_t) / ‖∇(z_y − z_t)‖₂."""
    logits = victim.logits(x)
    wrong = logits.scatter(1, y[:, None], float("-inf"))
    likeliest = wrong.topk(min(_LIKELIEST, logits.shape[1] - 1), dim=1).indices
    slopes, logits = victim.jacobian(x, torch.cat([y[:, None], likeliest], dim=1))
    apart = (slopes[:, 1:] - slopes[:, :1]).flatten(2).norm(dim=2)
    away = logits.gather(1, y[:, None]) - logits.gather(1, likeliest)
    order = (away / apart.clamp_min(1e-30)).nan_to_num(float("inf")).argsort(dim=1, stable=True)
    for rank in range(min(_TARGETS, likeliest.shape[1])):
        yield likeliest.gather(1, order[:, rank : rank + 1]).squeeze(1)


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
    victim: Victim, x: Tensor, y: Tensor, samples: Tensor, norm: str, eps: float
) -> tuple[Tensor, Tensor]:
    """[n] bool twice: who falls to a few draws of noise, and who to a short random search."""
    by_noise = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    if len(x) == 0:
        return by_noise, by_noise
    for draw in range(_DRAWS):
        adversarial = project(x + eps * noise(0, samples, draw, x, norm), x, eps, norm)
        by_noise |= victim.confirm(adversarial, x, y, eps, norm)[0]
    search = ATTACKS["square"].iterate
    assert search is not None
    attack = resolve("square", {"eps": [eps], "norm": norm, "queries": _QUERIES}, "diagnosis")
    return by_noise, search(victim, x, y, samples, 0, eps, attack).broken


@contextmanager
def _slopes(model: nn.Module) -> Iterator[list[tuple[float, str]]]:
    """Within, each pass appends (share of units without slope, layer's name) for every bounded activation it meets."""
    modules = [module for module in model.modules() if is_bounded(module)]
    found: list[tuple[float, str]] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        name = f"{type(module).__name__.lower()} {modules.index(module) + 1} of {len(modules)}"
        found.append((float(flat(module, inputs[0]).float().mean()), name))

    hooks = [module.register_forward_hook(look) for module in modules]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
