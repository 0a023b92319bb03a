"""Analysis of variance against a textbook, against least squares with a column for everything, and where little is known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.verdict.described.cells import cell_table
from core.verdict.described.least_squares import balanced_fit, terms_of, type_two_fit
from core.verdict.described.variance import analysis_of_variance

BATTERIES = {
    (1, 15): (130, 155, 74, 180), (1, 70): (34, 40, 80, 75), (1, 125): (20, 70, 82, 58),
    (2, 15): (150, 188, 159, 126), (2, 70): (136, 122, 106, 115), (2, 125): (25, 70, 58, 45),
    (3, 15): (138, 110, 168, 160), (3, 70): (174, 120, 150, 139), (3, 125): (96, 104, 82, 60),
}  # fmt: skip
"""Hours by material and temperature (Montgomery 2017, table 5.1)."""


@st.composite
def designs(draw):
    """[trials] responses and the codes of 1 to 4 factors, anyhow: cells missing, factors confounded, levels alone."""
    levels = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    trials = draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    codes = np.stack([generator.integers(0, count, trials) for count in levels])
    if len(levels) > 1 and draw(st.booleans()):
        codes[1] = codes[0] % levels[1]
    return generator.normal(draw(st.sampled_from([0.0, 50.0])), 1, trials), codes


def by_columns(response, codes):
    """Every term's rank and sum of squares, the rank of all and what is left, from a column for each trial and combination."""

    def columns(which):
        combinations = itertools.product(*(np.unique(codes[one]) for one in which))
        return [(one == codes[list(which)].T).all(axis=1) for one in combinations]

    def fitted(terms):
        design = np.array([column for which in ((), *terms) for column in columns(which)], float).T
        solution, _, rank, _ = np.linalg.lstsq(design, response, rcond=1e-9)
        return rank, ((response - design @ solution) ** 2).sum()

    terms, found = terms_of(len(codes)), {}
    for which in terms:
        base = [other for other in terms if not set(which) <= set(other)]
        (before, more), (after, less) = fitted(base), fitted([*base, which])
        found[which] = after - before, more - less
    rank, left = fitted(terms)
    return found, rank - 1, left


def grid(*levels, seeds=1):
    """Codes of every combination, [factors, trials]."""
    return np.array(list(itertools.product(*map(range, levels), range(seeds)))).T[:-1]


def named(codes):
    return {name: list(row) for name, row in zip("abcdef", codes.tolist(), strict=False)}


def by_factors(analysis):
    return {term.factors: term for term in analysis.terms}


def test_montgomerys_batteries_are_met():
    rows = [(hours, *cell) for cell, every in BATTERIES.items() for hours in every]
    hours, material, temperature = zip(*rows, strict=True)
    found = analysis_of_variance(hours, {"material": material, "temperature": temperature})
    first, second, both = found.terms
    assert [term.factors for term in found.terms] == [("material",), ("temperature",), ("material", "temperature")]
    assert [term.ss for term in found.terms] == pytest.approx([10683.72, 39118.72, 9613.78], abs=0.005)
    assert [term.df for term in found.terms] == [2, 2, 4]
    assert [first.f, second.f, both.f] == pytest.approx([7.91, 28.97, 3.56], abs=0.005)
    assert [first.p, both.p] == pytest.approx([0.0020, 0.0186], abs=5e-5)
    assert (found.residual.df, found.total.df) == (27, 35)
    assert (found.residual.ss, found.total.ss) == pytest.approx((18230.75, 77646.97), abs=0.005)
    assert found.pure_error.ms == pytest.approx(found.residual.ms)
    assert first.eta2 == pytest.approx(10683.72 / 77646.97, rel=1e-5)
    assert first.omega2 == pytest.approx((10683.72 - 2 * 675.213) / (77646.97 + 675.213), rel=1e-5)
    assert (found.trials, found.cells, found.possible_cells, found.balanced) == (36, 9, 9, True)
    assert (found.incomplete, found.constant) == ((), ())


@settings(deadline=None, max_examples=40)
@given(designs())
def test_any_design_is_what_columns_for_everything_make_of_it(design):
    response, codes = design
    table = cell_table(response, codes.tolist())
    fit = type_two_fit(table)
    expected, rank, left = by_columns(response - response.mean(), codes)
    assert fit.rank == rank
    assert fit.lack + table.within == pytest.approx(left, rel=1e-8, abs=1e-9)
    assert {which: df for which, (df, _) in fit.terms.items()} == {which: df for which, (df, _) in expected.items()}
    for which, (_, ss) in fit.terms.items():
        assert ss == pytest.approx(expected[which][1], rel=1e-8, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(1, 3), st.integers(0, 2**32))
