"""What flows between the floors: frozen records, torch-free and picklable.

`study.toml → Study → Plan → TrialSpec / AttackSpec → Job → events → ledgers → scores`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.identity import digest

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Choice:
    """A registry name with every option resolved, such as rmsprop with lr, alpha and eps.

    `engine` is bumped by hand, in the entry, where the same options give other weights than before. While it is 1 no
    identity mentions it, so that what a change does not touch keeps its address.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    engine: int = 1

    def as_json(self) -> dict[str, Any]:
        engine = {} if self.engine == 1 else {"engine": self.engine}
        return {"name": self.name, "options": dict(self.options), **engine}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Choice:
        return cls(data["name"], dict(data["options"]), data.get("engine", 1))


@dataclass(frozen=True)
class FolderOptions:
    """How a folder of pictures becomes images. Without any it is taken as it lies: train/ and test/, one size."""

    size: tuple[int, int] | None = None
    """(height, width) in pixels that every picture is brought to."""
    fit: str = "crop"
    """How, where the proportions differ: "crop" what juts out, "pad" with `background`, or "stretch"."""
    split: float | None = None
    """Share in (0, 1) of each class that becomes the test half of a tree that has none."""
    classes: tuple[str, ...] | None = None
    """The folders to use as classes, sorted; None is all."""
    background: str = "white"
    """Behind see-through pixels and around padded pictures: "white" or "black"."""
    depth: int | None = None
    """Bits that pictures of 16 really use, 8 to 16: what counts as white is 2 ** depth - 1. None is 16, unless that would make
    them nearly black, which is refused."""


@dataclass(frozen=True)
class DatasetSource:
    """Where a data set comes from.

    `name` is what results show ("mnist5k", "folder:cars"), `kind` the registry name ("mnist5k", "folder", "npz"),
    `path` the absolute place of a `folder:` or `npz:` set (None for named sets, which live under the data root).
    `options` say how a folder is read; other kinds have none.
    """

    name: str
    kind: str
    path: Path | None = None
    options: FolderOptions = FolderOptions()


@dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set without loading its images.

    `identity` enters the trial's digest: the name of a named set that is the real one or absent, name@digest for other
    content under its name, and for `folder:` and `npz:` the digest of the content. `shape` is (channels, height, width).
    Sizes count images. `digest` is of the content that is there, None for a named set that is not.
    `notes` are what a user should know of how the content was read: what was left out, what was brought to another form; a
    sentence each.
    """

    source: DatasetSource
    identity: str
    shape: tuple[int, int, int]
    classes: tuple[str, ...]
    train_size: int
    test_size: int
    digest: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def other_content(self) -> bool:
        """Whether what lies under a set's name is not that set."""
        return self.source.path is None and self.identity != self.source.kind


