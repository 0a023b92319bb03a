"""How numbers came about: scores as formulas, intervals, verdicts, trust, audit, and who thought of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from app.report.document.material import Material
from app.report.document.record import Block, Formulas, Heading, Items, Section, Text
from app.report.document.references import cited
from app.report.grid import over_grid
from core.attacks import ATTACKS
from core.models.activations import ACTIVATIONS
from core.models.architectures import ARCHITECTURES
from core.records.choice import Choice
from core.registry import E
from core.training.averaging import AVERAGINGS
from core.training.defenses import DEFENSES
from core.training.optimizers import OPTIMIZERS
from core.verdict.crossed import FEW
from core.verdict.decisions import ERROR
from core.verdict.trust import CHECKS

FORMULAS: Mapping[str, str] = {
    "clean_accuracy": "C = (1/n) Σᵢ [f(xᵢ) = yᵢ]",
    "worst_case": "RA(ε) = (1/n) Σᵢ min over attacks of [f(xᵢ) = yᵢ and xᵢ survives it at ε], at the score's ε",
    "retention": "RA(ε) / C",
    "curve_area": "A = (1/E) ∫₀ᴱ a(ε) dε with a(ε) = max(0, (RA(ε) − 1/K) / (1 − 1/K)), a(0) from C; trapezoid rule",
    "innate": "100 · 2 c A / (c + A) with c = max(0, (C − 1/K) / (1 − 1/K))",
}
"""Of every score, for K classes and n test images; f(x) is the predicted class, and [ ] is 1 where it holds, else 0."""


def methods(of: Material) -> Section:
    """Everything that a reader needs to know what a number means."""
    audit = of.asked.audit
    blocks: list[Block] = [
        Text(
            "Everything starts from ledgers: for each model, attack and ε one bit per test image, survived or not. An image "
            "counts as broken only if a fresh fp32 forward pass on the clipped image, inside the ball and the box [0, 1], is "
            "wrong; attacks know the true label. A sample survives if it is classified rightly and no attack breaks it."
        ),
        Formulas(tuple((name, FORMULAS[name]) for name in FORMULAS)),
        Text(
            "K is the number of classes, n of test images; [ ] is 1 where it holds, else 0. The score's ε is "
            f"{of.at}; E is the largest of {over_grid(of.db, of.name)}. An attack that lacks the score's ε counts with its "
            "largest smaller one. A model that learned nothing is invalid: no retention, and innate is 0."
        ),
        Text(
            "Intervals are 95 % and cover seeds and test images, which are crossed, since every model sees the same images: the "
            "variance of a mean is that of seeds plus that of images less what both count twice, with Student's t. With one "
            "seed they are over images only. A variant's score is the mean of its seeds' scores. Differences are paired by "
            "seed, image and every other choice."
        ),
        Text(
            f"Verdicts: a difference is supported if it exceeds {of.found.margin:g} points by a one-sided t test, Holm-adjusted "
            f"over the claims (and over each factor's levels) to {100 * ERROR:g} % in all, exceeds what the audits leave open of "
            "the better side, and the models were attacked alike; contradicted if the interval leaves out what is claimed; else "
            f"inconclusive. With {FEW} seeds or fewer, what a seed does to all models alike is hardly seen."
        ),
        Text(
            f"Trust: {len(CHECKS)} checks of every model, attack and study (collapsed models, gradients that vanish or are not "
            "finite, attacks that are still gaining, weaker attacks that beat stronger ones, and so on). The worst verdict of "
            "a number's checks stands beside it: ok, suspect or invalid."
        ),
        Text(
            f"Audit: of the images that all attacks left standing, up to {audit.samples} at each ε are drawn and attacked "
            f"harder, in at most {audit.share:g} of the model's own time (depth: {audit.depth}). From how many fall follows how "
            "much a number can be too high at most (95 %, exact hypergeometric bound), against what the audit tried. A number "
            "without an audit is an upper bound, written ≤."
            if audit.samples
            else "Audit: none was asked for, so numbers under attack are upper bounds, written ≤."
        ),
        Heading("Sources"),
        Items(tuple(_sources(of))),
        Items(tuple(cited(source for _, _, source in _used(of)))),
    ]
    return Section("Methods", tuple(blocks))


def _sources(of: Material) -> list[str]:
    """What the study uses, kind by kind, with where it comes from."""
    found: dict[str, dict[str, None]] = {}
    for kind, name, source in _used(of):
        found.setdefault(kind, {})[name if source in ("", "-") else f"{name} ({source})"] = None
    return [f"{kind}: {', '.join(names)}" for kind, names in found.items()]


def _used(of: Material) -> Iterable[tuple[str, str, str]]:
    """(kind, name, source) of every entry that the study names."""
    study = of.asked
    yield from _named("architectures", ARCHITECTURES, study.architectures)
    yield from _named("optimizers", OPTIMIZERS, study.optimizers)
    yield from _named("activations", ACTIVATIONS, study.activations)
    yield from _named("defenses", DEFENSES, study.defenses)
    if study.training.averaging.name != "none":
        yield from _named("weight averaging", AVERAGINGS, [study.training.averaging])
    for attack in study.attacks:
        yield "attacks", attack.name, ATTACKS[attack.name].source


def _named(kind: str, registry: Mapping[str, E], choices: Iterable[Choice]) -> Iterable[tuple[str, str, str]]:
    for choice in choices:
        yield kind, choice.name, registry[choice.name].source
