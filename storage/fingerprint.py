"""Whether what a study's findings are made of has changed: a few counts and sums that are read in no time, where the findings
themselves take seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

_OF = (
    "SELECT state IN ('queued', 'running'), trust, count(*) FROM study_trial WHERE study = :study GROUP BY 1, 2 ORDER BY 1, 2",
    "SELECT count(*), total(value) FROM score WHERE study = :study",
    "SELECT count(*), count(audit_id), total(compared_accuracy), total(robust_accuracy), max(audit_id) FROM robustness "
    "WHERE study = :study",
    "SELECT count(*), total(m.made_at) FROM study_trial st JOIN traits m ON m.trial_id = st.trial_id WHERE st.study = :study",
    "SELECT attack_id FROM study_attack WHERE study = :study UNION ALL SELECT attack_id FROM study_common WHERE study = :study",
    "SELECT count(*) FROM trial_attack WHERE study = :study",
    "SELECT count(*), max(made_at) FROM look WHERE study = :study",
    "SELECT threat_norm, threat_eps, samples FROM study WHERE name = :study",
)
"""Each grows, or has another sum, with a result that comes in, an audit, an attack, a look."""


def fingerprint(db: Database, study: str) -> tuple[object, ...]:
    """The same as before as long as findings would be the same."""
    return tuple(row for sql in _OF for row in db.execute(sql, {"study": study}).fetchall())
