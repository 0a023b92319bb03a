"""Findings in sentences that can be quoted, and what stands in their way with the command that would change it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from core.verdict.findings.finding import Beside, Finding, Hindrance, Kind, Obstacle

CLAIMS: Mapping[str, str] = {
    "claim-1": "Sigmoid activation weakens the model, whatever the attack",
    "claim-2": "Adagrad weakens the model, whatever the attack",
    "claim-3": "Adamax weakens the model, whatever the attack",
    "claim-4": "RMSProp outperforms Adam on several attacks",
    "claim-5:optimizer": "The optimizer changes what adversarial training achieves",
    "claim-5:activation": "The activation changes what adversarial training achieves",
    "claim-5:architecture": "The architecture changes what adversarial training achieves",
}
"""The paper's, by key."""

SHORT: Mapping[str, str] = {
    "claim-1": "sigmoid weakens, any attack",
    "claim-2": "adagrad weakens, any attack",
    "claim-3": "adamax weakens, any attack",
    "claim-4": "rmsprop beats adam",
    "claim-5:optimizer": "defended: optimizer matters",
    "claim-5:activation": "defended: activation matters",
    "claim-5:architecture": "defended: architecture matters",
}
"""The same in the few words that a line of a table has room for."""


@dataclass(frozen=True)
class Way:
    """What cannot be said and why; `command` would change it, where one would."""

    what: str
    command: str | None = None

    @property
    def told(self) -> str:
        return self.what if self.command is None else f"{self.what}: {self.command}"


def claim(key: str) -> str:
    """What a finding claims, by its key, without a verdict."""
    if key in CLAIMS:
        return CLAIMS[key]
    kind, _, what = key.partition(":")
    if kind != "effect":
        factor = what.rpartition("×")[2]
        return f"The {factor} changes adversarially trained models otherwise than undefended ones"
    factor, _, level = what.partition(":")
    return f"{_capital(factor)} {level} differs from the other {factor}s"


def short(found: Finding) -> str:
    """What it claims in few words; of a factor's level beside the others of its factor."""
    if found.key in SHORT:
        return SHORT[found.key]
    if found.kind is not Kind.EFFECT:
        return found.key.partition(":")[2].replace("×", " × ")
    level, *others = found.levels
    return f"{level} differs from {others[0]}" if len(others) == 1 else f"{level} differs"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def sentence(found: Finding) -> str:
    """The verdict with what it rests on, as one would quote it."""
    said = f"{claim(found.key)}: {found.verdict}"
    measured = numbers(found)
    return f"{said}; {measured}." if measured else f"{said}."


def numbers(found: Finding) -> str:
    """The difference that decides, its interval, and how many pairs it rests on; empty where nothing was compared."""
    part = found.deciding
    if found.effect is None or found.interval is None or part is None:
        return ""
    than = f"{part.level} against {part.other}" if part.other else f"{part.level} against the mean of the others"
    under = f" under {part.attack}" if part.attack is not None else " in the worst case"
    basis = f"won {found.won} of {found.pairs} pairs"
    if found.over_images:
        basis = f"over images only, {basis}"
    few = ", wide for there are two seeds" if found.seeds == 2 else ""
    return f"{than}{under}: {points(found.effect)} points ({interval(found.interval)}; {basis}{few})"


def tested(found: Finding) -> str:
    """The error that the verdict was allowed and what came of it; how far audits leave the effect open."""
    bound = "not audited" if found.audit_bound is None else f"audit bound {100 * found.audit_bound:.1f} points"
    if found.decided_at is not None:
        return f"decided at look {found.decided_at}, adjusted p {found.p or 0.0:.2g}; {bound}"
    if found.looks:
        return f"open after look {found.looks}; {bound}"
    if found.p is None or found.adjusted is None:
        return bound
    return f"adjusted p {found.p:.2g}, interval at that error {interval(found.adjusted)}; {bound}"


def beside(found: Finding) -> list[str]:
    """The same without doubted models and at equal clean accuracy."""
    if found.effect is None:
        return []
    doubted = found.invalid + found.suspect
    lines = []
    if doubted:
        kinds = [f"{count} {kind}" for count, kind in ((found.invalid, "invalid"), (found.suspect, "suspect")) if count]
        lines.append(f"without {' and '.join(kinds)} of {found.models} models: {_beside(found.trusted)}")
    lines.append(f"at equal clean accuracy (within 1 point): {_beside(found.matched)}")
    return lines


