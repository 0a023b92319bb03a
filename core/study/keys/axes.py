"""The axes of a grid: names held against the registries, with their options; seeds and what they move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.errors import BadInput, Mistakes
from core.records.attack import AttackSpec
from core.records.choice import Choice
from core.records.trial import VARIED
from core.registry import Entry, Registry, nearest, resolve_options
from core.training.defenses import DEFENSES

NO_SUBSET = "train_subset moves nothing where all training samples are used; give train_samples, fewer than there are"


def axis(
    names: Sequence[Any], key: str, resolve: Callable[[str, Mapping[str, Any], str], Choice], found: Mistakes
) -> tuple[Choice, ...]:
    """The choices on one axis that are right; what is wrong with the others is noted in `found`."""

    def choice(item: Any, where: str) -> Choice:
        name, given = name_and_options(item, where)
        return resolve(name, given, where)

    choices = [found.attempt(choice, item, f"{key}[{index}]") for index, item in enumerate(names)]
    note_twins(choices, [one.as_json() if one else None for one in choices], key, found)
    return tuple(one for one in choices if one is not None)


def from_registry(registry: Registry[Any]) -> Callable[[str, Mapping[str, Any], str], Choice]:
    """What makes a Choice of a name, the options given and the key where they stand; it raises BadInput for a wrong one."""

    def resolve(name: str, given: Mapping[str, Any], where: str) -> Choice:
        entry: Entry = registry.find(name, where)
        return Choice(entry.name, resolve_options(entry, given, where))

    return resolve


def defense(name: str, given: Mapping[str, Any], where: str) -> Choice:
    """A defense, whose engine may hang on its options."""
    chosen = from_registry(DEFENSES)(name, given, where)
    return replace(chosen, engine=DEFENSES[name].engine(chosen.options))


def name_and_options(item: Any, where: str) -> tuple[str, dict[str, Any]]:
    """Of a name alone, or of a table with a name and options. Raises BadInput for a table without."""
    if isinstance(item, str):
        return item, {}
    options = dict(item)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise BadInput.at(where, 'a table needs a name, such as {name = "adam", lr = 1e-3}')
    return name, options


def note_twins(
    named: Sequence[Choice | AttackSpec | None], identities: Sequence[Any], key: str, found: Mistakes
) -> None:
    """Note what is named twice. `identities` tell them apart; None stands for one at fault, which is no twin of anything."""
    for index, (one, identity) in enumerate(zip(named, identities, strict=True)):
        if one is not None and identity in identities[:index]:
            found.note(twin(one.name, key, index, identities.index(identity)))


def twin(name: str, key: str, index: int, first: int) -> BadInput:
    """What is wrong where `key[index]` is `key[first]` again."""
    return BadInput.at(f"{key}[{index}]", f"{name} is the same as {key}[{first}]; name each once")


def seeds_of(seeds: int | list[int]) -> Sequence[int]:
    """So many from 0 on, or those listed, each once (BadInput)."""
    if isinstance(seeds, int):
        return range(seeds)
    for index, seed in enumerate(seeds):
        if seed in seeds[:index]:
            raise twin(str(seed), "seeds", index, seeds.index(seed))
    return tuple(seeds)


def varied(names: list[str], *, subset: bool) -> tuple[str, ...]:
    """What a seed moves, in the order of VARIED; `subset`: whether there is a training subset to move."""
    for index, name in enumerate(names):
        if name not in VARIED:
            raise BadInput.at(f"vary[{index}]", f"{name!r} is nothing that a seed moves{nearest(name, VARIED)}")
        if name in names[:index]:
            raise twin(name, "vary", index, names.index(name))
    if "seed" not in names:
        raise BadInput.at("vary", 'a seed always moves initialisation and data order: add "seed"')
    if "train_subset" in names and not subset:
        raise BadInput.at("vary", NO_SUBSET)
    return tuple(name for name in VARIED if name in names)


def one_of(value: str, allowed: Sequence[str], where: str) -> str:
    """`value`, if it is allowed; raises BadInput naming the key."""
    if value not in allowed:
        raise BadInput.at(where, f"{value!r} is not one of {', '.join(allowed)}")
    return value
