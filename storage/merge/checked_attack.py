"""Attacks and environments as another file tells them: each is known by the hash of what it is."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from core.attacks import ATTACKS
from core.identity import digest
from core.records.attack import AttackSpec
from storage.merge.opened import Other
from storage.merge.values import NORM, Unsound, address, ascending, json_of, list_of, number, parsed, text, within

text_list = json_of(list_of(text()))
"""JSON, a list of texts."""
_RADIUS = {"linf": number(0.0, 1.0), "l2": number(0.0, 1e6)}


def attack_of(other: Other, attack_id: str) -> AttackSpec:
    """The attack of that id. Raises Unsound for one that is not there, that says other than its id, or that this program does not
    know."""
    found = [row["spec"] for row in other.rows("attack", {"spec": text(100_000)}, "WHERE id = ?", (attack_id,))]
    if not found:
        raise Unsound(f"attack {attack_id[:10]}: is not in the file")
    attack: AttackSpec = within(f"attack {attack_id[:10]}", lambda spec: _attack(spec, attack_id), found[0])
    return attack


@functools.lru_cache(maxsize=4096)
def _attack(spec: str, attack_id: str) -> AttackSpec:
    """A hundred thousand trials share a few attacks."""
    return attack_from(parsed(spec), attack_id)


def attack_from(data: Any, attack_id: str | None = None) -> AttackSpec:
    """An attack from its JSON, which must have that id. Raises Unsound."""
    try:
        attack = AttackSpec.from_json(data)
        known = digest(data)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise Unsound(f"cannot be read ({error})") from None
    if attack.id != known or attack_id not in (None, known):
        raise Unsound("its id is not the hash of what it is")
    within("norm", NORM, attack.norm)
    radii = within("eps", list_of(_RADIUS[attack.norm], 1000), list(attack.eps))
    try:
        entry = ATTACKS[within("name", text(200), attack.name)]
    except KeyError:
        raise Unsound(f"{attack.name!r:.60} is none that this program knows") from None
    # What stands for an attack whose plugin is not at hand cannot say whether it takes radii.
    if not ascending([0.0, *radii]) or (attack.name in ATTACKS and entry.minimum_norm != (not radii)):
        raise Unsound("its ε do not ascend from above 0, or it takes none")
    _check_after(attack.params.get("after"))
    return attack


def _check_after(after: Any) -> None:
    """What a rung of a ladder comes after: an ε, and the attacks before it."""
    if not after:
        return
    if not isinstance(after, Mapping) or after.keys() != {"eps", "attacks"}:
        raise Unsound("what it comes after cannot be read")
    within("after.eps", number(0.0), after["eps"])
    within("after.attacks", list_of(address), after["attacks"])


def environment_of(other: Other, environment_id: str) -> str:
    """The JSON of an environment. Raises Unsound for one that is not there, or says other than its id."""
    rows = other.rows("environment", {"content": text(100_000)}, "WHERE id = ?", (environment_id,))
    for row in rows:
        content = parsed(row["content"])
        if not isinstance(content, dict) or digest(content) != environment_id:
            raise Unsound(f"environment {environment_id[:10]}: its id is not the hash of what it is")
        return json.dumps(content)
    raise Unsound(f"environment {environment_id[:10]}: is not in the file")
