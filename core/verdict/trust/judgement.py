"""Whether a number can be believed: a verdict, and every check behind it with its reason in words.

Torch-free: what a model has to be asked itself is asked in `core.verdict.diagnosis`; here are the answers judged. A suspicion is
raised only by more than chance makes likely on so many samples; to add a check: an entry and a function here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.attacks import ATTACKS
from core.names import TRUST, worst
from core.records.outcome import CleanOutcome, Diagnosis
from core.registry import Registry
from core.verdict.ledgers import survived_at
from core.verdict.trust import attack, model, study
from core.verdict.trust.attack import attack_checks, reduced
from core.verdict.trust.entry import (  # fmt: skip
    Check,
    Checked,
    Evaluated,
    Evidence,
    Reason,
)
from core.verdict.trust.ladder import climbed, is_quiet, is_whole
from core.verdict.trust.model import degenerate
from core.verdict.trust.study import tolerance

CHECKS: Registry[Check] = Registry("trust check", (*model.CHECKS, *attack.CHECKS, *study.CHECKS))

_STRENGTH = attack.STRENGTH | study.STRENGTH


@dataclass(frozen=True)
class Judgement:
    """The verdict on one model in one study. `checks` holds every answer, good ones too; `counted[i]` says whether the
    verdict takes over what `checks[i]` found, `reasons` are those that it does."""

    trust: str
    reasons: tuple[Reason, ...]
    checks: tuple[Checked, ...]
    counted: tuple[bool, ...]

    @property
    def trust_of_known(self) -> str:
        """The verdict on the worst case that counts all that is known of the model: what only rankings lack is no fault."""
        serious = [
            one.trust
            for one, counts in zip(self.checks, self.counted, strict=True)
            if counts and one.name != study.UNEVEN.name
        ]
        return worst(serious)


def trust_of_evaluation(clean: CleanOutcome, evaluated: Evaluated) -> tuple[str, tuple[Reason, ...]]:
    """("ok" | "suspect" | "invalid", reasons) for one attack on one model."""
    worthless = degenerate(clean)
    if worthless.reason:
        return "invalid", _reasons([worthless])
    found = [checked for checked in reduced(attack_checks(clean, evaluated)) if checked.trust != "ok"]
    return worst(checked.trust for checked in found), _reasons(found)


def trust_of_diagnosis(diagnosis: Diagnosis, *, at_radius: bool = False) -> tuple[str, tuple[Reason, ...]]:
    """("ok" | "suspect" | "invalid", reasons) for a look at the model itself; `at_radius`: for what depends on ε only."""
    checks = [one for one in model.diagnosed(diagnosis) if one.eps is not None or not at_radius]
    found = [checked for checked in checks if checked.trust != "ok"]
    return worst(checked.trust for checked in found), _reasons(found)


def judge(evidence: Evidence) -> Judgement:
    """The verdict on one model in one study.

    A degenerate model is "invalid", whatever else. What is wrong with the model always counts. What is wrong with one
    attack counts only where no other iterative attack in that norm, without such a fault, is about as strong at that
    radius: a weak attack beside a strong one does no harm to a worst case. What the look at the model broke counts in the
    scores; the verdict takes over only what may be missing from them still (`study.doubts_worst_case`).

    An escalation settles the strength of the attacks once its rungs gain nothing more, for what it broke counts in the
    scores as well; climbed to its top, it settles the suspicion of masked gradients too, for the last rungs go by neither
    the logits' scale nor any gradient (the ensemble of Croce, Hein 2020). It settles neither randomness nor NaN nor
    catastrophic overfitting nor how an import was read.
    """
    worthless = degenerate(evidence.clean)
    found = [worthless, *(checked for look in evidence.looks for checked in model.diagnosed(look))]
    overfitted = model.overfitted(evidence.epochs, evidence.clean_share)
    found += [one for one in (overfitted, model.guessed(evidence.guesses)) if one is not None]
    per_radius = [checked for one in evidence.results for checked in attack_checks(evidence.clean, one)]
    per_radius += study.study_checks(evidence)
    sampled = [*study.sampled(evidence), *study.audited(evidence), *study.uneven(evidence)]
    escalation = study.escalated(evidence)
    covering = _covering(evidence, per_radius)
    norm = evidence.threat.norm if evidence.threat else None
    scored_at = (norm, evidence.threat.eps) if evidence.threat else None
    scored = {one.attack.id for one in evidence.results if one.attack.norm == norm}

    def counts(checked: Checked) -> bool:
        if checked.trust == "ok" or (checked.attack_id is not None and checked.attack_id not in scored):
            return False
        if checked.name == study.UNEVEN.name and (checked.norm, checked.eps) != scored_at:
            return False
        if checked.name == study.SAMPLED.name and not study.doubts_worst_case(checked, evidence):
            return False
        if escalation is not None and escalation.trust == "ok" and _settles(evidence, checked):
            return False
        return not (checked.name in _STRENGTH and _is_covered(checked, evidence, covering))

    # One row for each check and attack: of what counts, else of what does not, the worst over norms and radii. What looks and
    # audits found is kept for each of them: the numbers there are read beside it.
    checks = [*reduced([*found, *per_radius], counts), *sampled]
    counted = [counts(one) for one in checks]
    if escalation is not None:
        checks.append(escalation)
        counted.append(escalation.trust != "ok")
    if worthless.reason:
        counted = [one is worthless for one in checks]
    serious = [one for one, counts_here in zip(checks, counted, strict=True) if counts_here]
    return Judgement(worst(one.trust for one in serious), _reasons(serious), tuple(checks), tuple(counted))


def is_masked(judgement: Judgement) -> bool:
    """Whether the verdict rests on a suspicion that gradient attacks are blinded."""
    return any(
        counts and CHECKS[checked.name].masking
        for checked, counts in zip(judgement.checks, judgement.counted, strict=True)
    )


def _reasons(found: Sequence[Checked]) -> tuple[Reason, ...]:
    """The worst first."""
    ordered = sorted(found, key=lambda checked: -TRUST.index(checked.trust))
    return tuple(dict.fromkeys(Reason(checked.name, checked.reason) for checked in ordered if checked.reason))


def _settles(evidence: Evidence, checked: Checked) -> bool:
    """Whether the escalation went far enough to answer what this check suspects, in the norm in which it does; how many
    more fall at another radius it does not tell."""
    assert evidence.threat is not None
    if checked.norm not in (None, evidence.threat.norm):
        return False
    at = evidence.threat
    of_samples = checked.name in (study.SAMPLED.name, study.AUDIT.name)
    if of_samples and checked.eps is not None:
        at = replace(at, eps=checked.eps)
    steps = climbed(evidence, at)
    whole = is_whole(steps, at)
    if checked.name in _STRENGTH or of_samples:
        return whole or is_quiet(steps)
    return whole and CHECKS[checked.name].masking


def _covering(evidence: Evidence, found: Sequence[Checked]) -> list[Evaluated]:
    """The attacks that may stand in for a faulty one: iterative, on every sample, without a fault of their own."""
    faulty = {one.attack_id for one in found if one.trust != "ok"}
    faulty |= {
        one.attack.id
        for one in evidence.added
        if any(checked.trust != "ok" for checked in attack_checks(evidence.clean, one))
    }
    return [
        one
        for one in (*evidence.results, *evidence.added)
        if not ATTACKS[one.attack.name].single_step
        and one.attack.id not in faulty
        and not one.attack.params.get("after")
    ]


def _is_covered(checked: Checked, evidence: Evidence, covering: Sequence[Evaluated]) -> bool:
    weak = next((one for one in evidence.results if one.attack.id == checked.attack_id), None)
    eps = checked.eps if checked.eps is not None else evidence.threat.eps if evidence.threat else None
    left = None if weak is None or eps is None else survived_at(weak.ledgers, eps)
    if weak is None or eps is None or left is None:
        return False
    accuracy = float(left.mean())
    for one in covering:
        rival = survived_at(one.ledgers, eps)
        as_strong = rival is not None and float(rival.mean()) <= accuracy + tolerance(accuracy, len(left))
        if one.attack.norm == weak.attack.norm and as_strong:
            return True
    return False
