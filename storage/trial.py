"""Everything about one trial, as records: what it is made of, how it stands in its studies, what was run on it, its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import NotFound
from core.names import short_id
from core.records.trial import ImportRecord
from core.registry import nearest
from core.traits import Traits
from storage import traits
from storage.copies import Copy, copies
from storage.import_records import import_record
from storage.notes import NoteRow, notes_about
from storage.queries import results, robustness, trial_epochs
from storage.reading import Options, columns, read
from storage.rows import EpochRow, ResultRow, RobustnessRow

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class TrialInStudy:
    """How a trial stands in one of its studies."""

    study: str
    state: str
    reason: str | None
    trust: str | None
    trust_reasons: Sequence[str] | None
    clean_accuracy: float | None


@dataclass(frozen=True)
class TrialInNoStudy:
    """How a trial stands that is in no study any more."""

    state: str
    trust: str | None
    """The verdict that it had in the study that it left."""
    left_study: str | None
    """None where that is not known, as where an earlier version took it out."""
    left_at: float | None
    """Unix seconds."""


@dataclass(frozen=True)
class CheckRow:
    """One check behind the verdict on a trial in a study."""

    study: str
    check: str
    attack: str | None
    norm: str | None
    eps: float | None
    trust: str
    counted: int
    """1 where it counts for the verdict, 0 where it was set aside."""
    value: float | None
    bound: float | None
    reason: str | None


@dataclass(frozen=True)
class StudyScore:
    """One score of a trial in one of its studies."""

    study: str
    name: str
    value: float | None
    low: float | None
    high: float | None
    upper_bound: int
    """1 where nobody audited what attacks left standing; `low` is 0 then."""


@dataclass(frozen=True)
class FailedEvaluation:
    """An attack on a trial that could not be carried out."""

    attack: str
    norm: str
    reason: str | None
    traceback: str | None


@dataclass(frozen=True)
class AttemptRow:
    """One execution of a trial; times are Unix seconds."""

    number: int
    started_at: float
    ended_at: float | None
    device: str | None
    exit_kind: str | None
    reason: str | None
    traceback: str | None
    data: str | None
    """Digest of the content of the data set that it read; None where it read none, or by a version that recorded none."""
    environment: Options | None


@dataclass(frozen=True)
class StoredTrial:
    """A trial whatever its studies: what it is made of and what became of its weights."""

    variant_id: str
    spec: Options
    dataset: str
    train_samples: int | None
    architecture: str | None
    architecture_options: Options | None
    optimizer: str | None
    optimizer_options: Options | None
    activation: str | None
    activation_options: Options | None
    defense: str | None
    defense_options: Options | None
    training: Options | None
    seed: int | None
    created_at: float
    weights: str | None
    initial_digest: str | None
    final_digest: str | None
    train_seconds: float | None
    peak_memory: int | None
    failure: str | None
    crashes: int
    weights_removed: int
    imported: str | None
    trial_id: str

    @property
    def own_subset(self) -> bool:
        """Whether its seed drew its training subset."""
        vary = self.spec.get("vary")
        return isinstance(vary, Sequence) and "train_subset" in vary


@dataclass(frozen=True)
class TrialDetail(StoredTrial):
    """Everything that is stored about one trial, in all of its studies."""

    studies: tuple[TrialInStudy, ...]
    import_record: ImportRecord | None
    checks: tuple[CheckRow, ...]
    epochs: tuple[EpochRow, ...]
    scores: tuple[StudyScore, ...]
    results: tuple[ResultRow, ...]
    robustness: tuple[RobustnessRow, ...]
    failed_evaluations: tuple[FailedEvaluation, ...]
    attempts: tuple[AttemptRow, ...]
    traits: Mapping[str, Traits]
    """Study → what was measured of its model on that study's samples."""
    copies: tuple[Copy, ...]
    """Other weights that it was trained to elsewhere."""
    notes: tuple[NoteRow, ...]
    """On its studies, and on its variant in them."""
    outside: TrialInNoStudy | None
    """How it stands where it is in no study."""


@dataclass(frozen=True)
class ExampleRow:
    """A stored adversarial image; both images are little-endian float32 in [0, 1], of `shape` (channels, height, width)."""

    sample: int
    eps: float | None
    clean_prediction: int
    adversarial_prediction: int
    clean_confidence: float
    adversarial_confidence: float
    shape: Sequence[int]
    clean: bytes
    adversarial: bytes
    attack: str
    norm: str
    class_names: Sequence[str]


_OF_TRIAL = "trial_id = ? AND study IN (SELECT st.study FROM study_trial st WHERE st.trial_id = ?)"
"""Of tables whose rows stand by study: without its studies all of them would be passed for one trial's."""


