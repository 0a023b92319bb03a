"""Checks of one attack on one model: whether it did what it is meant to do, and whether it had got to its end.

Shares are of the test set, so that a few images more or less mean the same whatever the radius.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from core.attacks import ATTACKS
from core.records.outcome import CleanOutcome, Ledger, Trace
from core.verdict.trust.entry import Check, Checked, Evaluated, share_check, standard_error, words

_OUTSIDE = 0.001
_UNCONFIRMED = 0.02
_NO_GRADIENT = 0.02
_LATE = 0.01
_MOVING = 0.05
"""A forecast that is on the high side: of the images said to be on their way after ten steps of PGD (2.3 % on average over
12 ordinary nets), 90 more steps broke one in five."""
_LAST_RESTART = 0.01

OUTSIDE = Check(
    "outside_ball",
    "images outside the ball or the box fooled the model and were not counted: the attack breaks its own constraint",
    "Carlini et al. 2019, section 4.11",
    "attack",
)
UNCONFIRMED = Check(
    "unconfirmed_success",
    f"over {_UNCONFIRMED:.0%} of the samples stand though the pass that crafted them said otherwise",
    "README, Trust: every success is confirmed in fp32",
    "attack",
)
LOST = Check(
    "lost_gradients",
    f"over {_NO_GRADIENT:.0%} of the attacked samples gave a gradient that is 0 in every pixel, or NaN",
    "Athalye et al. 2018, section 3.1",
    "attack",
    masking=True,
)
LATE = Check(
    "steps_still_gaining",
    f"over {_LATE:.0%} of the samples fell only in the last tenth of the steps: more steps would break more",
    "Carlini et al. 2019, section 5.5",
    "attack",
)
MOVING = Check(
    "loss_still_moving",
    f"over {_MOVING:.0%} of the samples stand with a margin that would be gone within as many steps again",
    "Carlini et al. 2019, section 5.5",
    "attack",
)
RESTARTS = Check(
    "restarts_still_gaining",
    f"over {_LAST_RESTART:.0%} of the samples fell only in the last of several restarts: more would break more",
    "Mosbach et al. 2018; Carlini et al. 2019, section 5.6",
    "attack",
)
REACH = Check(
    "short_reach",
    "all steps together are shorter than the radius: the attack cannot get to the surface of the ball",
    "Carlini et al. 2019, section 5.5",
    "attack",
)
ABOVE_CLEAN = Check(
    "above_clean",
    "accuracy on a single-step attack's images is 2 standard errors above that on clean ones",
    "Kurakin et al. 2017 (label leaking); Wong et al. 2020",
    "attack",
    masking=True,
)
RISING = Check(
    "rising_accuracy",
    "accuracy under a single step rises with ε, by more than 2 standard errors",
    "Carlini et al. 2019, section 5.2",
    "attack",
    masking=True,
)

CHECKS = (OUTSIDE, UNCONFIRMED, LOST, LATE, MOVING, RESTARTS, REACH, ABOVE_CLEAN, RISING)

STRENGTH = frozenset(check.name for check in (OUTSIDE, UNCONFIRMED, LOST, LATE, MOVING, RESTARTS, REACH, RISING))
"""Faults of the attack, not of the model: beside an attack as strong and without fault they do no harm."""


def attack_checks(clean: CleanOutcome, evaluated: Evaluated) -> list[Checked]:
    """Every check of one attack at each of its radii; those that its kind does not have are left out."""
    found = [
        checked
        for trace in evaluated.traces
        for check in _OF_TRACES
        if (checked := check(trace, evaluated, len(clean.correct))) is not None
    ]
    if ATTACKS[evaluated.attack.name].single_step:
        found += _single_step(clean, evaluated)
    return found


def reduced(found: Sequence[Checked], counts: Callable[[Checked], bool] = lambda _: True) -> list[Checked]:
    """One row per check and attack: the worst over norms and radii, what counts before what does not, of equals the one
    farthest past its bound."""
    rows: dict[tuple[str, str | None], tuple[tuple[bool, bool, float], Checked]] = {}
    for checked in found:
        key, severity = (checked.name, checked.attack_id), (counts(checked), *_severity(checked))
        if key not in rows or severity > rows[key][0]:
            rows[key] = severity, checked
    return [checked for _, checked in rows.values()]


def _severity(checked: Checked) -> tuple[bool, float]:
    excess = 0.0 if checked.value is None or checked.bound is None else checked.value - checked.bound
    return checked.trust != "ok", -excess if checked.name == REACH.name else excess


def _at(trace: Trace) -> str:
    return "" if trace.eps is None else f" at ε = {trace.eps:g}"


def _outside(trace: Trace, evaluated: Evaluated, total: int) -> Checked:
    reason = (
        f"{evaluated.attack.name} left {{count}} images{_at(trace)} outside the ball or the box, which fool the model"
    )
    return _share(OUTSIDE, trace.outside, total, _OUTSIDE, reason, trace, evaluated)


def _unconfirmed(trace: Trace, evaluated: Evaluated, total: int) -> Checked:
    reason = (
        f"{{count}} of {{total}} samples stand against {evaluated.attack.name}{_at(trace)}, "
        "though the pass that crafted them said otherwise"
    )
    return _share(UNCONFIRMED, trace.unconfirmed, total, _UNCONFIRMED, reason, trace, evaluated)


def _lost(trace: Trace, evaluated: Evaluated, total: int) -> Checked:
    reason = f"{evaluated.attack.name}{_at(trace)} had no gradient, or NaN, to go by on {{count}} of {{total}} samples"
    return _share(LOST, trace.zero_gradients + trace.bad_gradients, total, _NO_GRADIENT, reason, trace, evaluated)


def _late(trace: Trace, evaluated: Evaluated, total: int) -> Checked | None:
    if trace.late is None:
        return None
    reason = f"{{count}} of {{total}} samples fell to {evaluated.attack.name}{_at(trace)} only in its last steps; give it more"
    return _share(LATE, trace.late, total, _LATE, reason, trace, evaluated)


def _moving(trace: Trace, evaluated: Evaluated, total: int) -> Checked | None:
    if trace.moving is None:
        return None
    reason = (
        f"{{count}} of {{total}} samples were still on their way over the boundary when {evaluated.attack.name}"
        f"{_at(trace)} ended; give it more steps"
    )
    return _share(MOVING, trace.moving, total, _MOVING, reason, trace, evaluated)


def _restarts(trace: Trace, evaluated: Evaluated, total: int) -> Checked | None:
    if trace.last_restart is None:
        return None
    reason = f"{{count}} of {{total}} samples fell to {evaluated.attack.name}{_at(trace)} only in the last restart; give it more"
    return _share(RESTARTS, trace.last_restart, total, _LAST_RESTART, reason, trace, evaluated)


def _reach(trace: Trace, evaluated: Evaluated, total: int) -> Checked | None:  # noqa: ARG001
    if trace.reach is None:
        return None
    # A random start gets a part of the way; the worst start is on the far side, so the steps must do it alone.
    short = trace.reach < 1.0 - 1e-6
    reason = (
        f"{words(REACH.name)}: the steps of {evaluated.attack.name}{_at(trace)} add up to {trace.reach:.0%} of the radius; "
        "give it more or longer ones"
    )
    return Checked(
        REACH.name,
        "suspect" if short else "ok",
        trace.reach,
        1.0,
        reason if short else None,
        evaluated.attack.id,
        trace.eps,
    )


_OF_TRACES: tuple[Callable[[Trace, Evaluated, int], Checked | None], ...] = (
    _outside, _unconfirmed, _lost, _late, _moving, _restarts, _reach,
)  # fmt: skip


def _share(
    check: Check, count: int, total: int, small: float, reason: str, trace: Trace, evaluated: Evaluated
) -> Checked:
    return share_check(check.name, count, total, small, reason, attack_id=evaluated.attack.id, eps=trace.eps)


def _single_step(clean: CleanOutcome, evaluated: Evaluated) -> list[Checked]:
    attack, total, accuracy = evaluated.attack, len(clean.correct), float(clean.correct.mean())
    judged = [
        (ledger, ledger.adversarial_accuracy) for ledger in evaluated.ledgers if ledger.adversarial_accuracy is not None
    ]
    found = []
    if attack.name != "noise":
        bound = accuracy + 2 * standard_error(accuracy, total)
        for ledger, adversarial in judged:
            reason = None
            if adversarial > bound:
                reason = f"{attack.name} at ε = {ledger.eps:g} raises accuracy from {accuracy:.1%} to {adversarial:.1%}"
            found.append(_judged(ABOVE_CLEAN, adversarial, bound, reason, ledger, evaluated))
    for (low_ledger, low), (high_ledger, high) in itertools.pairwise(judged):
        bound = low + 2 * math.sqrt(2) * standard_error((low + high) / 2, total)
        reason = None
        if high > bound:
            reason = (
                f"{attack.name} accuracy rises from {low:.1%} at ε = {low_ledger.eps:g} to {high:.1%} "
                f"at ε = {high_ledger.eps:g}"
            )
        found.append(_judged(RISING, high, bound, reason, high_ledger, evaluated))
    return found


def _judged(
    check: Check, value: float, bound: float, reason: str | None, ledger: Ledger, evaluated: Evaluated
) -> Checked:
    text = None if reason is None else f"{words(check.name)}: {reason}"
    verdict = "ok" if reason is None else "suspect"
    return Checked(check.name, verdict, value, bound, text, evaluated.attack.id, ledger.eps)
