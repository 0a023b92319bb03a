"""Studies as they are stored: which there are, their trials, attacks and data; adding attacks to them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.audit import AuditSpec
from core.datasets import describe, parse_source
from core.errors import BadInput, NotFound
from core.names import short_id
from core.records.attack import AttackSpec
from core.records.data import DatasetInfo, DatasetSource
from core.records.study import Study
from core.records.trial import TrialSpec
from core.registry import nearest
from storage import audits, content
from storage.database import transaction
from storage.reading import Json, columns, read
from storage.rows import ListedStudy, StudyRow
from storage.specs import store_attack
from storage.states import settle_in

if TYPE_CHECKING:
    from sqlite_utils import Database


def add_attack(db: Database, study: str, trial_ids: Sequence[str], attack: AttackSpec) -> int:
    """Have `attack` tried on trials of `study` beside the study's own attacks; returns how many have yet to be attacked.

    Raises NotFound for a trial that is not in the study, BadInput for one that has no weights.
    """
    with transaction(db):
        store_attack(db, attack)
        missing = 0
        for trial_id in trial_ids:
            row = db.execute(
                "SELECT st.state, t.weights FROM study_trial st JOIN trial t ON t.id = st.trial_id "
                "WHERE st.study = ? AND st.trial_id = ?",
                (study, trial_id),
            ).fetchone()
            if row is None:
                raise NotFound(f"trial {short_id(trial_id)} is not in study {study}")
            state, weights = row
            if weights is None:
                raise BadInput(f"trial {short_id(trial_id)} has no weights yet ({state}); train it first: innate run")
            db.execute(
                "INSERT OR IGNORE INTO trial_attack (study, trial_id, attack_id) VALUES (?, ?, ?)",
                (study, trial_id, attack.id),
            )
            # An attack that failed before is asked for again by naming it.
            db.execute(
                "DELETE FROM evaluation WHERE trial_id = ? AND attack_id = ? AND state = 'failed' "
                "AND samples = (SELECT samples FROM study WHERE name = ?)",
                (trial_id, attack.id, study),
            )
            if state != "running":
                missing += settle_in(db, study, trial_id) == "queued"
        return missing


def add_audits(db: Database, study: str, specs: Sequence[AuditSpec]) -> int:
    """Have these audits made of every model of `study` from now on; returns how many trials are to be audited."""
    with transaction(db):
        audits.want(db, study, specs)
        missing = 0
        for trial_id, state in db.execute(
            "SELECT trial_id, state FROM study_trial WHERE study = ? AND state IN ('done', 'queued')", (study,)
        ).fetchall():
            waits = settle_in(db, study, trial_id) == "queued"
            missing += waits and (state == "done" or bool(audits.missing(db, study, trial_id)))
        return missing


def attacks_tried(db: Database, study: str) -> list[AttackSpec]:
    """The study's own attacks; where it has none, those that were added to its trials."""
    own = "SELECT a.spec FROM study_attack sa JOIN attack a ON a.id = sa.attack_id WHERE sa.study = ? ORDER BY sa.position"
    added = "SELECT DISTINCT a.spec FROM trial_attack ta JOIN attack a ON a.id = ta.attack_id WHERE ta.study = ? ORDER BY a.id"
    for sql in (own, added):
        found = [AttackSpec.from_json(json.loads(spec)) for (spec,) in db.execute(sql, (study,)).fetchall()]
        if found:
            return found
    return []


def score_grid(db: Database, study: str) -> tuple[float, ...]:
    """The ε, ascending, that `curve_area` and `innate` of a study integrate over, from 0: those that its own attacks have in the
    score's norm; where they only have distances, the score's."""
    rows = db.execute(
        "SELECT DISTINCT e.value FROM study s JOIN study_attack sa ON sa.study = s.name JOIN attack a ON a.id = sa.attack_id, "
        "json_each(a.spec, '$.eps') e WHERE s.name = ? AND a.norm = s.threat_norm ORDER BY 1",
        (study,),
    )
    found = tuple(float(eps) for (eps,) in rows.fetchall())
    threat = study_row(db, study).threat
    return found or (() if threat is None else (threat.eps,))


def added_attacks(db: Database, study: str) -> list[AttackSpec]:
    """The attacks that were added to any trial of `study`, each once, in the order in which they were first asked for."""
    rows = db.execute(
        "SELECT a.spec FROM trial_attack ta JOIN attack a ON a.id = ta.attack_id WHERE ta.study = ? "
        "AND ta.attack_id NOT IN (SELECT attack_id FROM study_attack WHERE study = ta.study) GROUP BY a.id ORDER BY a.name, a.id",
        (study,),
    )
    return [AttackSpec.from_json(json.loads(spec)) for (spec,) in rows.fetchall()]


def trained_trials(db: Database, study: str) -> list[str]:
    """Ids of the trials of `study` that have weights, or had and can have them again, and neither failed nor were cancelled."""
    rows = db.execute(
        "SELECT st.trial_id FROM study_trial st JOIN trial t ON t.id = st.trial_id WHERE st.study = ? "
        "AND t.weights IS NOT NULL AND NOT (t.weights_removed AND t.imported IS NOT NULL) "
        "AND st.state IN ('done', 'queued', 'running') ORDER BY st.position",
        (study,),
    )
    return [str(trial_id) for (trial_id,) in rows.fetchall()]


def done_trials(db: Database, study: str) -> list[str]:
    """Ids of the trials of `study` that lack nothing."""
    rows = db.execute("SELECT trial_id FROM study_trial WHERE study = ? AND state = 'done' ORDER BY position", (study,))
    return [str(trial_id) for (trial_id,) in rows.fetchall()]