def trial_detail(db: Database, trial_id: str) -> TrialDetail:
    """Everything about one trial: its row, where it stands in each study, trust checks, epochs, attempts with environments,
    results."""
    own = ", ".join(name if name != "trial_id" else "id AS trial_id" for name in StoredTrial.__dataclass_fields__)
    (trial,) = read(db, StoredTrial, f"SELECT {own} FROM trial WHERE id = ?", (trial_id,))
    return TrialDetail(
        **vars(trial),
        studies=tuple(_in_studies(db, trial_id)),
        import_record=import_record(db, trial_id),
        checks=tuple(
            read(
                db,
                CheckRow,
                f"SELECT {columns(CheckRow)} FROM v_trust WHERE {_OF_TRIAL} ORDER BY study, position",
                (trial_id, trial_id),
            )
        ),
        epochs=tuple(trial_epochs(db, trial_id)),
        scores=tuple(
            read(
                db,
                StudyScore,
                f"SELECT {columns(StudyScore)} FROM score WHERE {_OF_TRIAL} ORDER BY study, name",
                (trial_id, trial_id),
            )
        ),
        results=tuple(results(db, trial_id=trial_id)),
        robustness=tuple(robustness(db, trial_id=trial_id)),
        failed_evaluations=tuple(_failed_evaluations(db, trial_id)),
        attempts=tuple(_attempts(db, trial_id)),
        traits=traits.of_trial(db, trial_id),
        copies=tuple(copies(db, trial_id)),
        notes=tuple(notes_about(db, trial_id)),
        outside=next(iter(_in_no_study(db, trial_id)), None),
    )


def _in_no_study(db: Database, trial_id: str) -> list[TrialInNoStudy]:
    return read(
        db,
        TrialInNoStudy,
        f"SELECT {columns(TrialInNoStudy)} FROM trial_in_no_study WHERE trial_id = ?",
        (trial_id,),
    )


def _in_studies(db: Database, trial_id: str) -> list[TrialInStudy]:
    return read(
        db,
        TrialInStudy,
        "SELECT v.study, v.state, v.reason, v.trust, st.trust_reasons, v.clean_accuracy FROM trial_in_study v "
        "JOIN study_trial st ON st.study = v.study AND st.trial_id = v.trial_id WHERE v.trial_id = ? ORDER BY v.study",
        (trial_id,),
    )


def _failed_evaluations(db: Database, trial_id: str) -> list[FailedEvaluation]:
    return read(
        db,
        FailedEvaluation,
        "SELECT a.name AS attack, a.norm, e.reason, e.traceback FROM evaluation e JOIN attack a ON a.id = e.attack_id "
        "WHERE e.trial_id = ? AND e.state = 'failed'",
        (trial_id,),
    )


def _attempts(db: Database, trial_id: str) -> list[AttemptRow]:
    return read(
        db,
        AttemptRow,
        "SELECT p.number, p.started_at, p.ended_at, p.device, p.exit_kind, p.reason, p.traceback, p.data, "
        "e.content AS environment FROM attempt p LEFT JOIN environment e ON e.id = p.environment_id "
        "WHERE p.trial_id = ? ORDER BY p.number",
        (trial_id,),
    )


def examples(db: Database, trial_id: str, attack: str | None = None) -> list[ExampleRow]:
    """Stored adversarial images of a trial, with attack and class names. Raises NotFound if there are none."""
    rows = read(
        db,
        ExampleRow,
        "SELECT x.sample, x.eps, x.clean_prediction, x.adversarial_prediction, x.clean_confidence, "
        "x.adversarial_confidence, x.shape, x.clean, x.adversarial, a.name AS attack, a.norm, coalesce((SELECT s.class_names "
        "FROM study_trial st JOIN study s ON s.name = st.study WHERE st.trial_id = e.trial_id LIMIT 1), '[]') AS class_names "
        "FROM example x JOIN evaluation e ON e.id = x.evaluation_id JOIN attack a ON a.id = e.attack_id "
        "WHERE e.trial_id = :trial AND (:attack IS NULL OR a.name = :attack) ORDER BY a.name, e.id, x.position",
        {"trial": trial_id, "attack": attack},
    )
    if not rows:
        tried = [str(row[0]) for row in db.execute(
            "SELECT DISTINCT a.name FROM evaluation e JOIN attack a ON a.id = e.attack_id WHERE e.trial_id = ?", (trial_id,)
        )]  # fmt: skip
        if attack is not None and attack not in tried:
            raise NotFound(f"trial {short_id(trial_id)} has not been attacked with {attack!r}{nearest(attack, tried)}")
        raise NotFound(
            f"trial {short_id(trial_id)} has no adversarial images: it is not attacked yet, or nothing broke it"
        )
    return rows
