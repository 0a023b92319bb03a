import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.integrate import trapezoid

from core.attacks import resolve
from core.records.attack import Threat
from core.records.outcome import CleanOutcome, Ledger
from core.verdict.ledgers import survived_at
from core.verdict.scoring import SCORES, score_trial, scores_of
from core.verdict.scoring.outcomes import outcomes_of, under_one
from core.verdict.scoring.trial_scores import linear
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
    rows = outcomes_of(clean_of([1] * 90 + [0] * 10), [], None).rows
    assert (rows.shape, rows.dtype) == ((1, 100), np.bool_)


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


def test_the_interval_of_one_model_is_wilson_s_over_its_images():
    correct = np.arange(400) < 320
    (score,) = (s for s in score_trial(clean_of(correct), [], None) if s.name == "clean_accuracy")
    known = stats.binomtest(320, 400).proportion_ci(method="wilson")
    assert score.low == pytest.approx(known.low, abs=2e-4)  # t with 399 degrees of freedom in place of the normal
    assert score.high == pytest.approx(known.high, abs=2e-4)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000))
def test_influence_values_average_to_the_score_and_their_spread_is_the_bootstrap_s(seed):
    """The theory that every interval and comparison rests on, against a plain resampling of the images."""
    rng = np.random.default_rng(seed)
    n = 300
    correct = rng.random(n) < 0.9
    first = correct & (rng.random(n) < 0.8)
    second = first & (rng.random(n) < 0.7)
    results = [(spec("pgd", [0.1, 0.2]), ledgers((0.1, first), (0.2, second)))]
    threat = Threat("linf", 0.2)
    found = outcomes_of(clean_of(correct), results, threat)
    drawn = rng.integers(0, n, (400, n))
    resampled: dict[str, list[float]] = {}
    for places in drawn:
        again = [(spec("pgd", [0.1, 0.2]), ledgers((0.1, first[places]), (0.2, second[places])))]
        for name, value in values(score_trial(clean_of(correct[places]), again, threat)).items():
            resampled.setdefault(name, []).append(value)
    for name, entry in SCORES.items():
        near = linear(entry, found)
        influence = near.influence(found)
        assert influence.mean() == pytest.approx(near.value, abs=1e-5)
        assert near.value * entry.full == pytest.approx(values(score_trial(clean_of(correct), results, threat))[name])
        deviation = influence.std(ddof=1) / np.sqrt(n) * entry.full
        assert deviation == pytest.approx(np.std(resampled[name], ddof=1), rel=0.25), name


def test_a_number_that_nobody_audited_has_no_lower_end():
    correct = np.arange(400) < 360
    fgsm = spec("fgsm", [0.1]), ledgers((0.1, np.arange(400) < 200))
    found = outcomes_of(clean_of(correct), [fgsm], Threat("linf", 0.1))
    audited, bare = ({one.name: one for one in scores_of(found, bound=bound)} for bound in (False, True))
    for name in ("worst_case", "retention", "curve_area", "innate"):
        assert bare[name].value == audited[name].value
        assert bare[name].low == 0.0 < audited[name].low
        assert audited[name].value < bare[name].high < audited[name].high
    assert bare["clean_accuracy"] == audited["clean_accuracy"]


def test_each_attack_stands_alone_and_controls_and_rungs_are_none():
    correct = np.array([1, 1, 1, 0], bool)
    fgsm = spec("fgsm", [0.1, 0.2]), ledgers((0.1, [1, 1, 0, 0]), (0.2, [1, 0, 0, 0]))
    far = (
        spec("pgd", [0.5, 1.0, 2.0], norm="l2"),
        ledgers((0.5, [1, 1, 1, 0]), (1.0, [0, 1, 1, 0]), (2.0, [0, 0, 0, 0])),
    )
    noise = spec("noise", [0.1]), ledgers((0.1, [1, 1, 1, 0]))
    found = outcomes_of(clean_of(correct), [fgsm, far, noise], Threat("linf", 0.1))
    assert [(one.name, one.norm, one.eps, one.standing.tolist()) for one in found.attacks] == [
        ("fgsm", "linf", 0.1, [True, True, False, False]),
        ("pgd", "l2", 1.0, [False, True, True, False]),
    ]


def test_under_one_attack_a_model_is_what_it_would_be_had_the_study_no_other():
    clean = clean_of([1] * 9 + [0])
    rows = ledgers((0.1, [1] * 7 + [0] * 3), (0.2, [1] * 5 + [0] * 5))
    found = under_one(clean, rows, (0.1, 0.2))
    whole = outcomes_of(clean, [(spec("fgsm", [0.1, 0.2]), rows)], Threat("linf", 0.1))
    assert found.eps == whole.eps
    assert (found.robust == whole.robust).all()
    assert found.at(0.2).worst.sum() == 5
    assert under_one(clean, rows, (0.05, 0.1)) is None, "nothing is known below"
    distances = [Ledger(None, np.ones(10, bool), np.linspace(0.05, 0.5, 10, dtype="<f4"))]
    assert under_one(clean, distances, (0.12, 0.32)).robust.sum(axis=1).tolist() == [7, 3]
