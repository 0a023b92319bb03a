"""A study's models as comparisons see them: which choices made them, what became of each image, how far they can be believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from core.audit import AuditedRadius
from core.names import FACTORS
from core.traits import Traits
from core.verdict.audited import pooled_at_most
from core.verdict.scoring.outcomes import Outcomes

UNDEFENDED = "none"
"""Of the factor defense: trained on clean images."""


@dataclass(frozen=True)
class Audited:
    """What is known of a model's worst case at the score's ε. Accuracies are fractions of all `images`."""

    compared: float
    """By the attacks that all models had in full: what comparisons count."""
    known: float
    """By every adversarial image known of this one."""
    images: int
    radius: AuditedRadius | None
    """None where nobody audited it."""


@dataclass(frozen=True)
class Model:
    """One scored trial. `levels` names each of FACTORS so that two choices with other options have two names ("adam lr=0.005"),
    `names` by the registry's name alone. `uneven`: it was attacked otherwise than the rest."""

    trial_id: str
    variant_id: str
    seed: int
    levels: Mapping[str, str]
    names: Mapping[str, str]
    trust: str
    uneven: bool
    bound: bool
    """What attacks left standing is an upper bound that nobody audited."""
    outcomes: Outcomes
    audited: Audited | None = None
    traits: Traits = field(default_factory=dict)

    @cached_property
    def clean_accuracy(self) -> float:
        return float(self.outcomes.clean.mean())

    @property
    def defended(self) -> bool:
        return self.names["defense"] != UNDEFENDED


def varying(models: Sequence[Model]) -> list[str]:
    """The factors with more than one level among them."""
    return [factor for factor in FACTORS if len({model.levels[factor] for model in models}) > 1]


def pooled_overstatement(cases: Sequence[Audited | None]) -> float | None:
    """The share of all images by which the mean of some models' compared accuracies is too high at most, against what their
    audits tried; 95 %: what is known of each model alone already, and the bound on what is not known yet. None where one was
    not audited."""
    if not cases:
        return None
    radii: list[tuple[AuditedRadius, int]] = []
    known = compared = 0.0
    for case in cases:
        if case is None or case.radius is None:
            return None
        radii.append((case.radius, case.images))
        known += case.known / len(cases)
        compared += case.compared / len(cases)
    most = pooled_at_most(radii)
    return None if most is None else min(most, known) + compared - known
