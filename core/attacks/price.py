"""What an attack costs at most, told from its parameters alone. Torch-free."""

from __future__ import annotations

from core.attacks.registry import ATTACKS
from core.records.attack import AttackSpec

_FIRM = 15
"""Forward passes at most that settle a distance once it is found (`core.engine.distances.firm`)."""


def price(attack: AttackSpec, classes: int) -> int:
    """Images through the model that one sample costs at most, forward and backward counted alike: at one ε, of a minimum-norm
    attack at all of them."""
    entry, params = ATTACKS[attack.name], attack.params
    if entry.ensemble is not None:
        return sum(price(member, classes) for member in entry.ensemble(attack))
    if entry.minimum_norm:
        slopes = min(int(params["classes"]), classes) if "classes" in params else 1
        return (1 + slopes) * int(params.get("steps", 1)) * int(params.get("search_steps", 1)) + _FIRM
    blind = entry.black_box and "queries" in params
    each = int(params["queries"]) if blind else 2 * int(params.get("steps", 1)) + 1
    return each * entry.rounds(params, classes)
