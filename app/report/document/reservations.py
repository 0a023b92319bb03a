"""What speaks against the numbers: which are doubted and why, how far they could be overstated, what the study cannot say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from app.report import overstated
from app.report.document.material import Material
from app.report.document.record import Block, Items, Section, Table, Text
from app.report.text import percent
from core.names import NORM_SIGNS, TRUST
from core.verdict.crossed import FEW
from core.verdict.findings.finding import Hindrance
from core.verdict.findings.models import UNDEFENDED, Audited
from storage.verdicts import reasons

_FEW_IMAGES = 1000
"""Test images below which one of them is worth a tenth of a point or more."""


def audit_and_trust(of: Material) -> Section:
    """Verdicts with their reasons, and what the audits came to."""
    counts = Counter(one.trust or "ok" for one in of.scored)
    said = ", ".join(f"{counts[trust]} {trust}" for trust in TRUST if counts[trust])
    blocks: list[Block] = [Text(f"Of {_models(len(of.scored))}: {said}. All of them count in the results above.")]
    told = _reasons(of)
    if told:
        headings = ("check", "models", "what it says, of one of them")
        blocks.append(Table("Why models are doubted.", headings, tuple(told), frozenset({1})))
    blocks.append(Items(tuple(_audits(of))))
    return Section("Audit and trust", tuple(blocks))


def _reasons(of: Material) -> list[tuple[str, str, str]]:
    """A row for each check that doubts a scored model, the most frequent first."""
    scored = {one.trial_id for one in of.scored}
    texts: dict[str, str] = {}
    models: Counter[str] = Counter()
    for trial, several in reasons(of.db, of.name).items():
        if trial in scored:
            for one in several:
                texts.setdefault(one.check, one.text)
            models.update({one.check for one in several})
    return [(check.replace("_", " "), str(count), texts[check]) for check, count in models.most_common()]


def _audits(of: Material) -> list[str]:
    found = overstated.at_score(of.db, of.name)
    cases = [found.get(one.trial_id) for one in of.scored]
    audited = [case for case in cases if case is not None and case.radius is not None]
    bare = len(cases) - len(audited)
    lines = []
    if audited:
        lines.append(_drawn(of, audited))
        pooled = overstated.by_group(found, {"": [one.trial_id for one in of.scored]})[""]
        if pooled is not None:
            lines.append(
                f"The mean worst case over all models is at most {percent(pooled)} points too high, against what the audits "
                "tried (95 %)."
            )
        most = [row.overstated_at_most for row in of.board if row.overstated_at_most is not None]
        if most:
            lines.append(f"A single model's worst case is at most {percent(max(most))} points too high.")
    if bare:
        lines.append(
            f"{_models(bare)} {'is' if bare == 1 else 'are'} not audited: numbers under attack are upper bounds, with no limit "
            f"to how far they are too high; innate attack --study {of.name} --audit"
        )
    return lines


def _drawn(of: Material, audited: Sequence[Audited]) -> str:
    radii = [case.radius for case in audited if case.radius is not None]
    drawn, fell = sum(one.audited for one in radii), sum(one.fell for one in radii)
    tried = ", ".join(dict.fromkeys(name for one in radii for name in one.attacks))
    against = f" It tried {tried}." if tried else ""
    return f"{_models(len(radii))} audited at {of.at}: of {drawn} survivors drawn last, {fell} fell.{against}"


def _models(count: int) -> str:
    return "1 model" if count == 1 else f"{count} models"


def limits(of: Material) -> Section:
    """What the study cannot say, from what it consists of."""
    return Section("Limits", (Items(tuple(_limits(of))),))


def _limits(of: Material) -> list[str]:
    study = of.asked
    lines = [f"One data set, {of.row.dataset}: nothing is said of others."]
    if study.test_samples is not None and study.test_samples < _FEW_IMAGES:
        lines.append(f"{study.test_samples} test images: one of them is worth {100 / study.test_samples:.2g} points.")
    lines += _about_training(of)
    norms = sorted({NORM_SIGNS[attack.norm] for attack in study.attacks})
    radii = [eps for attack in study.attacks for eps in attack.eps]
    lines.append(
        f"Attacks in {' and '.join(norms)} only, ε up to {max(radii, default=of.threat.eps):g}: of other threats nothing is "
        "said, and an attack made for a model might find more."
    )
    devices = list(dict.fromkeys(str(one.environment.get("device_name")) for one in of.environments))
    if len(devices) == 1:
        lines.append(f"One kind of device ({devices[0]}); weights differ in their bits elsewhere.")
    doubted = sum(one.trust not in (None, "ok") for one in of.scored)
    if doubted:
        lines.append(f"{_models(doubted)} of {len(of.scored)} doubted or invalid, and counted all the same.")
    imported = sum(trial.training is None for trial in of.trials)
    if imported:
        lines.append(
            f"{_models(imported)} trained elsewhere: what is unknown of that stays so, and findings leave them out."
        )
    return [*lines, *_about_findings(of)]


def _about_training(of: Material) -> list[str]:
    study = of.asked
    lines = [_about_seeds(of)]
    if "train_subset" not in study.vary:
        lines.append(
            "Seeds move initialisation and data order, not the training images: of other training sets nothing is said."
        )
    if study.train_samples is not None:
        lines.append(f"Trained on {study.train_samples} images; more data may change which choice is best.")
    given = "given hyperparameters" if study.tuning is None else "learning rates that validation images chose"
    lines.append(f"{study.training.epochs} epochs at {given}: a choice that is worse here may only be trained worse.")
    if all(choice.name == UNDEFENDED for choice in study.defenses):
        lines.append("Undefended models only: what adversarial training would change is not asked.")
    return lines


def _about_seeds(of: Material) -> str:
    if of.seeds == 1:
        return "One seed: intervals are over test images, and no finding can speak of other seeds."
    few = ", so that what a seed does to all models alike is hardly seen" if of.seeds <= FEW else ""
    return f"{of.seeds} seeds{few}; a kind of collapse that none of them showed is in no interval."


def _about_findings(of: Material) -> list[str]:
    """What kept findings from a verdict, where it is a matter of the audit or of unequal attacks."""
    kinds = {one.kind for found in of.found.found for one in found.obstacles}
    lines = []
    if Hindrance.WITHIN_AUDIT in kinds:
        lines.append("Some effects are smaller than what the audits leave open; a deeper audit could decide them.")
    if Hindrance.UNEQUAL in kinds:
        lines.append("Some models were attacked otherwise than the rest, and are not compared until all are.")
    return lines
