"""How ids, trials in full, norms and verdicts are written, and in which order verdicts stand: the same on every floor."""

from __future__ import annotations

from collections.abc import Iterable

NORM_SIGNS = {"linf": "ℓ∞", "l2": "ℓ2"}
"""How a norm is written for people."""
FACTORS = ("architecture", "optimizer", "activation", "defense")
"""The choices that make a variant, in the order in which they are shown."""
TRUST = ("ok", "suspect", "invalid")
"""The verdicts, from the best to the worst."""
_SHORT = 10


def short_id(address: str) -> str:
    """The beginning of a content address: what is shown of it, and enough to name it by."""
    return address[:_SHORT]


def worst(verdicts: Iterable[str | None]) -> str:
    """The worst of some verdicts; where there is none (None), nothing speaks against the number, so "ok"."""
    return max((verdict for verdict in verdicts if verdict is not None), key=TRUST.index, default="ok")


def full_name(names: Iterable[str | None]) -> str:
    """Every choice of a trial that is known, but for no defense: "kumar-cnn adam relu"."""
    return " ".join(name for name in names if name is not None and name != "none")
