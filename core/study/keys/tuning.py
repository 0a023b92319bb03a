"""The `[tuning]` table: what is tuned, and in which range."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from core.errors import BadInput, Mistakes
from core.records.choice import Choice
from core.records.study import TUNING_SEED, Search, Tuning
from core.registry import parse_number
from core.study.file import StudyFile
from core.study.keys.axes import name_and_options
from core.study.keys.training import PROFILES
from core.study.tuning import candidates
from core.training import optimizers

TUNED = ("tuned", "tuned-keras")
"""Those by which what an optimizer's entry names as tuned is chosen where it is not given."""


def tuning_of(file: StudyFile, chosen: Sequence[Choice], found: Mistakes) -> Tuning | None:
    """The `[tuning]` table with what it is about, None where nothing is tuned; `chosen` are the optimizers that are right."""
    table, hyperparameters = file.tuning, file.training.hyperparameters
    if hyperparameters not in TUNED:
        if "tuning" in file.model_fields_set and hyperparameters in PROFILES:
            found.note(
                BadInput.at(
                    "tuning", f'is for training.hyperparameters = "tuned" or "tuned-keras", not "{hyperparameters}"'
                )
            )
        return None
    if len(chosen) < len(file.optimizers):  # one is at fault, and the places of the others are not known
        return None
    searches = {}
    for place, item in enumerate(file.optimizers):
        name, given = name_and_options(item, f"optimizers[{place}]")
        search = optimizers.OPTIMIZERS[name].tuned
        if search.option not in given:
            searches[place] = search
    tuned = {chosen[place].name for place in searches}
    ranges = {
        name: found.attempt(_range, name, options, tuned, [one.name for one in chosen], table.trials)
        for name, options in table.ranges.items()
    }
    for place, search in searches.items():
        searches[place] = ranges.get(chosen[place].name) or search
        _note_tuned_twin(chosen, place, search.option, found)
    if isinstance(seeds := file.seeds, list) and TUNING_SEED in seeds:
        found.note(BadInput.at("seeds", f"{TUNING_SEED} is the seed of what is trained to choose by; take another"))
    epochs = table.epochs or file.training.epochs
    return Tuning(table.trials, table.validation, epochs, table.train_samples or file.train_samples, searches)


def _range(
    name: str, options: Mapping[str, Any], tuned: Collection[str], chosen: Collection[str], trials: int
) -> Search:
    """One entry of `[tuning.ranges]`: {lr = [1e-4, 1e-2]} of an optimizer that is tuned in that option."""
    where = f"tuning.ranges.{name}"
    usual = optimizers.OPTIMIZERS.find(name, where).tuned
    if name not in chosen:
        raise BadInput.at(where, f"the study has no optimizer {name} (it has {', '.join(dict.fromkeys(chosen))})")
    if name not in tuned:
        raise BadInput.at(where, f"its {usual.option} is given under optimizers, so there is nothing to tune")
    wrong = next((option for option in options if option != usual.option), None)
    if wrong is not None or not options:
        raise BadInput.at(where, f"{name} is tuned in {usual.option} alone: {{{usual.option} = [LOW, HIGH]}}")
    where, ends = f"{where}.{usual.option}", options[usual.option]
    if not isinstance(ends, list) or len(ends) != 2:
        raise BadInput.at(
            where, f"expected the two ends of a range, such as [{usual.low:g}, {usual.high:g}], got {ends!r}"
        )
    low, high = (parse_number(end, where) for end in ends)
    if low <= 0:
        raise BadInput.at(where, f"{low:g} is out of range, both ends must be above 0 (the scale is logarithmic)")
    if low >= high:
        words = (
            "a range of one value; give the option to the optimizer instead" if low == high else "the ends are reversed"
        )
        raise BadInput.at(where, f"[{low:g}, {high:g}]: {words}")
    search = Search(usual.option, low, high)
    values = candidates(search, trials)
    if any(value >= after for value, after in itertools.pairwise(values)):
        raise BadInput.at(where, f"[{low:g}, {high:g}] is too narrow for {trials} values that differ in four digits")
    return search


def _note_tuned_twin(chosen: Sequence[Choice], place: int, option: str, found: Mistakes) -> None:
    """Another optimizer that differs from a tuned one in the tuned option alone: the choice might fall on the same."""

    def rest(one: Choice) -> tuple[str, dict[str, Any]]:
        return one.name, {key: value for key, value in one.options.items() if key != option}

    for other, one in enumerate(chosen):
        if one.options[option] != chosen[place].options[option] and rest(one) == rest(chosen[place]):
            words = f"{one.name} is the same as optimizers[{place}] but for {option}, which is tuned there; leave one of them out"
            found.note(BadInput.at(f"optimizers[{other}]", words))
