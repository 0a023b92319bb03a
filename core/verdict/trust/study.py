"""Checks that hold attacks side by side, sample by sample: the weaker must not beat the stronger."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.attacks import ATTACKS
from core.audit import AuditedRadius
from core.names import NORM_SIGNS
from core.records.attack import Threat
from core.records.outcome import Bools, Ledger
from core.verdict.audited import overstated_at_most, overstated_by, radii_of
from core.verdict.ledgers import speaks_at, survived_at, worst_case
from core.verdict.trust.entry import Check, Checked, Evaluated, Evidence, share_check, standard_error, tolerated, words
from core.verdict.trust.known import compared_standing, known_standing, spoken
from core.verdict.trust.ladder import climbed, is_quiet, is_whole
from core.verdict.trust.looks import fallen_to_looks

_BY_SEARCH = 0.01
_DISTANCES = 0.02
_SLACK = 0.1
"""A distance within 10 % of ε says nothing against an attack at ε: both stop somewhere near the boundary."""

_SAMPLED, _UNCOUNTED, _FAR = 0.01, 0.03, 0.05
"""No chance is allowed for in the first: each of these images is a proof, though one alone is none that the share is over 1 %.
What is known of a model counts them, so it is doubted for other reasons, where no audit drew a sample of its own: the same share
of those that were not looked at would be over 3 % of all, or so many were missed (5 %) that the look cannot be the last word
either."""
_LEFT_OVER, _OVERSTATED = 0.015, 0.015
"""Of all samples, as likely as the audit makes it: what may stand still though it would fall, and what a number that rankings
use may be above all that is known. One image of an audit of 64 stays below the first."""

WEAKER = Check(
    "weaker_than_single_step",
    "an iterative attack leaves more standing than a single step at the same ε, by more than 2 standard errors",
    "Athalye et al. 2018, section 3.1",
    "study",
    masking=True,
)
BLACK_BOX = Check(
    "black_box_beats_white_box",
    f"over {_BY_SEARCH:.0%} of the samples fall to an attack without gradients and to none with them",
    "Athalye et al. 2018, section 3.1",
    "study",
    masking=True,
)
DISTANCES = Check(
    "distances_contradict",
    f"over {_DISTANCES:.0%} of the samples stand at ε though a minimum-norm attack broke them well within it, or the reverse",
    "README, Trust",
    "study",
)
SAMPLED = Check(
    "weaker_than_sample",
    f"over {_SAMPLED:.0%} of a sample, and more than one image, stand against all of the study's attacks at one norm and ε and "
    "fall to short minimum-norm and targeted attacks; without an audit the verdict counts it where "
    f"as many of the rest would be over {_UNCOUNTED:.0%} of all, or where it is over {_FAR:.0%} of the sample",
    "Carlini et al. 2019, section 4.3 (more than one attack); Croce, Hein 2020, section 4.1 (more than one loss)",
    "study",
)
ESCALATION = Check(
    "escalation",
    "attacks added after the study's own break images that it left standing: each one is proof and counts in the model's own "
    "worst case, and until the ladder is climbed there may be more",
    "Croce, Hein 2020, section 5",
    "study",
)

AUDIT = Check(
    "audit",
    f"of the survivors that the audit drew so many fell, and the rest were not all tried with what broke them, that over "
    f"{_LEFT_OVER:.1%} of all samples are likely to stand though they would fall",
    "Croce, Hein 2020, section 5; the bound: Clopper, Pearson 1934, without replacement",
    "study",
)
UNEVEN = Check(
    "unequal_effort",
    f"what broke this model but was not tried on all models of the study, audit and looks included, puts it over "
    f"{_OVERSTATED:.1%} of all samples below the number that rankings use; the verdict counts it at the study's score ε, numbers "
    "at others are marked there",
    "Carlini et al. 2019, section 4.3; README, Trust",
    "study",
)

CHECKS = (WEAKER, BLACK_BOX, DISTANCES, SAMPLED, AUDIT, UNEVEN, ESCALATION)

STRENGTH = frozenset({DISTANCES.name})


def study_checks(evidence: Evidence) -> list[Checked]:
    """Every comparison between the study's attacks; those that lack a partner are left out."""
    return [
        *_weaker_than_single_step(evidence.results),
        *_black_box(evidence),
        *_distances(evidence.results),
    ]


