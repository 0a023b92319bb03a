"""Two sides against each other in everything that was measured of both: levels of a factor, variants, or single models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.names import FACTORS
from core.records.attack import Threat
from core.verdict.described.mcnemar import McNemar, mcnemar
from core.verdict.findings.contrast import Contrast, Group, Value, contrast
from core.verdict.findings.models import Model
from core.verdict.findings.questions import shared_attacks, under, worst_case
from core.verdict.scoring.outcomes import UnderAttack
from core.verdict.statistics import t_interval

NAMED = ("clean_accuracy", "worst_case")
"""Scores that are accuracies, compared image by image whatever score is asked for."""


@dataclass(frozen=True)
class Measure:
    """`name` is a score's, or "robust_accuracy" under one attack; `norm` and `eps` where it has them. `value` is in fractions of
    the largest."""

    name: str
    value: Value
    attack: str | None = None
    attack_id: str | None = None
    norm: str | None = None
    eps: float | None = None
    bits: bool = True
    """Each image is right or wrong; of other scores it has an influence value."""


@dataclass(frozen=True)
class Versus:
    """`first` and `second` are means over the pairs, whose difference is theirs; where there are no pairs, over all models that
    have a value, and None where none has."""

    measure: Measure
    first: float | None
    second: float | None
    found: Contrast
    mcnemar: McNemar | None = None
    """Of two models, where the measure counts images."""

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, of the difference; of two models' counts McNemar's, which has a width also where they never differ."""
        if self.mcnemar is not None:
            return self.mcnemar.low, self.mcnemar.high
        return None if self.found.spread is None else t_interval(self.found.spread)


def measures(
    models: Sequence[Model], threat: Threat | None, score: str, scored: Value
) -> tuple[list[Measure], list[UnderAttack]]:
    """What all `models` have in common, and the attacks that only some of them had. `scored` gives a model's influence values
    on the score."""
    common, uncommon = shared_attacks(models)
    found = [Measure("clean_accuracy", lambda model: model.outcomes.clean)]
    if threat is not None and all(model.outcomes.worst is not None for model in models):
        found.append(Measure("worst_case", worst_case, norm=threat.norm, eps=threat.eps))
    found += [
        Measure("robust_accuracy", under(one.attack_id), one.name, one.attack_id, one.norm, one.eps) for one in common
    ]
    if score not in NAMED and any(scored(model) is not None for model in models):
        found.append(Measure(score, scored, bits=False))
    return found, uncommon


def of_groups(first: Sequence[Model], second: Sequence[Model], over: Sequence[str], measure: Measure) -> Versus:
    """`first` less `second`, paired by seed and image over the blocks of the factors that are not in `over`."""
    found = contrast([Group(1.0, tuple(first)), Group(-1.0, tuple(second))], over, measure.value)
    if found.spread is None:
        return Versus(measure, _mean(first, measure.value), _mean(second, measure.value), found)
    alone = contrast([Group(1.0, found.used[0])], over, measure.value)
    assert alone.spread is not None, "what was paired has a value"
    return Versus(measure, alone.spread.mean, alone.spread.mean - found.spread.mean, found)


def of_two(first: Model, second: Model, measure: Measure) -> Versus:
    """One model less another over their images, whatever their seeds: of these two, and of no others trained like them."""
    # As if of one seed of one block: what is paired are the images.
    beside = replace(second, seed=first.seed)
    found = contrast([Group(1.0, (first,)), Group(-1.0, (beside,))], FACTORS, measure.value)
    one, other = measure.value(first), measure.value(second)
    test = mcnemar(one, other) if measure.bits and one is not None and other is not None else None
    return Versus(measure, _mean([first], measure.value), _mean([second], measure.value), found, test)


def _mean(models: Sequence[Model], value: Value) -> float | None:
    found = [float(one.mean()) for one in map(value, models) if one is not None]
    return math.fsum(found) / len(found) if found else None
