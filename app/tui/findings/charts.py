"""The charts behind a finding: its factor crossed with the one that matters most beside it, and the trait that goes with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from app.report import cause_words
from app.report.cause_chart import causes
from app.report.effect_charts import factor_interactions
from app.report.scope import Scope
from core.names import FACTORS
from core.verdict.findings import Finding

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.report.charts import Canvas
    from app.tui.widgets.chart import Draw

SCORE = "worst_case"
"""What findings are about."""
_LINES_WITH_WORDS = 18
"""Rows of a chart below which what is said of it gives way to it."""
_WORDS = 8
"""Rows that it takes, about."""


def crossed_with(partners: Mapping[str, str | None], heading: str, one: Finding | None) -> tuple[str, str] | None:
    """The factor in question (of all claims together the first) and the other that matters most beside it, None where no two
    vary. `partners` has that of every factor that varies; claims about defended models ask for the defense."""
    factor = factor_of(heading, one) or next(iter(partners), "")
    if one is not None and one.key.startswith("claim-5") and {factor, "defense"} <= partners.keys():
        return factor, "defense"
    other = partners.get(factor)
    return None if other is None else (factor, other)


def trait_of(one: Finding | None) -> str | None:
    """The trait that surely moves with the effect, else the one that does most; None where nothing is known."""
    if one is None:
        return None
    sure = cause_words.moves(one)
    known = sure or sorted((cause for cause in one.causes if cause.rho is not None), key=lambda two: -abs(two.rho or 0))
    return known[0].trait if known else None


def factor_of(heading: str, one: Finding | None) -> str | None:
    """The one in question; None for all claims together."""
    if one is not None:
        return one.factor
    return heading if heading in FACTORS else None


def interaction(study: str, crossed: tuple[str, str]) -> Draw:
    def draw(db: Database, canvas: Canvas) -> str:
        return factor_interactions(Scope(db, study), canvas, SCORE, crossed)

    return draw


def trait_against_score(study: str, trait: str | None, by: str | None) -> Draw:
    return partial(_causes, study, trait, by)


def _causes(study: str, trait: str | None, by: str | None, db: Database, canvas: Canvas) -> str:
    roomy = canvas.lines >= _LINES_WITH_WORDS
    lines = max(6, canvas.lines - (_WORDS if roomy else 1))  # one for the legend
    return causes(Scope(db, study), replace(canvas, lines=lines), SCORE, trait, by, about=roomy)
