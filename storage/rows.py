"""What leaves storage for listings, charts, tables and screens: a frozen record per kind of row, and its JSON.

A record's fields are the columns that are read for it, by name and in the order in which JSON shows them. To show one more
column of a view: a field here.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from core.records import AttackSpec, Threat

if TYPE_CHECKING:
    from sqlite_utils import Database

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""Plain data, as JSON knows it."""
Options = Mapping[str, Json]
"""Resolved options by name."""


class Record(Protocol):
    """Any of the records below."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


R = TypeVar("R", bound=Record)


class Levels(Protocol):
    """The four choices that make a variant, as far as they are known, by name and with their options."""

    @property
    def variant_id(self) -> str: ...
    @property
    def architecture(self) -> str | None: ...
    @property
    def optimizer(self) -> str | None: ...
    @property
    def activation(self) -> str | None: ...
    @property
    def defense(self) -> str | None: ...
    @property
    def architecture_options(self) -> Options | None: ...
    @property
    def optimizer_options(self) -> Options | None: ...
    @property
    def activation_options(self) -> Options | None: ...
    @property
    def defense_options(self) -> Options | None: ...


class Trial(Levels, Protocol):
    """A row that is about one trial."""

    @property
    def trial_id(self) -> str: ...
    @property
    def seed(self) -> int | None: ...


class Judged(Trial, Protocol):
    """A row of one trial, or of one of its numbers, with a verdict and its reasons."""

    @property
    def trust(self) -> str | None: ...
    @property
    def trust_reasons(self) -> Sequence[str] | None: ...


@dataclass(frozen=True)
class TrialRow:
    """A trial in a study: a row of v_trials."""

    study: str
    trial_id: str
    variant_id: str
    dataset: str
    architecture: str | None
    optimizer: str | None
    activation: str | None
    defense: str | None
    seed: int | None
    state: str
    reason: str | None
    attempts: int
    clean_accuracy: float | None
    initial_digest: str | None
    final_digest: str | None
    train_seconds: float | None
    trust: str | None
    priority: int
    position: int
    train_samples: int | None
    architecture_options: Options | None
    optimizer_options: Options | None
    activation_options: Options | None
    defense_options: Options | None
    training: Options | None
    """The training keys, None of imported weights."""


@dataclass(frozen=True)
class ListedTrial(TrialRow):
    """A row of the table of runs: a trial in a study with its scores and the reasons of its verdict."""

    trust_reasons: Sequence[str] | None
    worst_case: float | None
    retention: float | None
    curve_area: float | None
    innate: float | None


@dataclass(frozen=True)
class VariantRow:
    """A variant in a study, means over its seeds: a row of v_leaderboard."""

    study: str
    variant_id: str
    dataset: str
    architecture: str | None
    optimizer: str | None
    activation: str | None
    defense: str | None
    seeds: int
    clean_accuracy: float | None
    worst_case: float | None
    retention: float | None
    curve_area: float | None
    innate: float | None
    trust: str
    architecture_options: Options | None
    optimizer_options: Options | None
    activation_options: Options | None
    defense_options: Options | None


@dataclass(frozen=True)
class ResultRow:
    """One attack at one ε on one trial of a study: a row of v_results."""

    study: str
    trial_id: str
    variant_id: str
    dataset: str
    architecture: str | None
    optimizer: str | None
    activation: str | None
    defense: str | None
    seed: int | None
    attack: str
    attack_id: str
    norm: str
    eps: float | None
    samples: int
    clean_accuracy: float
    robust_accuracy: float
    trust: str | None
    forward_passes: int
    backward_passes: int
    seconds: float
    trust_reasons: Sequence[str] | None
    adversarial_accuracy: float | None
    added: int
    """1 where the attack was added to this trial, 0 where it is one of the study's own."""
    crafting: str | None
    batch_size: int | None
    notes: Sequence[str] | None
    attack_spec: AttackSpec
    architecture_options: Options | None
    optimizer_options: Options | None
    activation_options: Options | None
    defense_options: Options | None
    median_distance: float | None
    attack_trust: str | None
    model_trust: str | None

    @property
    def is_rung(self) -> bool:
        """Whether it is one of an escalation, which attacks only what others left standing."""
        return bool(self.attack_spec.params.get("after"))


@dataclass(frozen=True)
class ScoreRow:
    """One score of a done trial with its interval over samples; None where it has none."""

    trial_id: str
    variant_id: str
    architecture: str | None
    optimizer: str | None
    activation: str | None
    defense: str | None
    seed: int | None
    architecture_options: Options | None
    optimizer_options: Options | None
    activation_options: Options | None
    defense_options: Options | None
    trust: str | None
    trust_reasons: Sequence[str] | None
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class EpochRow:
    """One epoch of a trial: a row of v_training."""

    trial_id: str
    epoch: int
    loss: float
    accuracy: float
    validation_accuracy: float | None
    lr: float
    seconds: float
    probe_accuracy: float | None


