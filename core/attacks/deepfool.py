"""DeepFool: step by step to the nearest boundary of the linearised model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.engine.attack import Attack, steps
from core.engine.geometry import per_sample
from core.records.attack import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.victim import Victim

_DUAL = {"linf": 1, "l2": 2}


def deepfool(victim: Victim, x: Tensor, y: Tensor, samples: Tensor, attack: AttackSpec) -> Tensor:  # noqa: ARG001
    """x ← x + |f_l|/‖w_l‖²·w_l with f_k = z_k − z_y, w_k = ∇ₓf_k and l the class whose boundary is nearest, until the
    image, overshot a little, fools (Moosavi-Dezfooli et al. 2016, algorithm 2; for linf the step of section 3.3, with
    ‖w‖₁ and the sign). Clipped to [0, 1] at every step."""
    import torch

    from core.engine.distances import Nearest

    params, norm = attack.params, attack.norm
    nearest = Nearest(x, norm)
    clean = victim.logits(x)
    others = clean.scatter(1, y[:, None], float("-inf")).topk(min(params["classes"], clean.shape[1]) - 1, dim=1).indices
    classes = torch.cat([y[:, None], others], dim=1)  # the paper's ten likeliest; the rest is hardly ever nearest
    total = torch.zeros_like(x)
    at = torch.arange(len(x), device=x.device)
    for _ in range(params["steps"]):
        shot = (x[at] + (1.0 + params["overshoot"]) * total).clamp(0.0, 1.0)
        jacobian, logits = victim.jacobian(shot, classes)
        fooled = logits.argmax(dim=1) != y[at]
        nearest.see(shot, fooled, at)
        standing = torch.nonzero(~fooled).flatten()
        if len(standing) == 0:
            return nearest.images
        at, total, classes = at[standing], total[standing], classes[standing]
        jacobian, logits = jacobian[standing].nan_to_num(0.0, 0.0, 0.0), logits[standing]
        values = logits.gather(1, classes)
        heights = (values[:, 1:] - values[:, :1]).abs()
        slopes = jacobian[:, 1:] - jacobian[:, :1]
        lengths = slopes.flatten(2).norm(p=_DUAL[norm], dim=2).clamp_min(1e-12)
        ratio = heights / lengths
        chosen = ratio.argmin(dim=1)
        rows = torch.arange(len(at), device=x.device)
        slope, distance = slopes[rows, chosen], ratio[rows, chosen] + 1e-4
        if norm == "linf":
            total = total + per_sample(distance, slope) * slope.sign()
        else:
            total = total + per_sample(distance / lengths[rows, chosen], slope) * slope
    shot = (x[at] + (1.0 + params["overshoot"]) * total).clamp(0.0, 1.0)
    nearest.see(shot, victim.logits(shot).argmax(dim=1) != y[at], at)
    return nearest.images


ENTRY = Attack(
    "deepfool",
    "small steps to the nearest boundary of the linearised model",
    "Moosavi-Dezfooli et al. 2016",
    (
        steps(50, "linearisations, at most"),
        Parameter("overshoot", "float", 0.02, "how far beyond the boundary, as a share", low=0.0),
        Parameter("classes", "int", 10, "the likeliest classes, whose boundaries are looked at", low=2),
    ),
    norms=("l2", "linf"),
    minimise=deepfool,
)
