"""Findings on made-up studies whose truth is known: what is there is found, what is not is not, the rest is left open."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.verdict.crossed import Block, crossed
from core.verdict.decisions import Doubt, above, all_of, at_least, differs, holm
from core.verdict.findings import Hindrance, find
from core.verdict.findings.contrast import Group, against, contrast, interaction
from core.verdict.findings.pairs import pairs
from core.verdict.findings.questions import common_attacks, worst_case
from tests.core.worlds import FULL, study


def by_key(models, **options):
    return {one.key: one for one in find(models, **options)}


def kinds(found):
    return {one.kind for one in found.obstacles}


def weaker_sigmoid(cell, attack):
    return 0.7 - (0.2 if cell["activation"] == "sigmoid" else 0.0) - (0.1 if attack == "pgd" else 0.0)


def equal(cell, attack):
    return 0.6


# --- contrasts


def test_a_contrast_is_the_mean_of_paired_differences():
    models = study(weaker_sigmoid)
    found = contrast(against(models, "activation", "sigmoid", ["relu"]), ("activation",), worst_case)
    pairs = {}
    for model in models:
        pairs.setdefault((model.levels["optimizer"], model.seed), {})[model.levels["activation"]] = model.outcomes.worst
    by_hand = [float(pair["sigmoid"].mean() - pair["relu"].mean()) for pair in pairs.values()]
    assert found.spread.mean == pytest.approx(np.mean(by_hand), abs=1e-6)
    assert (found.pairs, found.spread.blocks, found.seeds) == (12, 4, 3)
    assert found.won == sum(one > 0 for one in by_hand)
    assert found.lost == sum(one < 0 for one in by_hand)


def test_a_level_is_held_against_the_mean_of_the_others_cell_by_cell():
    models = study(weaker_sigmoid)
    found = contrast(against(models, "activation", "sigmoid", ["relu", "tanh"]), ("activation",), worst_case)
    each = [
        contrast(against(models, "activation", "sigmoid", [other]), ("activation",), worst_case).spread.mean
        for other in ("relu", "tanh")
    ]
    assert found.spread.mean == pytest.approx(np.mean(each), abs=1e-6)


def test_a_pair_holds_the_level_against_the_mean_of_the_others():
    models = study(weaker_sigmoid, levels={**FULL, "defense": ("none", "pgd-at")})
    found = contrast(against(models, "activation", "sigmoid", ["relu", "tanh"]), ("activation",), worst_case)
    several = pairs(found)
    assert [pair.difference for pair in several] == list(found.differences)
    assert [pair.level - pair.other for pair in several] == pytest.approx([pair.difference for pair in several])
    assert {tuple(pair.levels) for pair in several} == {("optimizer", "defense")}, "what never differs is left out"
    for pair in several:
        level, *others = [float(model.outcomes.worst.mean()) for model in pair.models]
        assert (pair.level, pair.other) == pytest.approx((level, np.mean(others)))
        assert [model.levels["activation"] for model in pair.models] == ["sigmoid", "relu", "tanh"]
        assert {model.seed for model in pair.models} == {pair.seed}
        assert {model.levels["optimizer"] for model in pair.models} == {pair.levels["optimizer"]}


def test_a_pair_of_an_interaction_holds_two_differences_against_each_other():
    models = study(weaker_sigmoid, levels={**FULL, "defense": ("none", "pgd-at")}, rng=2)
    groups = interaction(models, ("activation", "defense"), ("relu", "sigmoid"), ("pgd-at", "none"))
    found = contrast(groups, ("activation", "defense"), worst_case)
    for pair, difference in zip(pairs(found), found.differences, strict=True):
        first, second, third, fourth = (float(model.outcomes.worst.mean()) for model in pair.models)
        assert (pair.level, pair.other) == pytest.approx((first - second, third - fourth))
        assert pair.level - pair.other == pytest.approx(difference)


def test_a_level_whose_seeds_all_came_through_is_no_surer_than_its_neighbours():
    """Each other activation lost a model in some block, this one by luck in none."""
    models = study(equal, levels={**FULL, "activation": ("relu", "tanh", "elu")})
    lost = {"kumar-cnn-adam-relu-none-0", "kumar-cnn-sgd-tanh-none-1", "kumar-cnn-rmsprop-relu-none-2"}
    zero = np.zeros(400, bool)
    models = [
        replace(model, trust="invalid", outcomes=replace(model.outcomes, worst=zero))
        if model.trial_id in lost
        else model
        for model in models
    ]
    spared = by_key(models)["effect:activation:elu"]
    plain = contrast(against(models, "activation", "elu", ["relu", "tanh"]), ("activation",), worst_case).spread
    assert spared.deciding.found.spread.seeds > 1.2 * plain.seeds
    assert spared.verdict == "inconclusive"


def test_an_interaction_is_a_difference_of_differences():
    levels = {**FULL, "defense": ("none", "pgd-at")}
    helped = study(
        lambda cell, attack: 0.5 + 0.1 * (cell["activation"] == "tanh" and cell["defense"] == "pgd-at"), levels=levels
    )
    groups = interaction(helped, ("activation", "defense"), ("tanh", "relu"), ("pgd-at", "none"))
    found = contrast(groups, ("activation", "defense"), worst_case)
    assert found.spread.mean == pytest.approx(0.1, abs=0.02)
    assert found.pairs == 12


def test_pairs_that_lack_a_model_are_left_out_and_counted():
    models = [model for model in study(weaker_sigmoid) if model.trial_id != "kumar-cnn-adam-relu-none-1"]
    found = contrast(against(models, "activation", "sigmoid", ["relu"]), ("activation",), worst_case)
    assert (found.pairs, found.missing) == (11, 1)
    assert contrast([Group(1.0, tuple(models)), Group(-1.0, ())], ("activation",), worst_case).spread is None


def test_the_order_of_models_and_images_does_not_matter():
    models = study(weaker_sigmoid)
    shuffled = [models[place] for place in np.random.default_rng(3).permutation(len(models))]
    order = np.random.default_rng(4).permutation(400)
    moved = [
        replace(
            model,
            outcomes=replace(
                model.outcomes,
                clean=model.outcomes.clean[order],
                worst=model.outcomes.worst[order],
                attacks=tuple(replace(one, standing=one.standing[order]) for one in model.outcomes.attacks),
            ),
        )
        for model in shuffled
    ]
    for one, other in zip(find(models), find(moved), strict=True):
        assert one.key == other.key
        assert one.verdict == other.verdict
        assert one.effect == pytest.approx(other.effect, abs=1e-6)
        assert one.interval == pytest.approx(other.interval, abs=1e-5)


# --- the paper's claims


def test_a_level_that_weakens_under_every_attack_is_found_and_its_weakest_comparison_told():
    found = by_key(study(weaker_sigmoid))["claim-1"]
    assert found.verdict == "supported"
    assert found.effect == pytest.approx(-0.2, abs=0.03)
    assert found.interval[0] < found.effect < found.interval[1] < 0
    assert (found.pairs, found.won) == (12, 0)
    assert len(found.parts) == 4  # two other activations, two attacks
    assert max(part.found.spread.mean for part in found.parts) == pytest.approx(found.effect, abs=0.02)


def test_one_attack_that_does_not_agree_keeps_a_claim_about_all_attacks_from_being_supported():
    def only_pgd(cell, attack):
        return 0.6 - (0.2 if cell["activation"] == "sigmoid" and attack == "pgd" else 0.0)

    found = by_key(study(only_pgd))["claim-1"]
    assert found.verdict != "supported"
    assert found.deciding.attack == "fgsm"


def test_a_level_that_is_no_weaker_contradicts_the_claim():
    assert by_key(study(equal, images=2000, seeds=5, seed_deviation=0.001))["claim-1"].verdict == "contradicted"


def test_a_claim_that_one_comparison_denies_is_told_by_that_comparison():
    """Weaker than one level, within what audits leave open, and far better than the other, which is what contradicts."""
    strengths = {"sigmoid": 0.5, "relu": 0.3, "tanh": 0.53}
    found = by_key(study(lambda cell, _: strengths[cell["activation"]], seed_deviation=0.001, fell=6))["claim-1"]
    assert found.verdict == "contradicted"
    assert found.deciding.other == "relu"
    assert found.effect == pytest.approx(0.2, abs=0.03)
    assert found.adjusted[0] > 0, "the interval at the verdict's error leaves out what is claimed"
    assert found.adjusted[0] < found.interval[0]


def test_a_small_difference_is_inconclusive():
    slightly = study(lambda cell, attack: 0.6 - 0.008 * (cell["activation"] == "sigmoid"), seed_deviation=0.03)
    assert by_key(slightly)["claim-1"].verdict == "inconclusive"


def test_one_optimizer_must_beat_the_other_on_two_attacks():
    both = by_key(study(lambda cell, attack: 0.6 + 0.15 * (cell["optimizer"] == "rmsprop")))["claim-4"]
    assert both.verdict == "supported"
    one = by_key(study(lambda cell, attack: 0.6 + 0.15 * (cell["optimizer"] == "rmsprop" and attack == "pgd")))[
        "claim-4"
    ]
    assert one.verdict != "supported"
    alone = by_key(study(equal, attacks=("pgd",)))["claim-4"]
    assert kinds(alone) == {Hindrance.FEW_ATTACKS}


def test_adversarial_training_that_some_levels_gain_more_from():
    levels = {**FULL, "defense": ("none", "pgd-at")}

    def gains(cell, attack):
        defended = cell["defense"] == "pgd-at"
        return 0.5 + 0.2 * defended + 0.1 * (defended and cell["activation"] == "tanh")

    found = by_key(study(gains, levels=levels))
    assert found["claim-5:activation"].verdict == "supported"
    assert found["claim-5:defense×activation"].verdict == "supported"
    assert found["claim-5:optimizer"].verdict != "supported"
    assert found["claim-5:defense×optimizer"].verdict != "supported"
    assert kinds(found["claim-5:architecture"]) == {Hindrance.ONE_LEVEL}


def test_namesakes_with_other_options_are_one_level_of_a_claim_and_two_of_an_effect():
    levels = {**FULL, "optimizer": ("adam lr=0.001", "adam lr=0.01", "rmsprop")}
    found = by_key(study(lambda cell, attack: 0.6 + 0.15 * (cell["optimizer"] == "rmsprop"), levels=levels))
    assert found["claim-4"].verdict == "supported"
    assert found["claim-4"].pairs == 9
    assert {"effect:optimizer:adam lr=0.001", "effect:optimizer:adam lr=0.01", "effect:optimizer:rmsprop"} <= set(found)


# --- effects


def test_effects_are_told_of_every_level_and_of_two_only_once():
    found = by_key(study(weaker_sigmoid))
    assert found["effect:activation:sigmoid"].verdict == "supported"
    assert found["effect:activation:sigmoid"].effect < -0.15 < 0.05 < found["effect:activation:relu"].effect
    two = by_key(study(equal, levels={**FULL, "activation": ("relu", "tanh")}))
    assert [key for key in two if key.startswith("effect:activation")] == ["effect:activation:relu"]
    assert not [key for key in two if key.startswith("effect:architecture")]


def test_equal_levels_are_told_to_be_equal_where_the_data_can():
    found = by_key(study(equal, images=4000, seeds=5, seed_deviation=0.0005))
    assert found["effect:activation:relu"].verdict == "contradicted"
    assert max(map(abs, found["effect:activation:relu"].interval)) < 0.005


@pytest.mark.slow
def test_without_any_effect_a_family_errs_as_seldom_as_it_says():
    wrong = 0
    for rng in range(120):
        found = find(study(equal, rng=rng, images=120, seed_deviation=0.03), margin=0.0)
        wrong += any(one.verdict == "supported" for one in found if one.key.startswith("effect:optimizer"))
    assert wrong <= 14  # 5 % of 120 is 6; 14 or more happen once in 500


# --- what keeps from saying anything


def test_one_seed_says_nothing_of_others():
    found = by_key(study(weaker_sigmoid, seeds=1))["claim-1"]
    assert found.verdict == "inconclusive"
    assert found.over_images
    assert found.effect == pytest.approx(-0.2, abs=0.03)
    assert Hindrance.ONE_SEED in kinds(found)


def test_two_seeds_are_enough_to_say_something():
    assert by_key(study(weaker_sigmoid, seeds=2))["effect:activation:sigmoid"].verdict == "supported"


def test_levels_that_are_not_there_or_alone():
    found = by_key(study(equal))
    assert kinds(found["claim-2"]) == {Hindrance.NO_LEVEL}
    assert kinds(found["claim-5:optimizer"]) == {Hindrance.NO_DEFENSE}
    alone = by_key(study(equal, levels={**FULL, "activation": ("sigmoid",)}))
    assert kinds(alone["claim-1"]) == {Hindrance.ONE_LEVEL}
    assert {one for finding in find([]) for one in kinds(finding)} == {Hindrance.NO_MODELS}


def test_models_that_learned_nothing_support_nothing():
    found = by_key(study(weaker_sigmoid, trust="invalid"))["claim-1"]
    assert (found.verdict, found.invalid) == ("inconclusive", found.models)
    assert Hindrance.ALL_INVALID in kinds(found)


def test_the_same_without_doubted_models_stands_beside():
    models = [
        replace(model, trust="invalid") if model.levels["optimizer"] == "sgd" else model
        for model in study(weaker_sigmoid)
    ]
    found = by_key(models)["claim-1"]
    assert (found.invalid, found.models, found.trust) == (9, 36, "invalid")
    assert (found.pairs, found.trusted.pairs) == (12, 9)


def test_pairs_of_equal_clean_accuracy_stand_beside():
    found = by_key(study(weaker_sigmoid))["claim-1"]
    assert found.matched.pairs == 12  # made to be right on nearly the same clean images
    models = [
        replace(model, outcomes=replace(model.outcomes, clean=model.outcomes.worst))
        if model.levels["activation"] == "sigmoid"
        else model
        for model in study(weaker_sigmoid)
    ]
    assert by_key(models)["claim-1"].matched is None


def test_models_attacked_otherwise_than_the_rest_support_nothing():
    models = study(weaker_sigmoid)
    found = by_key([replace(models[0], uneven=True), *models[1:]])["effect:activation:sigmoid"]
    assert found.verdict == "inconclusive"
    assert [one.count for one in found.obstacles if one.kind is Hindrance.UNEQUAL] == [1]


def test_upper_bounds_support_nothing():
    found = by_key(study(weaker_sigmoid, audited=False))["claim-1"]
    assert found.verdict == "inconclusive"
    assert found.audit_bound is None
    assert Hindrance.UNAUDITED in kinds(found)


def test_an_effect_within_what_audits_leave_open_is_not_supported():
    found = by_key(
        study(lambda cell, attack: 0.6 - 0.03 * (cell["activation"] == "sigmoid"), seed_deviation=0.001, fell=6)
    )
    one = found["effect:activation:sigmoid"]
    assert one.audit_bound > 0.04
    assert one.verdict == "inconclusive"
    assert Hindrance.WITHIN_AUDIT in kinds(one)


def test_an_attack_that_some_models_did_not_have_is_not_counted():
    models = study(equal)
    first = models[0]
    fewer = replace(first, outcomes=replace(first.outcomes, attacks=first.outcomes.attacks[:1]))
    assert [name for _, name in common_attacks([fewer, *models[1:]])] == ["fgsm"]


# --- decisions


def test_holm_by_a_worked_example():
    """Holm 1979's own way: .01 × 4, .013 × 3, .02 × 2, .5 stays."""
    family = [Doubt(p, 1 - p) for p in (0.02, 0.01, 0.5, 0.013)]
    found = holm(family)
    assert [one.p for one in found] == pytest.approx([0.04, 0.04, 0.5, 0.04])
    assert [one.verdict for one in found] == ["supported", "supported", "inconclusive", "supported"]
    assert [one.error for one in found] == pytest.approx([0.025, 0.0125, 0.05, 0.05 / 3])
    assert [one.error for one in holm([Doubt(0.01, 0.99), Doubt(0.2, 0.8), Doubt(0.4, 0.6), Doubt(0.9, 0.1)])] == (
        pytest.approx([0.0125, 0.05 / 3, 0.05 / 3, 0.05 / 3])
    )


