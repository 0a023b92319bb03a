"""Two sides against each other, and interactions: against numbers worked out by hand."""

import math

import numpy as np
import pytest

from core.names import FACTORS
from core.records.attack import Threat
from core.verdict.findings.models import Model
from core.verdict.findings.residuals import residuals
from core.verdict.findings.versus import measures, of_groups, of_two
from core.verdict.scoring.outcomes import Outcomes, UnderAttack
from core.verdict.student import two_sided

THREAT = Threat("linf", 0.1)


def bits(text):
    return np.array([sign == "1" for sign in text])


def model(optimizer="adam", activation="relu", seed=0, clean="1111", worst="1100", attacks=("pgd",)):
    levels = {"architecture": "mlp", "optimizer": optimizer, "activation": activation, "defense": "none"}
    standing = bits(worst)
    tried = tuple(UnderAttack(f"id-{name}", name, "linf", 0.1, standing) for name in attacks)
    outcomes = Outcomes(10, False, (0.1,), bits(clean), standing[None, :], standing, tried)
    name = f"{optimizer} {activation} {seed}"
    return Model(name, f"{optimizer} {activation}", seed, levels, levels, "ok", False, False, outcomes)


def measured(models, name, score="clean_accuracy", scored=lambda model: None):
    found, _ = measures(models, THREAT, score, scored)
    return next(one for one in found if name in (one.name, one.attack))


# --- two sides ---


def test_two_models_are_compared_over_images_whatever_their_seeds():
    one, other = model(seed=0, worst="11100000", clean="1" * 8), model(seed=5, worst="00111000", clean="1" * 8)
    found = of_two(one, other, measured([one, other], "worst_case"))
    assert (found.first, found.second) == (3 / 8, 3 / 8)
    assert found.mcnemar.only_first == found.mcnemar.only_second == 2
    assert found.interval == (found.mcnemar.low, found.mcnemar.high)
    assert found.found.spread.seeds is None
    scored = of_two(
        one, other, measured([one, other], "innate", "innate", lambda model: model.outcomes.worst.astype(np.float32))
    )
    assert scored.mcnemar is None
    low, high = scored.interval
    # Differences 1, 1, 0, -1, -1, 0, 0, 0: variance 4 / 7 by hand, of the mean 1 / 14; t with 7 degrees of freedom is 2.3646.
    assert high == pytest.approx(2.364624 / math.sqrt(14), rel=1e-5)
    assert low == pytest.approx(-high)


def test_variants_are_paired_by_seed_and_what_has_no_counterpart_is_left_out():
    first = [model("adam", seed=seed, worst=worst) for seed, worst in enumerate(["1110", "1100", "1111"])]
    second = [model("sgd", seed=seed, worst=worst) for seed, worst in enumerate(["1000", "1100"])]
    found = of_groups(first, second, FACTORS, measured([*first, *second], "worst_case"))
    # Seeds 0 and 1: 0.75 and 0.5 against 0.25 and 0.5; seed 2 would have made the first side 0.75.
    assert found.first == pytest.approx(0.625)
    assert found.second == pytest.approx(0.375)
    assert found.found.spread.mean == pytest.approx(0.25)
    assert (found.found.pairs, found.found.won, found.found.lost, found.found.missing) == (2, 1, 0, 1)
    assert found.mcnemar is None


def test_levels_are_paired_within_the_other_choices():
    def make(optimizer, activation, seed, standing):
        return model(optimizer, activation, seed, worst="1" * standing + "0" * (4 - standing))

    first = [make("adam", "relu", 0, 4), make("adam", "tanh", 0, 2), make("adam", "elu", 0, 4)]
    second = [make("sgd", "relu", 0, 2), make("sgd", "tanh", 0, 3)]
    found = of_groups(first, second, ("optimizer",), measured([*first, *second], "pgd"))
    # +0.5 with relu, -0.25 with tanh, nothing to hold against elu.
    assert found.found.spread.mean == pytest.approx(0.125)
    assert (found.found.pairs, found.found.won, found.found.lost, found.found.missing) == (2, 1, 1, 1)
    assert found.found.spread.seeds is None


