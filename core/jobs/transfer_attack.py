"""Which attack crafts images meant to transfer, held against a study. Torch-free; `core.jobs.transfer` carries it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.attacks import ATTACKS, check_eps, parse_norm
from core.attacks import resolve as resolve_attack
from core.errors import BadInput
from core.records.attack import AttackSpec
from core.records.study import Study

TRANSFERABLE = ("pgd", "mi-fgsm", "bim", "fgsm", "noise")
"""Attacks whose whole length can be run for transfer; the study's first of these, noise apart, is the default."""
_FIXED = {"restarts": 1, "loss": "ce"}
"""One start, and the loss that transfers: what would pick among several images is the source's own opinion of them."""


def transfer_attack(
    study: Study,
    shape: tuple[int, int, int],
    name: str | None = None,
    norm: str | None = None,
    eps: str | float | None = None,
    options: Mapping[str, Any] | None = None,
) -> AttackSpec:
    """The attack with one ε: what `study` has of it where it has it, with `options` set over that.

    Without `norm` and `eps` those of the study's score, in another norm the lower median of the ε attacked in it. Raises
    BadInput naming the option at fault. `shape` is (channels, height, width).
    """
    options = dict(options or {})
    for key in ("eps", "norm"):
        if key in options:
            raise BadInput.at(f"--set {key}", f"give it as --{key}")
    if name is not None:
        ATTACKS.find(name, "--attack")
        if name not in TRANSFERABLE:
            words = f"makes no images meant to transfer; those that do: {', '.join(TRANSFERABLE)}"
            raise BadInput(f"--attack {name}: {words}", key="--attack", words=words)
    threat = study.threat
    norm = parse_norm(norm, "--norm") if norm is not None else threat.norm if threat else "linf"
    own = [attack for attack in study.attacks if attack.norm == norm]
    if name is None:
        name = next((one for one in TRANSFERABLE[:-1] if any(attack.name == one for attack in own)), "pgd")
    if eps is None:
        attacked = sorted({radius for attack in own for radius in attack.eps})
        eps = threat.eps if threat and threat.norm == norm else attacked[(len(attacked) - 1) // 2] if attacked else None
    if eps is None:
        raise BadInput.at("--eps", f"the study {study.name} attacks nothing in {norm}; give a radius such as --eps 0.1")
    namesakes = [attack for attack in own if attack.name == name]
    like = max(namesakes, key=lambda attack: attack.params.get("steps", 1), default=None)
    given = {**like.params, "seed": like.seed} if like else {}
    given = {**{key: value for key, value in given.items() if key not in _FIXED}, **options}
    attack = resolve_attack(name, {**given, "norm": norm, "eps": eps}, "transfer")
    for key, value in _FIXED.items():
        if attack.params.get(key, value) != value:
            words = f"images meant to transfer are made with {key}={value}"
            raise BadInput(f"--set {key}={attack.params[key]}: {words}", key=f"--set {key}", words=words)
    check_eps(attack, shape, "--eps")
    return attack
