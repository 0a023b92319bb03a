"""The escalation ladder: ever stronger attacks, each on what all before it left standing, until nothing more falls.

The rungs differ in what blinds them: more steps, then steps that size themselves (APGD), then a loss that no scale of the
logits flattens (targeted DLR), then distances instead of a radius (FMN), then no gradient at all (Square): the reasoning,
and most of the parts, of the AutoAttack ensemble (Croce, Hein 2020, section 5). Torch-free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.attacks import ATTACKS, resolve
from core.records.attack import AttackSpec, Threat
from core.records.outcome import Bools, CleanOutcome
from core.verdict.ledgers import survived_at, worst_case
from core.verdict.trust.entry import Evaluated, Evidence

LADDER: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("pgd", {"steps": 100, "alpha": "eps/10"}),
    ("apgd", {"loss": "ce"}),
    ("apgd", {"loss": "targeted"}),
    ("fmn", {}),
    ("square", {}),
)
QUIET_RUNGS = 2
"""So many rungs in a row that gain next to nothing end the climb."""
_QUIET_SHARE = 0.005


@dataclass(frozen=True)
class Rung:
    """One rung that was climbed: how many of `total` samples stood before it, and how many after."""

    attack: AttackSpec
    before: int
    after: int
    total: int

    @property
    def gain(self) -> int:
        return self.before - self.after


def rungs(threat: Threat) -> tuple[AttackSpec, ...]:
    """The ladder at one norm and radius, without the rungs that do not know the norm."""
    specs = []
    for name, options in LADDER:
        entry = ATTACKS[name]
        if threat.norm in entry.norms:
            radius = {} if entry.minimum_norm else {"eps": [threat.eps]}
            specs.append(resolve(name, {"norm": threat.norm, **radius, **options}, "ladder"))
    return tuple(specs)


def rung_of(attack: AttackSpec, threat: Threat) -> int | None:
    """Which rung of the ladder `attack` is, wherever it was climbed from; None for any other attack."""
    after = attack.params.get("after")
    if not after or float(after["eps"]) != threat.eps or attack.norm != threat.norm:
        return None
    plain = replace(attack, params={key: value for key, value in attack.params.items() if key != "after"})
    # Compared as what identifies an attack: a specification read back from storage has lists for tuples.
    return next((number for number, spec in enumerate(rungs(threat)) if spec.id == plain.id), None)


def climbed(evidence: Evidence, threat: Threat) -> list[Rung]:
    """The rungs that were climbed at `threat`, from the lowest, as far as they follow on each other."""
    done = {number: one for one in evidence.added if (number := rung_of(one.attack, threat)) is not None}
    standing = worst_case(evidence.clean, [one.ledgers for one in full(evidence, threat)], threat.eps)
    found = []
    for number in range(len(rungs(threat))):
        if number not in done:
            break
        survived = survived_at(done[number].ledgers, threat.eps)
        left = standing if survived is None else standing & survived
        found.append(Rung(done[number].attack, int(standing.sum()), int(left.sum()), len(left)))
        standing = left
    return found


def full(evidence: Evidence, threat: Threat) -> list[Evaluated]:
    """The attacks in the threat's norm that ran on every sample: the study's own and added ones, no rungs."""
    everything = [*evidence.results, *evidence.added]
    return [one for one in everything if one.attack.norm == threat.norm and not one.attack.params.get("after")]


def is_quiet(steps: Sequence[Rung]) -> bool:
    """Whether the last rungs gained next to nothing: at most 0.5 % of the samples, or a single one. Never before a rung
    whose loss is not the cross-entropy: two rungs that share a blind spot confirm each other for nothing."""
    last = steps[-QUIET_RUNGS:]
    blind = all(rung.attack.params.get("loss") == "ce" for rung in steps)
    return (
        not blind
        and len(last) == QUIET_RUNGS
        and all(rung.gain <= max(1.0, _QUIET_SHARE * rung.total) for rung in last)
    )


def is_whole(steps: Sequence[Rung], threat: Threat) -> bool:
    """Whether the ladder was climbed to its top, or nothing is left to climb it for."""
    return len(steps) == len(rungs(threat)) or (bool(steps) and steps[-1].after == 0)


def next_rung(evidence: Evidence, threat: Threat, *, masked: bool) -> AttackSpec | None:
    """The attack to run next on those that still stand, None at the end of the climb.

    Where gradients are suspected to be masked the climb goes on to the rungs that need none; else quiet rungs end it.
    `params["after"]` of the attack names what ran before, so that its identity says on whom it was tried.
    """
    steps = climbed(evidence, threat)
    if is_whole(steps, threat) or (is_quiet(steps) and not masked):
        return None
    standing = worst_case(evidence.clean, [one.ledgers for one in full(evidence, threat)], threat.eps)
    if not steps and not standing.any():
        return None
    before = [one.attack for one in full(evidence, threat) if survived_at(one.ledgers, threat.eps) is not None]
    ids = [attack.id for attack in [*before, *(rung.attack for rung in steps)]]
    spec = rungs(threat)[len(steps)]
    return replace(spec, params={**spec.params, "after": {"eps": threat.eps, "attacks": sorted(ids)}})


def standing_before(attack: AttackSpec, clean: CleanOutcome, tried: Sequence[Evaluated]) -> Bools | None:
    """[n]: whom a rung is to attack, those that every attack it comes after left standing; None for an ordinary attack."""
    after = attack.params.get("after")
    if not after:
        return None
    wanted = set(after["attacks"])
    before = [one.ledgers for one in tried if one.attack.id in wanted]
    return np.asarray(worst_case(clean, before, float(after["eps"])))
