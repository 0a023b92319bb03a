"""A model's traits, as they are shown."""

from __future__ import annotations

from core.traits import TRAITS, Traits


def cells(traits: Traits) -> list[tuple[str, str, str]]:
    """(name, value, unit) of each trait that is known, in the order of the registry."""
    return [(name, shown(name, traits[name]), entry.shown_unit) for name, entry in TRAITS.items() if name in traits]


def shown(name: str, value: float) -> str:
    """To three digits, in its unit."""
    return f"{TRAITS[name].scale * value:.3g}"


def axis(name: str) -> str:
    """What to write along an axis, or in a heading."""
    unit = TRAITS[name].shown_unit
    return f"{words(name)}, {unit}" if unit else words(name)


def words(name: str) -> str:
    """A trait's name in a sentence."""
    return name.replace("_", " ")
