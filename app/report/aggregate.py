"""From scored trials to what is reported: a variant's or a factor level's mean with its interval, and differences.

Intervals are over seeds and test images together (`core.verdict.crossed`); with one seed over images only, marked as such.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from app.report.study_models import study_models
from app.report.variants import grouped
from core.names import worst
from core.records.outcome import Floats
from core.verdict.crossed import Block, crossed
from core.verdict.findings.contrast import Contrast, Group, Value, contrast
from core.verdict.findings.models import Model
from core.verdict.scoring import SCORES
from core.verdict.scoring.trial_scores import interval_of, linear
from core.verdict.statistics import t_interval
from storage.image_outcomes import of_variants

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.rows import Judged, ScoreRow


@dataclass(frozen=True)
class Estimate:
    """A mean over `n` trials with its 95 % interval; `basis` is "seeds" (and images) or "images" (one seed). `bound`: the mean
    is an upper bound, and the interval has no lower end."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    basis: str
    bound: bool = False


@dataclass(frozen=True)
class Difference:
    """Of a level from the best one, in pairs of the same seed, images and other choices: 95 % interval, in the score's unit."""

    value: float
    low: float
    high: float
    pairs: int
    won: int
    """Pairs in which it is the better of the two."""
    lost: int
    over_images: bool
    """One seed: over images only."""

    @property
    def apart(self) -> bool:
        """Whether the interval leaves out 0."""
        return not self.low <= 0.0 <= self.high


@dataclass(frozen=True)
class Level:
    """Mean of a score over the `n` variants (or trials) that share a level of each factor asked for, with its interval."""

    names: tuple[str, ...]
    score: float | None
    low: float | None
    high: float | None
    n: int
    basis: str = "seeds"
    bound: bool = False
    trust: str = "ok"
    trials: int = 0
    invalid: int = 0
    """Trials whose model is invalid; they count."""
    difference: Difference | None = None
    """From the first of the table; None for that itself, and where nothing can be paired."""


@dataclass(frozen=True)
class Verdict:
    """The worst verdict among some trials, with every distinct reason."""

    trust: str
    reasons: tuple[str, ...]


def over_seeds(db: Database, study: str, score: str, rows: Sequence[ScoreRow]) -> dict[str, Estimate]:
    """variant_id → estimate, from the rows of its trials."""
    groups: dict[str, list[ScoreRow]] = {}
    for row in rows:
        groups.setdefault(row.variant_id, []).append(row)
    several = {
        variant: [one.trial_id for one in members]
        for variant, members in groups.items()
        if len(members) > 1 and any(one.value is not None for one in members)
    }
    together = of_variants(db, study, score, several) if several else {}
    estimates = {}
    for variant, members in groups.items():
        if variant in together:
            found = together[variant]
            one = found.score
            basis = "seeds" if found.trials > 1 else "images"
            estimates[variant] = Estimate(one.value, one.low, one.high, found.trials, basis, one.bound)
            continue
        valued = [member for member in members if member.value is not None]
        if len(valued) == 1:
            (only,) = valued
            estimates[variant] = Estimate(only.value, only.low, only.high, 1, "images", bool(only.upper_bound))
        else:
            values = [float(member.value) for member in valued if member.value is not None]
            estimates[variant] = Estimate(
                sum(values) / len(values) if values else None, None, None, len(values), "seeds"
            )
    return estimates


def by_factors(
    db: Database, study: str, score: str, rows: Sequence[ScoreRow], factors: Sequence[str], eps: float | None = None
) -> list[Level]:
    """One per combination of levels of `factors`: mean over its variants (each a mean over seeds), best first, and the paired
    difference from the best. For the factor "seed" the replicate is the trial, and there is nothing to pair. `eps` (attacked, in
    the norm of the study's score) takes the place of the score's own."""
    columns = [grouped(rows, factor) for factor in factors]
    names = {row.trial_id: tuple(key) for row, *key in zip(rows, *columns, strict=True)}
    models = at_radius(study_models(db, study, rows), eps)
    groups: dict[tuple[str, ...], list[Model]] = {key: [] for key in names.values()}
    for model in models:
        groups[names[model.trial_id]].append(model)
    return compared(groups, factors, influences(models, score), score)