def tolerance(share: float, total: int) -> float:
    """How much two robust accuracies may differ and still say the same: 1 point, or 2 standard errors if those are more."""
    return max(0.01, 2 * standard_error(share, total))


def _weaker_than_single_step(results: Sequence[Evaluated]) -> list[Checked]:
    """Per iterative attack and radius, held against the strongest single step there. A search of so many queries may well be
    weaker than one gradient, and says nothing of gradients by it."""
    found = []
    for other in results:
        if ATTACKS[other.attack.name].single_step or ATTACKS[other.attack.name].black_box:
            continue
        for theirs in other.ledgers:
            if theirs.eps is None:
                continue
            rivals = [
                (float(mine.survived.mean()), single.attack.name)
                for single in results
                if ATTACKS[single.attack.name].single_step
                and single.attack.name != "noise"
                and single.attack.norm == other.attack.norm
                for mine in single.ledgers
                if mine.eps == theirs.eps
            ]
            if not rivals:
                continue
            single_accuracy, name = min(rivals)
            total, accuracy = len(theirs.survived), float(theirs.survived.mean())
            gap, bound = accuracy - single_accuracy, 2 * standard_error(single_accuracy, total) + 1 / total
            reason = (
                f"{other.attack.name} is weaker than {name} at ε = {theirs.eps:g} by {100 * gap:.1f} points: "
                "gradients may be masked"
            )
            found.append(_judged(WEAKER, gap, bound, reason, other, theirs.eps))
    return found


def _black_box(evidence: Evidence) -> list[Checked]:
    """Per blind attack, over the radii that it shares with gradient attacks. One step alone is no rival for a search."""
    found = []
    for blind in evidence.results:
        if not _is_blind(blind):
            continue
        rivals = [
            other.ledgers
            for other in evidence.results
            if not _is_blind(other)
            and ATTACKS[other.attack.name].ensemble is None  # it has a blind attack in it
            and other.attack.norm == blind.attack.norm
            and (blind.attack.name == "noise" or not ATTACKS[other.attack.name].single_step)
        ]
        for ledger in blind.ledgers:
            if ledger.eps is None or all(survived_at(rival, ledger.eps) is None for rival in rivals):
                continue
            only = worst_case(evidence.clean, rivals, ledger.eps) & ~ledger.survived
            share, bound = float(only.mean()), tolerated(_BY_SEARCH, len(only))
            reason = (
                f"{int(only.sum())} of {len(only)} samples fall to {blind.attack.name} at ε = {ledger.eps:g} "
                "and to no gradient attack: gradients are masked"
            )
            found.append(_judged(BLACK_BOX, share, bound, reason, blind, ledger.eps))
    return found


def _is_blind(evaluated: Evaluated) -> bool:
    """Whether the attack asks for no gradient."""
    return evaluated.attack.name == "noise" or ATTACKS[evaluated.attack.name].black_box


def _distances(results: Sequence[Evaluated]) -> list[Checked]:
    found = []
    for least in results:
        ledger = least.ledgers[0] if least.ledgers else None
        if ledger is None or ledger.distances is None:
            continue
        for other in results:
            if other.attack.norm != least.attack.norm or ATTACKS[other.attack.name].single_step:
                continue
            for fixed in other.ledgers:
                if fixed.eps is None:
                    continue
                inside = fixed.survived & (ledger.distances <= fixed.eps * (1 - _SLACK))
                beyond = ledger.survived & ~fixed.survived & (ledger.distances > fixed.eps * (1 + _SLACK))
                found.append(_contradiction(inside, other, least, fixed.eps, "stand against", "breaks well within it"))
                found.append(_contradiction(beyond, least, other, fixed.eps, "are far from", "breaks there"))
    return found


def _contradiction(who: Bools, weak: Evaluated, strong: Evaluated, eps: float, stand: str, breaks: str) -> Checked:
    share, bound = float(who.mean()), tolerated(_DISTANCES, len(who))
    reason = (
        f"{int(who.sum())} of {len(who)} samples {stand} {weak.attack.name} at ε = {eps:g} "
        f"that {strong.attack.name} {breaks}"
    )
    return _judged(DISTANCES, share, bound, reason, weak, eps)


