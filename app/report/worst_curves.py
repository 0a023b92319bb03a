"""The worst case against ε, sample by sample as scores take it, with intervals over seeds and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.aggregate import Estimate
from app.report.pooled import Alone, At, Outcomes

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import ScoreRow


@dataclass(frozen=True)
class WorstCurve:
    """Of a variant, or of some together: `points` are shares that stand at each of `eps`, which begin with 0, the clean accuracy.
    At the score's ε the point is the score `worst_case`."""

    variant_id: str
    eps: tuple[float, ...]
    points: tuple[Estimate, ...]


def worst_curves(db: Database, study: str, rows: Sequence[ScoreRow]) -> list[WorstCurve]:
    """Of the variants of these trials, in their order; those whose trials were attacked at no common ε have only the first."""
    members: dict[str, list[str]] = {}
    for row in rows:
        members.setdefault(row.variant_id, []).append(row.trial_id)
    found = [worst_curve(db, study, variant, [trials]) for variant, trials in members.items()]
    return [one for one in found if one is not None]


def worst_curve(
    db: Database, study: str, key: str, blocks: Sequence[Sequence[str]], under: Alone | None = None
) -> WorstCurve | None:
    """Of trials in blocks, over all attacks or `under` one (`pooled.Outcomes`), under the name `key`; None where nothing is known
    of them."""
    found = Outcomes(db, study, blocks, under)
    clean = found.estimate(At("clean_accuracy"))
    if clean is None:
        return None
    standing = [(eps, found.estimate(At("worst_case", eps))) for eps in found.eps]
    points = {0.0: clean, **{eps: one for eps, one in standing if one is not None}}
    return WorstCurve(key, tuple(points), tuple(points.values()))
