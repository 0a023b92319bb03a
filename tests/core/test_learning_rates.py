"""How learning rates are chosen: the values tried, the pure choice, and what a tuned study asks for."""

import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest

from core.records.study import TUNING_SEED, Cell, Search
from core.records.trial import SEED_ALONE
from core.study.plan import make_plan
from core.study.resolve import parse_study
from core.study.tuning import Chosen, Hopeless, More, beyond, candidates, next_step
from core.training.optimizers import OPTIMIZERS
from tests.conftest import plan_of, tiny

FIVE = (1e-4, 3.162e-4, 1e-3, 3.162e-3, 1e-2)
TUNED = tiny(
    optimizers=["adam", {"name": "sgd", "momentum": 0.9}, {"name": "rmsprop", "lr": 1e-3}],
    training={"epochs": 2, "batch_size": 32, "hyperparameters": "tuned"},
)


def peak(best, width=1.0):
    """An accuracy that falls off on both sides of `best`, by decades."""
    return lambda value: math.exp(-(((math.log10(value) - math.log10(best)) / width) ** 2))


def searched(first, accuracy):
    """What a search over `first` comes to, with every value that it asked for."""
    tried = {}
    while isinstance(step := next_step(first, tried), More):
        tried |= {value: accuracy(value) for value in step.values}
    return step, tried


def test_values_are_evenly_spread_on_a_logarithmic_scale_both_ends_among_them():
    assert candidates(Search("lr", 1e-4, 1e-2), 5) == FIVE
    assert candidates(Search("lr", 0.123456, 2.0), 2) == (0.123456, 2.0)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
@pytest.mark.parametrize("count", [2, 3, 5, 9])
def test_every_entry_can_be_searched_and_widened(name, count):
    search = OPTIMIZERS[name].tuned
    assert search.option in {parameter.name for parameter in OPTIMIZERS[name].parameters}
    values = candidates(search, count)
    every = [*beyond(values, above=False), *values, *beyond(values, above=True)]
    assert len(beyond(values, above=True)) == count // 2
    assert all(0 < one < other for one, other in itertools.pairwise(every))
    steps = [math.log(other / one) for one, other in itertools.pairwise(every)]
    assert max(steps) / min(steps) < 1.01, "the same steps within the range and beyond"


def test_all_are_tried_before_anything_is_chosen():
    assert next_step(FIVE, {}) == More(FIVE)
    assert next_step(FIVE, {1e-3: 0.5, 1e-4: None}) == More((3.162e-4, 3.162e-3, 1e-2))


def test_the_best_within_the_range_is_chosen_at_once():
    step, tried = searched(FIVE, peak(1e-3))
    assert step == Chosen(1e-3, 1.0, edge=False)
    assert set(tried) == set(FIVE)


@pytest.mark.parametrize(
    ("best", "beyond_it", "edge"), [(3.162e-2, {3.162e-2, 0.1}, False), (9.0, {3.162e-2, 0.1}, True)]
)
def test_a_best_on_the_upper_edge_widens_the_range_once(best, beyond_it, edge):
    step, tried = searched(FIVE, peak(best))
    assert set(tried) - set(FIVE) == beyond_it
    assert step.value == min(best, 0.1)
    assert step.edge is edge


def test_a_best_on_the_lower_edge_widens_downwards():
    step, tried = searched(FIVE, peak(1e-4))
    assert sorted(set(tried) - set(FIVE)) == [1e-5, 3.162e-5]
    assert step == Chosen(1e-4, 1.0, edge=False)


def test_of_several_best_the_smallest_value_is_chosen():
    step, _ = searched(FIVE, lambda value: 0.9 if 3e-4 < value < 5e-3 else 0.1)
    assert step == Chosen(3.162e-4, 0.9, edge=False)
    assert searched(FIVE, lambda value: 0.1)[0].value == 1e-5, "all alike: the smallest of all that was tried"


def test_what_could_not_be_trained_is_never_chosen_and_the_rest_goes_on():
    step, _ = searched(FIVE, lambda value: None if value > 5e-4 else value)
    assert step == Chosen(3.162e-4, 3.162e-4, edge=False)
    step, _ = searched(FIVE, lambda value: 0.0 if value == 1e-3 else None)
    assert step == Chosen(1e-3, 0.0, edge=False), "an accuracy of 0 is more than none"
    assert searched(FIVE, lambda value: None)[0] == Hopeless(5)
    step, tried = searched(FIVE, lambda value: None if value > 1e-2 else value)
    assert (step, len(tried)) == (Chosen(1e-2, 1e-2, edge=False), 7), "beyond the edge nothing can be trained with"


