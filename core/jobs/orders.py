"""What a child can be asked to do: frozen, torch-free and picklable. `core.jobs.run` carries it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.audit import AuditSpec
from core.records.attack import AttackSpec
from core.records.data import DatasetSource
from core.records.outcome import Bools, DiagnosisSpec
from core.records.trial import TrialSpec


@dataclass(frozen=True)
class EvaluationSpec:
    """One attack over the first choice of test samples: None is the whole test split, n a stratified subset of n."""

    attack: AttackSpec
    test_samples: int | None
    standing: Bools | None = field(default=None, compare=False)
    """Of those samples, the ones to attack, where the attack comes after others (`params["after"]`); None: all."""


@dataclass(frozen=True)
class AuditOrder:
    """An audit that is still to be made. `standing` [n] for each of its ε: who stands against everything stored so far, None
    where nothing is; `passes`: images that went through the model in the attacks stored so far, forward and backward."""

    spec: AuditSpec
    test_samples: int | None
    standing: tuple[Bools, ...] | None = field(default=None, compare=False)
    passes: int = field(default=0, compare=False)
    of: int = field(default=1, compare=False)
    """How many audits of the model share its budget: one for each norm."""


@dataclass(frozen=True)
class Job:
    """All that a slot needs to run one trial: train unless trained, then the evaluations that are missing.

    `folder` is this attempt's own; `earlier` are the folders of past attempts, newest first, from which training
    resumes or weights are taken. `clean` lists the test subsets on which the clean outcome is still wanted. `threads`
    ≥ 1 is per slot.
    """

    trial: TrialSpec
    source: DatasetSource
    evaluations: tuple[EvaluationSpec, ...]
    clean: tuple[int | None, ...]
    attempt: int
    folder: Path
    earlier: tuple[Path, ...]
    data_root: Path
    cache: Path
    device: str = "cpu"
    threads: int = 1
    crafting: str = "auto"
    memory_fraction: float | None = None
    """Share of a CUDA device's memory that its process may take."""
    diagnoses: tuple[DiagnosisSpec, ...] = ()
    """Looks at the model that are still wanted."""
    traits: tuple[int | None, ...] = ()
    """The test subsets on which its traits are still to be measured."""
    audits: tuple[AuditOrder, ...] = ()
    node: str | None = None
    """The machine of a cluster that it is for; None: this one."""
    met: str | None = None
    """Digest of what the home met under the data set's name, where the program does not know the real set itself."""

    @property
    def only_looks(self) -> bool:
        """Whether the trial is complete but for looks at its model."""
        return bool(self.diagnoses or self.traits) and not (self.clean or self.evaluations or self.audits)


@dataclass(frozen=True)
class Stated:
    """What the owner of weights that were trained elsewhere says of them, besides architecture and activation."""

    key: str | None = None
    """Of several state dicts in the file, the one to take."""
    norm: str | None = None
    """Where batch norm stands, "before" or "after" the activation, if that was stated."""
    normalise_stated: bool = False
    """Whether the option `normalise` was given, or is the architecture's default."""
    mean: tuple[float, ...] | None = None
    """What is subtracted from pixels in [0, 1], of all channels or of each; None: not stated. `deviation` divides then."""
    deviation: tuple[float, ...] | None = None
    expect_clean: float | None = None
    """The accuracy on the test half, in [0, 1], that the weights are known to have."""


@dataclass(frozen=True)
class ImportJob:
    """All that a child needs to check weights that were trained elsewhere, and to keep them in our own form.

    `trial` lacks its digest still; of its options `norm` and `normalise` are replaced by what the file proves, unless they
    were stated. `folder` is made, and the weights written into it, only once nothing is wrong.
    """

    weights: Path
    trial: TrialSpec
    source: DatasetSource
    data_root: Path
    cache: Path
    folder: Path
    stated: Stated = Stated()
    met: str | None = None
    """As in `Job`."""


TRANSFER_ENGINE = 1
"""Bumped by hand whenever a change makes the same attack craft other images for transfer."""


@dataclass(frozen=True)
class TrainedTrial:
    """A trial with the file of its weights. `trial_id` is what it is stored under."""

    trial_id: str
    trial: TrialSpec
    weights: Path


@dataclass(frozen=True)
class TransferJob:
    """Adversarial images of some models tried on others (`core.jobs.transfer`).

    `attack` has one ε. The test samples are the first `samples` (None: all) of the subset that `test_samples` asks for.
    `wanted` maps each model that crafts to those that its images are tried on, itself included where that is wanted.
    """

    attack: AttackSpec
    models: tuple[TrainedTrial, ...]
    wanted: Mapping[str, tuple[str, ...]]
    source: DatasetSource
    test_samples: int | None
    samples: int | None
    data_root: Path
    cache: Path
    device: str = "cpu"
    threads: int = 1
    crafting: str = "auto"
    memory_fraction: float | None = None
    met: str | None = None
    """As in `Job`."""

    @property
    def folder(self) -> Path:
        """The only place it may write to: decoded data sets."""
        return self.cache


@dataclass(frozen=True)
class ReproduceJob:
    """A trial trained again, to be compared (`core.jobs.reproduction`): `again` has no earlier attempts, and `stored` is the file
    of the weights that it gave before, None where that is gone."""

    again: Job
    stored: Path | None

    @property
    def folder(self) -> Path:
        """Where the new weights are written."""
        return self.again.folder

    @property
    def device(self) -> str:
        return self.again.device


@dataclass(frozen=True)
class TimingJob:
    """How fast models train and are attacked, seen on a few batches and images each (`core.jobs.timing`); nothing is kept.

    `like` says on which data and device; its own trial means nothing. Each may take `each` seconds and all of them `limit`, from
    the moment when the child begins.
    """

    like: Job
    asked: tuple[tuple[TrialSpec, AttackSpec | None], ...]
    """In this order: the training of such a trial, or the attack on a model like its own with its initial weights."""
    each: float
    limit: float

    @property
    def folder(self) -> Path:
        """The only place it may write to: decoded data sets."""
        return self.like.cache

    @property
    def device(self) -> str:
        return self.like.device


AnyJob = Job | ImportJob | TransferJob | ReproduceJob | TimingJob
"""What an executor carries to a child (`core.jobs.run`)."""
