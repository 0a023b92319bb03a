"""A finding: a question about a study's choices, the verdict, and what it rests on. Accuracies and differences are fractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from core.verdict.decisions import Outcome
from core.verdict.described.permutation import SignFlip
from core.verdict.findings.causes import Cause
from core.verdict.findings.contrast import Contrast


class Hindrance(Enum):
    """Why nothing can be said, or no more."""

    NO_MODELS = "no_models"
    NO_ATTACKS = "no_attacks"
    NO_LEVEL = "no_level"
    """The study lacks the level that the claim is about; `names` has it."""
    ONE_LEVEL = "one_level"
    """Nothing to hold it against."""
    NO_DEFENSE = "no_defense"
    """No model is defended, or none undefended beside it."""
    FEW_ATTACKS = "few_attacks"
    """The claim is about several."""
    NO_PAIRS = "no_pairs"
    """No seed of any block has them all."""
    MISSING = "missing"
    """`count` pairs lack a model."""
    ONE_SEED = "one_seed"
    """What other seeds would give is unknown."""
    ALL_INVALID = "all_invalid"
    UNEQUAL = "unequal"
    """`count` models were attacked otherwise than the rest: with more, or in another precision."""
    UNAUDITED = "unaudited"
    """`count` models' numbers are upper bounds that nobody audited."""
    WITHIN_AUDIT = "within_audit"
    """The effect is no larger than what the better side may be too high by."""
    RUNNING = "running"
    """`count` trials are still to come."""


@dataclass(frozen=True)
class Obstacle:
    kind: Hindrance
    count: int = 0
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Beside:
    """The same question over some of the pairs; beside the verdict, never deciding."""

    effect: float
    low: float
    high: float
    pairs: int


class Kind(Enum):
    CLAIM = "claim"
    EFFECT = "effect"
    INTERACTION = "interaction"


@dataclass(frozen=True)
class Part:
    """One comparison that a finding rests on: under `attack` (None: the worst case over all), `level` against `other`."""

    level: str
    other: str
    attack: str | None
    found: Contrast


@dataclass(frozen=True)
class Finding:
    """`effect` is the level's accuracy less the others', of the comparison that says least for the claim."""

    key: str
    """What it is called in the database and by programs: "claim-1", "effect:activation:tanh"."""
    kind: Kind
    factor: str
    levels: tuple[str, ...]
    """What the question is about; empty for a factor as a whole."""
    verdict: Outcome
    effect: float | None
    interval: tuple[float, float] | None
    """95 %, by itself; where looks are had, `adjusted`."""
    adjusted: tuple[float, float] | None
    """At the error that the verdict was allowed."""
    p: float | None
    error: float | None
    margin: float
    pairs: int
    won: int
    """Pairs in which the level is above the others."""
    blocks: int
    seeds: int
    images: int
    seeds_alike: bool
    """Seeds move all blocks alike (`Spread.shared`), and are what counts, not pairs."""
    over_images: bool
    """One seed: the interval is over images only."""
    attacks: tuple[str, ...]
    audit_bound: float | None
    trust: str
    invalid: int
    suspect: int
    models: int
    obstacles: tuple[Obstacle, ...]
    trusted: Beside | None
    """Without invalid and suspect models."""
    matched: Beside | None
    """Pairs of nearly the same clean accuracy (`MATCHED`)."""
    flips: SignFlip | None
    """Sign flips of the pairs' differences: a test without a distribution, beside the one that decides; None for so many pairs
    that it says the same (`MOST_FLIPPED`)."""
    pairs_needed: int
    """That sign flips could get below the error with, all of the family counted."""
    looks: int
    """At its family, where it is settled look by look: then `interval` is a sequential one, right whenever one stops."""
    decided_at: int | None
    """The look that decided it, from 1."""
    deciding: Part | None = None
    """The comparison that `effect` is of."""
    parts: Sequence[Part] = ()
    """All of them."""
    causes: tuple[Cause, ...] = ()
    """The traits beside the comparison that decides, as far as they are known and differ."""
