"""A study's scored trials as comparisons see them, from what is stored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
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
    audited, uneven = overstated.at_score(db, study), unevenly_attacked(db, study)
    traits = known(db, study)
    return [
        replace(
            model,
            uneven=model.trial_id in uneven,
            audited=audited.get(model.trial_id),
            traits=traits.get(model.trial_id, {}),
        )
        for model in plain_models(db, study, rows, only=only)
    ]


def plain_models(
    db: Database,
    study: str,
    rows: Sequence[Judged],
    part: slice = slice(None),
    *,
    only: Collection[str] | None = None,
) -> list[Model]:
    """The same of a part of `rows`, without what is known of them beside their outcomes: no audit, no trait, none uneven."""
    columns = {factor: levels(rows, factor) for factor in FACTORS}
    wanted = [(place, row) for place, row in list(enumerate(rows))[part] if only is None or row.trial_id in only]
    found = {one.trial_id: one for one in stored(db, study, [row.trial_id for _, row in wanted])}
    return [
        Model(
            trial_id=row.trial_id,
            variant_id=row.variant_id,
            seed=-1 - place if row.seed is None else row.seed,
            levels={factor: column[place] for factor, column in columns.items()},
            names={factor: level(row, factor) or "unknown" for factor in FACTORS},
            trust=row.trust or "ok",
            uneven=False,
            bound=found[row.trial_id].bound,
            outcomes=found[row.trial_id].found,
        )
        for place, row in wanted
        if row.trial_id in found
    ]
