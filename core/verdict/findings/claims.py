"""Questions of a study as claims that are settled look by look, and what a look says of them as verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from core.verdict.crossed import Spread
from core.verdict.decisions import mirrored
from core.verdict.findings.find import Asked
from core.verdict.findings.questions import APART, BELOW
from core.verdict.settling.claim import Claim, Difference


def claims(asked: Sequence[Asked], margin: float) -> list[Claim]:
    """Those that can be asked, `margin` in points; in the spreads' unit, fractions. Where a level is supposed to be below, the
    difference is turned round."""
    return [_claim(one, margin / 100.0) for one in asked if one.chosen is not None]


def _claim(asked: Asked, margin: float) -> Claim:
    question = asked.question
    contrasts = []
    for comparison, part in zip(question.comparisons, asked.parts, strict=True):
        spread = part.found.spread
        assert spread is not None, "chosen: every comparison has pairs"
        variants = frozenset(model.variant_id for group in comparison.groups for model in group.models)
        contrasts.append(Difference(_turned(spread, question.supposes), variants))
    return Claim(
        question.key,
        tuple(contrasts),
        margin,
        "differs" if question.supposes == APART else "above",
        question.least,
        asked.barred,
    )


def _turned(spread: Spread, supposes: str) -> Spread:
    return mirrored(spread) if supposes == BELOW else spread
