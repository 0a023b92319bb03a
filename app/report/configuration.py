"""What trials were made of, key by key, and in which keys some differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.variants import choice_text, level, options, seed_text, short
from core.names import FACTORS
from core.records.trial import SEED_ALONE

if TYPE_CHECKING:
    from storage.rows import ListedTrial


@dataclass(frozen=True)
class Differing:
    """Two sets of trials by what they were made of. Values are those of a set's trials, each once."""

    differing: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    alike: Mapping[str, str]
    """Keys with one value, on both sides."""
    shared: Mapping[str, tuple[str, ...]]
    """Keys with several values, the same ones on both sides."""


def configuration(row: ListedTrial) -> dict[str, str]:
    """Everything that was chosen for a trial, options by dotted names."""
    found = {"dataset": row.dataset, "train_samples": str(row.train_samples or "all")}
    for factor in FACTORS:
        found[factor] = level(row, factor) or "unknown"
        found |= {f"{factor}.{key}": short(value) for key, value in options(row, factor).items()}
    found |= {f"training.{key}": choice_text(value) for key, value in (row.training or {}).items()}
    found["seed"] = seed_text(row)
    found["vary"] = ", ".join(row.vary or SEED_ALONE)
    return found


def differing(first: Sequence[ListedTrial], second: Sequence[ListedTrial]) -> Differing:
    """In the order of the keys; an option that a choice does not have is "-"."""
    sides = [[configuration(row) for row in rows] for rows in (first, second)]
    keys = list(dict.fromkeys(key for side in sides for one in side for key in one))
    apart: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    alike: dict[str, str] = {}
    shared: dict[str, tuple[str, ...]] = {}
    for key in keys:
        one, other = (tuple(dict.fromkeys(row.get(key, "-") for row in side)) for side in sides)
        if set(one) != set(other):
            apart[key] = one, other
        elif len(one) == 1:
            alike[key] = one[0]
        else:
            shared[key] = one
    return Differing(apart, alike, shared)
