"""How ids, norms and verdicts are written, and in which order verdicts stand: the same on every floor."""

from __future__ import annotations

from collections.abc import Iterable

NORM_SIGNS = {"linf": "ℓ∞", "l2": "ℓ2"}
"""How a norm is written for people."""
TRUST = ("ok", "suspect", "invalid")
"""The verdicts, from the best to the worst."""
_SHORT = 10


def short_id(address: str) -> str:
    """The beginning of a content address: what is shown of it, and enough to name it by."""
    return address[:_SHORT]


def worst(verdicts: Iterable[str | None]) -> str:
    """The worst of some verdicts; where there is none (None), nothing speaks against the number, so "ok"."""
    return max((verdict for verdict in verdicts if verdict is not None), key=TRUST.index, default="ok")
