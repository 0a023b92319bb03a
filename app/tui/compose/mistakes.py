"""What is wrong with a draft, part by part, in the words in which a study file is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from app.tui.compose.draft import BY_NAME, CHOICES, PARTS, Document
from core.errors import BadInput
from core.study.resolve import parse_study

_CHECKED = ("name", "dataset", "training", *CHOICES, "seeds", "attacks", "score")
"""The parts in an order in which each rests on those before it alone."""
_FOUNDATION: Document = {
    "name": "study",
    "dataset": "mnist5k",
    "architectures": ["mlp"],
    "optimizers": ["sgd"],
    "activations": ["relu"],
}
_KEY = re.compile(r"[a-z_]+(\[\d+\])?(\.[a-z_0-9]+(\[\d+\])?)*")


@dataclass(frozen=True)
class Mistake:
    """What is wrong with a part: the key at fault, and the sentence that names it."""

    part: str
    key: str
    text: str

    @property
    def words(self) -> str:
        """The sentence without its key."""
        return self.text.removeprefix(f"{self.key}: ")

    def concerns(self, key: str) -> bool:
        """Whether the fault lies at `key` or inside it."""
        return self.key == key or self.key.startswith((f"{key}.", f"{key}["))


def mistake_in(error: BadInput, where: str) -> Mistake:
    """The part and the key that a BadInput names; `where` is what it was told to begin with."""
    text = str(error).removeprefix(f"{where}: ").replace(".constrained-int", "")
    quoted = re.search(r"key '([^']+)'", text)
    found = quoted[1] if quoted else (_KEY.match(text) or [""])[0]
    top = re.split(r"[.\[]", found)[0]
    part = next((part.name for part in PARTS if top in part.keys), "name")
    return Mistake(part, found, text)


def mistakes(document: Document, base: Path) -> dict[str, Mistake]:
    """The first mistake of every part that has one. Paths are relative to `base`.

    Each part is tried on a study that is sound but for it, so that one mistake hides no other.
    """
    sound, found = dict(_FOUNDATION), {}
    for name in _CHECKED:
        keys = BY_NAME[name].keys
        tried = {key: value for key, value in sound.items() if key not in keys}
        tried |= {key: document[key] for key in keys if key in document}
        fault = _fault(tried, base)
        if fault is None:
            sound = tried
        else:
            found[name] = Mistake(name, fault.key, fault.text)
    stray = {key: value for key, value in document.items() if all(key not in part.keys for part in PARTS)}
    fault = _fault({**sound, **stray}, base) if stray else None
    if fault is not None:
        found.setdefault(fault.part, fault)
    return {part.name: found[part.name] for part in PARTS if part.name in found}


def _fault(document: Document, base: Path) -> Mistake | None:
    try:
        parse_study(document, "draft", base)
    except BadInput as error:
        return mistake_in(error, "draft")
    except OverflowError:  # a fraction of numbers that no float holds
        return Mistake("name", "", "a number is too large")
    return None
