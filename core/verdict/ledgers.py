"""Reading ledgers: who stands at a radius under one attack, and under all of them. numpy only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from core.records.attack import AttackSpec
from core.records.outcome import Bools, CleanOutcome, Floats, Ledger

USUAL_EPS = {"linf": 0.1, "l2": 1.0}
"""The radius to read minimum-norm attacks at where nothing names one; pixel units of [0, 1]."""


def survived_at(ledgers: Sequence[Ledger], eps: float) -> Bools | None:
    """Who stands at `eps` under one attack: by distance, else by the ledger of the largest ε not above it.

    None where the attack has no ledger at or below `eps`.
    """
    standing = None
    for ledger in ledgers:
        if ledger.distances is not None:
            return ledger.survived & (ledger.distances > eps)
        if ledger.eps is not None and ledger.eps <= eps:
            standing = ledger.survived
    return standing


def speaks_at(attack: AttackSpec, eps: float) -> bool:
    """Whether an attack's ledgers mean something at `eps`. One that was tried on what others had left standing at one radius
    (`params["after"]`) does at that radius and at larger ones, whose balls hold whatever fell; at smaller ones, where those
    that it passed over may stand, it does not."""
    after = attack.params.get("after")
    return not after or float(after["eps"]) <= eps


def least_radii(attack: AttackSpec, ledgers: Sequence[Ledger]) -> Floats | None:
    """[n]: the least radius at which one attack's ledgers say that each sample fell, float32, inf where it did not; samples wrong
    from the start fell at any. None without ledgers."""
    if not ledgers:
        return None
    found = np.full(len(ledgers[0].survived), np.inf, np.float32)
    for ledger in ledgers:
        if ledger.distances is not None:
            fell = np.where(ledger.survived, ledger.distances, 0.0 if not attack.params.get("after") else np.inf)
            return np.asarray(np.minimum(found, fell), np.float32)
        if ledger.eps is not None and speaks_at(attack, ledger.eps):
            found[~ledger.survived] = np.minimum(found[~ledger.survived], np.float32(ledger.eps))
    return found


def worst_case(clean: CleanOutcome, attacks: Iterable[Sequence[Ledger]], eps: float) -> Bools:
    """[n]: who is classified rightly and stands at `eps` whatever the attack."""
    standing = clean.correct.copy()
    for ledgers in attacks:
        survived = survived_at(ledgers, eps)
        if survived is not None:
            standing &= survived
    return standing
