"""A level's variance over seeds as the levels of a block show it together."""

import numpy as np
import pytest

from core.verdict.crossed import Block, crossed
from core.verdict.pooled import at_least_pooled
from core.verdict.statistics import t_interval

WEIGHTS = [1.0, *[-1 / 6] * 6]


def against_the_others(tables):
    values = [np.tensordot(WEIGHTS, table, 1) for table in tables]
    return crossed(Block(tuple(range(len(row))), row[:, None]) for row in values)


def drawn(rng, seeds=4, deviation=1.0):
    shared = rng.normal(size=seeds) * 20
    return [rng.normal(size=(7, seeds)) * deviation + shared for _ in range(5)]


def test_is_the_contrasts_own_variance_on_average_where_levels_vary_alike():
    rng = np.random.default_rng(3)
    own, pooled = [], []
    for _ in range(200):
        tables = drawn(rng)
        own.append(against_the_others(tables).seeds)
        pooled.append(at_least_pooled(crossed([Block((0, 1), np.zeros((2, 1)))]), tables, WEIGHTS).seeds)
    assert np.mean(pooled) == pytest.approx((1 + 1 / 6) / 4 / 5, rel=0.05)
    # A tenth of these grids look as if seeds moved all blocks alike (`crossed.SHARED_ERROR`), and count as more uncertain.
    assert np.mean(own) == pytest.approx(np.mean(pooled), rel=0.25)


def test_a_level_that_was_spared_is_no_surer_than_its_neighbours():
    tables = drawn(np.random.default_rng(5), seeds=3, deviation=0.2)
    for place, table in enumerate(tables):
        table[1 + place, place % 3] -= 50.0
    spread = against_the_others(tables)
    guarded = at_least_pooled(spread, tables, WEIGHTS)
    assert t_interval(spread)[0] > 0.0, "each other level lost 50 points in some block, this one nowhere"
    assert t_interval(guarded)[0] < 0.0
    assert (guarded.mean, guarded.images, guarded.df) == (spread.mean, spread.images, spread.df)


def test_an_unsteady_level_keeps_its_own_variance():
    tables = drawn(np.random.default_rng(6))
    for table in tables:
        table[0] += [9.0, -9.0, 9.0, -9.0]
    spread = against_the_others(tables)
    assert at_least_pooled(spread, tables, WEIGHTS) == spread


def test_single_seeds_are_as_uncertain_as_the_others_and_tell_nothing_alone():
    rng = np.random.default_rng(7)
    tables = drawn(rng)
    spread = against_the_others(tables)
    calm = crossed([Block((0, 1), np.zeros((2, 1)))])
    all_four = at_least_pooled(calm, [tables[0], tables[0]], WEIGHTS).seeds
    one_single = at_least_pooled(calm, [tables[0], tables[0][:, :1]], WEIGHTS).seeds
    assert one_single == pytest.approx(all_four / 2 * (1 + 4))
    assert at_least_pooled(spread, [table[:, :1] for table in tables], WEIGHTS) == spread
    single = crossed([Block((0,), np.zeros((1, 5)))])
    assert at_least_pooled(single, tables, WEIGHTS) == single


def test_tables_of_other_levels_are_refused():
    with pytest.raises(ValueError, match="7 weights"):
        at_least_pooled(crossed([Block((0, 1), np.zeros((2, 1)))]), [np.zeros((3, 2))], WEIGHTS)
