"""The attacks, one pure function per file. To add one: a file with its function and entry, and a line here.

Torch-free until an attack runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from core.attacks import apgd, cw, deepfool, fgsm, fmn, noise, pgd, square, standard
from core.engine.attack import Attack
from core.errors import BadInput
from core.records import AttackSpec
from core.registry import Parameter, Registry, nearest, parse_number, resolve_options

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
)

_NORMS = {"linf": "linf", "l2": "l2", "ℓ∞": "linf", "inf": "linf", "Linf": "linf", "L∞": "linf", "ℓ2": "l2", "L2": "l2"}
_SEED = Parameter("seed", "int", 0, "seed of the attack's noise", low=0)


def parse_norm(value: Any, where: str) -> str:
    """ "linf" or "l2" from any usual spelling; raises BadInput naming `where`."""
    norm = _NORMS.get(value) if isinstance(value, str) else None
    if norm is None:
        raise BadInput(f"{where}: {value!r} is not one of linf, l2")
    return norm


def resolve(name: str, options: Mapping[str, Any], where: str) -> AttackSpec:
    """One `[[attacks]]` table, all but its name, as a full specification.

    Raises BadInput naming the key at fault: unknown attack or option, ε missing, empty, out of range, not a number or
    named twice, ε for a minimum-norm attack, which finds its own, a norm that the attack does not know.
    """
    entry = ATTACKS.find(name, f"{where}.name")
    given = dict(options)
    norm = parse_norm(given.pop("norm", entry.norms[0]), f"{where}.norm")
    if norm not in entry.norms:
        raise BadInput(f"{where}.norm: {name} knows only {', '.join(entry.norms)}")
    eps: tuple[float, ...] = ()
    if entry.minimum_norm:
        if "eps" in given:
            raise BadInput(f"{where}.eps: {name} takes none; it finds the least radius of each sample by itself")
    elif "eps" not in given:
        raise BadInput(f'{where}.eps: missing; give a list of radii such as [0.05, 0.1] or ["8/255"]')
    else:
        eps = _parse_eps(given.pop("eps"), norm, f"{where}.eps")
    seed = _SEED.parse(given.pop("seed", 0), f"{where}.seed")
    known = {parameter.name for parameter in entry.parameters}
    for key in given:
        if key not in known:
            raise BadInput(f"{where}: {name} has no option {key!r}{nearest(key, known | {'eps', 'norm', 'seed'})}")
    return AttackSpec(name, norm, eps, resolve_options(entry, given, where), seed, entry.engine)


def check_eps(attack: AttackSpec, shape: tuple[int, int, int], where: str) -> None:
    """Raises BadInput for an l2 radius that no two images of `shape` (channels, height, width) are apart: above √d."""
    diameter = math.sqrt(math.prod(shape))
    if attack.norm == "l2" and attack.eps and attack.eps[-1] > diameter:
        raise BadInput(f"{where}: {attack.eps[-1]:g} is out of range, l2 radii here end at √d = {diameter:.4g}")


def check_classes(attack: AttackSpec, classes: int, where: str) -> None:
    """Raises BadInput for a loss that needs more classes than there are."""
    if attack.params.get("loss") == "dlr" and classes < 3:
        raise BadInput(
            f"{where}.loss: dlr divides by the third largest logit and needs 3 classes, here are {classes}; use ce or "
            f"{'targeted' if attack.name == 'apgd' else 'margin'}"
        )


def _parse_eps(value: Any, norm: str, where: str) -> tuple[float, ...]:
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values:
        raise BadInput(f"{where}: the list is empty; name at least one radius")
    radii = [parse_number(item, where) for item in values]
    for given, radius in zip(values, radii, strict=True):
        if radius <= 0 or (norm == "linf" and radius > 1):
            allowed = "above 0 and at most 1 (pixel units of [0, 1])" if norm == "linf" else "above 0"
            raise BadInput(f"{where}: {given!r} is out of range, it must be {allowed}")
    if len(set(radii)) < len(radii):
        twin = next(radius for radius in radii if radii.count(radius) > 1)
        raise BadInput(f"{where}: {twin:g} is named twice")
    return tuple(sorted(radii))