def sampled(evidence: Evidence) -> list[Checked]:
    """Image by image, one answer for each norm and radius that the study attacks: who stands against all attacks tried and
    fell to the look at the model."""
    found = []
    for norm in dict.fromkeys(look.norm for look in evidence.looks if look.images):
        looks = [look for look in evidence.looks if look.norm == norm]
        own = [one.ledgers for one in evidence.results if one.attack.norm == norm]
        claimed = {ledger.eps for ledgers in own for ledger in ledgers if ledger.eps is not None}
        claimed |= {look.eps for look in looks if any(_claims(ledgers, look.eps) for ledgers in own)}
        for eps in sorted(claimed):
            standing = worst_case(evidence.clean, [*own, *spoken(evidence.added, norm, eps)], eps)
            count = int(standing[fallen_to_looks(looks, norm, eps)].sum())
            reason = (
                f"{{count}} of {{total}} sampled images stand against the study's attacks at {NORM_SIGNS[norm]} ε = {eps:g} "
                "and fall to short attacks that look for the nearest mistake"
            )
            total = max(look.measured or look.images for look in looks)
            found.append(
                share_check(SAMPLED.name, count, total, 0.0, reason, eps=eps, norm=norm, bound=max(_SAMPLED, 1 / total))
            )
    return found


def audited(evidence: Evidence) -> list[Checked]:
    """What the audits found, one answer for each norm and ε: how much of the rest is likely to fall as well, in shares of all
    samples."""
    total, found = len(evidence.clean.correct), []
    for audit in evidence.audits:
        for one in audit.radii:
            at = f"{NORM_SIGNS[audit.norm]} ε = {one.eps:g}"
            who = f"{one.fell} of {one.audited} audited survivors" if one.fell else f"none of {one.audited}"
            tried = ", ".join(one.felled_by if one.fell else one.attacks)
            more = f", and {one.broken - one.fell} of the others" if one.broken > one.fell and one.rounds > 1 else ""
            reason = f"audit: {who} fell at {at} to {tried or 'nothing that could be tried'}{more}"
            known = int(known_standing(evidence, audit.norm, one.eps).sum())
            most, likely = overstated_at_most(one, total), overstated_by(one, known, total)
            if most is not None:
                reason += f"; at most {100 * min(most, known / total):.1f} points too high against that"
            verdict = "suspect" if likely > _LEFT_OVER else "ok"
            found.append(Checked(AUDIT.name, verdict, likely, _LEFT_OVER, reason, None, one.eps, audit.norm))
    return found


def uneven(evidence: Evidence) -> list[Checked]:
    """How far the numbers that rankings use are above all that is known of this model, and is likely of those that neither audit
    nor look drew: one answer for each norm and ε at which the study says something."""
    total, found = len(evidence.clean.correct), []
    attacks, drawn = [one.attack for one in evidence.results], _drawn(evidence)
    missed = {(one.norm, one.eps): one.value or 0.0 for one in sampled(evidence)}
    for norm in dict.fromkeys(attack.norm for attack in attacks):
        for eps in radii_of(attacks, evidence.threat, norm):
            claimed = int(compared_standing(evidence, norm, eps).sum())
            known = int(known_standing(evidence, norm, eps).sum())
            if (norm, eps) in drawn:
                rest = overstated_by(drawn[norm, eps], known, total)
            else:
                right = float(evidence.clean.correct.mean())
                rest = min(missed.get((norm, eps), 0.0) * (1 - _looked_at(evidence, norm)) * right, known / total)
            over, reason = (claimed - known) / total + rest, None
            if over > _OVERSTATED and claimed > known:
                reason = (
                    f"{words(UNEVEN.name)}: worst case at {NORM_SIGNS[norm]} ε = {eps:g} is {claimed / total:.1%} by the attacks "
                    f"that all models had, {known / total:.1%} by all that is known of this one; even out: innate attack --level"
                )
            verdict = "suspect" if reason else "ok"
            found.append(Checked(UNEVEN.name, verdict, over, _OVERSTATED, reason, None, eps, norm))
    return found


def doubts_worst_case(checked: Checked, evidence: Evidence) -> bool:
    """Whether what a look broke makes it likely that the worst case by all that is known, which counts those, is too high by as
    much as would matter. Where an audit drew a sample of its own, that says it."""
    if checked.value is None or (checked.norm, checked.eps) in _drawn(evidence):
        return False
    return checked.value > _FAR or checked.value * (1 - _looked_at(evidence, checked.norm)) > _UNCOUNTED


