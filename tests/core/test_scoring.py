import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import trapezoid

from core.attacks import resolve
from core.records import CleanOutcome, Ledger, Threat
from core.verdict.ledgers import survived_at
from core.verdict.scoring import score_trial
from core.verdict.statistics import t_interval
from core.verdict.trust.model import degenerate


def clean_of(correct, classes=10, majority=0.1, top=0.1):
    return CleanOutcome(np.asarray(correct, bool), classes, majority, top)


def spec(name, eps, **options):
    return resolve(name, {"eps": list(eps), **options}, "attack")


def ledgers(*rows):
    return [Ledger(eps, np.asarray(survived, bool)) for eps, survived in rows]


def values(scored):
    return {score.name: score.value for score in scored}


def test_scores_by_hand():
    """Ten samples, two classes, nine right; FGSM leaves 7 then 5, PGD 6 at the larger ε, one of them not FGSM's."""
    correct = [1] * 9 + [0]
    fgsm = spec("fgsm", [0.1, 0.2]), ledgers((0.1, [1] * 7 + [0] * 3), (0.2, [1] * 5 + [0] * 5))
    pgd = spec("pgd", [0.2]), ledgers((0.2, [0] + [1] * 6 + [0] * 3))
    scored = score_trial(clean_of(correct, classes=2, majority=0.2, top=0.5), [fgsm, pgd], Threat("linf", 0.2))
    found = values(scored)
    assert found["clean_accuracy"] == pytest.approx(0.9)
    assert found["worst_case"] == pytest.approx(0.4)  # FGSM's five without the one that PGD broke
    assert found["retention"] == pytest.approx(0.4 / 0.9)
    a0, a1, a2 = 0.8, 0.4, 0.0  # (0.9, 0.7, 0.4) above the chance of 0.5, doubled; the last below chance
    area = (0.1 * (a0 + a1) / 2 + 0.1 * (a1 + a2) / 2) / 0.2
    assert found["curve_area"] == pytest.approx(area)
    assert found["innate"] == pytest.approx(100 * 2 * 0.8 * area / (0.8 + area))


def test_an_attack_that_lacks_the_score_radius_counts_with_its_largest_smaller_one():
    fgsm = spec("fgsm", [0.1]), ledgers((0.1, [1, 0, 1, 1]))
    pgd = spec("pgd", [0.3]), ledgers((0.3, [0, 0, 0, 0]))
    scored = score_trial(clean_of([1] * 4), [fgsm, pgd], Threat("linf", 0.2))
    assert values(scored)["worst_case"] == 0.75
    assert survived_at(pgd[1], 0.2) is None


def test_other_norms_stay_out_and_minimum_norm_ledgers_are_read_by_distance():
    strong_l2 = spec("pgd", [1.0], norm="l2"), ledgers((1.0, [0] * 4))
    distances = Ledger(None, np.array([True] * 4), np.array([0.05, 0.15, 0.25, np.inf], np.float32))
    fgsm = spec("fgsm", [0.1, 0.2]), ledgers((0.1, [1] * 4), (0.2, [1] * 4))
    least = spec("pgd", [0.2], seed=5), [distances]
    found = values(score_trial(clean_of([1] * 4), [fgsm, strong_l2, least], Threat("linf", 0.2)))
    assert found["worst_case"] == 0.5
    assert found["curve_area"] == pytest.approx(trapezoid([1, (0.75 - 0.1) / 0.9, (0.5 - 0.1) / 0.9], dx=0.1) / 0.2)


def test_the_notebooks_trap_earns_nothing():
    """A collapsed model answers one class, 11.35 % right, and no attack changes that: retention would be 100 %."""
    correct = np.arange(10_000) < 1135
    fgsm = spec("fgsm", [0.15, 0.3]), ledgers((0.15, correct), (0.3, correct))
    found = values(score_trial(clean_of(correct, majority=0.1135, top=1.0), [fgsm], Threat("linf", 0.15)))
    assert found["retention"] is None
    assert found["innate"] == 0.0


def test_a_study_without_attacks_has_a_clean_score_only():
    found = values(score_trial(clean_of([1] * 90 + [0] * 10), [], None))
    assert found["clean_accuracy"] == 0.9
    assert found["worst_case"] is found["retention"] is found["curve_area"] is found["innate"] is None


rows_of_bits = st.integers(2, 40).flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=4, max_size=4)
)


@settings(deadline=None, max_examples=40)
@given(rows_of_bits)
def test_worst_case_and_area_agree_with_a_plain_loop(bits):
    correct, first, second, third = (np.array(row) for row in bits)
    fgsm = spec("fgsm", [0.1, 0.3]), ledgers((0.1, first & correct), (0.3, second & correct))
    pgd = spec("pgd", [0.2]), ledgers((0.2, third & correct))
    scored = score_trial(clean_of(correct, majority=0.0, top=0.0), [fgsm, pgd], Threat("linf", 0.2))
    n = len(correct)
    at = {0.1: 0, 0.2: 0, 0.3: 0}
    for i in range(n):
        at[0.1] += correct[i] and first[i]
        at[0.2] += correct[i] and first[i] and third[i]
        at[0.3] += correct[i] and second[i] and third[i]
    above = [max(0.0, (a - 0.1) / 0.9) for a in (correct.mean(), *(count / n for count in at.values()))]
    area = sum(0.1 * (a + b) / 2 for a, b in itertools.pairwise(above)) / 0.3
    found = values(scored)
    if degenerate(clean_of(correct, majority=0.0, top=0.0)).trust == "ok":
        assert found["worst_case"] == pytest.approx(at[0.2] / n)
        assert found["curve_area"] == pytest.approx(area)
        assert found["innate"] == pytest.approx(100 * 2 * above[0] * area / (above[0] + area) if above[0] + area else 0)


def test_the_bootstrap_interval_is_the_binomial_s():
    correct = np.arange(400) < 320
    (score,) = (s for s in score_trial(clean_of(correct), [], None) if s.name == "clean_accuracy")
    low, high = stats.binom(400, 0.8).ppf([0.025, 0.975]) / 400
    assert score.low == pytest.approx(low, abs=0.006)
    assert score.high == pytest.approx(high, abs=0.006)


def test_t_intervals_cover_what_they_say_with_three_seeds():
    rng = np.random.default_rng(0)
    inside = 0
    for sample in rng.normal(5.0, 2.0, (2000, 3)):
        mean, low, high = t_interval(sample.tolist())
        assert mean == pytest.approx(sample.mean())
        inside += low <= 5.0 <= high
    assert inside / 2000 == pytest.approx(0.95, abs=0.015)


def test_one_value_has_no_interval_and_none_has_no_mean():
    assert t_interval([3.0]) == (3.0, None, None)
    with pytest.raises(ValueError, match="no values"):
        t_interval([])
