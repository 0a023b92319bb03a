"""Where a model is looked at itself, in every norm that its study attacks at the smallest radius, the score's and the
largest, and whom the looks broke. Torch-free; `core.verdict.diagnosis` looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.records.attack import AttackSpec, Threat
from core.records.outcome import Diagnosis
from core.verdict.ledgers import USUAL_EPS

_FEW = 4


def radii_to_look_at(attacks: Sequence[AttackSpec], threat: Threat | None) -> dict[str, tuple[float, ...]]:
    """Norm → its radii, ascending: all of a few, else the smallest, the score's and the largest. In a norm without the score
    the lower median stands for the score's radius, as it does where a study names none. A study without attacks is looked
    at in ℓ∞ at the usual radius."""
    found: dict[str, tuple[float, ...]] = {}
    for norm in dict.fromkeys([*([threat.norm] if threat else []), *(attack.norm for attack in attacks)] or ["linf"]):
        attacked = sorted({eps for attack in attacks if attack.norm == norm for eps in attack.eps})
        if threat is not None and threat.norm == norm:
            middle = threat.eps
        else:
            middle = attacked[(len(attacked) - 1) // 2] if attacked else USUAL_EPS[norm]
        found[norm] = tuple(sorted({middle, *(attacked if len(attacked) <= _FEW else [attacked[0], attacked[-1]])}))
    return found


def fallen_to_looks(looks: Sequence[Diagnosis], norm: str, eps: float) -> NDArray[np.int64]:
    """The places in the test set of those that the looks broke within `eps`, by images that a fresh pass confirmed; what was
    not looked at is not among them."""
    within = [look for look in looks if look.norm == norm]
    fallen = {place for look in within for place, distance in look.nearest.items() if distance <= eps}
    fallen |= {place for look in within if look.eps <= eps for place in look.broken_by_gradient}
    return np.array(sorted(fallen), dtype=np.int64)