def studies(db: Database) -> list[ListedStudy]:
    """All studies, the one run last first, with their trials per state; not those of candidates (`storage.tuning`)."""
    return read(
        db,
        ListedStudy,
        "SELECT s.name AS study, s.description, s.dataset, count(st.trial_id) AS trials, "
        + ", ".join(
            f"count(*) FILTER (WHERE st.state = '{state}') AS {state}"
            for state in ("done", "running", "queued", "failed", "cancelled")
        )
        + ", (SELECT count(*) FROM study_attack sa WHERE sa.study = s.name) AS attacks, s.threat_norm, s.threat_eps, "
        "s.created_at, s.run_at, coalesce(n.text, '') AS note, coalesce(n.tags, '[]') AS tags FROM study s "
        "LEFT JOIN study_trial st ON st.study = s.name LEFT JOIN note n ON n.study = s.name AND n.variant_id IS NULL "
        "WHERE s.tuning_of IS NULL "
        "GROUP BY s.name ORDER BY s.run_at DESC, s.name",
    )


def studies_with_grid(db: Database) -> list[ListedStudy]:
    """Those of `studies` that train models, without the ones that only hold imported trials."""
    rows = db.execute("SELECT name FROM study WHERE json_extract(document, '$.architectures') IS NOT NULL")
    names = {str(name) for (name,) in rows.fetchall()}
    return [row for row in studies(db) if row.study in names]


def latest_study(db: Database) -> str | None:
    """The study run last, None if there is none."""
    row = db.execute("SELECT name FROM study WHERE tuning_of IS NULL ORDER BY run_at DESC, name LIMIT 1").fetchone()
    return None if row is None else str(row[0])


def study_with(db: Database, trial_ids: Sequence[str]) -> str | None:
    """The study run last that has all of these trials, None if there is none."""
    marks = ", ".join("?" * len(trial_ids))
    row = db.execute(
        "SELECT s.name FROM study s JOIN study_trial st ON st.study = s.name "
        f"WHERE s.tuning_of IS NULL AND st.trial_id IN ({marks}) GROUP BY s.name HAVING count(*) = ? "
        "ORDER BY s.run_at DESC LIMIT 1",
        [*trial_ids, len(set(trial_ids))],
    ).fetchone()
    return None if row is None else str(row[0])


def trials_of(db: Database, name: str) -> frozenset[str] | None:
    """The trials of a study, None where no study is called so."""
    if not db.execute("SELECT 1 FROM study WHERE name = ?", (name,)).fetchone():
        return None
    rows = db.execute("SELECT trial_id FROM study_trial WHERE study = ?", (name,))
    return frozenset(str(trial_id) for (trial_id,) in rows)


def study_row(db: Database, name: str) -> StudyRow:
    """The stored study; raises NotFound with the nearest name."""
    for row in read(db, StudyRow, f"SELECT {columns(StudyRow)} FROM study WHERE name = ?", (name,)):
        return row
    names = [str(row[0]) for row in db.execute("SELECT name FROM study")]
    raise NotFound(f"there is no study {name!r}{nearest(name, names) if names else '; none has been run yet'}")


def document(db: Database, name: str) -> dict[str, Json]:
    """The study in the study file's own keys; raises NotFound."""
    study_row(db, name)
    (text,) = db.execute("SELECT document FROM study WHERE name = ?", (name,)).fetchone()
    return dict(json.loads(text))


def stored_study(db: Database, name: str) -> Study:
    """The study as it was submitted, resolved; without axes where it only holds imported trials. Raises NotFound."""
    from core.study.resolve import study_from  # listings, which need no study resolved, do without pydantic

    return replace(study_from(document(db, name), f"study {name}"), name=name)


def stored_dataset(db: Database, name: str, root: Path, cache: Path) -> DatasetInfo:
    """The data set of a stored study, read from where the study was told that it lies, else from `root`.

    Raises NotFound for a study that is not there, BadInput for content that cannot be used, or is not what it was run on.
    """
    planned = study_row(db, name).dataset_identity
    info = describe(stored_study(db, name).source, data_root(db, name) or root, cache, content.met(db))
    if info.digest is not None and info.identity != planned:
        raise BadInput(
            f"study {name}: the content of {info.source.kind} has changed since it was run; put that back, or run the study "
            "again: innate run"
        )
    return info


@dataclass(frozen=True)
class OwnDataset:
    """A `folder:` or `npz:` set that a stored study is on, and what its content was when that study was run last."""

    study: str
    source: DatasetSource
    identity: str


def own_datasets(db: Database) -> list[OwnDataset]:
    """Those of all studies, by study."""
    rows = db.execute(
        "SELECT name, json_extract(document, '$.dataset'), dataset_identity FROM study "
        "WHERE source_path IS NOT NULL AND tuning_of IS NULL ORDER BY name"
    )
    return [
        OwnDataset(
            str(study), parse_source(written if written[:1] != "{" else json.loads(written), Path("/")), str(identity)
        )
        for study, written, identity in rows.fetchall()
    ]


def stored_trials(db: Database, name: str) -> list[TrialSpec]:
    """The trials of a stored study, in its order, imported ones too."""
    rows = db.execute(
        "SELECT t.spec FROM study_trial st JOIN trial t ON t.id = st.trial_id WHERE st.study = ? ORDER BY st.position",
        (name,),
    )
    return [TrialSpec.from_json(json.loads(spec)) for (spec,) in rows.fetchall()]


def data_root(db: Database, name: str) -> Path | None:
    """Where the study was told that its data set lies; None if it was not."""
    root = study_row(db, name).data_root
    return None if root is None else Path(root)