def flipped(found: Finding) -> list[str]:
    """Sign flips of the pairs, beside the verdict."""
    if found.flips is None:
        return []
    how = "exact" if found.flips.exact else "drawn"
    short = found.pairs_needed - found.flips.units
    more = (
        f"; {short} more {'pair is' if short == 1 else 'pairs are'} needed for it to tell anything" if short > 0 else ""
    )
    return [f"sign flips of the pairs: p {found.flips.p:.2g} ({how}{more})"]


def _beside(found: Beside | None) -> str:
    if found is None:
        return "no pairs are left"
    pairs = "1 pair" if found.pairs == 1 else f"{found.pairs} pairs"
    return f"{points(found.effect)} ({interval((found.low, found.high))}; {pairs})"


def points(share: float) -> str:
    """A difference in points, signed."""
    return f"{100 * share:+.1f}"


def interval(ends: tuple[float, float]) -> str:
    low, high = ends
    return f"{100 * low:+.1f} to {100 * high:+.1f}"


def way(one: Obstacle, found: Finding, study: str) -> Way:
    """An obstacle in words."""
    count, names = one.count, one.names
    match one.kind:
        case Hindrance.NO_MODELS:
            return Way("no model has been scored yet", f"innate wait --study {study}")
        case Hindrance.NO_ATTACKS:
            return Way("no attack has been tried on all models", f"innate attack --study {study} --level")
        case Hindrance.NO_LEVEL:
            factor, level = names
            return Way(f"no scored model has {level}", f"add it to {_axis(factor)} and run {study} again")
        case Hindrance.ONE_LEVEL:
            factor, *levels = names
            only = f"{levels[0]} is the only {factor}" if levels else f"there is no {factor} to compare"
            return Way(only, f"add another to {_axis(factor)} and run {study} again")
        case Hindrance.NO_DEFENSE:
            return Way(
                "there are no defended models beside undefended ones", f"add pgd-at to defenses and run {study} again"
            )
        case Hindrance.FEW_ATTACKS:
            had = f"only {', '.join(names)}" if names else "none"
            return Way(
                f"the claim is about two attacks at least, all models had {had}", f"add one to {study} and run it again"
            )
        case Hindrance.NO_PAIRS:
            return Way(
                f"{' and '.join(name for name in names if name)} share no seed of any block",
                f"innate trials --study {study}",
            )
        case Hindrance.MISSING:
            lack = (
                "1 pair lacks a model and is left out" if count == 1 else f"{count} pairs lack a model and are left out"
            )
            return Way(lack, f"innate trials --study {study} --filter state!=done")
        case Hindrance.ONE_SEED:
            return Way("one seed: what other seeds would give is unknown", f"innate findings --study {study} --settle")
        case Hindrance.ALL_INVALID:
            return Way(
                "all these models are invalid: they learned nothing",
                f"innate trials --study {study} --where trust=invalid",
            )
        case Hindrance.UNEQUAL:
            return Way(
                f"{count} of the models were attacked otherwise than the rest", f"innate attack --study {study} --level"
            )
        case Hindrance.UNAUDITED:
            return Way(
                f"{count} of the models are not audited, so their numbers are upper bounds only",
                f"innate attack --study {study} --audit",
            )
        case Hindrance.WITHIN_AUDIT:
            bound, effect = found.audit_bound, found.effect
            if bound is not None and effect is not None and abs(effect) > bound:
                return Way("of another comparison the effect lies within the audit's bound", deeper_audit(study))
            told = "" if bound is None else f" of {100 * bound:.1f} points"
            return Way(f"the effect lies within the audit's bound{told}", deeper_audit(study))
        case Hindrance.RUNNING:
            left = "1 trial is still to come" if count == 1 else f"{count} trials are still to come"
            return Way(left, f"innate wait --study {study}")


def deeper_audit(study: str) -> str:
    """The command that narrows what audits leave open."""
    return f"innate attack --study {study} --audit --set samples=256 --set share=1"


def _axis(factor: str) -> str:
    return {"activation": "activations", "optimizer": "optimizers", "architecture": "architectures"}.get(
        factor, "defenses"
    )
