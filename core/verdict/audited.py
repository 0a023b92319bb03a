"""What follows from an audit: how far a robust accuracy can be too high, against the attacks that the audit ran. numpy and
scipy only; the audit itself is `core.evaluation.audit`'s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from core.audit import AuditedRadius, AuditSpec
from core.records.attack import AttackSpec, AuditSettings, Threat
from core.verdict.ledgers import USUAL_EPS

ERROR = 0.05
"""Of a bound, at one ε and in one norm: all rounds together."""


def wanted_audits(
    attacks: Sequence[AttackSpec], threat: Threat | None, settings: AuditSettings
) -> tuple[AuditSpec, ...]:
    """The audits of a study's models: one for each norm attacked, at every ε attacked in it and at the score's; where only
    distances are asked for, at the score's or the usual one. None without samples."""
    if settings.samples == 0:
        return ()
    found = []
    for norm in dict.fromkeys(attack.norm for attack in attacks):
        radii = radii_of(attacks, threat, norm)
        found.append(AuditSpec(norm, radii, settings.samples, settings.share, settings.depth))
    return tuple(found)


def radii_of(attacks: Sequence[AttackSpec], threat: Threat | None, norm: str) -> tuple[float, ...]:
    """The ε, ascending, at which a study says something about its models in one norm that it attacks."""
    radii = {eps for attack in attacks if attack.norm == norm for eps in attack.eps}
    if threat is not None and threat.norm == norm:
        radii.add(threat.eps)
    return tuple(sorted(radii or {USUAL_EPS[norm]}))


def error_of_round(number: int) -> float:
    """What the bound of round `number`, from 1, may err by: halved from round to round, so that all together stay within
    ERROR however many there are."""
    return float(ERROR / 2**number)


def fallible_at_most(standing: int, audited: int, fell: int, error: float) -> int:
    """How many of `standing` samples, those that fell among them, fall to the audit's attacks at most, where `fell` of
    `audited` drawn without replacement did: the largest count under which so few are no rarer than `error`.

    Exact (hypergeometric): Clopper and Pearson's way without replacement.
    """
    from scipy.stats import hypergeom

    if audited >= standing:
        return fell
    low, high = fell, standing - (audited - fell)
    while low < high:  # the chance of so few falls as the count rises
        middle = (low + high + 1) // 2
        if float(hypergeom.cdf(fell, standing, middle, audited)) > error:
            low = middle
        else:
            high = middle - 1
    return low


def overstated_at_most(found: AuditedRadius, total: int) -> float | None:
    """The share of all `total` samples by which a robust accuracy that counts what the audit broke is too high at most, at one
    ε, against the attacks that the audit ran; 95 %. None where nothing was audited though something stands."""
    if found.standing == 0:
        return 0.0
    if found.audited == 0:
        return None
    most = fallible_at_most(found.standing, found.audited, found.fell, error_of_round(found.rounds))
    return (most - found.fell) / total


def overstated_by(found: AuditedRadius, known: int, total: int) -> float:
    """The share of all `total` samples that is likely to stand still though it would fall: as many of all that stood fall as of
    those that were audited, less those that fell meanwhile. `known` is how many stand now."""
    if found.audited == 0:
        return 0.0
    fallen = max(0, found.standing - known)
    return max(0.0, found.fell / found.audited * found.standing - fallen) / total


def pooled_at_most(found: Sequence[tuple[AuditedRadius, int]]) -> float | None:
    """The mean over models of what each is overstated by, at most, at one ε; 95 %. Each comes with its number of samples.

    Where nothing fell the models are one stratified sample: the bound is the largest sum of counts that leaves all samples
    whole with no less than the error, found by adding one at a time where that costs least (each stratum's chance is concave
    in its count). Models of which some fell have bounds of their own, at a share of the error. None if one lacks an audit.
    """
    if not found or any(one.audited == 0 and one.standing > 0 for one, _ in found):
        return None
    whole = [(one, total) for one, total in found if one.fell == 0 and one.standing > 0]
    broken = [(one, total) for one, total in found if one.fell > 0]
    parts = 2 if whole and broken else 1
    over = 0.0
    for one, total in broken:
        error = error_of_round(one.rounds) / parts / len(broken)
        over += (fallible_at_most(one.standing, one.audited, one.fell, error) - one.fell) / total
    if whole:
        over += _most_that_spare_all(whole, min(error_of_round(one.rounds) for one, _ in whole) / parts)
    return over / len(found)


def _most_that_spare_all(strata: Sequence[tuple[AuditedRadius, int]], error: float) -> float:
    """The largest sum of count / total over the strata with a chance above `error` that no sample has any of them."""
    import heapq

    left = math.log(error)
    counts = [0] * len(strata)

    def cost(place: int) -> float:
        """What one more in this stratum takes from the logarithm of the chance, per share of its samples."""
        one, total = strata[place]
        rest = one.standing - counts[place]
        spared = rest - one.audited
        return math.inf if spared <= 0 else -math.log(spared / rest) * total

    queue = [(cost(place), place) for place in range(len(strata))]
    heapq.heapify(queue)
    chance = 0.0
    while queue:
        price, place = heapq.heappop(queue)
        if math.isinf(price):
            continue
        total = strata[place][1]
        if chance - price / total <= left:
            break
        chance -= price / total
        counts[place] += 1
        heapq.heappush(queue, (cost(place), place))
    return sum(count / total for count, (_, total) in zip(counts, strata, strict=True))
