"""What to call a trial on screen: what differs within its study, or everything that it was made of.

`app.report.variants` names variants by what differs among the rows at hand instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.variants import level, options, short, telling, told
from core.names import FACTORS
from core.records.choice import Choice
from core.records.trial import TrialSpec
from core.training.optimizers import OPTIMIZERS

if TYPE_CHECKING:
    from storage.reading import Json, Options
    from storage.rows import TrialRow

AXES = ("architectures", "optimizers", "activations", "defenses")
"""The keys of a study document that FACTORS are chosen from, in the same order."""


@dataclass(frozen=True)
class Made:
    """What a trial's name is made of: the name and options of each of FACTORS, as far as they are known."""

    trial_id: str
    choices: tuple[tuple[str | None, Options], ...]
    seed: int | None
    imported: bool

    @classmethod
    def of_row(cls, row: TrialRow) -> Made:
        choices = tuple((level(row, factor), options(row, factor)) for factor in FACTORS)
        return cls(row.trial_id, choices, row.seed, row.training is None)

    @classmethod
    def of_spec(cls, trial: TrialSpec) -> Made:
        chosen = (trial.architecture, trial.optimizer, trial.activation, trial.defense)
        choices = tuple((None, {}) if one is None else (one.name, one.options) for one in chosen)
        return cls(trial.id, choices, trial.seed, trial.imported is not None)


def trial_label(made: Made, document: Mapping[str, Json]) -> str:
    """Such as "adam relu s1": the axes of the study with more than one level, and the seed where there are several.

    It is the study's document that decides, not the trials at hand: a page must not call a trial otherwise than the next one
    does. An option is told where namesakes differ in it (`telling`).
    """
    architecture, _ = made.choices[0]
    if made.imported:
        return f"imported {architecture} {made.trial_id[:6]}"
    parts = []
    for (name, given), key in zip(made.choices, AXES, strict=True):
        axis = _axis(document, key)
        if len(axis) > 1 or name != axis[0]["name"]:
            namesakes = [other for other in axis if other["name"] == name]
            keys = sorted({option for other in namesakes for option in other} - {"name"})
            parts.append(told(name, given, [option for option in keys if _tells(option, given.get(option), namesakes)]))
    seeds = document.get("seeds", 1)
    if (len(seeds) if isinstance(seeds, Sequence) else seeds) != 1:
        parts.append(f"s{made.seed}")
    return " ".join(parts) or architecture or "unknown"


def candidate_label(trial: TrialSpec, document: Mapping[str, Json]) -> str:
    """What to call a candidate that a study's learning rates are chosen by: "tuning adam relu lr=0.001"."""
    assert trial.optimizer is not None
    option = OPTIMIZERS[trial.optimizer.name].tuned.option
    value = short(trial.optimizer.options[option])
    return f"tuning {trial_label(Made.of_spec(trial), {**document, 'seeds': 1})} {option}={value}"


def shown_choice(choice: Choice, among: Sequence[Choice]) -> str:
    """`choice` by name, with the options that tell it from its namesakes in `among`: "adam lr=0.005"."""
    namesakes = [other.options for other in among if other.name == choice.name]
    return told(choice.name, choice.options, telling(choice.options, namesakes))


def _tells(option: str, value: Json, among: Sequence[Options]) -> bool:
    """Whether an option's `value` tells a choice from its namesakes as a study writes them: not all write the same, and it is no
    default that more than half of them leave out. A fraction in text is some value or other."""
    written = [one[option] for one in among if option in one]
    if len({repr(one.get(option)) for one in among}) == 1:
        return False
    return value in written or any(isinstance(one, str) for one in written) or 2 * len(written) >= len(among)


def _axis(document: Mapping[str, Json], key: str) -> list[Options]:
    """The levels of an axis as tables; a study that names none has no defense."""
    found = document.get(key)
    listed = found if isinstance(found, Sequence) else ("none",)
    return [one if isinstance(one, Mapping) else {"name": one} for one in listed]
