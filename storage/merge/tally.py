"""What a merge brings in, counted; and where both homes say otherwise of the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Differing:
    """An attack that both homes carried out on the same weights: on so many samples they do not agree (ties of floating-point
    numbers). This home's outcome is kept."""

    trial_id: str
    attack_id: str
    attack: str
    samples: int
    of: int


@dataclass(frozen=True)
class Conflict:
    """A trial that the other home trained to other weights. `kept`: they were not known here before."""

    trial_id: str
    own_digest: str
    other_digest: str
    own_environment: Mapping[str, Any] | None
    other_environment: Mapping[str, Any] | None
    kept: bool


@dataclass
class Tally:
    """What was brought in. `trials` were not here at all, `trained` were here without weights."""

    trials: int = 0
    trained: int = 0
    evaluations: int = 0
    audits: int = 0
    looks: int = 0
    """Clean outcomes, looks at models, traits."""
    attempts: int = 0
    events: int = 0
    known: int = 0
    """Trials of which nothing was new."""
    conflicts: list[Conflict] = field(default_factory=list)
    copies: int = 0
    """Weights of third homes that the other kept beside its own."""
    differing: list[Differing] = field(default_factory=list)

    def taken(self) -> tuple[int, ...]:
        """Grows with whatever is brought in."""
        new = sum(conflict.kept for conflict in self.conflicts)
        return (
            self.trials, self.trained, self.evaluations, self.audits, self.looks, self.attempts, self.events, self.copies, new,
        )  # fmt: skip
