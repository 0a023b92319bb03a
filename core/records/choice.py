"""A choice from a registry, which everything else is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Choice:
    """A registry name with every option resolved, such as rmsprop with lr, alpha and eps.

    `engine` is bumped by hand, in the entry, where the same options give other weights than before. While it is 1 no
    identity mentions it, so that what a change does not touch keeps its address.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    engine: int = 1

    def as_json(self) -> dict[str, Any]:
        engine = {} if self.engine == 1 else {"engine": self.engine}
        return {"name": self.name, "options": dict(self.options), **engine}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Choice:
        return cls(data["name"], dict(data["options"]), data.get("engine", 1))
