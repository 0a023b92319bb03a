"""How far a study's worst cases can be too high: what its audits say, pooled over the models behind a number."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from core.audit import AuditedRadius
from core.verdict.audited import pooled_at_most
from storage.queries import robustness
from storage.studies import study_row

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import RobustnessRow


K = TypeVar("K")


def at_score(db: Database, study: str) -> dict[str, RobustnessRow]:
    """Trial id → its worst case at the norm and ε of the study's score, of the trials that have one."""
    threat = study_row(db, study).threat
    if threat is None:
        return {}
    return {row.trial_id: row for row in robustness(db, study, at=threat)}


def at_most(rows: Sequence[RobustnessRow]) -> float | None:
    """The share of all samples by which the mean of these trials' compared accuracies is too high at most, against what their
    audits tried; 95 %. None where one was not audited.

    That is what is known of each model alone already, and the bound on what is not known yet.
    """
    found = [_audited(row) for row in rows]
    audited = [one for one in found if one is not None]
    if len(audited) < len(found):
        return None
    most = pooled_at_most(audited)
    if most is None:
        return None
    known = sum(row.robust_accuracy for row in rows) / len(rows)
    return min(most, known) + sum(row.compared_accuracy for row in rows) / len(rows) - known


def by_group(found: Mapping[str, RobustnessRow], groups: Mapping[K, Iterable[str]]) -> dict[K, float | None]:
    """Name → what the mean over the trials of that group is too high by at most; None where a trial lacks an audit."""
    bounds: dict[K, float | None] = {}
    for name, trials in groups.items():
        rows = [found.get(trial) for trial in trials]
        there = [row for row in rows if row is not None]
        bounds[name] = at_most(there) if there and len(there) == len(rows) else None
    return bounds


def _audited(row: RobustnessRow) -> tuple[AuditedRadius, int] | None:
    if row.audited is None or row.audited_of is None or row.fell is None or row.rounds is None:
        return None
    found = AuditedRadius(
        row.eps,
        row.audited_of,
        row.audited,
        row.fell,
        row.broken or 0,
        row.rounds,
        tuple(row.audit_attacks or ()),
        tuple(row.felled_by or ()),
    )
    return found, row.samples