def test_sides_without_a_common_seed_have_means_and_no_difference():
    first, second = [model("adam", seed=0)], [model("sgd", seed=1, worst="1000")]
    found = of_groups(first, second, FACTORS, measured([*first, *second], "worst_case"))
    assert (found.first, found.second, found.found.spread, found.found.pairs) == (0.5, 0.25, None, 0)


def test_only_what_all_models_had_is_measured():
    models = [model(attacks=("fgsm", "pgd")), model("sgd", attacks=("pgd", "apgd"))]
    found, uncommon = measures(models, THREAT, "innate", lambda model: None)
    assert [one.attack or one.name for one in found] == ["clean_accuracy", "worst_case", "pgd"]
    assert [one.name for one in uncommon] == ["fgsm", "apgd"]
    found, _ = measures(models, None, "innate", lambda model: np.zeros(4, np.float32))
    assert [one.name for one in found] == ["clean_accuracy", "robust_accuracy", "innate"]
    assert not found[-1].bits


# --- interactions ---


def table(standing, seeds=(0,), images=40):
    """Models from (optimizer, activation) → images that stand, more by `seed` in each."""
    return [
        model(row, column, seed, clean="1" * images, worst="1" * (count + seed) + "0" * (images - count - seed))
        for (row, column), count in standing.items()
        for seed in seeds
    ]


def worst(model):
    return model.outcomes.worst


def test_where_one_factor_does_not_change_what_the_other_does_nothing_is_left():
    standing = {
        (row, column): first + second
        for row, first in (("a", 0), ("b", 6), ("c", 10))
        for column, second in (("x", 2), ("y", 9))
    }
    found = residuals(table(standing, seeds=(0, 1)), ("optimizer", "activation"), worst)
    assert (found.rows, found.columns, found.empty, found.left_out) == (("a", "b", "c"), ("x", "y"), (), ())
    assert found.tables == 2
    for cell in found.cells.values():
        assert cell.spread.mean == pytest.approx(0.0, abs=1e-6)


def test_an_interaction_is_what_a_cell_has_beyond_its_row_and_column():
    standing = {("a", "x"): 10, ("a", "y"): 10, ("b", "x"): 10, ("b", "y"): 26}
    found = residuals(table(standing), ("optimizer", "activation"), worst)
    # Means 10, 18 by row and by column, 14 of all: 26 - 18 - 18 + 14 = 4 of 40 images.
    assert found.cells["b", "y"].spread.mean == pytest.approx(0.1)
    assert found.cells["a", "x"].spread.mean == pytest.approx(0.1)
    assert found.cells["a", "y"].spread.mean == pytest.approx(-0.1)


def test_cells_without_models_cost_the_level_that_lacks_most():
    standing = {
        (row, column): 10 for row in "abc" for column in "wxyz" if (row, column) not in {("c", "x"), ("c", "y")}
    }
    found = residuals(table(standing), ("optimizer", "activation"), worst)
    assert found.empty == (("c", "x"), ("c", "y"))
    assert found.left_out == (("optimizer", "c"),)
    assert (found.rows, found.columns) == (("a", "b"), ("w", "x", "y", "z"))


def test_a_table_that_is_too_small_has_no_cells():
    found = residuals(table({("a", "x"): 10, ("b", "y"): 12}), ("optimizer", "activation"), worst)
    assert found.cells == {}
    assert found.tables == 0


# --- Student's t ---


@pytest.mark.parametrize("freedom", [1, 1.5, 2, 4, 7.3, 30, 999, 1e5])
@pytest.mark.parametrize("t", [-12.7, -2, -1e-5, 0, 0.3, 1.96, 5, 400, math.inf])
def test_students_t_is_scipys(t, freedom):
    from scipy.special import stdtr

    assert two_sided(t, freedom) == pytest.approx(2 * float(stdtr(freedom, -abs(t))), abs=1e-8)
