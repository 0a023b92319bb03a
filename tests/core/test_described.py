"""What is said of pairs: sign flips and McNemar's test, against published examples, counts one by one, and scipy."""

import itertools
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.verdict.described.mcnemar import exact_p, mcnemar, score_interval
from core.verdict.described.permutation import DRAWS, greater, least_p, pairs_needed, two_sided

DARWIN = (49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48)
"""Crossed less self-fertilised maize, in eighths of an inch (Fisher 1935, section 21)."""


def test_none_of_it_loads_torch_nor_scipy_before_it_is_used():
    modules = [f"core.verdict.described.{name}" for name in ("ranks", "permutation", "mcnemar", "variance")]
    code = f"import sys, {', '.join(modules)}; print([name for name in ('torch', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fishers_count_of_darwins_maize_is_met():
    found = greater(DARWIN)
    assert (found.p, found.flips, found.exact) == (863 / 2**15, 2**15, True)
    assert found.mean == pytest.approx(314 / 15)
    assert two_sided(DARWIN).p == 2 * 863 / 2**15


@settings(deadline=None)
@given(st.lists(st.integers(-3, 3), min_size=1, max_size=7), st.integers(-2, 2))
def test_sign_flips_are_counted_as_one_by_one(differences, margin):
    off = [value - margin for value in differences]
    sums = [
        sum(s * v for s, v in zip(signs, off, strict=True)) for signs in itertools.product((1, -1), repeat=len(off))
    ]
    # Tenths of which none is what it says it is: ties are to be found all the same.
    assert greater([value * 0.1 for value in differences], margin * 0.1).p == np.mean([s >= sum(off) for s in sums])
    assert two_sided([value * 0.1 for value in off]).p == np.mean([abs(s) >= abs(sum(off)) for s in sums])


def test_pairs_of_a_unit_flip_together():
    differences, seeds = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], ["s1", "s1", "s2", "s2", "s3", "s3"]
    found = two_sided(differences, seeds)
    assert (found.pairs, found.units, found.flips) == (6, 3, 8)
    assert found.p == found.least_p == 1 / 4
    assert two_sided(differences).p == 1 / 32
    assert greater(differences, 1.0, seeds) == greater(differences, 1.0, [seed * 2 for seed in seeds])


def test_a_margin_is_taken_off_each_pair():
    assert greater([2.0] * 5, 1.9).p == 1 / 32
    assert greater([2.0] * 5, 2.0).p == 1
    assert greater([2.0] * 5, 2.1).p == 1


def test_what_rounding_leaves_of_nothing_has_no_sign():
    assert greater([0.1 + 0.2] * 8, 0.3).p == 1
    seeds = [seed for seed in range(8) for _ in range(3)]
    found = two_sided([0.1, 0.2, -0.3] * 8, seeds)
    assert (found.p, found.least_p, found.units) == (1, 1, 8)


def test_differences_of_nothing_tell_nothing_and_have_no_sign():
    assert (two_sided([0.0] * 9).p, two_sided([0.0] * 9).least_p) == (1, 1)
    some = two_sided([1.0, 1.0, 0.0, 0.0])
    assert (some.p, some.least_p, some.units) == (1 / 2, 1 / 2, 4)


def test_many_pairs_are_drawn_always_alike_and_say_so():
    values = np.random.default_rng(3).normal(0.3, 1, 60)
    found = two_sided(values)
    assert (found.exact, found.flips) == (False, DRAWS)
    assert two_sided(values[::-1]).p == found.p
    # The sum of so many is close to normal.
    expected = math.erfc(abs(values.sum()) / math.sqrt(2 * (values**2).sum()))
    assert found.p == pytest.approx(expected, abs=4 * math.sqrt(expected / DRAWS) + 0.002)


def test_a_drawn_p_is_never_0():
    assert two_sided([1.0] * 100).p == two_sided([1.0] * 100).least_p == 2.0**-16
    assert greater([1.0] * 16).p == 2.0**-16  # exact
    assert not greater([1.0] * 17).exact


def test_drawn_flips_agree_with_all_of_them(monkeypatch):
    values = np.random.default_rng(5).normal(0.4, 1, 14)
    exact = greater(values)
    monkeypatch.setattr("core.verdict.described.permutation.EXACT_UNITS", 3)
    drawn = greater(values)
    assert (exact.exact, drawn.exact) == (True, False)
    assert drawn.p == pytest.approx(exact.p, abs=4 * math.sqrt(exact.p / DRAWS))


@pytest.mark.parametrize(("alpha", "family", "pairs"), [(0.05, 1, 6), (0.05, 10, 9), (0.0625, 1, 6), (0.999, 1, 2)])
def test_pairs_needed_are_the_fewest_that_get_below(alpha, family, pairs):
    assert pairs_needed(alpha, family) == pairs
    assert least_p(pairs) < alpha / family <= least_p(pairs - 1)
    assert two_sided(range(1, pairs + 1)).p == least_p(pairs)


