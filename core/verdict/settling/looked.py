"""What has been seen of a family of claims that is settled look by look (`core.verdict.settling.stage`)."""

from __future__ import annotations

from dataclasses import dataclass

from core.verdict.settling.spending import Look
from core.verdict.settling.stage import Decided


@dataclass(frozen=True)
class Looked:
    """The looks at one family, with the error that each cost, and what they decided."""

    family: str
    looks: tuple[Look, ...] = ()
    decided: tuple[Decided, ...] = ()

    def of(self, key: str) -> Decided | None:
        return next((one for one in self.decided if one.key == key), None)
