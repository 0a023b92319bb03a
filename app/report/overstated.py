"""How far a study's worst cases can be too high: what its audits say, pooled over the models behind a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from core.audit import AuditedRadius
from core.verdict.findings.models import Audited, pooled_overstatement
from storage.queries import audited, is_audited
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import AuditedRow


K = TypeVar("K")


def at_score(db: Database, study: str, eps: float | None = None) -> dict[str, Audited]:
    """Trial id → its worst case at the norm and ε (or another one) of the study's score, of the trials that have one; none where
    nothing of the study was audited, and so nothing bounds them."""
    threat = study_row(db, study).threat
    if threat is None or not is_audited(db, study):
        return {}
    threat = threat if eps is None else replace(threat, eps=eps)
    return {row.trial_id: _audited(row) for row in audited(db, study, threat)}


def by_group(found: Mapping[str, Audited], groups: Mapping[K, Iterable[str]]) -> dict[K, float | None]:
    """Name → what the mean over the trials of that group is too high by at most; None where a trial lacks an audit."""
    return {name: pooled_overstatement([found.get(trial) for trial in trials]) for name, trials in groups.items()}


def _audited(row: AuditedRow) -> Audited:
    radius = None
    if row.audited is not None and row.audited_of is not None and row.fell is not None and row.rounds is not None:
        radius = AuditedRadius(
            row.eps,
            row.audited_of,
            row.audited,
            row.fell,
            row.broken or 0,
            row.rounds,
            tuple(row.audit_attacks or ()),
            tuple(row.felled_by or ()),
        )
    return Audited(row.compared_accuracy, row.robust_accuracy, row.samples, radius)
