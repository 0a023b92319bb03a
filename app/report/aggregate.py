"""From scored trials to what is reported: a variant's or a factor level's mean with its interval.

The seed is the replicate: a variant's interval is a t interval over its seeds, and with one seed the bootstrap over the
test samples of that checkpoint stands in its place, marked as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.report.variants import grouped
from core.names import worst
from core.verdict.statistics import t_interval

if TYPE_CHECKING:
    from storage.rows import Judged, ScoreRow


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` with its 95 % interval; `basis` is "seeds", "samples" (one seed) or "variants"."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    basis: str


@dataclass(frozen=True)
class Level:
    """Mean of a score over the `n` variants (or trials) that share a level of each factor asked for, with its interval."""

    names: tuple[str, ...]
    score: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Verdict:
    """The worst verdict among some trials, with every distinct reason."""

    trust: str
    reasons: tuple[str, ...]


def over_seeds(rows: Sequence[ScoreRow]) -> dict[str, Estimate]:
    """variant_id → estimate, from one row per trial with its interval over samples."""
    groups: dict[str, list[ScoreRow]] = {}
    for row in rows:
        groups.setdefault(row.variant_id, []).append(row)
    estimates = {}
    for variant, members in groups.items():
        values = [float(member.value) for member in members if member.value is not None]
        if not values:
            estimates[variant] = Estimate(None, None, None, 0, "seeds")
        elif len(members) == 1:
            (only,) = members
            estimates[variant] = Estimate(only.value, only.low, only.high, 1, "samples")
        else:
            mean, low, high = t_interval(values)
            estimates[variant] = Estimate(mean, low, high, len(values), "seeds")
    return estimates


def by_factors(rows: Sequence[ScoreRow], factors: Sequence[str]) -> list[Level]:
    """One per combination of levels of `factors`: mean over its variants (each a mean over seeds), t interval over
    them; best first. For the factor "seed" the replicate is the trial."""
    groups: dict[tuple[str, ...], dict[str, list[float]]] = {}
    columns = [grouped(rows, factor) for factor in factors]
    for row, *names in zip(rows, *columns, strict=True):
        replicate = row.trial_id if "seed" in factors else row.variant_id
        values = groups.setdefault(tuple(names), {}).setdefault(replicate, [])
        if row.value is not None:
            values.append(float(row.value))
    table = []
    for key, replicates in groups.items():
        means = [sum(values) / len(values) for values in replicates.values() if values]
        mean, low, high = t_interval(means) if means else (None, None, None)
        table.append(Level(key, mean, low, high, len(means)))
    return sorted(table, key=lambda one: (one.score is None, -(one.score or 0.0)))


def trials_by_level(rows: Sequence[ScoreRow], factors: Sequence[str]) -> dict[tuple[str, ...], list[str]]:
    """The names of `by_factors` → the trials behind each."""
    columns = [grouped(rows, factor) for factor in factors]
    found: dict[tuple[str, ...], list[str]] = {}
    for row, *names in zip(rows, *columns, strict=True):
        found.setdefault(tuple(names), []).append(row.trial_id)
    return found


def verdicts(rows: Sequence[Judged]) -> dict[str, Verdict]:
    """variant_id → the verdict on its trials together."""
    found: dict[str, Verdict] = {}
    for row in rows:
        before = found.get(row.variant_id, Verdict("ok", ()))
        reasons = dict.fromkeys([*before.reasons, *(row.trust_reasons or ())])
        found[row.variant_id] = Verdict(worst([before.trust, row.trust]), tuple(reasons))
    return found
