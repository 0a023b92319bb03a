"""What became of each test image of one model in one study: the bits that scores are means of. numpy only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from core.records.attack import AttackSpec, Threat
from core.records.outcome import Bools, CleanOutcome, Ledger
from core.verdict.audited import radii_of
from core.verdict.ledgers import speaks_at, survived_at, worst_case
from core.verdict.trust.model import degenerate

Result = tuple[AttackSpec, Sequence[Ledger]]

CONTROLS = ("noise",)
"""Attacks that are no adversary: no claim about attacks rests on them."""


@dataclass(frozen=True)
class UnderAttack:
    """Who stands under one attack alone, at `eps` in its norm."""

    attack_id: str
    name: str
    norm: str
    eps: float
    standing: Bools


@dataclass(frozen=True)
class Outcomes:
    """`clean` [n]; `robust` [E, n] the worst case over attacks at each of `eps`, which ascends without 0; `worst` [n] the same at
    the study's score ε. `eps` is empty and `worst` None where the study has no attack in the score's norm."""

    classes: int
    worthless: bool
    """The model learned nothing (`core.verdict.trust.model.degenerate`)."""
    eps: tuple[float, ...]
    clean: Bools
    robust: Bools
    worst: Bools | None
    attacks: tuple[UnderAttack, ...] = ()
    """At the score's ε; those in another norm at the lower median of their own."""

    @property
    def rows(self) -> Bools:
        """[C, n]: clean, robust at each ε, worst if there is one, in this order: what a score's slope is with respect to."""
        parts = [self.clean[None, :], self.robust]
        if self.worst is not None:
            parts.append(self.worst[None, :])
        return np.concatenate(parts)

    def at(self, eps: float) -> Outcomes:
        """The same, a score's single ε being that one. Raises ValueError for one that was not attacked."""
        return replace(self, worst=self.robust[self.eps.index(eps)])


def outcomes_of(
    clean: CleanOutcome, results: Sequence[Result], threat: Threat | None, added: Sequence[Result] = ()
) -> Outcomes:
    """From ledgers over one set of test samples. `results` are the study's own attacks, whose radii scores are read at; `added`
    ones, which every model compared has had, count there too."""
    norm = threat.norm if threat else None
    within = [ledgers for attack, ledgers in results if attack.norm == norm]

    def standing(eps: float) -> Bools:
        more = [ledgers for attack, ledgers in added if attack.norm == norm and speaks_at(attack, eps)]
        return worst_case(clean, [*within, *more], eps)

    grid = sorted({ledger.eps for ledgers in within for ledger in ledgers if ledger.eps is not None})
    if threat and within and not grid:
        grid = [threat.eps]
    return Outcomes(
        classes=clean.classes,
        worthless=degenerate(clean).trust != "ok",
        eps=tuple(grid),
        clean=clean.correct,
        robust=np.array([standing(eps) for eps in grid], np.bool_).reshape(len(grid), len(clean.correct)),
        worst=standing(threat.eps) if threat and within else None,
        attacks=tuple(_alone(clean, [*results, *added], threat)),
    )


def under_one(clean: CleanOutcome, ledgers: Sequence[Ledger], eps: Sequence[float]) -> Outcomes | None:
    """As if the study had this attack alone, at each of `eps` (ascending); None where its ledgers say nothing of one of them."""
    standing = [survived_at(ledgers, one) for one in eps]
    rows = [clean.correct & one for one in standing if one is not None]
    if len(rows) < len(standing):
        return None
    return Outcomes(
        classes=clean.classes,
        worthless=degenerate(clean).trust != "ok",
        eps=tuple(eps),
        clean=clean.correct,
        robust=np.array(rows, np.bool_).reshape(len(rows), len(clean.correct)),
        worst=None,
    )


def _alone(clean: CleanOutcome, tried: Sequence[Result], threat: Threat | None) -> list[UnderAttack]:
    """Each attack by itself, but for controls and for those that only went through what others had left."""
    found = []
    specs = [attack for attack, _ in tried]
    for attack, ledgers in tried:
        if attack.name in CONTROLS or attack.params.get("after"):
            continue
        radii = radii_of(specs, threat, attack.norm)
        eps = threat.eps if threat and threat.norm == attack.norm else radii[(len(radii) - 1) // 2]
        standing = survived_at(ledgers, eps)
        if standing is not None:
            found.append(UnderAttack(attack.id, attack.name, attack.norm, eps, clean.correct & standing))
    return found
