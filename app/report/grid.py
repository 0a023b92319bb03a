"""At which ε a score is, or over which it is a mean: whoever shows one says them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import BadInput
from core.names import NORM_SIGNS
from core.registry import parse_number
from storage.studies import score_grid, study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

_INTEGRATED = ("curve_area", "innate")
SINGLE = ("worst_case", "retention")
"""Scores of one ε, which another that was attacked may take the place of."""


def over_grid(db: Database, study: str) -> str:
    """Such as "ε 0, 0.05, 0.1"."""
    return f"ε {', '.join(f'{eps:g}' for eps in (0.0, *score_grid(db, study)))}"


def integrated(db: Database, study: str, score: str) -> str | None:
    """`over_grid` for a score that is a mean over ε; None for others, and where nothing is attacked."""
    return over_grid(db, study) if score in _INTEGRATED and score_grid(db, study) else None


def told_radii(db: Database, study: str, score: str, eps: float | None = None) -> str | None:
    """At (`eps`: not at the study's own) or over which ε a score is: "at ℓ∞ ε = 0.1"; None where no attack decides it."""
    if score in SINGLE:
        threat = study_row(db, study).threat
        return None if threat is None else f"at {NORM_SIGNS[threat.norm]} ε = {threat.eps if eps is None else eps:g}"
    over, norm = integrated(db, study, score), study_row(db, study).threat_norm
    return None if over is None or norm is None else f"over {NORM_SIGNS[norm]} {over}"


def radius(db: Database, study: str, score: str, asked: str | None, where: str) -> float | None:
    """The ε to read a score at instead of the study's own (a number, or a fraction as text); None where none is asked for. Raises
    BadInput naming `where` for one that the study did not attack, and for a score that is of no single ε."""
    if asked is None:
        return None
    eps = parse_number(asked, where)
    if score not in SINGLE:
        raise BadInput(f"{where} {asked}: {score} is of no single ε; --score {' or '.join(SINGLE)} is")
    found = next((known for known in score_grid(db, study) if abs(known - eps) <= 1e-9), None)
    if found is None:
        norm = study_row(db, study).threat_norm or "no norm"
        attacked = ", ".join(f"{one:g}" for one in score_grid(db, study))
        raise BadInput(f"{where} {asked}: study {study} attacks {norm} at {attacked}")
    return found
