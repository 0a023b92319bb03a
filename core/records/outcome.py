"""What came of a model: predictions, ledgers, traces, what a look at it found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class CleanOutcome:
    """What scores need of a model's clean predictions. Shares are fractions of the test samples."""

    correct: Bools
    classes: int
    majority_share: float
    """Share of the most frequent true class: what a constant classifier reaches."""
    top_prediction_share: float
    """Share of the most frequently predicted class."""


@dataclass(frozen=True)
class Ledger:
    """Per-sample outcome of one attack at one ε; the source of truth for every score.

    `survived[i]` is True where test sample i was classified rightly on the clean image *and* under attack. For a
    minimum-norm attack `eps` is None and `distances[i]` is the distance at which sample i falls (0 if wrong from the
    start, inf if never). `adversarial_accuracy` is the accuracy on all adversarial images, also of samples wrong from
    the start (single-step attacks; else None).
    """

    eps: float | None
    survived: Bools
    distances: Floats | None = None
    adversarial_accuracy: float | None = None


@dataclass(frozen=True)
class Trace:
    """What an attack's own run tells of its strength at one ε (None: all radii at once). Everything counts samples, so
    that nothing depends on the batch size; None where the attack has no such thing.
    """

    eps: float | None
    attacked: int
    """Stood when this ε began, and were attacked."""
    broken: int
    """Of those, how many fell; confirmed in fp32."""
    late: int | None = None
    """Of the broken ones, how many fell only in the last tenth of the steps (at least the last step)."""
    moving: int | None = None
    """Still standing, with a margin that would reach 0 within as many steps again, had it gone on as in the last quarter."""
    last_restart: int | None = None
    """Fell only in the last of several restarts."""
    reach: float | None = None
    """Sum of the step lengths / ε: below 1 the attack cannot get to the surface of the ball."""
    unconfirmed: int = 0
    """Standing, though the pass that crafted them once said otherwise."""
    outside: int = 0
    """Standing, though an image outside the ball or the box fooled the model: a fault of the attack."""
    zero_gradients: int = 0
    """The first gradient was 0 in every pixel."""
    bad_gradients: int = 0
    """Some gradient was NaN or infinite."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Trace:
        return cls(**data)


@dataclass(frozen=True)
class DiagnosisSpec:
    """A look at a trained model itself, on a sample of the first choice of test images, in one norm at some of the radii
    that a study attacks (`core.verdict.trust.radii_to_look_at`); `eps` ascends."""

    test_samples: int | None
    norm: str
    eps: tuple[float, ...]


@dataclass(frozen=True)
class Diagnosis:
    """What a small sample of rightly classified test images says of the model's gradients. Counts are images of `images`,
    unless stated otherwise; `core.verdict.trust` turns them into verdicts.
    """

    norm: str
    eps: float
    images: int
    unsteady: int
    """Logits differ between two passes over the same image: something random was left on."""
    zero_gradients: int
    """What gradient attacks follow, the slope of the cross-entropy in the form that keeps it, is 0 in every pixel."""
    bad_gradients: int
    """It holds NaN or infinity."""
    flat_softmax: int
    """The true class's probability rounds to 1 in fp32, so that the usual form of the cross-entropy has lost its slope there.
    Attacks take a form that keeps it (`core.engine.losses.log_odds`)."""
    saturated_units: float
    """Share in [0, 1] of the units of the most saturated layer whose activation has lost its slope."""
    saturated_layer: str
    """That layer, such as "sigmoid 2 of 4"; empty where no activation can saturate."""
    distant: int
    """The local gradient of the margin puts the boundary farther away than any image is."""
    standing_at_one: int
    """Survive PGD at the radius that holds every image (ℓ∞ 1, ℓ2 √d)."""
    broken_by_gradient: tuple[int, ...]
    """Which ones, by their place in the test set, fall within `eps` to short gradient attacks."""
    only_by_search: int
    """Fall to a short random search (Square) at `eps`, not to gradients."""
    only_by_noise: int
    """Fall to random noise in the ball, not to any of these."""
    seconds: float
    measured: int = 0
    """So many images those attacks were tried on, `images` among them."""
    nearest: Mapping[int, float] = field(default_factory=dict)
    """Place in the test set → the distance at which a minimum-norm attack broke it, for those that one did."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Diagnosis:
        """The inverse of `as_json`, through JSON, whose keys are text; looks of earlier versions know no distances."""
        nearest = {int(place): float(distance) for place, distance in data.get("nearest", {}).items()}
        return cls(**{**data, "broken_by_gradient": tuple(data["broken_by_gradient"]), "nearest": nearest})


@dataclass(frozen=True)
class TransferCell:
    """The images of one model tried on another; counts are test samples.

    `shared`: both models classify the clean image rightly, so that an adversarial image was made and can fool;
    `fooled`: of those, how many the target misclassifies then. `robust_accuracy`: share of all samples that the target
    classifies rightly, clean and under the images that were made.
    """

    target_id: str
    shared: int
    fooled: int
    robust_accuracy: float
    fooled_bits: str = field(default="", compare=False)
    """Which test samples fooled it: one bit each, the first sample highest, in hexadecimal; empty where it was not kept."""


@dataclass(frozen=True)
class Example:
    """One adversarial image, for eyes. Images are float32 (channels, height, width) in [0, 1]."""

    sample: int
    """Index of the sample in the data set's test split."""
    eps: float | None
    label: int
    clean_prediction: int
    adversarial_prediction: int
    clean_confidence: float
    adversarial_confidence: float
    clean: Floats
    adversarial: Floats
