"""A model to train, or one that was trained elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core.identity import digest
from core.records.choice import Choice

_NOT_AVERAGED = Choice("none")


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
    averaging: Choice = _NOT_AVERAGED

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
