"""On what a study's trials ran: the environments that their attempts recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from storage.reading import Options, read

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class EnvironmentRow:
    """One environment, and how many attempts ran in it."""

    environment: Options
    attempts: int


def environments(db: Database, study: str) -> list[EnvironmentRow]:
    """Of all attempts on the trials of a study, the most frequent first."""
    return read(
        db,
        EnvironmentRow,
        "SELECT e.content AS environment, count(*) AS attempts FROM study_trial st JOIN attempt p ON p.trial_id = st.trial_id "
        "JOIN environment e ON e.id = p.environment_id WHERE st.study = ? GROUP BY e.id ORDER BY attempts DESC, e.id",
        (study,),
    )


def data_digests(db: Database, study: str) -> list[str]:
    """Of what the attempts on the trials of a study read of their data set; one, unless something is wrong."""
    rows = db.execute(
        "SELECT DISTINCT p.data FROM study_trial st JOIN attempt p ON p.trial_id = st.trial_id "
        "WHERE st.study = ? AND p.data IS NOT NULL ORDER BY p.data",
        (study,),
    )
    return [str(digest) for (digest,) in rows]