def test_a_verdict_is_what_the_interval_at_its_error_says():
    rng = np.random.default_rng(1)
    for _ in range(50):
        spread = crossed([Block((0, 1, 2), rng.normal(rng.normal(0, 0.4), 1.0, (3, 50)))])
        doubt = above(spread, 50 * 0.0)
        (one,) = holm([doubt])
        from core.verdict.statistics import t_interval

        low, high = t_interval(spread, 1 - 2 * one.error)
        assert (one.verdict == "supported") == (low > 0)
        assert (one.verdict == "contradicted") == (high < 0)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6), st.integers(1, 3))
def test_several_of_several_takes_no_more_than_holm_and_its_last_step(ps, least):
    found = at_least(least, [Doubt(p, 1 - p) for p in ps]).for_
    if least > len(ps):
        assert found == 1.0
        return
    rising = sorted(ps)
    last = (len(ps) - least + 1) * rising[least - 1]
    by_holm = max((len(ps) - place) * p for place, p in enumerate(rising[:least]))
    assert found == pytest.approx(min(1.0, last))
    assert found <= by_holm + 1e-12


def test_all_and_any():
    doubts = [Doubt(0.01, 0.9), Doubt(0.2, 0.3), Doubt(0.04, 0.001)]
    assert all_of(doubts) == Doubt(0.2, pytest.approx(0.003))
    assert at_least(1, doubts) == Doubt(pytest.approx(0.03), 0.9)
    assert at_least(2, doubts) == Doubt(pytest.approx(0.08), pytest.approx(0.6))
    assert all_of([]) == at_least(1, []) == Doubt(1.0, 1.0)


def test_either_direction_counts_and_equivalence_denies_both():
    up = crossed([Block((0, 1, 2), np.full((3, 4000), 0.3))])
    assert differs(up, 0.1).for_ < 1e-9
    assert differs(replace(up, mean=-0.3), 0.1).for_ < 1e-9
    none = replace(up, mean=0.0)
    assert (differs(none, 0.1).for_, differs(none, 0.1).against) == (1.0, pytest.approx(0.0, abs=1e-9))
    assert differs(up, 0.1).against == pytest.approx(1.0)
