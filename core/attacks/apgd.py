"""Auto-PGD: projected gradient ascent with momentum that chooses its own step sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.engine.attack import Attack, loss, restarts, steps
from core.engine.geometry import ascent_direction, lengths, noise, per_sample, project
from core.records import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.standing import Outcome
    from core.engine.victim import Victim

_RHO = 0.75
"""More than this share of the steps must have gained since the last checkpoint, else the step size is halved (the authors'
program counts the share itself as too few, the paper's condition 1 does not)."""
_MOMENTUM = 0.75
_TARGETS = 9
"""AutoAttack's number of target classes: the likeliest wrong ones on the clean image."""


def apgd(
    victim: Victim, x: Tensor, y: Tensor, samples: Tensor, run: int, eps: float | Tensor, attack: AttackSpec
) -> Outcome:
    """z = Π(x + η∇), x ← Π(x + α(z − x) + (1 − α)(x − x₋)) with η from 2ε, halved at checkpoints where too few steps
    gained or the best loss stood still, going on from the best point (Croce, Hein 2020, algorithm 1 and section 3).

    With the targeted loss, `run` goes through the targets of each restart in turn.
    """
    import torch

    from core.engine.losses import LOSSES
    from core.engine.standing import Standing

    params, norm, count = attack.params, attack.norm, attack.params["steps"]
    ascended = LOSSES[params["loss"]]
    aims: tuple[Tensor, ...] = victim.factors(x) if params["loss"] == "ce" else ()
    restart = run
    if params["loss"] == "targeted":
        clean = victim.logits(x)
        targets = rounds(params, clean.shape[1]) // params["restarts"]
        restart, rank = divmod(run, targets)
        aims = (clean.scatter(1, y[:, None], float("-inf")).topk(rank + 1, dim=1).indices[:, rank],)
    start = noise(attack.seed, samples, restart, x, norm)
    start = start / per_sample(lengths(start, norm).clamp_min(1e-12), x)  # Algorithm 1 starts on the surface
    current = before = best = project(x + per_sample(eps, x) * start, x, eps, norm)
    rows = Standing(victim, x, y, eps, norm, count)
    size = 2.0 * (eps if isinstance(eps, torch.Tensor) else x.new_full((len(x),), float(eps)))
    gradient, logits = victim.ascent(current, rows.y, ascended, *aims)
    highest = held = previous = ascended(logits, rows.y, *aims)
    best_gradient = gradient
    gains, halved = torch.zeros_like(highest), torch.ones_like(highest, dtype=torch.bool)
    keep = rows.judge(current, logits, gradient)
    checkpoints, since = _checkpoints(count), 0
    for number in range(1, count + 1):
        if rows.left == 0:
            break
        if keep is not None:
            current, before, best, gradient, best_gradient = _kept(keep, current, before, best, gradient, best_gradient)
            size, highest, held, previous, gains, halved = _kept(keep, size, highest, held, previous, gains, halved)
            aims = _kept(keep, *aims)
        moved = project(current + per_sample(size, x) * ascent_direction(gradient, norm), rows.x, rows.eps, norm)
        if number > 1:
            moved = current + _MOMENTUM * (moved - current) + (1 - _MOMENTUM) * (current - before)
            moved = project(moved, rows.x, rows.eps, norm)
        current, before = moved, current
        if number == count:  # nothing follows that would need a gradient
            keep = rows.judge(current, victim.logits(current))
            break
        gradient, logits = victim.ascent(current, rows.y, ascended, *aims)
        value = ascended(logits, rows.y, *aims)
        gains, previous, since = gains + (value > previous), value, since + 1
        better = value > highest
        highest = torch.where(better, value, highest)
        best = torch.where(per_sample(better, x), current, best)
        best_gradient = torch.where(per_sample(better, x), gradient, best_gradient)
        judged = current
        if number in checkpoints:
            stalled = (gains <= _RHO * since) | (~halved & (highest <= held))
            size = torch.where(stalled, size / 2, size)
            current = torch.where(per_sample(stalled, x), best, current)
            gradient = torch.where(per_sample(stalled, x), best_gradient, gradient)
            halved, held, gains, since = stalled, highest, torch.zeros_like(gains), 0
        keep = rows.judge(judged, logits)
    return rows.outcome(current if keep is None else current[keep])


def _kept(keep: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
    return tuple(value[keep] for value in values)


def rounds(params: Mapping[str, Any], classes: int) -> int:
    """Restarts, times the targets with the targeted loss."""
    targets = min(params.get("targets", _TARGETS), classes - 1) if params["loss"] == "targeted" else 1
    return int(params["restarts"]) * targets


def _checkpoints(steps: int) -> set[int]:
    """⌈p_j · steps⌉ with p = 0, 0.22 and p_{j+1} = p_j + max(p_j − p_{j−1} − 0.03, 0.06) (section 3.2)."""
    points, before, now = set(), 0.0, 0.22
    while now <= 1.0:
        points.add(math.ceil(round(now * steps, 6)))
        before, now = now, now + max(now - before - 0.03, 0.06)
    return points


ENTRY = Attack(
    "apgd",
    "projected gradient ascent that chooses its step sizes: no step size to get wrong",
    "Croce, Hein 2020",
    (
        steps(100),
        restarts(1, "runs from other starts, on those that still stand"),
        loss("ce", "dlr", "targeted"),
        Parameter(
            "targets",
            "int",
            _TARGETS,
            "with the targeted loss: so many of the likeliest wrong classes are aimed at",
            low=1,
            omit_default=True,
        ),
    ),
    engine=3,
    iterate=apgd,
    rounds=rounds,
)
