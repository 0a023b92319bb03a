"""What the sections of a report are written from, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from app.report.findings import Findings, findings
from app.report.scope import Scope
from app.report.variants import varying
from core.errors import BadInput, NotFound
from core.names import NORM_SIGNS
from core.records.attack import Threat
from core.records.study import Study
from storage import queries
from storage.environments import EnvironmentRow, data_digests, environments
from storage.rows import ScoreRow, StudyRow, TrialRow, VariantRow
from storage.studies import document, stored_study, study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.reading import Json


@dataclass(frozen=True)
class Material:
    """One study that has attacks and scored trials."""

    db: Database
    row: StudyRow
    asked: Study
    """As it was submitted, resolved."""
    document: Mapping[str, Json]
    trials: tuple[TrialRow, ...]
    board: tuple[VariantRow, ...]
    """Best first."""
    scored: tuple[ScoreRow, ...]
    """The headline of every scored trial."""
    environments: tuple[EnvironmentRow, ...]
    data: tuple[str, ...]
    """Digests of what was read of the data set."""

    @property
    def name(self) -> str:
        return self.row.name

    @property
    def threat(self) -> Threat:
        assert self.row.threat is not None, "a study with attacks has one"
        return self.row.threat

    @property
    def at(self) -> str:
        """The threat that single-ε scores refer to, as it is written."""
        return f"{NORM_SIGNS[self.threat.norm]} ε = {self.threat.eps:g}"

    @property
    def scope(self) -> Scope:
        return Scope(self.db, self.name)

    @property
    def seeds(self) -> int:
        """The most that any variant has."""
        return max(row.seeds for row in self.board)

    @cached_property
    def factors(self) -> list[str]:
        """Those that vary among what is scored."""
        return varying(self.board)

    @cached_property
    def found(self) -> Findings:
        return findings(self.db, self.name)


def material(db: Database, study: str) -> Material:
    """Raises NotFound for a study that is not there or has no scored trial yet, BadInput for one without attacks."""
    row = study_row(db, study)
    if row.threat is None:
        raise BadInput(
            f"report: {study} has no attacks of its own, so nothing of it is scored; add [[attacks]] to its file and run it again"
        )
    scored = queries.scores(db, study, "innate")
    if not scored:
        raise NotFound(f"report: no trial of {study} is finished yet; innate wait --study {study}")
    return Material(
        db,
        row,
        stored_study(db, study),
        document(db, study),
        tuple(queries.trials(db, study)),
        tuple(queries.leaderboard(db, study)),
        tuple(scored),
        tuple(environments(db, study)),
        tuple(data_digests(db, study)),
    )
