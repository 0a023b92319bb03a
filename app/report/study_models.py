"""A study's scored trials as comparisons see them, from what is stored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from app.report import overstated
from app.report.variants import level, levels
from core.names import FACTORS
from core.verdict.findings.models import Model
from storage.image_outcomes import stored
from storage.traits import known
from storage.verdicts import unevenly_attacked

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import Judged


def study_models(db: Database, study: str, rows: Sequence[Judged], only: Collection[str] | None = None) -> list[Model]:
    """Those of `rows` that have outcomes, in their order, or `only` those trials. Levels are named among all of `rows`. Weights
    that were trained elsewhere have no seed to pair by: each gets one of its own."""
    columns = {factor: levels(rows, factor) for factor in FACTORS}
    audited, uneven = overstated.at_score(db, study), unevenly_attacked(db, study)
    traits = known(db, study)
    found = {one.trial_id: one for one in stored(db, study, None if only is None else list(only))}
    return [
        Model(
            trial_id=row.trial_id,
            variant_id=row.variant_id,
            seed=-1 - place if row.seed is None else row.seed,
            levels={factor: column[place] for factor, column in columns.items()},
            names={factor: level(row, factor) or "unknown" for factor in FACTORS},
            trust=row.trust or "ok",
            uneven=row.trial_id in uneven,
            bound=found[row.trial_id].bound,
            outcomes=found[row.trial_id].found,
            audited=audited.get(row.trial_id),
            traits=traits.get(row.trial_id, {}),
        )
        for place, row in enumerate(rows)
        if row.trial_id in found
    ]
