"""What to call a variant on screen, from stored rows: only the factors that differ among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

FACTORS = ("architecture", "optimizer", "activation", "defense")

Row = Mapping[str, Any]


def level(row: Row, factor: str, among: Sequence[Row]) -> str:
    """A factor's level, with the options in which it differs from its namesakes in `among`: "adam lr=0.005"."""
    if factor == "seed":
        return str(row["seed"])
    name = row[factor] if row[factor] is not None else "unknown"
    options = row.get(f"{factor}_options") or {}
    namesakes = [other.get(f"{factor}_options") or {} for other in among if other[factor] == row[factor]]
    differing = [key for key, value in options.items() if any(other.get(key) != value for other in namesakes)]
    return " ".join([name, *(f"{key}={short(options[key])}" for key in differing)])


def varying(rows: Sequence[Row]) -> list[str]:
    """The factors with more than one level among `rows`."""
    return [factor for factor in FACTORS if len({level(row, factor, rows) for row in rows}) > 1]


def constant(rows: Sequence[Row]) -> str:
    """The factors with a single level, as a phrase: "kumar-cnn, no defense"."""
    parts = []
    for factor in FACTORS:
        levels = {level(row, factor, rows) for row in rows}
        if len(levels) == 1:
            only = levels.pop()
            parts.append("no defense" if (factor, only) == ("defense", "none") else only)
    return ", ".join(parts)


def labels(rows: Sequence[Row]) -> dict[str, str]:
    """variant_id → label, from the varying factors."""
    factors = varying(rows) or ["architecture"]
    return {row["variant_id"]: " ".join(level(row, factor, rows) for factor in factors) for row in rows}


def short(value: object) -> str:
    """An option's value in few characters."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
