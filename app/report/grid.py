"""The ε that `curve_area`, and with it `innate`, is the mean over: whoever shows these scores says them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from storage.studies import score_grid

if TYPE_CHECKING:
    from sqlite_utils import Database

_INTEGRATED = ("curve_area", "innate")


def over_grid(db: Database, study: str) -> str:
    """Such as "ε 0, 0.05, 0.1"."""
    return f"ε {', '.join(f'{eps:g}' for eps in (0.0, *score_grid(db, study)))}"


def integrated(db: Database, study: str, score: str) -> str | None:
    """`over_grid` for a score that is a mean over ε; None for others, and where nothing is attacked."""
    return over_grid(db, study) if score in _INTEGRATED and score_grid(db, study) else None
