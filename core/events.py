"""What a running trial tells: `run_trial` yields these, executors carry them, the worker records them. Torch-free, picklable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.records import AttackSpec, Bools, CleanOutcome, Example, Ledger


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


@dataclass(frozen=True)
class Started:
    """The attempt is under way: where and on what it runs, and the epochs taken over from an earlier attempt."""

    environment: Mapping[str, Any]
    pid: int
    initial_digest: str
    resumed: tuple[EpochRecord, ...] = ()


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
    """An epoch ended and its checkpoint is on disk."""

    record: EpochRecord


@dataclass(frozen=True)
class Trained:
    """Training ended and the weights are on disk; `weights` is the absolute path of their file."""

    weights: Path
    initial_digest: str
    final_digest: str
    history: tuple[EpochRecord, ...]
    peak_memory: int
    """Bytes; the resident peak of the process, or of the device where there is one."""


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
    """Precision in which gradients were taken: fp32, bf16 or fp16."""
    notes: tuple[str, ...] = ()


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
class Crashed:
    """The child ended without a last word; `trial_at_fault` is False where the machinery around it died."""

    reason: str
    exit_code: int | None
    trial_at_fault: bool = True
    memory_needed: int | None = None
    """Bytes of a device that were not enough, where that is why it ended."""


Event = (
    Started
    | TrainingProgress
    | EpochFinished
    | Trained
    | CleanEvaluated
    | AttackProgress
    | EvaluationFinished
    | EvaluationFailed
    | TrialFailed
    | Stopped
    | Finished
    | Crashed
)

LAST_EVENTS = (TrialFailed, Stopped, Finished, Crashed)
"""After one of these nothing more comes from a job."""
