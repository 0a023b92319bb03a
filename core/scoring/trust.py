"""Whether a number can be believed: checks that ledgers alone can answer, each with its reason in words.

A standard error is the binomial one; with n samples, differences under two of them are noise.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from core.attacks import ATTACKS
from core.records import AttackSpec, CleanOutcome, Ledger

Result = tuple[AttackSpec, Sequence[Ledger]]

_ONE_CLASS_SHARE = 0.95


def degenerate(clean: CleanOutcome) -> tuple[str, ...]:
    """Why the model has learned nothing, or nothing: the original notebook scored such models as perfectly robust."""
    total = len(clean.correct)
    accuracy = float(clean.correct.mean())
    reasons = []
    error = _standard_error(clean.majority_share, total)
    if accuracy <= clean.majority_share + 3 * error:
        reasons.append(
            f"degenerate: clean accuracy {accuracy:.1%} is within 3 standard errors of always answering the most "
            f"frequent class ({clean.majority_share:.1%})"
        )
    if clean.top_prediction_share > _ONE_CLASS_SHARE:
        reasons.append(f"degenerate: one class is predicted for {clean.top_prediction_share:.1%} of the inputs")
    return tuple(reasons)


def trust_of_evaluation(
    clean: CleanOutcome, attack: AttackSpec, ledgers: Sequence[Ledger]
) -> tuple[str, tuple[str, ...]]:
    """("ok" | "suspect" | "invalid", reasons) for one attack on one model."""
    reasons = degenerate(clean)
    if reasons:
        return "invalid", reasons
    suspicions = _single_step_suspicions(clean, attack, ledgers) if ATTACKS[attack.name].single_step else ()
    return ("suspect" if suspicions else "ok"), suspicions


def weaker_than_single_step(results: Sequence[Result]) -> tuple[str, ...]:
    """Iterative attacks that a single step beats at the same ε: the iterations went astray (gradient masking)."""
    reasons = []
    for single, single_ledgers in results:
        if not ATTACKS[single.name].single_step or single.name == "noise":
            continue
        for other, other_ledgers in results:
            if ATTACKS[other.name].single_step or other.norm != single.norm:
                continue
            for mine in single_ledgers:
                for theirs in other_ledgers:
                    if mine.eps != theirs.eps or theirs.eps is None:
                        continue
                    total = len(mine.survived)
                    gap = float(theirs.survived.mean()) - float(mine.survived.mean())
                    if gap > 2 * _standard_error(float(mine.survived.mean()), total) + 1 / total:
                        reasons.append(
                            f"{other.name} is weaker than {single.name} at ε = {mine.eps:g} by {100 * gap:.1f} points: "
                            "gradients may be masked"
                        )
    return tuple(reasons)


def _single_step_suspicions(clean: CleanOutcome, attack: AttackSpec, ledgers: Sequence[Ledger]) -> tuple[str, ...]:
    reasons = []
    total = len(clean.correct)
    accuracy = float(clean.correct.mean())
    judged = [
        (ledger.eps, ledger.adversarial_accuracy) for ledger in ledgers if ledger.adversarial_accuracy is not None
    ]
    for eps, adversarial in judged:
        if attack.name != "noise" and adversarial > accuracy + 2 * _standard_error(accuracy, total):
            reasons.append(f"{attack.name} at ε = {eps:g} raises accuracy from {accuracy:.1%} to {adversarial:.1%}")
    for (low_eps, low), (high_eps, high) in itertools.pairwise(judged):
        if high > low + 2 * math.sqrt(2) * _standard_error((low + high) / 2, total):
            reasons.append(
                f"{attack.name} accuracy rises from {low:.1%} at ε = {low_eps:g} to {high:.1%} at ε = {high_eps:g}"
            )
    return tuple(reasons)


def _standard_error(share: float, total: int) -> float:
    return math.sqrt(share * (1.0 - share) / total)
