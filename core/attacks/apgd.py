"""Auto-PGD: projected gradient ascent with momentum that chooses its own step sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from core.engine.attack import Attack, kind_of, loss, restarts, steps
from core.engine.geometry import ascent_direction, lengths, noise, per_sample, project
from core.records.attack import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.recorded import Number
    from core.engine.standing import Outcome
    from core.engine.victim import Victim

_RHO = 0.75
"""More than this share of the steps must have gained since the last checkpoint, else the step size is halved (the authors'
program counts the share itself as too few, the paper's condition 1 does not)."""
_MOMENTUM = 0.75
_TARGETS = 9
"""AutoAttack's number of target classes: the likeliest wrong ones on the clean image."""


@dataclass(frozen=True)
class _Ascent:
    """`gradient` is that at `current`; `held` is `highest` and `gains` are counted since the last checkpoint, at which the step
    was `halved` or not."""

    current: Tensor
    before: Tensor
    best: Tensor
    gradient: Tensor
    best_gradient: Tensor
    size: Tensor
    highest: Tensor
    held: Tensor
    previous: Tensor
    gains: Tensor
    halved: Tensor
    aims: tuple[Tensor, ...]


def apgd(
    victim: Victim, x: Tensor, y: Tensor, samples: Tensor, run: int, eps: float | Tensor, attack: AttackSpec
) -> Outcome:
    """z = Π(x + η∇), x ← Π(x + α(z − x) + (1 − α)(x − x₋)) with η from 2ε, halved at checkpoints where too few steps
    gained or the best loss stood still, going on from the best point (Croce, Hein 2020, algorithm 1 and section 3).

    With the targeted loss, `run` goes through the targets of each restart in turn.
    """
    import torch

    from core.engine.losses import LOSSES
    from core.engine.recorded import Table, chosen
    from core.engine.standing import Rows, Seen, Standing

    params, norm, count = attack.params, attack.norm, attack.params["steps"]
    ascended = LOSSES[params["loss"]]
    checkpoints = _checkpoints(count)
    looks_back = Table([number in checkpoints for number in range(count)])
    since = Table([number - max([0, *(point for point in checkpoints if point < number)]) for number in range(count)])

    def moved(rows: Rows, state: _Ascent, number: Number) -> _Ascent:
        current, before = state.current, state.before
        step = per_sample(state.size, current) * ascent_direction(state.gradient, norm)
        plain = project(current + step, rows.x, rows.eps, norm)

        def with_momentum() -> Tensor:
            gone_on = current + _MOMENTUM * (plain - current) + (1 - _MOMENTUM) * (current - before)
            return project(gone_on, rows.x, rows.eps, norm)

        return replace(state, current=chosen(number > 1, with_momentum, plain), before=current)

    def step(rows: Rows, state: _Ascent, number: Number) -> tuple[_Ascent, Seen]:
        state = moved(rows, state, number)
        current = state.current
        gradient, logits = victim.ascent(current, rows.y, ascended, *state.aims)
        value = ascended(logits, rows.y, *state.aims)
        better = value > state.highest
        state = replace(
            state,
            gradient=gradient,
            gains=state.gains + (value > state.previous),
            previous=value,
            highest=torch.where(better, value, state.highest),
            best=torch.where(per_sample(better, current), current, state.best),
            best_gradient=torch.where(per_sample(better, current), gradient, state.best_gradient),
        )
        return chosen(looks_back[number], lambda: looked_back(state, number), state), Seen(current, logits)

    def looked_back(state: _Ascent, number: Number) -> _Ascent:
        stalled = (state.gains <= _RHO * since[number]) | (~state.halved & (state.highest <= state.held))
        return replace(
            state,
            size=torch.where(stalled, state.size / 2, state.size),
            current=torch.where(per_sample(stalled, state.current), state.best, state.current),
            gradient=torch.where(per_sample(stalled, state.current), state.best_gradient, state.gradient),
            halved=stalled,
            held=state.highest,
            gains=torch.zeros_like(state.gains),
        )

    aims: tuple[Tensor, ...] = victim.factors(x) if params["loss"] == "ce" else ()
    restart = run
    if params["loss"] == "targeted":
        clean = victim.logits(x)
        targets = rounds(params, clean.shape[1]) // params["restarts"]
        restart, rank = divmod(run, targets)
        aims = (clean.scatter(1, y[:, None], float("-inf")).topk(rank + 1, dim=1).indices[:, rank],)
    start = noise(attack.seed, samples, restart, x, norm)
    start = start / per_sample(lengths(start, norm).clamp_min(1e-12), x)  # Algorithm 1 starts on the surface
    current = project(x + per_sample(eps, x) * start, x, eps, norm)
    standing = Standing(victim, x, y, eps, norm, count)
    size = 2.0 * (eps if isinstance(eps, torch.Tensor) else x.new_full((len(x),), float(eps)))
    gradient, logits = victim.ascent(current, y, ascended, *aims)
    value = ascended(logits, y, *aims)
    none, all_rows = torch.zeros_like(value), torch.ones_like(value, dtype=torch.bool)
    state = _Ascent(current, current, current, gradient, gradient, size, value, value, value, none, all_rows, aims)
    state = standing.judge(state, current, logits, gradient)
    state = standing.carry_out(step, state, count, kind_of(attack))
    if standing.left:  # nothing follows that would need a gradient
        state = moved(standing.rows, state, count)
        state = standing.judge(state, state.current, victim.logits(state.current))
    return standing.outcome(state.current)


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
