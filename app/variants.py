"""What to call a variant on screen, from stored rows: only the factors that differ among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FACTORS = ("architecture", "optimizer", "activation", "defense")

Row = Mapping[str, Any]


def levels(rows: Sequence[Row], factor: str) -> list[str]:
    """Each row's level of a factor, with the options in which it differs from its namesakes: "adam lr=0.005".

    One pass to learn what differs and one to name it: listings have ten thousand rows.
    """
    if factor == "seed":
        return [str(row["seed"]) for row in rows]
    seen: dict[str | None, dict[str, set[str]]] = {}
    for row in rows:
        values = seen.setdefault(row[factor], {})
        for key, value in (row.get(f"{factor}_options") or {}).items():
            values.setdefault(key, set()).add(repr(value))
    differing = {name: [key for key, found in values.items() if len(found) > 1] for name, values in seen.items()}
    return [
        " ".join(
            [
                row[factor] or "unknown",
                *(f"{key}={short(row[f'{factor}_options'][key])}" for key in differing[row[factor]]),
            ]
        )
        for row in rows
    ]


def varying(rows: Sequence[Row]) -> list[str]:
    """The factors with more than one level among `rows`."""
    return [factor for factor in FACTORS if len(set(levels(rows, factor))) > 1]


def constant(rows: Sequence[Row]) -> str:
    """The factors with a single level, as a phrase: "kumar-cnn, no defense"."""
    parts = []
    for factor in FACTORS:
        found = set(levels(rows, factor))
        if len(found) == 1:
            only = found.pop()
            parts.append("no defense" if (factor, only) == ("defense", "none") else only)
    return ", ".join(parts)


def labels(rows: Sequence[Row]) -> dict[str, str]:
    """variant_id → label, from the varying factors."""
    factors = varying(rows) or ["architecture"]
    columns = [levels(rows, factor) for factor in factors]
    return {row["variant_id"]: " ".join(parts) for row, *parts in zip(rows, *columns, strict=True)}


def short(value: object) -> str:
    """An option's value in few characters."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
