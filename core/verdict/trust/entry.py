"""What a trust check is, what it finds, and the arithmetic that all of them share. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from core.audit import AuditedRadius
from core.records.attack import AttackSpec, Threat
from core.records.outcome import CleanOutcome, Diagnosis, Floats, Ledger, Trace
from core.registry import Parameter


@dataclass(frozen=True)
class Check:
    """`scope` says what the check is about: the model itself, one attack on it, or the attacks of a study side by side.

    `masking`: its suspicion is that gradient attacks are blinded, which a finished escalation answers, since its last rungs
    do not follow the loss (DLR) or any gradient (Square).
    """

    name: str
    summary: str
    source: str
    scope: str
    masking: bool = False
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True)
class Checked:
    """One check's answer: `value` held against `bound`, in the check's own unit; `reason` in words, also where it is ok and
    there is something to say. `attack_id` where one attack is meant, `eps` where one radius is, `norm` where a look at the
    model in one norm is.
    """

    name: str
    trust: str
    value: float | None = None
    bound: float | None = None
    reason: str | None = None
    attack_id: str | None = None
    eps: float | None = None
    norm: str | None = None


@dataclass(frozen=True)
class Reason:
    """Why a number is doubted: the name of the check that says so, and what it says, in words."""

    check: str
    text: str


@dataclass(frozen=True)
class Evaluated:
    """One attack on one model: what it left standing, and what its own run told."""

    attack: AttackSpec
    ledgers: Sequence[Ledger]
    traces: Sequence[Trace] = ()


@dataclass(frozen=True)
class Further:
    """Confirmed adversarial images from elsewhere: `fell_at` [n] is the least radius known for each test sample, float32, inf
    where there is none."""

    norm: str
    fell_at: Floats


@dataclass(frozen=True)
class AuditFound:
    """What the study's audit came to in one norm, one record for each ε."""

    norm: str
    radii: Sequence[AuditedRadius]


@dataclass(frozen=True)
class EpochAccuracy:
    """Of one epoch of training: accuracy on the images trained on, and robust accuracy of the held-out probe; fractions."""

    epoch: int
    accuracy: float
    probe_accuracy: float | None


@dataclass(frozen=True)
class Evidence:
    """All that is known of one model in one study. `added` are attacks tried beside the study's own, the rungs of an
    escalation among them; `looks` are those at the model itself, one for each norm and radius looked at."""

    clean: CleanOutcome
    results: Sequence[Evaluated] = ()
    threat: Threat | None = None
    looks: Sequence[Diagnosis] = ()
    epochs: Sequence[EpochAccuracy] = ()
    clean_share: float = 0.0
    """Of the training images, those that the defense left clean."""
    added: Sequence[Evaluated] = ()
    common: frozenset[str] = frozenset()
    """Ids of those added attacks that every model of the study has had."""
    further: Sequence[Further] = ()
    audits: Sequence[AuditFound] = ()
    guesses: Sequence[str] = ()
    """Of weights that were trained elsewhere, what nothing proved when they were imported."""


def standard_error(share: float, total: int) -> float:
    """The binomial one of `share` among `total`."""
    return math.sqrt(share * (1.0 - share) / total) if total else 0.0


def tolerated(share: float, total: int) -> float:
    """What must be exceeded before a share that ought to be no larger than `share` is worth a word: two standard errors
    above it, so that 60 images are not judged by one of them, nor 10,000 by a rounding; and never a single sample, unless
    none may be."""
    if share == 0.0 or total == 0:
        return 0.0
    return max(share + 2.0 * standard_error(share, total), 1.0 / total)


def share_check(
    name: str,
    count: int,
    total: int,
    small: float,
    reason: str,
    *,
    trust: str = "suspect",
    attack_id: str | None = None,
    eps: float | None = None,
    norm: str | None = None,
    bound: float | None = None,
) -> Checked:
    """`count` of `total` against `bound`, else against what is `tolerated`; `reason` may use {count}, {total}, {share}."""
    share, bound = count / total, tolerated(small, total) if bound is None else bound
    if share <= bound:
        return Checked(name, "ok", share, bound, None, attack_id, eps, norm)
    text = reason.format(count=count, total=total, share=f"{share:.1%}")
    return Checked(name, trust, share, bound, f"{words(name)}: {text}", attack_id, eps, norm)


def words(name: str) -> str:
    """A check's name as a reason begins with it."""
    return name.replace("_", " ")