def at_radius(models: Sequence[Model], eps: float | None) -> list[Model]:
    """With `eps` in the place of the score's own: those that were attacked there."""
    if eps is None:
        return list(models)
    return [replace(model, outcomes=model.outcomes.at(eps)) for model in models if eps in model.outcomes.eps]


def compared(
    groups: Mapping[tuple[str, ...], Sequence[Model]],
    factors: Sequence[str],
    values: Mapping[str, Influence],
    score: str,
    against: tuple[str, ...] | None = None,
) -> list[Level]:
    """The groups' levels, best first, with their paired differences from that of `against`, else from the best. `factors` are
    those that the groups differ in: pairs are alike in all others; with "seed" among them there are none."""
    by_trial = "seed" in factors
    table = [_level(score, key, members, values, by_trial=by_trial) for key, members in groups.items()]
    table.sort(key=lambda one: (one.score is None, -(one.score or 0.0)))
    if by_trial or not table or table[0].score is None:
        return table
    base = table[0].names if against is None else against
    leader = groups.get(base, ())
    return [
        one if one.names == base else _against(leader, groups[one.names], one, score, factors, values) for one in table
    ]


@dataclass(frozen=True)
class Influence:
    """A trial's score, and each image's influence on it [n], whose mean it is; fractions of the score's largest value."""

    value: float
    images: Floats


def influences(models: Sequence[Model], score: str) -> dict[str, Influence]:
    """Trial id → influences on a score; trials without a value are absent."""
    entry, found = SCORES[score], {}
    for model in models:
        near = linear(entry, model.outcomes)
        if near is not None:
            found[model.trial_id] = Influence(near.value, near.influence(model.outcomes))
    return found


def images_of(values: Mapping[str, Influence]) -> Value:
    """What a contrast compares of each model: its influence values."""

    def images(model: Model) -> Floats | None:
        found = values.get(model.trial_id)
        return None if found is None else found.images

    return images


def difference(score: str, found: Contrast) -> Difference | None:
    """A contrast of influence values in the score's unit."""
    if found.spread is None:
        return None
    full = SCORES[score].full
    low, high = t_interval(found.spread)
    return Difference(
        full * found.spread.mean,
        full * low,
        full * high,
        found.pairs,
        found.won,
        found.lost,
        found.spread.seeds is None,
    )


def _level(
    score: str, names: tuple[str, ...], members: Sequence[Model], values: Mapping[str, Influence], *, by_trial: bool
) -> Level:
    entry = SCORES[score]
    blocks: dict[str, list[Model]] = {}
    for model in members:
        if model.trial_id in values:
            blocks.setdefault(model.trial_id if by_trial else model.variant_id, []).append(model)
    trust = worst([model.trust for model in members])
    invalid = sum(model.trust == "invalid" for model in members)
    if not blocks:
        return Level(names, None, None, None, 0, trust=trust, trials=len(members), invalid=invalid)
    spread = crossed(
        Block(tuple(model.seed for model in block), np.stack([values[model.trial_id].images for model in block]))
        for block in blocks.values()
    )
    bound = entry.attacked and any(model.bound for model in members)
    means = [math.fsum(values[model.trial_id].value for model in block) / len(block) for block in blocks.values()]
    one = interval_of(entry, math.fsum(means) / len(means), spread, bound=bound)
    basis = "images" if spread.seeds is None else "seeds"
    return Level(names, one.value, one.low, one.high, len(blocks), basis, bound, trust, len(members), invalid)


def _against(
    leader: Sequence[Model],
    members: Sequence[Model],
    level: Level,
    score: str,
    factors: Sequence[str],
    values: Mapping[str, Influence],
) -> Level:
    found = contrast([Group(1.0, tuple(members)), Group(-1.0, tuple(leader))], factors, images_of(values))
    return replace(level, difference=difference(score, found))


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
        if row.trust == "ok" and not row.trust_reasons and row.variant_id in found:
            continue  # most of a hundred thousand
        before = found.get(row.variant_id, Verdict("ok", ()))
        reasons = dict.fromkeys([*before.reasons, *(row.trust_reasons or ())])
        found[row.variant_id] = Verdict(worst([before.trust, row.trust]), tuple(reasons))
    return found
