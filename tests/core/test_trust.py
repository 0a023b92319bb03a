"""The trust checks on hand-made evidence: each fires on its fault, with its reason, and on nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from core.attacks import resolve
from core.records.attack import Threat
from core.records.outcome import CleanOutcome, Diagnosis, Ledger, Trace
from core.verdict.trust import CHECKS, is_masked, judge, trust_of_evaluation
from core.verdict.trust.entry import EpochAccuracy, Evaluated, Evidence, tolerated
from core.verdict.trust.ladder import rungs
from core.verdict.trust.model import diagnosed

N = 400


def clean_of(right=N, n=N, majority=0.1, top=0.1):
    return CleanOutcome(np.arange(n) < right, 10, majority, top)


def spec(name, eps=(0.1,), **options):
    radii = {"eps": list(eps)} if eps else {}
    return resolve(name, {**radii, **options}, "attack")


def standing(count, n=N):
    """The first `count` of n stand."""
    return np.arange(n) < count


def attacked(name, *counts, eps=(0.1,), trace=None, n=N, adversarial=None, **options):
    """`name` leaving so many standing at each ε, with the same trace at each."""
    found = [
        Ledger(radius, standing(count, n), None, None if adversarial is None else adversarial[index])
        for index, (radius, count) in enumerate(zip(eps, counts, strict=True))
    ]
    traces = [Trace(radius, n, 0, **(trace or {})) for radius in eps] if trace is not None else []
    return Evaluated(spec(name, eps, **options), found, traces)


def looked(**changes):
    sane = {
        "norm": "linf", "eps": 0.1, "images": 64, "unsteady": 0, "zero_gradients": 0, "bad_gradients": 0,
        "flat_softmax": 0, "saturated_units": 0.6, "saturated_layer": "tanh 3 of 4", "distant": 4, "standing_at_one": 0,
        "broken_by_gradient": tuple(range(200, 232)), "only_by_search": 1, "only_by_noise": 0, "seconds": 0.1,
    }  # fmt: skip
    return Diagnosis(**{**sane, **changes})


THREAT = Threat("linf", 0.1)


def judged(*results, **more):
    return judge(Evidence(more.pop("clean", clean_of()), results, more.pop("threat", THREAT), **more))


def names(judgement):
    """The checks that the verdict takes over."""
    return {one.name for one, counts in zip(judgement.checks, judgement.counted, strict=True) if counts}


def test_every_check_of_the_design_is_in_the_registry_with_scope_summary_and_source():
    assert len(CHECKS) == 28
    for check in CHECKS.values():
        assert check.scope in ("model", "attack", "study")
        assert len(check.summary) > 20
        assert check.source


def test_a_sane_model_under_a_sane_attack_is_ok_and_says_what_was_checked():
    sane = attacked("pgd", 200, trace={"late": 1, "moving": 2, "last_restart": None, "reach": 10.0})
    epochs = [EpochAccuracy(1, 0.9, 0.6), EpochAccuracy(2, 0.92, 0.7)]
    found = judged(sane, attacked("fgsm", 260, adversarial=[0.66]), looks=[looked()], epochs=epochs)
    assert (found.trust, found.reasons) == ("ok", ())
    assert not any(found.counted)
    assert {one.name for one in found.checks} >= {
        "degenerate", "zero_gradients", "flat_softmax", "saturated_units", "unbounded_attack", "unsteady_model",
        "catastrophic_overfitting", "outside_ball", "steps_still_gaining", "loss_still_moving", "short_reach",
        "above_clean", "weaker_than_single_step", "weaker_than_sample",
    }  # fmt: skip
    assert all(one.trust == "ok" for one in found.checks)


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"zero_gradients": 30}, "zero_gradients", "no slope in any pixel on 30 of 64"),
        ({"bad_gradients": 1}, "non_finite_gradients", "1 of 64"),
        ({"saturated_units": 0.97, "distant": 28}, "saturated_units", "97.0% of the units of tanh 3 of 4"),
        ({"distant": 50}, "distant_boundary", "50 of 64"),
        ({"standing_at_one": 20}, "unbounded_attack", "the radius that holds every image"),
        ({"only_by_search": 6}, "search_beats_gradients", "random search at ℓ∞ ε = 0.1"),
        ({"only_by_noise": 6}, "noise_beats_gradients", "noise at ℓ∞ ε = 0.1"),
        ({"unsteady": 1}, "unsteady_model", "dropout"),
    ],
)
def test_what_a_look_at_the_model_finds_always_counts(changes, check, words):
    strong = attacked("pgd", 200, trace={"late": 0, "moving": 0, "reach": 10.0})
    found = judged(strong, looks=[looked(**changes)])
    assert found.trust == "suspect"
    assert names(found) == {check}
    assert words in found.reasons[0].text
    assert found.reasons[0].check == check


def test_a_flat_softmax_is_told_and_counts_only_where_attacks_have_no_slope_either():
    strong = attacked("pgd", 200, trace={"late": 0, "moving": 0, "reach": 10.0})
    sure = judged(strong, looks=[looked(flat_softmax=40)])
    assert sure.trust == "ok"
    row = next(one for one in sure.checks if one.name == "flat_softmax")
    assert "on 40 of 64 sampled images" in row.reason
    assert "attacks here take a form that has" in row.reason
    lost = judged(strong, looks=[looked(flat_softmax=40, zero_gradients=40)])
    assert names(lost) == {"flat_softmax", "zero_gradients"}


def test_every_norm_and_radius_that_was_looked_at_counts_and_each_check_has_one_row():
    strong = attacked("pgd", 200, trace={"late": 0, "moving": 0, "reach": 10.0})
    sane = [looked(), looked(eps=0.3)]
    assert judged(strong, looks=sane).trust == "ok"
    for odd in (looked(eps=0.3, only_by_search=9), looked(norm="l2", eps=2.0, only_by_search=9)):
        found = judged(strong, looks=[*sane, odd])
        assert names(found) == {"search_beats_gradients"}
        assert f"ε = {odd.eps:g}" in found.reasons[0].text
        assert [one.name for one in found.checks].count("search_beats_gradients") == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"saturated_units": 0.97},
        {"distant": 30},
        {"standing_at_one": 6},
        {"only_by_search": 3, "only_by_noise": 3},
        {"zero_gradients": 3, "flat_softmax": 3},
    ],
)
def test_a_few_odd_images_are_no_fault(changes):
    assert all(one.trust == "ok" for one in diagnosed(looked(**changes)))


def test_a_collapsed_model_is_invalid_and_nothing_else_matters():
    found = judged(attacked("pgd", 45), clean=clean_of(45), looks=[looked(zero_gradients=64)])
    assert found.trust == "invalid"
    assert len(found.reasons) == 1
    assert "most frequent class" in found.reasons[0].text
    one_class = judge(Evidence(clean_of(300, top=1.0)))
    assert "one class is predicted for 100.0%" in one_class.reasons[0].text
    trust, reasons = trust_of_evaluation(clean_of(45), attacked("pgd", 45))
    assert (trust, len(reasons)) == ("invalid", 1)


def test_the_gate_opens_three_standard_errors_above_the_majority():
    # s.e. of 0.1 at n = 1000 is 0.00949: the gate stands at 128.46
    assert judge(Evidence(clean_of(128, 1000))).trust == "invalid"
    assert judge(Evidence(clean_of(129, 1000))).trust == "ok"


@pytest.mark.parametrize(
    ("trace", "check", "words"),
    [
        ({"outside": 3}, "outside_ball", "3 images at ε = 0.1 outside the ball"),
        ({"unconfirmed": 20}, "unconfirmed_success", "20 of 400"),
        ({"zero_gradients": 20}, "lost_gradients", "no gradient"),
        ({"bad_gradients": 20}, "lost_gradients", "NaN"),
        ({"late": 12}, "steps_still_gaining", "12 of 400 samples fell to pgd at ε = 0.1 only in its last steps"),
        ({"moving": 30}, "loss_still_moving", "30 of 400 samples were still on their way"),
        ({"last_restart": 12}, "restarts_still_gaining", "only in the last restart"),
        ({"reach": 0.4}, "short_reach", "40% of the radius"),
    ],
)
def test_a_weak_attack_is_told_alone_and_does_no_harm_beside_a_strong_one(trace, check, words):
    weak = attacked("pgd", 200, trace=trace)
    alone = judged(weak)
    assert (alone.trust, names(alone)) == ("suspect", {check})
    assert words in alone.reasons[0].text
    assert trust_of_evaluation(clean_of(), weak) == ("suspect", alone.reasons)
    strong = attacked("apgd", 198, trace={"late": 0, "moving": 0})
    beside = judged(weak, strong)
    assert (beside.trust, beside.reasons) == ("ok", ())
    assert any(one.name == check and one.trust == "suspect" for one in beside.checks), "its row stays"
    too_weak = attacked("apgd", 260, trace={"late": 0, "moving": 0})
    assert names(judged(weak, too_weak)) == {check}
    assert names(judged(weak, attacked("fgsm", 198))) == {check}, "a single step proves nothing"
    elsewhere = Evaluated(spec("apgd", norm="l2", eps=[0.1]), strong.ledgers)
    assert names(judged(weak, elsewhere)) == {check}


def test_a_fault_at_one_radius_is_covered_by_an_attack_as_strong_at_that_radius_only():
    traces = [Trace(0.1, N, 0, late=0), Trace(0.3, N, 0, late=30)]
    weak = Evaluated(spec("pgd", (0.1, 0.3)), [Ledger(0.1, standing(300)), Ledger(0.3, standing(100))], traces)
    assert judged(weak, attacked("apgd", 298, eps=(0.1,), trace={"late": 0})).trust == "suspect"
    assert judged(weak, attacked("apgd", 298, 98, eps=(0.1, 0.3), trace={"late": 0})).trust == "ok"


def test_faults_of_attacks_in_another_norm_stay_with_them():
    other = attacked("pgd", 200, norm="l2", trace={"late": 40})
    found = judged(attacked("pgd", 200, trace={"late": 0}), other)
    assert found.trust == "ok"
    assert trust_of_evaluation(clean_of(), other)[0] == "suspect"


@pytest.mark.parametrize(("n", "few", "many"), [(60, 2, 3), (10_000, 119, 121)])
def test_shares_are_judged_with_two_standard_errors(n, few, many):
    def verdict(late):
        return judged(attacked("pgd", n // 2, n=n, trace={"late": late}), clean=clean_of(n, n)).trust

    assert verdict(few) == "ok"
    assert verdict(many) == "suspect"
    assert few / n <= tolerated(0.01, n) < many / n


def test_masking_leaves_traces_in_single_steps():
    rising = attacked("fgsm", 200, 400, eps=(0.1, 0.2), adversarial=[0.5, 0.9])
    found = judged(rising)
    assert names(found) == {"rising_accuracy"}
    assert "rises from 50.0% at ε = 0.1 to 90.0%" in found.reasons[0].text
    strong = attacked("pgd", 100, 0, eps=(0.1, 0.2), trace={"late": 0})
    assert judged(rising, strong).trust == "ok", "an overshooting FGSM says nothing against a PGD that finds more"
    above = judged(attacked("fgsm", 300, adversarial=[0.99]), strong, clean=clean_of(300))
    assert names(above) == {"above_clean"}
    assert "raises accuracy from 75.0% to 99.0%" in above.reasons[0].text
    assert judged(attacked("noise", 300, adversarial=[0.99]), clean=clean_of(300)).trust == "ok"


def test_an_iterative_attack_must_beat_a_single_step():
    found = judged(attacked("fgsm", 200), attacked("pgd", 400))
    assert names(found) == {"weaker_than_single_step"}
    assert "pgd is weaker than fgsm at ε = 0.1 by 50.0 points" in found.reasons[0].text
    assert judged(attacked("fgsm", 200), attacked("pgd", 215)).trust == "ok", "within 2 standard errors"


def test_a_blind_attack_must_not_find_what_gradients_do_not():
    square = Evaluated(spec("square"), [Ledger(0.1, ~standing(200))])  # breaks what pgd leaves standing
    found = judged(attacked("pgd", 200), square)
    assert names(found) == {"black_box_beats_white_box"}
    assert "200 of 400 samples fall to square at ε = 0.1 and to no gradient attack" in found.reasons[0].text
    assert judged(attacked("pgd", 200), attacked("square", 202)).trust == "ok"
    assert judged(attacked("fgsm", 300), attacked("square", 200)).trust == "ok", "no rival for one step"
    noise = Evaluated(spec("noise"), [Ledger(0.1, ~standing(20), None, 0.9)])
    assert names(judged(attacked("fgsm", 300), noise)) == {"black_box_beats_white_box"}


def distances(values):
    return Evaluated(spec("fmn", (), norm="linf"), [Ledger(None, np.ones(N, bool), np.asarray(values, np.float32))])


def test_distances_and_radii_must_agree_both_ways():
    near = distances(np.where(standing(200), 0.02, 0.05))
    found = judged(attacked("pgd", 200), near)
    row = next(one for one in found.checks if one.name == "distances_contradict" and one.trust != "ok")
    assert "200 of 400 samples stand against pgd at ε = 0.1 that fmn breaks well within it" in row.reason
    far = distances(np.full(N, 0.5))
    found = judged(attacked("pgd", 200, trace={"late": 0}), far)
    row = next(one for one in found.checks if one.name == "distances_contradict" and one.trust != "ok")
    assert "200 of 400 samples are far from fmn at ε = 0.1 that pgd breaks there" in row.reason
    assert found.trust == "ok", "the worst case has the stronger of the two"
    agreeing = distances(np.where(standing(200), 0.12, 0.08))
    assert all(one.trust == "ok" for one in judged(attacked("pgd", 200), agreeing).checks)


def test_a_study_whose_attacks_miss_what_a_short_pgd_finds_is_told_image_by_image():
    fell = tuple(range(60))
    found = judged(attacked("fgsm", 30), looks=[looked(broken_by_gradient=fell)])
    assert names(found) == {"weaker_than_sample", "unequal_effort"}
    assert "30 of 64 sampled images stand against the study's attacks at ℓ∞ ε = 0.1" in found.reasons[0].text
    assert judged(attacked("fgsm", 4), looks=[looked(broken_by_gradient=fell)]).trust == "suspect"
    few = judged(attacked("fgsm", 2), looks=[looked(broken_by_gradient=fell)], clean=clean_of(70))
    assert few.trust == "ok", "what is known counts them, and hardly any image was not looked at"
    row = next(one for one in few.checks if one.name == "weaker_than_sample")
    assert row.trust == "suspect", "but what the attacks themselves report is too high there"
    assert (row.norm, row.eps) == ("linf", 0.1)
    assert judged(attacked("fgsm", 3), looks=[looked(broken_by_gradient=fell)]).trust == "suspect", (
        "most were not looked at"
    )
    one = judged(attacked("fgsm", 1), looks=[looked(broken_by_gradient=fell)])
    assert all(checked.trust == "ok" for checked in one.checks)
    assert judged(attacked("fgsm", 30), attacked("pgd", 0), looks=[looked(broken_by_gradient=fell)]).trust == "ok"
    elsewhere = judged(attacked("fgsm", 30, eps=(0.05,)), looks=[looked(broken_by_gradient=fell)])
    assert all(one.trust == "ok" for one in elsewhere.checks if one.name == "weaker_than_sample")


def test_one_distance_per_image_answers_for_every_radius_in_its_norm():
    """60 of 64 images fall at 0.15 to the look: that says nothing at 0.1, and something at 0.2, which was not looked at."""
    near = looked(broken_by_gradient=(), measured=64, nearest=dict.fromkeys(range(60), 0.15))
    for eps, doubted in ((0.1, False), (0.15, True), (0.2, True)):
        found = judged(attacked("fgsm", 30, eps=(eps,)), looks=[near], threat=Threat("linf", eps))
        assert (found.trust == "suspect") is doubted
    other = judged(attacked("fgsm", 30, eps=(0.2,), norm="l2"), looks=[near], threat=Threat("l2", 0.2))
    assert other.trust == "ok", "another norm"
    both = [attacked("pgd", 0, eps=(0.2,)), attacked("fgsm", 30, eps=(0.2,), norm="l2")]
    second = looked(norm="l2", broken_by_gradient=(), measured=64, nearest=dict.fromkeys(range(60), 0.15))
    found = judged(*both, looks=[near, second], threat=Threat("linf", 0.2))
    assert found.trust == "suspect", "the norm that does not score has numbers, too"
    assert "at ℓ2 ε = 0.2" in found.reasons[0].text


def test_added_attacks_count_and_leave_a_doubt_until_the_ladder_is_climbed():
    """The same images were attacked, so nothing is chance: one more that falls is a proof."""
    own = attacked("pgd", 300, eps=(0.1,), trace={"late": 0})

    def with_added(count, eps=0.1):
        return judged(own, added=[attacked("apgd", count, eps=(eps,), trace={"late": 0})])

    confirmed = with_added(300)
    assert confirmed.trust == "ok"
    row = next(one for one in confirmed.checks if one.name == "escalation")
    assert "stays at 75.0% under apgd" in row.reason
    for count, left in ((299, "74.8%"), (200, "50.0%")):
        found = with_added(count)
        assert found.trust == "suspect"
        said = next(one.text for one in found.reasons if one.check == "escalation")
        assert f"falls from 75.0% to {left} under apgd" in said
        assert "the model's own worst case counts it" in said
        assert "innate attack --escalate" in said
    assert with_added(200, eps=0.2).trust == "ok", "the study claims nothing there"
    nearer = with_added(200, eps=0.05)
    assert names(nearer) == {"unequal_effort"}, "an image 0.05 away is one within 0.1"


def climb(*counts):
    """The rungs of the ladder at ℓ∞ 0.1, the first ones, leaving so many standing each."""
    tried = []
    for rung, count in zip(rungs(THREAT), counts, strict=False):
        after = replace(rung, params={**rung.params, "after": {"eps": 0.1, "attacks": ["x"]}})
        ledger = (
            Ledger(0.1, standing(count))
            if rung.eps
            else Ledger(None, standing(300), np.where(standing(count), 9.0, 0.05))
        )
        tried.append(Evaluated(after, [ledger], [Trace(rung.eps[0] if rung.eps else None, 300, 0)]))
    return tried


def test_a_climbed_ladder_settles_what_it_lowered_as_well_as_what_it_confirmed():
    own = attacked("pgd", 300, eps=(0.1,), trace={"late": 40})  # steps still gaining
    assert judged(own).trust == "suspect"
    whole = climb(280, 250, 240, 239, 238)
    uneven = judged(own, added=whole)
    assert names(uneven) == {"unequal_effort"}, "rankings do not count what this model alone was attacked with"
    assert "75.0% by the attacks that all models had, 59.5% by all that is known" in uneven.reasons[0].text
    assert uneven.trust_of_known == "ok"
    settled = judged(own, added=whole, common=frozenset(one.attack.id for one in whole))
    assert settled.trust == "ok"
    row = next(one for one in settled.checks if one.name == "escalation")
    assert "falls from 75.0% to 59.5%" in row.reason
    assert "most of it under apgd" in row.reason
    assert judged(own, added=climb(280, 250)).trust == "suspect", "on its way"


def test_a_search_weaker_than_one_gradient_says_nothing_of_gradients():
    found = judged(attacked("fgsm", 100), attacked("square", 250), attacked("pgd", 90, trace={"late": 0}))
    assert found.trust == "ok"
    assert not any(one.name == "weaker_than_single_step" and "square" in (one.reason or "") for one in found.checks)


@pytest.mark.parametrize("n", [5, 10, 20])
def test_ten_test_images_raise_no_alarm_by_one_of_them(n):
    clean = clean_of(n, n, majority=0.2)
    for trace in ({"late": 1}, {"moving": 1}, {"last_restart": 1}, {"unconfirmed": 0}):
        strong = attacked("pgd", n // 2, trace={"reach": 10.0, **trace}, n=n)
        weak = attacked("fgsm", n // 2, n=n, adversarial=[0.5])
        assert judge(Evidence(clean, [strong, weak], THREAT)).trust == "ok"
    blind = attacked("square", max(0, n // 2 - 1), n=n)
    assert judge(Evidence(clean, [attacked("pgd", n // 2, trace={}, n=n), blind], THREAT)).trust == "ok"
    assert tolerated(0.0, n) == 0.0, "what may never happen may not happen once"


def test_catastrophic_overfitting_is_read_off_the_epochs():
    collapsed = [EpochAccuracy(1, 0.7, 0.6), EpochAccuracy(2, 0.99, 0.0)]
    found = judged(attacked("pgd", 0), epochs=collapsed)
    assert names(found) == {"catastrophic_overfitting"}
    assert "99.0% on its own training images, 0.0% under PGD" in found.reasons[0].text
    assert judged(attacked("pgd", 200), epochs=[EpochAccuracy(1, 0.7, 0.6)]).trust == "ok"
    assert not any(one.name == "catastrophic_overfitting" for one in judged(attacked("pgd", 0)).checks)


def test_an_import_that_was_guessed_is_suspect_and_no_sign_of_masking():
    judgement = judged(guesses=["a and b have the same shape", "c"])
    assert judgement.trust == "suspect"
    assert [(reason.check, reason.text) for reason in judgement.reasons] == [
        ("guessed_import", "guessed import: a and b have the same shape; c")
    ]
    assert not is_masked(judgement)
    assert judged().trust == "ok"