@dataclass(frozen=True)
class Training:
    """The training keys of a study, resolved.

    `schedule` is a Choice of constant, cosine or step; `validation` a share of the training data in [0, 1); `averaging` a
    Choice of none, which no identity mentions, ema or swa.
    """

    epochs: int
    batch_size: int
    initialisation: str
    precision: str
    schedule: Choice
    weight_decay: float
    label_smoothing: float
    augment: bool
    validation: float
    averaging: Choice = Choice("none")

    def as_json(self) -> dict[str, Any]:
        averaged = {} if self.averaging.name == "none" else {"averaging": self.averaging.as_json()}
        return {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "initialisation": self.initialisation,
            "precision": self.precision,
            "schedule": self.schedule.as_json(),
            "weight_decay": self.weight_decay,
            "label_smoothing": self.label_smoothing,
            "augment": self.augment,
            "validation": self.validation,
            **averaged,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Training:
        chosen = {key: Choice.from_json(data[key]) for key in ("schedule", "averaging") if key in data}
        return cls(**{**data, **chosen})


TRAINING_ENGINE = 1
"""Bumped by hand whenever a change makes every configuration train to other weights; one that touches a single defense
bumps the engine of that defense (`Choice.engine`), so that nothing else is addressed anew."""


VARIED = ("seed", "train_subset")
"""What a study's `vary` may name, in the order in which it is stored."""
SEED_ALONE = ("seed",)
"""Its default: a seed moves initialisation and data order, and nothing else."""


@dataclass(frozen=True)
class TrialSpec:
    """One model to train. Everything here, and nothing else, decides its weights.

    Of weights that were trained elsewhere neither optimizer nor defense nor training is known, and they are never
    trained here: `imported`, their digest, stands for all that.
    """

    dataset: str
    """The data set's identity (DatasetInfo.identity)."""
    train_samples: int | None
    """Size of the stratified training subset; None is all of it."""
    architecture: Choice
    activation: Choice
    optimizer: Choice | None
    defense: Choice | None
    training: Training | None
    seed: int
    imported: str | None = None
    """Digest of the weights where they were trained elsewhere (`core.training.checkpoints.weights_digest`)."""
    vary: tuple[str, ...] = SEED_ALONE
    """What the seed moves, of VARIED in its order. The default is in no identity: that of before there was a choice."""

    @property
    def own_subset(self) -> bool:
        """Whether its seed draws its training subset, too."""
        return "train_subset" in self.vary

    def as_json(self) -> dict[str, Any]:
        return {**self._variant_json(), "seed": self.seed}

    def _variant_json(self) -> dict[str, Any]:
        if self.imported is not None:
            return {
                "imported": self.imported,
                "dataset": self.dataset,
                "architecture": self.architecture.as_json(),
                "activation": self.activation.as_json(),
            }
        assert self.optimizer is not None
        assert self.defense is not None
        assert self.training is not None
        return {
            "engine": TRAINING_ENGINE,
            "dataset": self.dataset,
            "train_samples": self.train_samples,
            "architecture": self.architecture.as_json(),
            "activation": self.activation.as_json(),
            "optimizer": self.optimizer.as_json(),
            "defense": self.defense.as_json(),
            "training": self.training.as_json(),
            **({} if self.vary == SEED_ALONE else {"vary": list(self.vary)}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrialSpec:
        """The inverse of `as_json`; the engine number is the running program's, so a stale one changes `id`."""
        if "imported" in data:
            return cls(
                dataset=data["dataset"],
                train_samples=None,
                architecture=Choice.from_json(data["architecture"]),
                activation=Choice.from_json(data["activation"]),
                optimizer=None,
                defense=None,
                training=None,
                seed=data["seed"],
                imported=data["imported"],
            )
        return cls(
            dataset=data["dataset"],
            train_samples=data["train_samples"],
            architecture=Choice.from_json(data["architecture"]),
            activation=Choice.from_json(data["activation"]),
            optimizer=Choice.from_json(data["optimizer"]),
            defense=Choice.from_json(data["defense"]),
            training=Training.from_json(data["training"]),
            seed=data["seed"],
            vary=tuple(data.get("vary", SEED_ALONE)),
        )

    @cached_property
    def id(self) -> str:
        """The trial's content address, 64 hex digits."""
        return digest(self.as_json())

    @cached_property
    def variant_id(self) -> str:
        """The address of the trial without its seed: what is compared."""
        return digest(self._variant_json())


@dataclass(frozen=True)
class ImportRecord:
    """How weights that were trained elsewhere were read: what was decided, and what it rests on."""

    key: str
    """Under which they stood in their file; empty where the file is the state dict."""
    placed_by: str
    """What tensors were placed by: "name", "shape" where only one way fits, or "order"."""
    norm: str | None
    """Where batch norm stands, "before" or "after" the activation; None where the architecture leaves no choice."""
    norm_by: str | None
    """What says so: "stated", "names", "statistics" or "clean accuracy"."""
    mean: tuple[float, ...]
    """Per channel, of pixels in [0, 1]; `deviation` too."""
    deviation: tuple[float, ...]
    normalised_by: str
    """What says so: "stated", "file", or "default" for the architecture's option."""
    expected_clean: float | None
    clean_accuracy: float | None
    """As measured on the whole test half; None where nothing was expected."""
    guesses: tuple[str, ...]
    """What nothing proves, in words."""


@dataclass(frozen=True)
class AttackSpec:
    """A fully specified attack: the sweep over its ε is the unit of work and of identity.

    `norm` is "linf" or "l2"; `eps` ascends, in pixel units of [0, 1], and is empty for minimum-norm attacks. `params`
    holds every other resolved parameter (steps, alpha, restarts, …) without the seed.
    """

    name: str
    norm: str
    eps: tuple[float, ...]
    params: Mapping[str, Any]
    seed: int
    engine: int

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "norm": self.norm,
            "eps": list(self.eps),
            "params": dict(self.params),
            "seed": self.seed,
            "engine": self.engine,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AttackSpec:
        return cls(data["name"], data["norm"], tuple(data["eps"]), dict(data["params"]), data["seed"], data["engine"])

    @cached_property
    def id(self) -> str:
        """The attack's content address, 64 hex digits."""
        return digest(self.as_json())


@dataclass(frozen=True)
class Threat:
    """The norm and ε that single-ε scores refer to."""

    norm: str
    eps: float


AUDIT_DEPTHS = ("budget", "full")


@dataclass(frozen=True)
class AuditSettings:
    """A study's `[audit]`: so many survivors at each ε (0: none), at most that share of the model's own time, and how deep:
    "budget", or "full" for the whole of `standard` whatever it costs (`core.audit`)."""

    samples: int = 64
    share: float = 0.25
    depth: str = "budget"


TUNING_SEED = 900_000_001
"""Of every model that is trained to choose a learning rate by. A tuned study compares no model of this seed, so that the choice
is not made on what is compared."""


@dataclass(frozen=True)
class Search:
    """What of an optimizer is tuned: the values of `option` that are tried lie between `low` and `high`, evenly on a
    logarithmic scale, both ends among them."""

    option: str
    low: float
    high: float


@dataclass(frozen=True)
class Tuning:
    """How a study chooses what its optimizers are not given: for each cell of its grid by itself, with the same budget."""

    trials: int
    """Candidates for each cell, 2 at least; half as many more where the best lies on the edge of the range."""
    validation: float
    """Share in (0, 1) of a candidate's training images that are held out to judge it by."""
    epochs: int
    train_samples: int | None
    """Training images of a candidate, the held out ones among them; None is all."""
    searches: Mapping[int, Search]
    """By the place among the study's optimizers; an optimizer whose options are all given has none."""


@dataclass(frozen=True)
class Cell:
    """One architecture × defense × optimizer × activation of a tuned study, before its tuned option is known."""

    position: int
    """Among the study's cells."""
    search: Search
    values: tuple[float, ...]
    """To try first, ascending."""
    candidate: TrialSpec
    """How each of them is tried; its optimizer's tuned option means nothing."""
    compared: TrialSpec
    """What the study compares, with any seed; its optimizer's tuned option means nothing."""
    places: tuple[tuple[int, int], ...]
    """(place in the study's grid, seed) of each trial that is compared."""

    def trying(self, value: float) -> TrialSpec:
        """The candidate that tries `value`."""
        return _with_option(self.candidate, self.search.option, value)

    def comparing(self, value: float) -> list[tuple[int, TrialSpec]]:
        """(place in the study's grid, trial) of what is compared once `value` is chosen."""
        chosen = _with_option(self.compared, self.search.option, value)
        return [(place, replace(chosen, seed=seed)) for place, seed in self.places]

    def as_json(self) -> dict[str, Any]:
        return {
            "position": self.position,
            "search": asdict(self.search),
            "values": list(self.values),
            "candidate": self.candidate.as_json(),
            "compared": self.compared.as_json(),
            "places": [list(place) for place in self.places],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Cell:
        return cls(
            data["position"],
            Search(**data["search"]),
            tuple(data["values"]),
            TrialSpec.from_json(data["candidate"]),
            TrialSpec.from_json(data["compared"]),
            tuple((place, seed) for place, seed in data["places"]),
        )


def _with_option(trial: TrialSpec, option: str, value: float) -> TrialSpec:
    assert trial.optimizer is not None
    return replace(trial, optimizer=replace(trial.optimizer, options={**trial.optimizer.options, option: value}))


@dataclass(frozen=True)
class Study:
    """A study file, validated and resolved; `document` is the same as plain data in the study file's own keys."""

    name: str
    description: str
    source: DatasetSource
    architectures: tuple[Choice, ...]
    optimizers: tuple[Choice, ...]
    activations: tuple[Choice, ...]
    defenses: tuple[Choice, ...]
    seeds: Sequence[int]
    vary: tuple[str, ...]
    """What a seed moves, of VARIED in its order."""
    train_samples: int | None
    test_samples: int | None
    training: Training
    attacks: tuple[AttackSpec, ...]
    threat: Threat | None
    audit: AuditSettings
    document: Mapping[str, Any]
    tuning: Tuning | None = None
    """None where nothing is tuned."""


@dataclass(frozen=True)
class Plan:
    """A study held against its data set: the trials it asks for, in the order of the grid (seeds outermost).

    `samples` is the digest of the test indices, None while the data set is not at hand. The trials of `cells` are known once
    each has been tuned and are not among `trials`.
    """

    study: Study
    info: DatasetInfo
    trials: tuple[TrialSpec, ...]
    samples: str | None
    cells: tuple[Cell, ...] = ()

    @property
    def placed(self) -> list[tuple[int, TrialSpec]]:
        """(place in the grid, trial) of `trials`."""
        taken = {place for cell in self.cells for place, _ in cell.places}
        return list(zip((place for place in count() if place not in taken), self.trials, strict=False))

    @property
    def size(self) -> int:
        """Trials of the whole grid."""
        return len(self.trials) + sum(len(cell.places) for cell in self.cells)


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