@dataclass(frozen=True)
class TrainingRow(EpochRow):
    """The same with what the trial is made of."""

    variant_id: str
    architecture: str | None
    optimizer: str | None
    activation: str | None
    defense: str | None
    seed: int | None
    architecture_options: Options | None
    optimizer_options: Options | None
    activation_options: Options | None
    defense_options: Options | None


@dataclass(frozen=True)
class TransferResult:
    """The images of one trial tried on another of its study: a row of v_transfer."""

    study: str
    source_id: str
    target_id: str
    attack: str
    attack_id: str
    norm: str
    eps: float
    samples: int
    shared: int
    fooled: int
    transfer_rate: float | None
    robust_accuracy: float
    crafting: str
    source_architecture: str | None
    source_optimizer: str | None
    source_activation: str | None
    source_defense: str | None
    source_seed: int | None
    target_architecture: str | None
    target_optimizer: str | None
    target_activation: str | None
    target_defense: str | None
    target_seed: int | None
    samples_digest: str


@dataclass(frozen=True)
class StudyRow:
    """A study as it was submitted, aside from its document."""

    name: str
    description: str
    dataset: str
    dataset_identity: str
    shape: Sequence[int]
    """(channels, height, width)."""
    test_samples: int | None
    samples: str
    """Digest of the test indices."""
    threat_norm: str | None
    threat_eps: float | None
    data_root: str | None
    created_at: float
    run_at: float

    @property
    def threat(self) -> Threat | None:
        """What its single-ε scores refer to; None without attacks."""
        if self.threat_norm is None or self.threat_eps is None:
            return None
        return Threat(self.threat_norm, self.threat_eps)


@dataclass(frozen=True)
class ListedStudy:
    """A study with its trials per state."""

    study: str
    description: str
    dataset: str
    trials: int
    done: int
    running: int
    queued: int
    failed: int
    cancelled: int
    attacks: int
    threat_norm: str | None
    threat_eps: float | None
    created_at: float
    run_at: float


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


@dataclass(frozen=True)
class TrialDetail(StoredTrial):
    """Everything that is stored about one trial, in all of its studies."""

    studies: tuple[TrialInStudy, ...]
    checks: tuple[CheckRow, ...]
    epochs: tuple[EpochRow, ...]
    scores: tuple[StudyScore, ...]
    results: tuple[ResultRow, ...]
    failed_evaluations: tuple[FailedEvaluation, ...]
    attempts: tuple[AttemptRow, ...]


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


@functools.lru_cache(maxsize=4096)
def parsed(text: str) -> Any:
    """Stored JSON. Ten thousand trials share a few dozen option texts; what is read here is never changed."""
    return json.loads(text)


@functools.lru_cache(maxsize=1024)
def _attack(text: str) -> AttackSpec:
    return AttackSpec.from_json(json.loads(text))


_STORED_AS_TEXT: Mapping[str, Callable[[str], object]] = {
    "architecture_options": parsed, "optimizer_options": parsed, "activation_options": parsed, "defense_options": parsed,
    "training": parsed, "trust_reasons": parsed, "notes": parsed, "attack_spec": _attack, "spec": json.loads,
    "environment": json.loads, "shape": parsed, "class_names": parsed,
}  # fmt: skip
"""Columns that hold JSON, each with what makes a value of it."""


def columns(kind: type[Record], table: str = "") -> str:
    """The columns of a record for a SELECT, of `table` if it is named."""
    prefix = f"{table}." if table else ""
    return ", ".join(f'{prefix}"{field.name}"' for field in dataclasses.fields(kind))


def read(db: Database, kind: type[R], sql: str, values: Sequence[object] | dict[str, object] = ()) -> list[R]:
    """The rows of a SELECT whose columns are those of `kind`, in any order."""
    cursor = db.execute(sql, values)
    names = [column[0] for column in cursor.description]
    decoders = [(place, _STORED_AS_TEXT[name]) for place, name in enumerate(names) if name in _STORED_AS_TEXT]
    found = []
    for row in cursor:
        cells = list(row)
        for place, decode in decoders:
            if cells[place] is not None:
                cells[place] = decode(cells[place])
        found.append(kind(**dict(zip(names, cells, strict=True))))
    return found


def as_json(row: Record) -> dict[str, Json]:
    """A record as plain data: its fields by name, in their order."""
    return {name: _plain(getattr(row, name)) for name in _names(type(row))}


@functools.cache
def _names(kind: type[Record]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def _plain(value: Any) -> Json:
    if isinstance(value, AttackSpec):
        return value.as_json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_json(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    plain: Json = value
    return plain