def test_balanced_grids_give_the_same_either_way_and_add_up(levels, seeds, seed):
    codes = grid(*levels, seeds=seeds)
    table = cell_table(np.random.default_rng(seed).normal(size=codes.shape[1]), codes.tolist())
    assert table.balanced
    one, other = balanced_fit(table), type_two_fit(table)
    assert one.rank == other.rank
    assert one.lack == pytest.approx(other.lack, abs=1e-9)
    assert {which: df for which, (df, _) in one.terms.items()} == {which: df for which, (df, _) in other.terms.items()}
    for which, (_, ss) in one.terms.items():
        assert ss == pytest.approx(other.terms[which][1], abs=1e-9)
    assert sum(ss for _, ss in one.terms.values()) + one.lack == pytest.approx(table.between)


@settings(deadline=None, max_examples=40)
@given(designs(), st.randoms())
def test_neither_the_order_of_trials_nor_the_names_of_levels_nor_the_order_of_factors_matters(design, random):
    response, codes = design
    order = list(range(len(response)))
    random.shuffle(order)
    names = random.sample(range(100), 4)
    found = analysis_of_variance(response, named(codes))
    turned = analysis_of_variance(
        response[order],
        {name: [f"level {names[level]}" for level in row] for name, row in reversed(named(codes[:, order]).items())},
    )
    others = {frozenset(term.factors): term for term in turned.terms}
    for term in found.terms:
        other = others[frozenset(term.factors)]
        assert (other.df, other.missing_df) == (term.df, term.missing_df)
        assert other.ss == pytest.approx(term.ss, abs=1e-8)
        assert (other.p is None) == (term.p is None)
        assert term.p is None or other.p == pytest.approx(term.p, abs=1e-6)
    assert turned.residual.df == found.residual.df
    assert turned.residual.ss == pytest.approx(found.residual.ss, abs=1e-8)


def test_shares_of_a_balanced_grid_add_up_and_residual_holds_three_factors_and_seeds():
    codes = grid(3, 2, 4, seeds=2)
    found = analysis_of_variance(np.random.default_rng(1).normal(size=48), named(codes))
    assert sum(term.eta2 for term in found.terms) + found.residual.share == pytest.approx(1)
    assert found.residual.df == 47 - (2 + 1 + 3 + 2 + 6 + 3)
    assert found.pure_error.df == 24
    assert found.pure_error.ss < found.residual.ss


def test_a_missing_trial_leaves_every_term_but_withholds_shares():
    codes = grid(3, 2, seeds=2)[:, 1:]
    found = analysis_of_variance(np.random.default_rng(1).normal(size=11), named(codes))
    assert not found.balanced
    assert found.incomplete == ()
    assert all(term.eta2 is None and term.omega2 is None and term.p is not None for term in found.terms)
    assert found.residual.share is None


def test_a_missing_cell_costs_its_interaction_a_degree_of_freedom_which_is_named():
    codes = grid(3, 3, seeds=2)[:, 2:]
    found = analysis_of_variance(np.random.default_rng(1).normal(size=16), named(codes))
    assert [(term.factors, term.df, term.missing_df) for term in found.incomplete] == [(("a", "b"), 3, 1)]
    assert (found.cells, found.possible_cells) == (8, 9)


