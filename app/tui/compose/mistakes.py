"""What is wrong with a draft, part by part, in the words in which a study file is refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from app.tui.compose.draft import PARTS, Document
from core.errors import BadInput
from core.study import resolve


@dataclass(frozen=True)
class Mistake:
    """What is wrong with a part: its faults in the order in which a study file is read, at least one."""

    part: str
    faults: tuple[BadInput, ...]

    @property
    def text(self) -> str:
        """The first fault in a sentence that names its key, and how many others there are."""
        others = len(self.faults) - 1
        return self.faults[0].sentence + (f" (and {others} more)" if others else "")

    def concerns(self, key: str) -> bool:
        """Whether a fault lies at `key` or inside it."""
        return any(fault.concerns(key) for fault in self.faults)

    def lies_at(self, key: str) -> bool:
        """Whether `key` as a whole is at fault, and nothing inside it."""
        return any(fault.key == key for fault in self.faults)


def mistakes(document: Document, base: Path) -> Mapping[str, Mistake]:
    """Every part of a draft with mistakes of its own. Paths are relative to `base`."""
    return by_part(resolve.mistakes(document, base))


def by_part(found: Iterable[BadInput]) -> Mapping[str, Mistake]:
    """Faults by the part that they lie in; by the first part where they lie in none, as an unknown key does."""
    parts: dict[str, list[BadInput]] = {}
    for fault in found:
        part = next((part for part in PARTS if any(fault.concerns(key) for key in part.keys)), PARTS[0])
        parts.setdefault(part.name, []).append(fault)
    return {part.name: Mistake(part.name, tuple(parts[part.name])) for part in PARTS if part.name in parts}
