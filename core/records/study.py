"""A study, resolved, and what it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import count
from typing import Any

from core.records.attack import AttackSpec, AuditSettings, Threat
from core.records.choice import Choice
from core.records.data import DatasetInfo, DatasetSource
from core.records.trial import Training, TrialSpec

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
    places: tuple[int, ...] | None = None
    """Of `trials` in the grid, where they are but a share of it."""

    @property
    def placed(self) -> list[tuple[int, TrialSpec]]:
        """(place in the grid, trial) of `trials`."""
        if self.places is not None:
            return list(zip(self.places, self.trials, strict=True))
        taken = {place for cell in self.cells for place, _ in cell.places}
        return list(zip((place for place in count() if place not in taken), self.trials, strict=False))

    @property
    def size(self) -> int:
        """Trials of the whole grid, or of the share."""
        return len(self.trials) + sum(len(cell.places) for cell in self.cells)
