"""The attacks, one pure function per file. To add one: a file with its function and entry, and a line here.

Torch-free until an attack runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from core.attacks import added, apgd, cw, deepfool, fgsm, fmn, noise, pgd, square, standard
from core.engine.attack import Attack
from core.errors import BadInput, Mistakes
from core.records.attack import AttackSpec
from core.registry import Additions, Parameter, Registry, no_option, parse_number, resolve_options

ATTACKS: Registry[Attack] = Registry(
    "attack",
    (
        noise.ENTRY,
        fgsm.ENTRY,
        pgd.BIM,
        pgd.MI_FGSM,
        pgd.PGD,
        apgd.ENTRY,
        cw.ENTRY,
        deepfool.ENTRY,
        fmn.ENTRY,
        square.ENTRY,
        standard.ENTRY,
    ),
    additions=Additions("attacks", Attack, added.adopt, added.absent),
)

_NORMS = {"linf": "linf", "l2": "l2", "ℓ∞": "linf", "inf": "linf", "Linf": "linf", "L∞": "linf", "ℓ2": "l2", "L2": "l2"}
_OF_EVERY_ATTACK = ("eps", "norm", "seed")
_SEED = Parameter("seed", "int", 0, "seed of the attack's noise", low=0)


def parse_norm(value: Any, where: str) -> str:
    """ "linf" or "l2" from any usual spelling; raises BadInput naming `where`."""
    norm = _NORMS.get(value) if isinstance(value, str) else None
    if norm is None:
        raise BadInput.at(where, f"{value!r} is not one of linf, l2")
    return norm


def resolve(name: str, options: Mapping[str, Any], where: str) -> AttackSpec:
    """One `[[attacks]]` table, all but its name, as a full specification.

    Raises BadInput naming the key at fault, with all other mistakes of the table: unknown attack or option, ε missing,
    empty, out of range, not a number or named twice, ε for a minimum-norm attack, which finds its own, a norm that the
    attack does not know.
    """
    entry = ATTACKS.find(name, f"{where}.name")
    mistakes = Mistakes()
    norm = mistakes.attempt(norm_of, entry, options, where)
    eps = None if norm is None else mistakes.attempt(_eps_of, entry, options, norm, where)
    seed = mistakes.attempt(_SEED.parse, options.get("seed", 0), f"{where}.seed")
    own = [parameter.name for parameter in entry.parameters]
    for key in options:
        if key not in (*own, *_OF_EVERY_ATTACK):
            mistakes.note(no_option(entry, key, (*own, *_OF_EVERY_ATTACK), where))
    given = {key: value for key, value in options.items() if key in own}
    params = mistakes.attempt(resolve_options, entry, given, where)
    if norm is None or eps is None or seed is None or params is None or mistakes.found:
        raise mistakes.error()
    return AttackSpec(name, norm, eps, params, seed, entry.engine)


def norm_of(entry: Attack, options: Mapping[str, Any], where: str) -> str:
    """The norm that an `[[attacks]]` table says, else its attack's own; raises BadInput for one that it does not know."""
    norm = parse_norm(options.get("norm", entry.norms[0]), f"{where}.norm")
    if norm not in entry.norms:
        raise BadInput.at(f"{where}.norm", f"{entry.name} knows only {', '.join(entry.norms)}")
    return norm


def check_eps(attack: AttackSpec, shape: tuple[int, int, int], where: str) -> None:
    """Raises BadInput for an l2 radius that no two images of `shape` (channels, height, width) are apart: above √d."""
    diameter = math.sqrt(math.prod(shape))
    if attack.norm == "l2" and attack.eps and attack.eps[-1] > diameter:
        raise BadInput.at(where, f"{attack.eps[-1]:g} is out of range, l2 radii here end at √d = {diameter:.4g}")


def check_classes(attack: AttackSpec, classes: int, where: str) -> None:
    """Raises BadInput for a loss that needs more classes than there are."""
    if attack.params.get("loss") == "dlr" and classes < 3:
        raise BadInput.at(
            f"{where}.loss",
            f"dlr divides by the third largest logit and needs 3 classes, here are {classes}; use ce or "
            f"{'targeted' if attack.name == 'apgd' else 'margin'}",
        )


def _eps_of(entry: Attack, options: Mapping[str, Any], norm: str, where: str) -> tuple[float, ...]:
    if entry.minimum_norm:
        if "eps" in options:
            raise BadInput.at(
                f"{where}.eps", f"{entry.name} takes none; it finds the least radius of each sample by itself"
            )
        return ()
    if "eps" not in options:
        raise BadInput.at(f"{where}.eps", 'missing; give a list of radii such as [0.05, 0.1] or ["8/255"]')
    return _parse_eps(options["eps"], norm, f"{where}.eps")


def _parse_eps(value: Any, norm: str, where: str) -> tuple[float, ...]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values:
        raise BadInput.at(where, "the list is empty; name at least one radius")
    radii = [parse_number(item, where) for item in values]
    for given, radius in zip(values, radii, strict=True):
        if radius <= 0 or (norm == "linf" and radius > 1):
            allowed = "above 0 and at most 1 (pixel units of [0, 1])" if norm == "linf" else "above 0"
            raise BadInput.at(where, f"{given!r} is out of range, it must be {allowed}")
    if len(set(radii)) < len(radii):
        twin = next(radius for radius in radii if radii.count(radius) > 1)
        raise BadInput.at(where, f"{twin:g} is named twice")
    return tuple(sorted(radii))
