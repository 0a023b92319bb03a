"""What of which study a chart or a view shows: its trials, what they are called, and the number that is read of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from app.report.grid import SINGLE
from app.report.variants import GROUPS, labels, level
from core.errors import BadInput
from core.names import FACTORS
from core.registry import nearest
from storage import queries
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import ScoreRow, Trial

T = TypeVar("T", bound="Trial")


@dataclass(frozen=True)
class Scope:
    """What of which study is asked for: `where` keeps rows whose factors match, `variants` those of some variants, `trials` some
    trials. `eps`, one that the study attacked, is where scores of one ε are read instead of at the study's own."""

    db: Database
    study: str
    where: Mapping[str, str] = field(default_factory=dict)
    variants: frozenset[str] | None = None
    trials: frozenset[str] | None = None
    eps: float | None = None

    def kept(self, rows: Sequence[T]) -> list[T]:
        """The rows that are asked for; raises BadInput for a factor that charts do not know."""
        for key in self.where:
            if key not in GROUPS:
                raise BadInput(f"--where {key}: not one of {', '.join(GROUPS)}{nearest(key, FACTORS)}")
        return [
            row
            for row in rows
            if all(_value(row, key) == value for key, value in self.where.items())
            and (self.variants is None or row.variant_id in self.variants)
            and (self.trials is None or row.trial_id in self.trials)
        ]

    def names(self, rows: Sequence[T]) -> dict[str, str]:
        """variant_id → label. A few variants are called what they are called among all of their study."""
        return labels(replace(self, variants=None, trials=None).kept(rows))

    def at(self, score: str) -> float | None:
        """`eps`, where it says anything of this score."""
        return self.eps if score in SINGLE else None

    def scored(self, score: str) -> list[ScoreRow]:
        """Every scored trial of the study with its number; without an interval of its own where that is read at another ε."""
        rows = queries.scores(self.db, self.study, score)
        if self.at(score) is None:
            return rows
        standing, clean = self._standing(), {}
        if score == "retention":
            clean = {row.trial_id: row.value for row in queries.scores(self.db, self.study, "clean_accuracy")}
        found = []
        for row in rows:
            value = standing.get(row.trial_id)
            if value is not None and score == "retention":
                # None of a model that learned nothing, as where it is stored.
                whole = clean.get(row.trial_id)
                value = value / whole if whole and row.value is not None else None
            found.append(replace(row, value=value, low=None, high=None))
        return found

    def _standing(self) -> dict[str, float]:
        """Trial id → share that stands at `eps`."""
        norm = study_row(self.db, self.study).threat_norm
        rows = [] if norm is None else queries.worst_cases(self.db, self.study, norm)
        return {row.trial_id: row.accuracy for row in rows if row.eps == self.eps}

    def nothing(self) -> str:
        return f"{self.study}: nothing to draw yet; see innate trials --study {self.study}"


def _value(row: Trial, key: str) -> str:
    return str(row.seed if key == "seed" else level(row, key))
