"""The `[[attacks]]` tables and `[score]`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from core.attacks import ATTACKS, norm_of, parse_norm
from core.attacks import resolve as resolve_attack
from core.errors import BadInput, Mistakes
from core.records.attack import AttackSpec, Threat
from core.registry import parse_number
from core.study.file import StudyFile
from core.verdict.ledgers import USUAL_EPS


def attack_of(table: Mapping[str, Any], index: int) -> AttackSpec:
    """One attack with every option resolved; raises BadInput naming the key."""
    where = f"attacks[{index}]"
    options = dict(table)
    name = options.pop("name", None)
    if not isinstance(name, str):
        raise BadInput.at(f"{where}.name", f"expected the name of an attack ({', '.join(ATTACKS)})")
    return resolve_attack(name, options, where)


def threat_of(file: StudyFile, attacks: Sequence[AttackSpec | None], found: Mistakes) -> Threat | None:
    """The `[score]` table, or its defaults: linf if attacked, else l2; the lower median of the ε in that norm.

    Where only minimum-norm attacks have that norm, which name no ε, it is the usual one: linf 0.1, l2 1. An attack at
    fault still has its norm, if that is right; what would need to know more of it is not looked at.
    """
    norms = {attack.norm if attack else _norm_of(table) for attack, table in zip(attacks, file.attacks, strict=True)}
    if found.concern("score.norm") or (not file.attacks and found.concern("attacks")):
        return None
    if not file.attacks and file.score.norm is None:
        if file.score.eps is not None:
            found.note(BadInput.at("score.eps", "the study has no attacks to score"))
        return None
    norm = found.attempt(_threat_norm, file.score.norm, norms)
    if norm is None:
        return None
    whole = None not in attacks
    attacked = sorted({eps for attack in attacks if attack and attack.norm == norm for eps in attack.eps})
    if file.score.eps is None:
        return Threat(norm, attacked[(len(attacked) - 1) // 2] if attacked else USUAL_EPS[norm])
    eps = found.attempt(_threat_eps, file.score.eps, norm, attacked if whole else [])
    return None if eps is None else Threat(norm, eps)


def _norm_of(table: Mapping[str, Any]) -> str | None:
    """The norm of an `[[attacks]]` table that something is wrong with; None if that is its name or the norm itself."""
    entry = ATTACKS.get(str(table.get("name")))
    return None if entry is None else Mistakes().attempt(norm_of, entry, table, "")


def _threat_norm(given: str | None, norms: Collection[str | None]) -> str | None:
    """The norm of the score; None where it depends on attacks whose norm is not known."""
    if given is not None:
        norm = parse_norm(given, "score.norm")
        if norm not in norms and None not in norms:
            raise BadInput.at("score.norm", f"no attack of the study has the norm {norm}")
        return norm
    if "linf" in norms:
        return "linf"
    return None if None in norms else "l2"


def _threat_eps(given: float | str, norm: str, attacked: Sequence[float]) -> float:
    eps = parse_number(given, "score.eps")
    if eps <= 0 or (norm == "linf" and eps > 1):
        raise BadInput.at("score.eps", f"{given!r} is out of range (pixel units: above 0, for linf at most 1)")
    if attacked and eps < attacked[0]:
        smallest = f"the smallest is {attacked[0]:g}"
        raise BadInput.at("score.eps", f"{eps:g} is below every ε attacked in {norm} ({smallest})")
    return eps