@pytest.mark.parametrize("ask", [lambda: pairs_needed(0), lambda: pairs_needed(1), lambda: pairs_needed(0.05, 0)])
def test_pairs_needed_refuses_what_is_no_level(ask):
    with pytest.raises(ValueError, match="alpha"):
        ask()


@pytest.mark.parametrize(
    ("differences", "margin", "units"),
    [([], 0, None), ([math.nan], 0, None), ([1.0], math.inf, None), ([1.0, 2.0], 0, ["a"])],
)
def test_what_cannot_be_flipped_is_refused(differences, margin, units):
    with pytest.raises(ValueError, match=r"differences|difference or"):
        greater(differences, margin, units)


def vectors(both, only_first, only_second, neither):
    first = [True] * (both + only_first) + [False] * (only_second + neither)
    return first, [True] * both + [False] * only_first + [True] * only_second + [False] * neither


def test_mcnemar_of_a_published_table():
    """Bentur et al. 2009, as worked by Fagerland, Lydersen and Laake 2014."""
    found = mcnemar(*vectors(1, 1, 7, 12))
    assert (found.both, found.only_first, found.only_second, found.neither, found.images) == (1, 1, 7, 12, 21)
    assert found.p == pytest.approx(2 * 9 / 256)
    assert found.difference == pytest.approx(-6 / 21)
    assert (found.low, found.high) == pytest.approx((-0.517, -0.026), abs=0.0005)


def test_checkpoints_that_never_differ_have_p_1_and_an_interval_with_a_width():
    found = mcnemar(*vectors(30, 0, 0, 14))
    z2 = 1.959963984540054**2
    assert (found.p, found.difference) == (1, 0)
    assert (found.low, found.high) == pytest.approx((-z2 / (44 + z2), z2 / (44 + z2)))


@settings(deadline=None)
@given(st.integers(0, 12), st.integers(0, 12), st.integers(0, 40))
def test_the_interval_holds_the_difference_mirrors_and_is_where_the_score_test_ends(b, c, rest):
    n = b + c + rest
    if n == 0:
        return
    low, high = score_interval(b, c, n)
    assert -1 <= low <= (b - c) / n <= high <= 1
    assert score_interval(c, b, n) == pytest.approx((-high, -low), abs=1e-12)
    for bound in (low, high):
        if abs(bound) < 1:
            # The likeliest share of c by trying them all, not by the root of Tango's equation.
            shares = np.linspace(max(0, -bound), (1 - bound) / 2, 200_001)[1:-1]
            likelihood = b * np.log(shares + bound) + c * np.log(shares) + rest * np.log(1 - 2 * shares - bound)
            share = shares[likelihood.argmax()]
            variance = n * (2 * share + bound - bound**2)
            assert abs(b - c - n * bound) / math.sqrt(variance) == pytest.approx(1.95996, rel=2e-3)


def test_the_interval_covers_what_it_says():
    n = 30
    counts = [(b, c) for b in range(n + 1) for c in range(n + 1 - b)]
    bounds = np.array([score_interval(b, c, n) for b, c in counts])
    ways = [math.comb(n, b) * math.comb(n - b, c) for b, c in counts]
    covered = []
    for p, q in [(0.05, 0.05), (0.1, 0.0), (0.2, 0.1), (0.3, 0.3), (0.5, 0.1)]:
        chance = [way * p**b * q**c * (1 - p - q) ** (n - b - c) for way, (b, c) in zip(ways, counts, strict=True)]
        held = (bounds[:, 0] <= p - q + 1e-12) & (p - q - 1e-12 <= bounds[:, 1])
        assert sum(chance) == pytest.approx(1)
        covered.append(float(np.array(chance) @ held))
    assert min(covered) > 0.935
    assert np.mean(covered) < 0.985


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_exact_p_is_scipys_binomial_test(b, c):
    from scipy.stats import binomtest

    assert exact_p(b, c) == pytest.approx(binomtest(b, b + c).pvalue if b + c else 1.0)


@pytest.mark.parametrize(
    ("first", "second"),
    [(np.array([], bool),) * 2, ([True], [True, False]), ([1, 0], [1, 1]), ([[True]], [[True]])],
)
def test_what_is_no_pair_of_bool_vectors_is_refused(first, second):
    with pytest.raises(ValueError, match=r"bool vectors|no images"):
        mcnemar(first, second)


@pytest.mark.parametrize("arguments", [(1, 1, 1), (-1, 1, 5), (0, 0, 0), (1, 1, 5, 1.0)])
def test_counts_that_cannot_be_have_no_interval(arguments):
    with pytest.raises(ValueError, match="no interval"):
        score_interval(*arguments)