def test_a_factor_that_determines_another_is_told_apart_as_far_as_it_goes():
    """Each activation goes with optimizers of its own: its effect is theirs, and nothing else is lost."""
    architecture, optimizer, _ = np.array(list(itertools.product(range(3), range(4), range(2)))).T
    factors = {"architecture": architecture, "optimizer": optimizer, "activation": optimizer // 2}
    found = by_factors(analysis_of_variance(np.random.default_rng(2).normal(size=24), factors))
    known = {names: (term.df, term.missing_df) for names, term in found.items()}
    assert known == {
        ("architecture",): (2, 0),
        ("optimizer",): (2, 1),
        ("activation",): (0, 1),
        ("architecture", "optimizer"): (4, 2),
        ("architecture", "activation"): (0, 2),
        ("optimizer", "activation"): (0, 3),
    }
    nothing = found["activation",]
    assert (nothing.ss, nothing.f, nothing.p) == (0, None, None)


def test_two_names_of_one_factor_are_both_unknown():
    found = analysis_of_variance([1.0, 2.0, 3.5, 4.0], {"a": [0, 0, 1, 1], "b": ["x", "x", "y", "y"]})
    assert [(term.df, term.missing_df) for term in found.terms] == [(0, 1), (0, 1), (0, 1)]
    # Together they are known: nothing of it is residual.
    assert (found.residual.df, found.residual.ss) == (2, pytest.approx(0.5 + 0.125))


def test_one_trial_of_ten_thousand_is_enough_to_part_two_factors():
    a = np.arange(10_000) % 2
    b = a.copy()
    b[0] = 1
    response = np.random.default_rng(0).normal(size=10_000)
    response[0] += 100
    found = analysis_of_variance(response, named(np.stack([a, b])))
    assert [term.df for term in found.terms] == [1, 1, 0]
    assert found.terms[1].ss == pytest.approx(response[0] ** 2, rel=0.03)


@pytest.mark.parametrize("often", [1, 1000])
def test_a_chain_of_two_hundred_levels_hangs_together(often):
    """Level i of one factor meets i and i + 1 of the other: connected, by the thinnest of links."""
    links = [(i, i) for i in range(200) for _ in range(often)] + [(i, i + 1) for i in range(199)]
    response = np.random.default_rng(0).normal(size=len(links))
    found = analysis_of_variance(response, named(np.array(links).T))
    assert [(term.df, term.missing_df) for term in found.terms] == [(199, 0), (199, 0), (0, 199**2)]


def test_one_level_is_left_out_and_named():
    codes = grid(2, 1, 3)
    found = analysis_of_variance(np.random.default_rng(0).normal(size=6), named(codes))
    assert found.constant == ("b",)
    assert [term.factors for term in found.terms] == [("a",), ("c",), ("a", "c")]
    # No trial twice, and all pairs in the model: nothing is left to test against.
    assert (found.residual.df, found.residual.ms, found.pure_error) == (0, None, None)
    assert all(term.f is None and term.omega2 is None and term.eta2 is not None for term in found.terms)


def test_seeds_alone_are_all_residual():
    found = analysis_of_variance([1.0, 2.0, 3.0], {"a": ["x"] * 3})
    assert (found.terms, found.constant) == ((), ("a",))
    assert (found.residual.df, found.residual.ss) == (2, 2)
    assert found.pure_error == found.residual == found.total


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 / 3])
@pytest.mark.parametrize("first", [0, 1])
def test_a_response_that_never_changes_has_nothing_to_share(value, first):
    codes = grid(3, 3, seeds=3)[:, first:]
    found = analysis_of_variance([value] * codes.shape[1], named(codes))
    assert (found.total.ss, found.residual.ss, found.pure_error.ss) == (0, 0, 0)
    assert all((term.ss, term.f, term.p, term.eta2, term.omega2) == (0, None, None, None, None) for term in found.terms)


@pytest.mark.parametrize("first", [0, 1])
def test_a_response_without_noise_has_no_test(first):
    codes = grid(3, 4, seeds=2)[:, first:]
    found = analysis_of_variance(0.1 * codes[0] + 0.3 * codes[1] + 7, named(codes))
    assert found.residual.ss == 0
    assert found.terms[0].ss > 0.1
    assert found.terms[2].ss == 0
    assert all(term.f is None for term in found.terms)


def test_a_single_trial_says_nothing():
    found = analysis_of_variance([0.5], {"a": ["x"], "b": ["y"]})
    assert (found.terms, found.constant, found.trials, found.cells) == ((), ("a", "b"), 1, 1)
    assert (found.total.df, found.total.ss, found.residual.ms, found.pure_error) == (0, 0, None, None)


def test_six_factors_with_more_combinations_than_can_be_listed():
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 12, (6, 50))
    found = analysis_of_variance(generator.normal(size=50), named(codes))
    assert found.possible_cells == math.prod(len(set(row)) for row in codes.tolist()) > 10**6
    assert len(found.terms) == 21
    assert (found.residual.df, found.residual.ms) == (0, None)


@pytest.mark.parametrize(
    ("response", "factors"),
    [
        ([], {"a": []}),
        ([1.0], {}),
        ([1.0, math.nan], {"a": [1, 2]}),
        ([1.0, 1e200], {"a": [1, 2]}),
        ([1.0, 2.0], {"a": [1]}),
        ([[1.0]], {"a": [1]}),
    ],
)
def test_what_is_no_grid_of_trials_is_refused(response, factors):
    with pytest.raises(ValueError, match=r"no factor|no trials|not finite|levels for"):
        analysis_of_variance(response, factors)
