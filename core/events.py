"""What a running trial tells: `run_trial` yields these, executors carry them, the worker records them. Torch-free, picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.audit import AuditedRadius, AuditRun, AuditSpec
from core.records.attack import AttackSpec
from core.records.outcome import Bools, CleanOutcome, Diagnosis, Example, Floats, Ledger, Trace, TransferCell
from core.records.trial import ImportRecord, TrialSpec
from core.traits import Measured


@dataclass(frozen=True)
class EpochRecord:
    """One finished epoch: mean training loss, accuracies as fractions, `lr` the rate of the epoch's last step."""

    epoch: int
    """Counted from 1."""
    loss: float
    accuracy: float
    validation_accuracy: float | None
    lr: float
    seconds: float
    probe_accuracy: float | None = None
    """Robust accuracy of a fixed held-out batch under PGD at the defense's own radius; None without a defense, and for
    epochs of before there was a probe."""


@dataclass(frozen=True)
class Started:
    """The attempt is under way: where and on what it runs, and the epochs taken over from an earlier attempt."""

    environment: Mapping[str, Any]
    pid: int
    initial_digest: str | None
    """None for weights that were trained elsewhere."""
    resumed: tuple[EpochRecord, ...] = ()
    notes: tuple[str, ...] = ()
    to_train: bool = True
    """False where the weights are there already."""
    data: str | None = None
    """Digest of the content of the data set that was read."""


@dataclass(frozen=True)
class TrainingProgress:
    """Within an epoch, a few times a second at most; never stored."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    loss: float
    accuracy: float
    samples_per_second: float


@dataclass(frozen=True)
class EpochFinished:
    """An epoch ended and its checkpoint is on disk, in a lane that records one of the last ten seconds; `warning` says in a
    line what first shows in it, if anything."""

    record: EpochRecord
    warning: str | None = None


@dataclass(frozen=True)
class Trained:
    """Training ended and the weights are on disk; `weights` is the absolute path of their file."""

    weights: Path
    initial_digest: str | None
    final_digest: str
    history: tuple[EpochRecord, ...]
    peak_memory: int
    """Bytes; the resident peak of the process, or of the device where there is one."""
    earlier: bool = False
    """They were there when this attempt began."""
    notes: tuple[str, ...] = ()
    """What a reader should know of how it went."""


@dataclass(frozen=True)
class CleanEvaluated:
    """The clean outcome on one set of test samples.

    `correct[i]` refers to the i-th of the sorted sample indices; `predictions` are class numbers, `labels` the truth.
    """

    samples: str
    test_samples: int | None
    correct: Bools
    predictions: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: int

    @property
    def outcome(self) -> CleanOutcome:
        """The same without the per-sample predictions."""
        total = max(1, len(self.labels))
        return CleanOutcome(
            correct=self.correct,
            classes=self.classes,
            majority_share=float(np.bincount(self.labels, minlength=1).max()) / total,
            top_prediction_share=float(np.bincount(self.predictions, minlength=1).max()) / total,
        )


@dataclass(frozen=True)
class AttackProgress:
    """Within an evaluation, a few times a second at most; never stored."""

    attack: AttackSpec
    eps: float | None
    done: int
    """Samples settled at this ε, of `total`."""
    total: int
    survivors: int
    """Samples that still stand."""


@dataclass(frozen=True)
class EvaluationFinished:
    """One attack over one set of samples, whole. Passes count images, so that batch size does not change them."""

    attack: AttackSpec
    samples: str
    test_samples: int | None
    ledgers: tuple[Ledger, ...]
    examples: tuple[Example, ...]
    forward_passes: int
    backward_passes: int
    seconds: float
    batch_size: int
    crafting: str
    """Precision in which gradients were taken, fp32 or tf32; what fell was confirmed in fp32 in either case."""
    notes: tuple[str, ...] = ()
    traces: tuple[Trace, ...] = ()
    """One per ε, in the ledgers' order; none for single-step attacks."""


@dataclass(frozen=True)
class Audited:
    """The audit of one model in one norm, whole. `fell_at` [n] is the least radius at which a confirmed adversarial image was
    found for each test sample, inf where none was; `radii` ascend."""

    spec: AuditSpec
    samples: str
    test_samples: int | None
    fell_at: Floats
    radii: tuple[AuditedRadius, ...]
    runs: tuple[AuditRun, ...]
    forward_passes: int
    backward_passes: int
    seconds: float
    batch_size: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditFailed:
    """An audit could not be carried out; the evaluations and the weights stay."""

    spec: AuditSpec
    samples: str
    test_samples: int | None
    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class Diagnosed:
    """A look at the model itself is done."""

    samples: str
    test_samples: int | None
    diagnosis: Diagnosis
    first: bool = True
    """Of its norm in this job: what does not depend on a radius is news."""


