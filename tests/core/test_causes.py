"""What moves with an effect, and whether it is left at equal traits, on made-up studies whose causes are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from core.traits import TRAITS
from core.verdict.findings import find
from core.verdict.findings.causes import LEAST_POINTS, Left, _at_equal, spearman
from tests.core.worlds import study

BLOCKS = {
    "architecture": ("kumar-cnn", "mlp"),
    "optimizer": ("adam", "rmsprop", "adamax", "sgd", "nadam"),
    "activation": ("relu", "sigmoid"),
    "defense": ("none",),
}


def world(direct: float, *, rng: int, levels=BLOCKS, shift: float = -0.8, seeds: int = 3):
    """Robust accuracy follows the margin, 0.1 a logit; sigmoid costs margin, and `direct` accuracy by itself."""
    draw = np.random.default_rng(rng)
    margins: dict[tuple[str, ...], float] = {}

    def margin(cell):
        key = tuple(cell.values())
        if key not in margins:
            margins[key] = 4.0 + draw.normal(0.0, 0.7) + (shift if cell["activation"] == "sigmoid" else 0.0)
        return margins[key]

    def accuracy(cell, _attack):
        return 0.2 + 0.1 * margin(cell) + (direct if cell["activation"] == "sigmoid" else 0.0)

    models = study(accuracy, levels=levels, seeds=seeds, images=1000, rng=rng)
    return [
        replace(model, traits={"margin": margin(model.levels), "sparsity": draw.random(), "saturated": 0.0})
        for model in models
    ]


def cause(models, trait: str, key: str = "effect:activation:relu"):
    finding = next(one for one in find(models) if one.key == key)
    return finding, next((one for one in finding.causes if one.trait == trait), None)


@pytest.mark.parametrize(("direct", "left"), [(0.0, Left.VANISHES), (-0.15, Left.SURVIVES)])
def test_an_effect_through_a_trait_is_gone_at_equal_trait_and_one_beside_it_stays(direct, left):
    for rng in range(4):
        finding, one = cause(world(direct, rng=rng), "margin")
        assert finding.effect > 0.04, "relu less sigmoid"
        assert one.points == 10
        assert one.at_equal.low <= -direct <= one.at_equal.high
        assert one.at_equal.effect == pytest.approx(-direct, abs=0.03)
        assert (one.at_equal.left, one.at_equal.extrapolated) == (left, False)


def test_intervals_at_equal_trait_cover():
    draw = np.random.default_rng(8)
    covered = 0
    for _ in range(400):
        x = draw.normal(1.0, 1.0, 7)
        found = _at_equal(x, 0.3 * x + 0.1 + draw.normal(0.0, 0.1, 7))
        covered += found.low <= 0.1 <= found.high
    assert 370 <= covered <= 392, "95 % of 400"


def test_the_trait_that_moves_with_an_effect_is_told_from_one_that_does_not():
    _, margin = cause(world(0.0, rng=1), "margin")
    _, sparsity = cause(world(0.0, rng=1), "sparsity")
    assert margin.rho > 0.8
    assert margin.adjusted < 0.05
    assert margin.adjusted >= margin.p
    assert sparsity.adjusted > 0.05
    assert margin.difference == pytest.approx(0.8, abs=0.8)


def test_what_differs_nowhere_or_is_unknown_is_left_out():
    models = world(0.0, rng=1)
    finding, saturated = cause(models, "saturated")
    assert saturated is None, "0 on both sides"
    assert {one.trait for one in finding.causes} == {"margin", "sparsity"}
    assert all(one.causes == () for one in find([replace(model, traits={}) for model in models]))


def test_what_differs_by_rounding_alone_is_the_same():
    levels = {**BLOCKS, "activation": ("relu", "sigmoid", "tanh", "elu")}
    models = [replace(model, traits={"margin": 0.7}) for model in world(0.0, rng=1, levels=levels, seeds=1)]
    assert cause(models, "margin")[1] is None


def test_few_points_have_a_difference_and_no_more():
    few = {**BLOCKS, "architecture": ("mlp",), "optimizer": ("adam", "sgd", "rmsprop", "nadam")}
    _, one = cause(world(0.0, rng=2, levels=few), "margin")
    assert one.points == 4 < LEAST_POINTS
    assert (one.rho, one.p, one.adjusted, one.at_equal) == (None, None, None, None)


def test_seeds_are_the_points_of_a_single_block_and_count_once_in_several():
    single = {**BLOCKS, "architecture": ("mlp",), "optimizer": ("adam",)}
    models = world(0.0, rng=3, levels=single, seeds=6)
    draw = np.random.default_rng(0)
    models = [replace(model, traits={"margin": float(draw.random())}) for model in models]
    assert cause(models, "margin")[1].points == 6
    assert cause(world(0.0, rng=3, seeds=6), "margin")[1].points == 10


def test_a_trait_that_is_unknown_of_some_models_counts_where_it_is_known():
    models = world(0.0, rng=4)
    gone = [
        replace(model, traits={}) if model.levels["optimizer"] == "sgd" or model.seed == 0 else model
        for model in models
    ]
    _, whole = cause(models, "margin")
    _, part = cause(gone, "margin")
    assert (whole.points, part.points) == (10, 8)


def test_far_from_equal_is_said_to_be_extrapolated():
    _, one = cause(world(0.0, rng=5, shift=-6.0), "margin")
    assert one.at_equal.extrapolated


def test_order_of_models_changes_nothing():
    models = world(-0.05, rng=6)
    one, other = cause(models, "margin")[1], cause(models[::-1], "margin")[1]
    assert one.rho == pytest.approx(other.rho)
    assert one.adjusted == pytest.approx(other.adjusted, abs=0.02)
    assert one.at_equal.effect == pytest.approx(other.at_equal.effect)


def test_the_line_and_the_ranks_are_those_of_scipy():
    draw = np.random.default_rng(7)
    for count in (5, 7, 12, 300):
        x = draw.normal(1.0, 1.0, count)
        y = np.round(0.5 * x + draw.normal(0.0, 1.0, count), 1)
        line, rank = stats.linregress(x, y), stats.spearmanr(x, y)
        at_equal, (rho, p) = _at_equal(x, y), spearman(x, y)
        half = stats.t.ppf(0.975, count - 2) * line.intercept_stderr
        assert at_equal.effect == pytest.approx(line.intercept)
        assert (at_equal.low, at_equal.high) == pytest.approx((line.intercept - half, line.intercept + half))
        assert rho == pytest.approx(rank.statistic)
        if count > 200:
            assert p == pytest.approx(rank.pvalue, rel=1e-4)
        elif count > 5:
            assert p == pytest.approx(rank.pvalue, abs=0.05)
        else:
            exact = stats.permutation_test(
                (x,), lambda order, y=y: stats.spearmanr(order, y).statistic, permutation_type="pairings"
            )
            assert p == pytest.approx(exact.pvalue)


def test_every_trait_says_what_it_is():
    for trait in TRAITS.values():
        assert trait.summary
        assert (
            trait.percent
            or trait.unit
            or trait.name in ("relative_margin", "weight_norm", "spectral_norm", "training_loss")
        )
