"""Who stands at a radius: under the attacks that all models compared had in full, and under everything known of one model.
numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.records.outcome import Bools, Ledger
from core.verdict.ledgers import speaks_at, worst_case
from core.verdict.trust.entry import Evaluated, Evidence
from core.verdict.trust.looks import fallen_to_looks


def compared(evidence: Evidence) -> list[Evaluated]:
    """The study's own attacks, and those added ones that every model of it has had: what rankings and differences count."""
    return [*evidence.results, *(one for one in evidence.added if one.attack.id in evidence.common)]


def compared_standing(evidence: Evidence, norm: str, eps: float) -> Bools:
    """[n]: who stands under what all models of the study had."""
    return worst_case(evidence.clean, spoken(compared(evidence), norm, eps), eps)


def known_standing(evidence: Evidence, norm: str, eps: float) -> Bools:
    """[n]: who stands under every confirmed adversarial image known: attacks of this study and others, looks at the model,
    audits, images of other models."""
    left = worst_case(evidence.clean, spoken([*evidence.results, *evidence.added], norm, eps), eps)
    left[fallen_to_looks(evidence.looks, norm, eps)] = False
    for further in evidence.further:
        if further.norm == norm:
            left &= further.fell_at > np.float32(eps)
    return left


def spoken(tried: Sequence[Evaluated], norm: str, eps: float) -> list[Sequence[Ledger]]:
    """The ledgers of the attacks in a norm that say something at a radius."""
    return [one.ledgers for one in tried if one.attack.norm == norm and speaks_at(one.attack, eps)]