def _drawn(evidence: Evidence) -> dict[tuple[str | None, float | None], AuditedRadius]:
    """(norm, ε) → what the audit came to there."""
    return {(audit.norm, one.eps): one for audit in evidence.audits for one in audit.radii}


def _looked_at(evidence: Evidence, norm: str | None) -> float:
    """The share of the images classified rightly that a look in the norm tried."""
    right = int(evidence.clean.correct.sum())
    measured = max((look.measured or look.images for look in evidence.looks if look.norm == norm), default=0)
    return min(1.0, measured / right) if right else 1.0


def escalated(evidence: Evidence) -> Checked | None:
    """What attacks added later make of the study's worst case, at each radius they were tried at; None without any.

    They are tried on the same images, so nothing is left to chance: each further break is proof.

    "suspect" while such a break is the last word, "ok" once the ladder has been climbed until nothing
    more fell.
    """
    threat = evidence.threat
    added = [one for one in evidence.added if threat is not None and one.attack.norm == threat.norm]
    if threat is None or not added:
        return None
    own = [one.ledgers for one in evidence.results if one.attack.norm == threat.norm]
    answers = []
    for eps in sorted({radius for one in added for radius in radii(one)} or {threat.eps}):
        if eps != threat.eps and not any(_claims(ledgers, eps) for ledgers in own):
            continue
        claimed = worst_case(evidence.clean, own, eps)
        standing, gains = claimed, []
        for one in added:
            survived = survived_at(one.ledgers, eps) if speaks_at(one.attack, eps) else None
            if survived is not None:
                gains.append((int((standing & ~survived).sum()), one.attack.name))
                standing = standing & survived
        if not gains:
            continue
        answers.append(
            _answer(evidence, Threat(threat.norm, eps), float(claimed.mean()), float(standing.mean()), gains)
        )
    if not answers:
        return None
    # The study's own radius speaks first among equals.
    return max(answers, key=lambda one: (one.trust != "ok", one.eps == threat.eps))


def _answer(evidence: Evidence, at: Threat, claimed: float, left: float, gains: Sequence[tuple[int, str]]) -> Checked:
    tried = ", ".join(dict.fromkeys(name for _, name in gains))
    if left == claimed:
        reason = f"escalation: worst case at ε = {at.eps:g} stays at {left:.1%} under {tried}"
        return Checked(ESCALATION.name, "ok", left, claimed, reason, None, at.eps)
    reason = (
        f"escalation: worst case at ε = {at.eps:g} falls from {claimed:.1%} to {left:.1%} under {tried}, most of it under "
        f"{max(gains)[1]}; the model's own worst case counts it"
    )
    steps = climbed(evidence, at)
    if is_whole(steps, at) or is_quiet(steps) or _audit_is_last(evidence, at):
        return Checked(ESCALATION.name, "ok", left, claimed, reason, None, at.eps)
    return Checked(
        ESCALATION.name, "suspect", left, claimed, f"{reason}; more may fall: innate attack --escalate", None, at.eps
    )


def _audit_is_last(evidence: Evidence, at: Threat) -> bool:
    """Whether an audit of what stands now found next to nothing: those that it did not break stand still, but for as few as it
    may miss."""
    total = len(evidence.clean.correct)
    for audit in evidence.audits:
        for one in audit.radii:
            if (audit.norm, one.eps) == (at.norm, at.eps):
                known = int(known_standing(evidence, at.norm, at.eps).sum())
                fallen_since = one.standing - one.fell - known
                return overstated_by(one, known, total) <= _LEFT_OVER and fallen_since <= _LEFT_OVER * total
    return False


def radii(evaluated: Evaluated) -> tuple[float, ...]:
    """The ε at which an attack speaks: its own, or where it ran on the survivors at one radius, that one."""
    after = evaluated.attack.params.get("after")
    return (float(after["eps"]),) if after else evaluated.attack.eps


def _claims(ledgers: Sequence[Ledger], eps: float) -> bool:
    """Whether an attack was read at this very radius: what it says of a smaller one is no claim about this."""
    return any(ledger.eps == eps or ledger.distances is not None for ledger in ledgers)


def _judged(check: Check, value: float, bound: float, reason: str, evaluated: Evaluated, eps: float) -> Checked:
    if value <= bound or not np.isfinite(value):
        return Checked(check.name, "ok", value, bound, None, evaluated.attack.id, eps)
    return Checked(check.name, "suspect", value, bound, f"{words(check.name)}: {reason}", evaluated.attack.id, eps)
