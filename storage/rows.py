"""What leaves storage for listings, charts and tables: a frozen record per kind of row. `storage.reading` makes them,
`storage.trial` has those about a single trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.records.attack import AttackSpec, Threat
from storage.reading import Options


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
class FoundTrial:
    """A row of v_trials: a trial in a study, or one that is in none."""

    study: str | None
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
    left_study: str | None
    """Of a trial in no study: the last that it was in, as far as is known, and when it left that (Unix seconds)."""
    left_at: float | None


@dataclass(frozen=True)
class TrialRow(FoundTrial):
    """A trial in a study."""

    study: str


@dataclass(frozen=True)
class ListedTrial(TrialRow):
    """A row of the table of runs: a trial in a study with its scores and the reasons of its verdict."""

    trust_reasons: Sequence[str] | None
    threat_norm: str | None
    threat_eps: float | None
    """What `worst_case` and `retention` refer to; None where the study has no attacks."""
    worst_case: float | None
    retention: float | None
    curve_area: float | None
    innate: float | None
    vary: Sequence[str] | None
    """What its seed moved; None is the default, initialisation and data order alone."""


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
    known_worst_case: float | None
    """At the score's threat, by every confirmed adversarial image known of each trial."""
    overstated_at_most: float | None
    """The largest over the seeds; None where one is not audited."""
    pending: int
    """Seeds that more attacks are waited for of."""


@dataclass(frozen=True)
class RobustnessRow:
    """The worst case of one trial of a study at one norm and ε: a row of v_robustness. Accuracies are fractions."""

    study: str
    trial_id: str
    variant_id: str
    dataset: str
    architecture: str | None
    optimizer: str | None
    activation: str | None
    defense: str | None
    seed: int | None
    norm: str
    eps: float
    samples: int
    clean_accuracy: float
    robust_accuracy: float
    """By every confirmed adversarial image known."""
    audited: int | None
    """Survivors drawn in the audit's last round; None where there was no audit."""
    fell: int | None
    overstated_at_most: float | None
    trust: str
    compared_accuracy: float
    """By the attacks that all models of the study had in full."""
    audited_of: int | None
    broken: int | None
    rounds: int | None
    audit_attacks: Sequence[str] | None
    felled_by: Sequence[str] | None
    audit_seconds: float | None
    architecture_options: Options | None
    optimizer_options: Options | None
    activation_options: Options | None
    defense_options: Options | None


@dataclass(frozen=True)
class WorstCaseRow:
    """A trial's share of samples that stand at one ε, by the attacks that all models of the study had in full."""

    trial_id: str
    eps: float
    accuracy: float


@dataclass(frozen=True)
class AuditedRow:
    """Of a row of v_robustness what its audit says, for listings of ten thousand."""

    trial_id: str
    eps: float
    samples: int
    robust_accuracy: float
    compared_accuracy: float
    audited: int | None
    fell: int | None
    audited_of: int | None
    broken: int | None
    rounds: int | None
    audit_attacks: Sequence[str] | None
    felled_by: Sequence[str] | None


@dataclass(frozen=True)
class ResultRow:
    """One attack at one ε on one trial of a study, or on one that is in none: a row of v_results."""

    study: str | None
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
    known_worst_case: float | None
    """At this norm and ε, by every adversarial image known of the trial; what the audit says of it follows."""
    audited: int | None
    fell: int | None
    overstated_at_most: float | None
    audit_attacks: Sequence[str] | None

    @property
    def is_rung(self) -> bool:
        """Whether it is one of an escalation, which attacks only what others left standing."""
        return bool(self.attack_spec.params.get("after"))


@dataclass(frozen=True)
class ScoreRow:
    """One score of a done trial with its interval over images; None where it has none."""

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
    upper_bound: int
    """1 where nobody audited what attacks left standing; `low` is 0 then."""


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
class TuningRow:
    """A candidate of a cell of a tuned study: a row of v_tuning. Accuracies are fractions of the images held out."""

    study: str
    cell: int
    """Its place among the cells of the study."""
    variant_id: str
    dataset: str
    architecture: str
    optimizer: str
    activation: str
    defense: str
    option: str
    value: float
    trial_id: str
    state: str | None
    """None where it is in no queue any more."""
    validation_accuracy: float | None
    epochs: int
    seconds: float | None
    widened: int
    """1 where it was tried because the best lay on the edge of the range."""
    chosen: int
    edge: int | None
    """1 where it is the best and the outermost of all that was tried."""
    reason: str | None
    """Why it failed."""
    cell_reason: str | None
    """Why nothing could be chosen."""
    classes: int
    """Of the data set."""
    architecture_options: Options | None
    optimizer_options: Options | None
    activation_options: Options | None
    defense_options: Options | None


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
    """A study with its trials per state, and what is noted on it."""

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
    note: str
    tags: Sequence[str]
