"""What an audit is: a study's models attacked harder than the study did, on a sample of what it left standing. Torch-free.

`core.evaluation.audit` carries it out, `core.verdict.audited` says what follows from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from core.identity import digest
from core.records.attack import AttackSpec

AUDIT_ENGINE = 1
"""Bumped by hand when the same audit finds other things."""


@dataclass(frozen=True)
class AuditSpec:
    """A fully specified audit of one model in one norm at the radii that its study claims something at; `eps` ascends."""

    norm: str
    eps: tuple[float, ...]
    samples: int
    share: float
    depth: str
    engine: int = AUDIT_ENGINE

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "eps": list(self.eps)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AuditSpec:
        return cls(**{**data, "eps": tuple(data["eps"])})

    @cached_property
    def id(self) -> str:
        """The audit's content address, 64 hex digits."""
        return digest(self.as_json())


@dataclass(frozen=True)
class AuditedRadius:
    """What an audit came to at one ε. Counts are test samples.

    The last round drew `audited` of the `standing` ones, the first of them in the audit's order, and `fell` of those; rounds
    before ended with what broke a sample tried on all that stood. `broken`: all that fell to the audit at this ε.
    """

    eps: float
    standing: int
    audited: int
    fell: int
    broken: int
    rounds: int
    attacks: tuple[str, ...]
    """Titles of the attacks that the whole of the last sample went through."""
    felled_by: tuple[str, ...]
    """Those that broke any sample at this ε, in whatever round."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AuditedRadius:
        return cls(**{**data, "attacks": tuple(data["attacks"]), "felled_by": tuple(data["felled_by"])})


@dataclass(frozen=True)
class AuditRun:
    """One attack of an audit: on how many (sample, ε) it was tried, a minimum-norm attack once for all ε, and how many it
    broke."""

    attack: AttackSpec
    tried: int
    broke: int
