"""Attacks and audits, as they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from core.identity import digest


@dataclass(frozen=True)
class AttackSpec:
    """A fully specified attack: the sweep over its ε is the unit of work and of identity.

    `norm` is "linf" or "l2"; `eps` ascends, in pixel units of [0, 1], and is empty for minimum-norm attacks. `params`
    holds every other resolved parameter (steps, alpha, restarts, …) without the seed.
    """

    name: str
    norm: str
    eps: tuple[float, ...]
    params: Mapping[str, Any]
    seed: int
    engine: int

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "norm": self.norm,
            "eps": list(self.eps),
            "params": dict(self.params),
            "seed": self.seed,
            "engine": self.engine,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AttackSpec:
        return cls(data["name"], data["norm"], tuple(data["eps"]), dict(data["params"]), data["seed"], data["engine"])

    @cached_property
    def id(self) -> str:
        """The attack's content address, 64 hex digits."""
        return digest(self.as_json())


@dataclass(frozen=True)
class Threat:
    """The norm and ε that single-ε scores refer to."""

    norm: str
    eps: float


AUDIT_DEPTHS = ("budget", "full")


@dataclass(frozen=True)
class AuditSettings:
    """A study's `[audit]`: so many survivors at each ε (0: none), at most that share of the model's own time, and how deep:
    "budget", or "full" for the whole of `standard` whatever it costs (`core.audit`)."""

    samples: int = 64
    share: float = 0.25
    depth: str = "budget"