@dataclass(frozen=True)
class TraitsMeasured:
    """What was measured of the model, to see why it is as robust as it is."""

    samples: str
    test_samples: int | None
    traits: Measured


@dataclass(frozen=True)
class LookFailed:
    """A look at the model itself came to nothing, so the verdict on it is without one in that norm; without a norm, its traits
    could not be measured."""

    norm: str | None
    reason: str
    traceback: str


@dataclass(frozen=True)
class Imported:
    """Weights that were trained elsewhere fit; `weights` is our own file of them, to be moved to where it belongs."""

    trial: TrialSpec
    weights: Path
    final_digest: str
    environment: Mapping[str, Any]
    record: ImportRecord
    notes: tuple[str, ...] = ()
    data: str | None = None
    """Digest of the content of the data set that was read."""


@dataclass(frozen=True)
class WeightsCompared:
    """Weights that were trained again, against those of before."""

    stored_digest: str
    """Of the weights of before, as their file has them."""
    distance: float
    """‖new - before‖₂ / ‖before‖₂ over all tensors of numbers."""
    largest: float
    """Of the absolute differences of single weights."""


@dataclass(frozen=True)
class TransferProgress:
    """A few times a second at most; never stored."""

    source_id: str
    """Whose images are being made or tried."""
    share: float
    """Of the whole job, in [0, 1]."""


@dataclass(frozen=True)
class TransferRow:
    """The images of one model have been tried on every target that was wanted."""

    source_id: str
    cells: tuple[TransferCell, ...]
    samples: str
    count: int
    """How many test samples that digest stands for."""
    crafting: str
    batch_size: int
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class TransferLeftOut:
    """A model that can neither craft nor be tried (its weights cannot be read, its logits are NaN); the others go on."""

    trial_id: str
    reason: str


@dataclass(frozen=True)
class EvaluationFailed:
    """One attack could not be carried out; the other evaluations go on and the weights stay."""

    attack: AttackSpec
    samples: str
    test_samples: int | None
    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class TrialFailed:
    """The trial cannot be trained as specified (NaN loss, impossible configuration): never retried by itself."""

    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class Stopped:
    """The trial was asked to stop, left a checkpoint, and is handed back to the queue."""


@dataclass(frozen=True)
class Finished:
    """Nothing is left to do for this job."""


@dataclass(frozen=True)
class Waiting:
    """It has been sent to a machine and waits there for its turn; told now and then, never stored."""


@dataclass(frozen=True)
class Crashed:
    """The child ended without a last word; `trial_at_fault` is False where the machinery around it died."""

    reason: str
    exit_code: int | None
    trial_at_fault: bool = True
    memory_needed: int | None = None
    """Bytes of a device that were not enough, where that is why it ended: all that its process held."""
    beside: int = 0
    """How many other trials shared the process with it."""
    node: str | None = None
    """The machine of a cluster that was lost, or on which what ran it was; None: nothing of a cluster."""


@dataclass(frozen=True)
class TrainingTimed:
    """Seconds for each training image of an epoch of a trial like this one, as `batches` took."""

    trial: TrialSpec
    seconds: float
    batches: int


@dataclass(frozen=True)
class AttackTimed:
    """Seconds for each test image of the whole attack on a model like this trial's, as a part of it took on `images`."""

    trial: TrialSpec
    attack: AttackSpec
    seconds: float
    images: int


@dataclass(frozen=True)
class NotTimed:
    """Why the time of a training (`attack` None), or of an attack on such a model, could not be found."""

    trial: TrialSpec
    attack: AttackSpec | None
    reason: str


Event = (
    Started
    | TrainingProgress
    | EpochFinished
    | Trained
    | CleanEvaluated
    | AttackProgress
    | EvaluationFinished
    | EvaluationFailed
    | Audited
    | AuditFailed
    | Diagnosed
    | TraitsMeasured
    | LookFailed
    | Imported
    | WeightsCompared
    | TransferProgress
    | TransferRow
    | TransferLeftOut
    | TrainingTimed
    | AttackTimed
    | NotTimed
    | TrialFailed
    | Waiting
    | Stopped
    | Finished
    | Crashed
)

LAST_EVENTS = (TrialFailed, Stopped, Finished, Crashed)
"""After one of these nothing more comes from a job."""
