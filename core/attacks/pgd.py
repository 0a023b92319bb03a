"""Projected gradient ascent, with a random start (PGD), without (BIM), and with momentum (MI-FGSM)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from core.engine.attack import Attack, alpha, kind_of, loss, restarts, steps
from core.engine.geometry import ascent_direction, by_largest, noise, per_sample, project
from core.engine.steps import step_size
from core.records.attack import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.recorded import Number
    from core.engine.standing import Outcome
    from core.engine.victim import Victim


@dataclass(frozen=True)
class _Ascent:
    """`gradient` is that at `adversarial`."""

    adversarial: Tensor
    gradient: Tensor
    velocity: Tensor | None
    size: float | Tensor
    aims: tuple[Tensor, ...]


def pgd(
    victim: Victim, x: Tensor, y: Tensor, samples: Tensor, restart: int, eps: float | Tensor, attack: AttackSpec
) -> Outcome:
    """x ← Π(x + α·sign ∇ₓL(x, y)), the projection being on the ε-ball and [0, 1] (Madry et al. 2018, section 2.1).

    Success is looked for at every iterate, the start and the last included: the forward pass of each gradient tells.
    With the option `decay` μ the step follows g ← μ·g + ∇ₓL / ‖∇ₓL‖₁ instead (Dong et al. 2018, algorithm 1).
    """
    from core.engine.losses import LOSSES
    from core.engine.standing import Rows, Seen, Standing

    params, norm, count = attack.params, attack.norm, attack.params["steps"]
    ascended, decay = LOSSES[params["loss"]], params.get("decay")

    def moved(rows: Rows, state: _Ascent) -> _Ascent:
        gradient, velocity = state.gradient, state.velocity
        if velocity is not None and decay is not None:
            gradient = velocity = decay * velocity + mean_one(gradient)
        step = per_sample(state.size, state.adversarial) * ascent_direction(gradient, norm)
        adversarial = project(state.adversarial + step, rows.x, rows.eps, norm)
        return replace(state, adversarial=adversarial, velocity=velocity)

    def step(rows: Rows, state: _Ascent, _: Number) -> tuple[_Ascent, Seen]:
        state = moved(rows, state)
        gradient, logits = victim.ascent(state.adversarial, rows.y, ascended, *state.aims)
        return replace(state, gradient=gradient), Seen(state.adversarial, logits)

    aims = victim.factors(x) if params["loss"] == "ce" else ()
    adversarial = x
    if params.get("random_start", False):
        start = per_sample(eps, x) * noise(attack.seed, samples, restart, x, norm)
        adversarial = project(x + start, x, eps, norm)
    standing = Standing(victim, x, y, eps, norm, count)
    gradient, logits = victim.ascent(adversarial, y, ascended, *aims)
    velocity = None if decay is None else x.new_zeros(x.shape)
    state = _Ascent(adversarial, gradient, velocity, step_size(params["alpha"], eps), aims)
    state = standing.judge(state, adversarial, logits, gradient)
    state = standing.carry_out(step, state, count, kind_of(attack))
    if standing.left:
        state = moved(standing.rows, state)
        state = standing.judge(state, state.adversarial, victim.logits(state.adversarial))
    return standing.outcome(state.adversarial)


def mean_one(gradient: Tensor) -> Tensor:
    """Divided by its mean absolute value: ‖·‖₁ but for the number of pixels, which the sign does not see."""
    flat = by_largest(gradient.nan_to_num(0.0, 0.0, 0.0)).flatten(1)
    # The largest is 1 now: a mean is at least one pixel's share of that, or the gradient is 0.
    scaled: Tensor = flat / flat.abs().mean(dim=1, keepdim=True).clamp_min(1.0 / flat.shape[1])
    return scaled.view_as(gradient)


PGD = Attack(
    "pgd",
    "projected gradient ascent from a random start",
    "Madry et al. 2018",
    (
        steps(40),
        alpha("eps/4"),
        restarts(1, "runs from other starts, on those that still stand"),
        loss("ce", "margin", "dlr"),
        Parameter("random_start", "bool", True, "start from a random point of the ball"),
    ),
    engine=3,
    iterate=pgd,
)

BIM = Attack(
    "bim",
    "projected gradient ascent from the image itself",
    "Kurakin et al. 2017",
    (steps(10), alpha("eps/10"), loss("ce", "margin", "dlr")),
    engine=3,
    iterate=pgd,
)

MI_FGSM = Attack(
    "mi-fgsm",
    "gradient ascent with momentum from the image itself: made for transfer",
    "Dong et al. 2018",
    (
        steps(10),
        alpha("eps/10"),
        loss("ce", "margin", "dlr"),
        Parameter("decay", "float", 1.0, "how much of the gathered gradient is kept", low=0.0),
    ),
    engine=3,
    iterate=pgd,
)
