"""Ranks, Friedman's test and Nemenyi's difference against published examples, sums done by hand, and scipy."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.verdict.described.ranks import complete_blocks, critical_difference, friedman, ranking, told_together

tables = st.integers(2, 6).flatmap(
    lambda levels: st.lists(st.lists(st.integers(0, 4), min_size=levels, max_size=levels), min_size=2, max_size=8)
)
"""Small scores, so that many tie."""

DEMSAR = (3.143, 2.000, 2.893, 1.964)
"""Average ranks of four variants of C4.5 on 14 data sets (Demšar 2006, section 3.2.2)."""


def test_demsars_example_is_met():
    found = friedman(DEMSAR, 14)
    assert found.chi2 == pytest.approx(9.28, abs=0.01)
    assert found.f == pytest.approx(3.69, abs=0.005)
    assert (found.df_levels, found.df_rest) == (3, 39)
    critical = critical_difference(4, 14)
    assert critical == pytest.approx(1.25, abs=0.005)
    # C4.5+m+cf, +m, +cf and plain: the difference of best and worst is 1.18, and nothing is told apart.
    assert told_together(DEMSAR, critical) == ((3, 1, 2, 0),)


@pytest.mark.parametrize(("levels", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)])
def test_critical_values_are_those_of_demsars_table(levels, q):
    assert critical_difference(levels, 1) / math.sqrt(levels * (levels + 1) / 6) == pytest.approx(q, abs=0.001)


def test_critical_values_of_fifty_levels_are_the_quantile_of_the_range_of_normals():
    q = critical_difference(50, 1) / math.sqrt(50 * 51 / 6) * math.sqrt(2)
    from scipy.special import ndtr

    z = np.linspace(-9, 9, 20001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    below = 50 * (density * (ndtr(z) - ndtr(z - q)) ** 49).sum() * (z[1] - z[0])
    assert below == pytest.approx(0.95, abs=1e-6)


def test_friedman_by_hand():
    found = ranking([[9, 5, 1], [9, 1, 5], [9, 5, 1]])
    assert found.average_ranks == (1, 7 / 3, 8 / 3)
    assert found.friedman.chi2 == pytest.approx(14 / 3)
    assert found.friedman.f == pytest.approx(7)
    assert (found.friedman.df_levels, found.friedman.df_rest) == (2, 4)
    assert found.friedman.p == pytest.approx(4.5**-2)  # an F of 2 and 4 degrees of freedom has a closed form


@settings(deadline=None)
@given(tables)
def test_friedman_is_scipys_with_ties_too(rows):
    from scipy.stats import friedmanchisquare, rankdata

    found = ranking(rows)
    assert found.average_ranks == pytest.approx(rankdata(-np.array(rows), axis=1).mean(axis=0))
    if all(len(set(row)) == 1 for row in rows):
        assert found.friedman is None
    elif len(rows[0]) > 2:  # scipy wants three
        assert found.friedman.chi2 == pytest.approx(friedmanchisquare(*np.array(rows).T).statistic)


@settings(deadline=None)
@given(tables, st.randoms())
def test_ranks_follow_their_level_and_not_its_place(rows, random):
    order = list(range(len(rows[0])))
    random.shuffle(order)
    found, turned = ranking(rows), ranking([[row[column] for column in order] for row in reversed(rows)])
    assert turned.average_ranks == tuple(found.average_ranks[column] for column in order)
    if found.friedman:
        assert turned.friedman.chi2 == pytest.approx(found.friedman.chi2)


@pytest.mark.parametrize(
    ("row", "p"),
    [([3, 2, 1], 1 / 36), ([2, 2, 1], 1 / 9), ([1, 0], 1 / 4)],
)
def test_three_blocks_that_rank_alike_have_an_exact_p_and_no_f(row, p):
    found = ranking([row] * 3).friedman
    assert found.f is None
    assert found.p == pytest.approx(p)
    assert found.chi2 == pytest.approx(3 * (len(row) - 1))


def test_one_swap_among_ten_thousand_blocks_is_not_taken_for_none():
    rows = np.tile(np.arange(50.0), (10_000, 1))
    rows[0, :2] = 1, 0
    assert ranking(rows).friedman.f is not None


def test_what_friedman_cannot_say_is_none():
    one_block = ranking([[0.3, 0.2, 0.1]])
    assert one_block.friedman is None
    assert one_block.alike == ((0, 1, 2),)
    one_level = ranking([[0.3], [0.2]])
    assert (one_level.average_ranks, one_level.friedman, one_level.critical_difference) == ((1,), None, None)
    assert one_level.alike == ()
    tied = ranking(np.full((5, 4), 0.1))
    assert tied.friedman is None
    assert tied.average_ranks == (2.5,) * 4
    assert tied.alike == ((0, 1, 2, 3),)


def test_two_levels_are_a_test_of_signs():
    found = ranking([[1, 0]] * 7 + [[0, 1]])
    assert found.average_ranks == (1.125, 1.875)
    assert found.friedman.chi2 == pytest.approx((7 - 1) ** 2 / 8)
    assert found.alike == ()


def test_runs_overlap_are_as_long_as_they_get_and_leave_out_who_is_alone():
    assert told_together([1, 2, 3, 9, 2.5], 1.5) == ((0, 1), (1, 4, 2))
    assert told_together([1, 1.5, 1.9, 2.4], 1) == ((0, 1, 2), (1, 2, 3))
    assert told_together([1, 2], 1) == ()


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=12), st.integers(1, 8))
def test_two_levels_share_a_run_exactly_if_they_are_closer_than_the_difference(ranks, critical):
    runs = told_together(ranks, critical)
    together = {pair for run in runs for pair in itertools.permutations(run, 2)}
    pairs = itertools.permutations(range(len(ranks)), 2)
    assert together == {(one, other) for one, other in pairs if abs(ranks[one] - ranks[other]) < critical}
    assert not any(set(one) <= set(other) for one, other in itertools.permutations(runs, 2))


def test_blocks_that_lack_a_level_are_dropped_and_counted():
    values = {("a", "x"): 1.0, ("a", "y"): 2.0, ("b", "x"): 3.0, ("c", "x"): 4.0, ("c", "y"): math.nan, ("d", "z"): 0.0}
    found = complete_blocks(values, ("y", "x"))
    assert (found.blocks, found.levels, found.dropped) == (("a",), ("y", "x"), 2)
    assert found.scores.tolist() == [[2, 1]]
    none = complete_blocks(values)
    assert (none.blocks, none.levels, none.dropped) == ((), ("x", "y", "z"), 4)
    assert none.scores.shape == (0, 3)


@pytest.mark.parametrize("scores", [[], [[]], [1.0, 2.0], [[1.0, math.nan]]])
def test_what_is_no_table_of_scores_is_not_ranked(scores):
    with pytest.raises(ValueError, match=r"shape|NaN"):
        ranking(scores)
