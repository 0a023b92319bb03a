"""What to call a variant on screen, from stored rows: only the factors that differ among them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

FACTORS = ("architecture", "optimizer", "activation", "defense")

Row = Mapping[str, Any]


def levels(rows: Sequence[Row], factor: str) -> list[str]:
    """Each row's level of a factor, with the options in which it differs from its namesakes: "adam lr=0.005".

    One pass to learn what differs and one to name it: listings have ten thousand rows.
    """
    if factor == "seed":
        return [seed_text(row) for row in rows]
    seen: dict[str | None, dict[str, set[str]]] = {}
    whole: dict[str | None, dict[str, int]] = {}
    counts: dict[str | None, int] = {}
    for row in rows:
        values, present = seen.setdefault(row[factor], {}), whole.setdefault(row[factor], {})
        counts[row[factor]] = counts.get(row[factor], 0) + 1
        for key, value in (row.get(f"{factor}_options") or {}).items():
            values.setdefault(key, set()).add(repr(value))
            present[key] = present.get(key, 0) + 1
    # An option that some have and others do not differs too: defaults may be left out (`Parameter.omit_default`).
    differing = {
        name: [key for key, found in values.items() if len(found) > 1 or whole[name][key] < counts[name]]
        for name, values in seen.items()
    }
    return [
        " ".join([row[factor] or "unknown", *_told(row.get(f"{factor}_options") or {}, differing[row[factor]])])
        for row in rows
    ]


def _told(options: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    return [f"{key}={short(options[key])}" for key in keys if key in options]


def varying(rows: Sequence[Row]) -> list[str]:
    """The factors with more than one level among `rows`."""
    return [factor for factor in FACTORS if len(set(levels(rows, factor))) > 1]


def constant(rows: Sequence[Row]) -> str:
    """The factors with a single level, as a phrase: "kumar-cnn, no defense"."""
    parts = []
    for factor in FACTORS:
        found = set(levels(rows, factor))
        if len(found) == 1 and found != {"unknown"}:
            only = found.pop()
            parts.append("no defense" if (factor, only) == ("defense", "none") else only)
    return ", ".join(parts)


def labels(rows: Sequence[Row]) -> dict[str, str]:
    """variant_id → label, from the varying factors; the beginning of the id where no factor tells, as of imported weights."""
    factors = varying(rows) or ["architecture"]
    columns = [levels(rows, factor) for factor in factors]
    found = {row["variant_id"]: " ".join(parts) for row, *parts in zip(rows, *columns, strict=True)}
    shared = {label for label, count in Counter(found.values()).items() if count > 1}
    return {variant: f"{label} {variant[:6]}" if label in shared else label for variant, label in found.items()}


def seed_text(row: Row) -> str:
    """The seed, "-" where it is not known."""
    return "-" if row["seed"] is None else str(row["seed"])


def short(value: object) -> str:
    """An option's value in few characters."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")


def choice_text(value: Any) -> str:
    """A resolved value in few characters; a choice by its name and options."""
    if isinstance(value, dict) and "name" in value:
        options = [f"{key}={short(option)}" for key, option in (value.get("options") or {}).items()]
        return " ".join([value["name"], *options])
    return short(value)
