"""What to call a variant on screen, from stored rows: only the factors that differ among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING

from core.names import FACTORS

if TYPE_CHECKING:
    from storage.reading import Json, Options
    from storage.rows import Levels, Trial

_NO_OPTIONS: Mapping[str, Json] = {}
GROUPS = (*FACTORS, "seed")
"""What results can be averaged by."""


def level(row: Levels, factor: str) -> str | None:
    """The registry name that a row has of a factor; None where it is not known, as the optimizer of imported weights."""
    match factor:
        case "architecture":
            return row.architecture
        case "optimizer":
            return row.optimizer
        case "activation":
            return row.activation
        case "defense":
            return row.defense
    raise ValueError(f"{factor} is no factor")


def options(row: Levels, factor: str) -> Options:
    """The options of that choice; none where it is not known."""
    match factor:
        case "architecture":
            return row.architecture_options or {}
        case "optimizer":
            return row.optimizer_options or {}
        case "activation":
            return row.activation_options or {}
        case "defense":
            return row.defense_options or {}
    raise ValueError(f"{factor} is no factor")


def levels(rows: Sequence[Levels], factor: str) -> list[str]:
    """Each row's level of a factor, with the options that tell it from its namesakes: "adam lr=0.005" (`telling`)."""
    pick = attrgetter(factor, f"{factor}_options")
    return named([(name, given or _NO_OPTIONS) for name, given in map(pick, rows)])


def named(chosen: Sequence[tuple[str | None, Options]]) -> list[str]:
    """Each of some choices of one factor, with the options that tell it from its namesakes among them. A choice that comes ten
    thousand times is named once."""
    # By identity first, which costs little: rows with the same options share them.
    met = {(name, id(given)): (name, given) for name, given in chosen}
    keys = {one: (name, repr(sorted(given.items()))) for one, (name, given) in met.items()}
    choices = {keys[one]: choice for one, choice in met.items()}
    namesakes: dict[str | None, list[Options]] = {}
    for name, given in choices.values():
        namesakes.setdefault(name, []).append(given)
    texts = {key: told(name, given, telling(given, namesakes[name])) for key, (name, given) in choices.items()}
    shown = {one: texts[key] for one, key in keys.items()}
    return [shown[name, id(given)] for name, given in chosen]


def telling(given: Options, namesakes: Sequence[Options]) -> list[str]:
    """The options that tell a choice from its namesakes: those in which not all are alike, but for what more than half of them
    have like it, where no other lacks that option (defaults may be left out)."""
    found = []
    for key, value in given.items():
        values = [repr(other[key]) for other in namesakes if key in other]
        if len(values) < len(namesakes) or 2 * values.count(repr(value)) <= len(values):
            found.append(key)
    return found


def grouped(rows: Sequence[Trial], group: str) -> list[str]:
    """Each row's level of a factor, or its seed: one of GROUPS."""
    return [seed_text(row) for row in rows] if group == "seed" else levels(rows, group)


def told(name: str | None, given: Options, keys: Sequence[str]) -> str:
    """A choice by name, with those of its options that `keys` names: "adam lr=0.005"."""
    return " ".join([name or "unknown", *(f"{key}={short(given[key])}" for key in keys if key in given)])


def varying(rows: Sequence[Levels]) -> list[str]:
    """The factors with more than one level among `rows`."""
    return [factor for factor in FACTORS if len(set(levels(rows, factor))) > 1]


def constant(rows: Sequence[Levels]) -> str:
    """The factors with a single level, as a phrase: "kumar-cnn, no defense"."""
    parts = []
    for factor in FACTORS:
        found = set(levels(rows, factor))
        if len(found) == 1 and found != {"unknown"}:
            only = found.pop()
            parts.append("no defense" if (factor, only) == ("defense", "none") else only)
    return ", ".join(parts)


def labels(rows: Sequence[Levels]) -> dict[str, str]:
    """variant_id → label, from the varying factors; the beginning of the id where no factor tells, as of imported weights."""
    factors = varying(rows) or ["architecture"]
    columns = [levels(rows, factor) for factor in factors]
    found = {row.variant_id: " ".join(parts) for row, *parts in zip(rows, *columns, strict=True)}
    shared = {label for label, count in Counter(found.values()).items() if count > 1}
    return {variant: f"{label} {variant[:6]}" if label in shared else label for variant, label in found.items()}


def trial_labels(rows: Sequence[Trial]) -> Mapping[str, str]:
    """trial_id → label: its variant's, with the seed where there are several, "adam relu s1"."""
    found = labels(rows)
    seeds = len({row.seed for row in rows}) > 1
    return {row.trial_id: found[row.variant_id] + (f" s{row.seed}" if seeds else "") for row in rows}


def seed_text(row: Trial) -> str:
    """The seed, "-" where it is not known."""
    return "-" if row.seed is None else str(row.seed)


def short(value: object) -> str:
    """An option's value in few characters."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")


def choice_text(value: Json) -> str:
    """A resolved value in few characters; a choice by its name and options."""
    if isinstance(value, Mapping) and "name" in value:
        given = value.get("options")
        chosen = given.items() if isinstance(given, Mapping) else ()
        return " ".join([str(value["name"]), *(f"{key}={short(option)}" for key, option in chosen)])
    return short(value)
