"""A study of one stored trial, to edit and run: the study file of the study it is in, cut down to its cell."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from core.names import short_id
from core.records.choice import Choice
from core.records.trial import SEED_ALONE, Training, TrialSpec

if TYPE_CHECKING:
    from sqlite_utils import Database

Document = dict[str, Any]
Resolve = Callable[[str, Mapping[str, Any], str], Choice]

_MOST_LETTERS = 100
"""Of a study's name."""


def resubmission(db: Database, study: str, trial_id: str) -> Document:
    """The study file, as data, of the one trial, under a name that no study has yet; paths in it are absolute.

    Raises NotFound for an unknown study, BadInput for imported weights, which nothing can train.
    """
    from storage.studies import document, trials_of
    from storage.trial import trial_detail
    from storage.tuning import study_of

    spec = TrialSpec.from_json(trial_detail(db, trial_id).spec)
    if spec.imported is not None:
        raise BadInput(f"trial {short_id(trial_id)} was trained elsewhere; there is no training of it to edit")
    whole = document(db, study_of(study))
    name = next(name for name in names_after(study_of(study)) if trials_of(db, name) is None)
    return of_one_cell(whole, spec, name)


def names_after(study: str) -> Iterator[str]:
    """Names for what a run of `study` is edited to, without end: "quick-edited", "quick-edited-2" …"""
    for number in itertools.count(1):
        ending = "-edited" if number == 1 else f"-edited-{number}"
        yield study[: _MOST_LETTERS - len(ending)] + ending


def of_one_cell(document: Mapping[str, Any], trial: TrialSpec, name: str) -> Document:
    """`document`, a study's, with nothing but `trial` on its axes: attacks, score and audit stay, a learning rate that was tuned
    is written down. What the study file says of a choice is kept as it is written there as long as it is still so."""
    from core.models.activations import ACTIVATIONS
    from core.models.architectures import resolve as architecture
    from core.study.keys.axes import defense, from_registry
    from core.study.resolve import study_from
    from core.training import optimizers

    assert trial.training is not None, "it was trained here"
    before = study_from(document, "study")
    training = dict(document.get("training", {})) if before.training == trial.training else _written(trial.training)
    profile, decay = _profile(document), trial.training.weight_decay
    if profile != "torch":
        training["hyperparameters"] = profile
    elif "hyperparameters" in training:
        training["hyperparameters"] = "torch"

    def optimizer(given_name: str, given: Mapping[str, Any], where: str) -> Choice:
        return optimizers.resolve(given_name, given, profile, decay, where)

    axes: Mapping[str, tuple[Choice | None, Resolve]] = {
        "architectures": (trial.architecture, architecture),
        "optimizers": (trial.optimizer, optimizer),
        "activations": (trial.activation, from_registry(ACTIVATIONS)),
        "defenses": (trial.defense, defense),
    }
    found: Document = {key: value for key, value in document.items() if key not in ("tuning", "vary", "train_samples")}
    found |= {"name": name, "description": f"a run of {document['name']}, edited", "seeds": [trial.seed]}
    for axis, (choice, resolve) in axes.items():
        assert choice is not None, "it was trained here"
        found[axis] = [_item(axis, choice, document.get(axis, ["none"]), resolve)]
    if training:
        found["training"] = training
    if trial.train_samples is not None:
        found["train_samples"] = trial.train_samples
    if trial.vary != SEED_ALONE:
        found["vary"] = list(trial.vary)
    return found


def _profile(document: Mapping[str, Any]) -> str:
    """Whose update rules the study's optimizers have."""
    from core.study.keys.training import profile_of

    return profile_of(document.get("training", {}).get("hyperparameters", "torch"))


def _item(axis: str, choice: Choice, written: Sequence[Any], resolve: Resolve) -> Any:
    """`choice` as an item of an axis: as the study file has it, else its name with the options that are not the default."""
    from core.study.keys.axes import name_and_options

    def means(item: Any) -> bool:
        try:
            found = resolve(*name_and_options(item, axis), axis)
        except BadInput:
            return False
        return (found.name, dict(found.options)) == (choice.name, dict(choice.options))

    usual = next((item for item in written if means(item)), None)
    if usual is not None:
        return usual
    defaults = resolve(choice.name, {}, axis).options
    given = {key: value for key, value in choice.options.items() if key not in defaults or defaults[key] != value}
    shortest = {"name": choice.name, **given} if given else choice.name
    return shortest if means(shortest) else {"name": choice.name, **choice.options}


def _written(training: Training) -> Document:
    """The `[training]` table with every key."""
    return {
        key: ({"name": value["name"], **value["options"]} if value["options"] else value["name"])
        if isinstance(value, dict)
        else value
        for key, value in training.as_json().items()
    }
