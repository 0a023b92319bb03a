"""From scored trials to what is reported: a variant's or a factor level's mean with its interval.

The seed is the replicate: a variant's interval is a t interval over its seeds, and with one seed the bootstrap over the
test samples of that checkpoint stands in its place, marked as such.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.report.variants import levels
from core.verdict.statistics import t_interval

_TRUST = ("ok", "suspect", "invalid")


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` with its 95 % interval; `basis` is "seeds", "samples" (one seed) or "variants"."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    basis: str


def over_seeds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Estimate]:
    """variant_id → estimate, from one row per trial with value, low, high (bootstrap over samples)."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["variant_id"], []).append(row)
    estimates = {}
    for variant, members in groups.items():
        values = [float(member["value"]) for member in members if member["value"] is not None]
        if not values:
            estimates[variant] = Estimate(None, None, None, 0, "seeds")
        elif len(members) == 1:
            (only,) = members
            estimates[variant] = Estimate(only["value"], only["low"], only["high"], 1, "samples")
        else:
            mean, low, high = t_interval(values)
            estimates[variant] = Estimate(mean, low, high, len(values), "seeds")
    return estimates


def by_factors(rows: Sequence[Mapping[str, Any]], factors: Sequence[str]) -> list[dict[str, Any]]:
    """One row per combination of levels of `factors`: mean over its variants (each a mean over seeds), t interval over
    them, n variants; best first. For the factor "seed" the replicate is the trial."""
    groups: dict[tuple[str, ...], dict[str, list[float]]] = {}
    columns = [levels(rows, factor) for factor in factors]
    for row, *key_parts in zip(rows, *columns, strict=True):
        key = tuple(key_parts)
        replicate = row["trial_id"] if "seed" in factors else row["variant_id"]
        values = groups.setdefault(key, {}).setdefault(replicate, [])
        if row["value"] is not None:
            values.append(float(row["value"]))
    table = []
    for key, replicates in groups.items():
        means = [sum(values) / len(values) for values in replicates.values() if values]
        mean, low, high = t_interval(means) if means else (None, None, None)
        table.append({**dict(zip(factors, key, strict=True)), "score": mean, "low": low, "high": high, "n": len(means)})
    return sorted(table, key=lambda row: (row["score"] is None, -(row["score"] or 0.0)))


def worst_trust(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """variant_id → the worst verdict among its trials, with every distinct reason."""
    verdicts: dict[str, tuple[str, tuple[str, ...]]] = {}
    for row in rows:
        trust, reasons = verdicts.get(row["variant_id"], ("ok", ()))
        worse = max(trust, row["trust"] or "ok", key=_TRUST.index)
        verdicts[row["variant_id"]] = (worse, tuple(dict.fromkeys([*reasons, *(row["trust_reasons"] or ())])))
    return verdicts