def test_of_two_values_both_are_edges():
    step, tried = searched((0.1, 1.0), peak(1.0))
    assert (sorted(tried), step) == ([0.1, 1.0, 10.0], Chosen(1.0, 1.0, edge=False))


def test_a_tuned_study_has_a_cell_for_each_variant_whose_rate_is_not_given(cache):
    plan = plan_of({**TUNED, "tuning": {"trials": 3, "epochs": 1, "validation": 0.2, "train_samples": 200}}, cache)
    assert [(trial.optimizer.name, trial.activation.name, trial.seed) for trial in plan.trials] == [
        ("rmsprop", "relu", 0), ("rmsprop", "tanh", 0), ("rmsprop", "relu", 1), ("rmsprop", "tanh", 1),
    ]  # fmt: skip
    assert [place for place, _ in plan.placed] == [4, 5, 10, 11]
    assert [(cell.compared.optimizer.name, cell.compared.activation.name) for cell in plan.cells] == [
        ("adam", "relu"), ("adam", "tanh"), ("sgd", "relu"), ("sgd", "tanh"),
    ]  # fmt: skip
    assert [cell.places for cell in plan.cells] == [((place, 0), (place + 6, 1)) for place in range(4)]
    assert plan.size == 12
    cell = plan.cells[2]
    tried = cell.trying(0.5)
    assert (tried.seed, tried.vary, tried.train_samples) == (TUNING_SEED, SEED_ALONE, 200)
    assert (tried.training.epochs, tried.training.validation, tried.training.batch_size) == (1, 0.2, 32)
    assert tried.optimizer.options == {**cell.compared.optimizer.options, "lr": 0.5}
    compared = [trial for _, trial in cell.comparing(0.5)]
    assert [trial.seed for trial in compared] == [0, 1]
    assert all(trial.training == plan.study.training and trial.train_samples == 300 for trial in compared)
    assert Cell.from_json(cell.as_json()) == cell


def test_what_is_compared_is_what_a_study_with_that_rate_given_would_compare(cache):
    """So that results are shared, and a tuned study changes no identity."""
    plan = plan_of(TUNED, cache)
    given = tiny(optimizers=[{"name": "adam", "lr": 0.004}], training={**TUNED["training"], "hyperparameters": "torch"})
    ours = {trial.id for cell in plan.cells[:2] for _, trial in cell.comparing(0.004)}
    assert ours == {trial.id for trial in plan_of(given, cache).trials}


def test_keras_rules_are_tuned_as_torchs_are(cache):
    plan = plan_of({**TUNED, "training": {"hyperparameters": "tuned-keras"}}, cache)
    assert [trial.optimizer.options["rule"] for trial in plan.trials] == ["keras"] * 4
    assert {
        cell.compared.optimizer.options["eps"] for cell in plan.cells if cell.compared.optimizer.name == "adam"
    } == {1e-7}
    assert plan.cells[0].values == FIVE


def test_a_range_of_the_study_takes_the_place_of_the_entrys(cache):
    plan = plan_of({**TUNED, "tuning": {"trials": 2, "ranges": {"sgd": {"lr": ["1/50", 4]}}}}, cache)
    assert [cell.values for cell in plan.cells] == [(1e-4, 1e-2)] * 2 + [(0.02, 4.0)] * 2


def test_a_study_whose_rates_are_all_given_tunes_nothing(cache):
    given = {**TUNED, "optimizers": [{"name": "adam", "lr": 1e-3}]}
    plan = plan_of(given, cache)
    untuned = plan_of({**given, "training": {**TUNED["training"], "hyperparameters": "torch"}}, cache)
    assert plan.cells == ()
    assert [trial.id for trial in plan.trials] == [trial.id for trial in untuned.trials]


def test_a_whole_data_set_is_no_subset_for_candidates_either(cache, digits_info):
    document = {**TUNED, "train_samples": digits_info.train_size}
    plan = make_plan(parse_study(document, "test", Path("/")), cache / "no-data", cache)
    assert plan.cells[0].candidate.train_samples is None
    assert replace(plan.cells[0].compared, seed=1).train_samples is None
