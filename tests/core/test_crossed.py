"""Variance of means over seeds and images, and the intervals made of it; `tests/benchmarks/test_coverage.py` has them in full."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from core.verdict.crossed import Block, Spread, crossed
from core.verdict.statistics import p_above, t_interval, t_quantile, unit_interval, upper_bound, wilson
from tests.benchmarks.crossed_worlds import Pairs, Variant, covariance, influences


def rng(*key):
    return np.random.Generator(np.random.SFC64(list(key)))


def numbers(*shape, key=0):
    """Values with effects of rows and of columns."""
    draw = rng(*shape, key)
    return draw.normal(size=shape) + draw.normal(size=(shape[0], 1)) + 2 * draw.normal(size=(1, shape[1]))


def several(*sizes, n=20, key=0):
    return [Block(tuple(range(size)), numbers(size, n, key=key + place)) for place, size in enumerate(sizes)]


def same(one, other):
    for name in ("mean", "seeds", "images", "rest", "df", "df_rest", "variance", "freedom"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9, abs=1e-15), name
    assert (one.blocks, one.trials, one.test_images, one.shared) == (
        other.blocks, other.trials, other.test_images, other.shared,
    )  # fmt: skip


def test_one_block_is_the_two_way_analysis_of_variance():
    values = numbers(4, 7)
    count, n = values.shape
    mean = values.sum() / values.size
    rows = [sum(values[t]) / n for t in range(count)]
    columns = [sum(values[:, i]) / count for i in range(n)]
    of_seeds = n * sum((row - mean) ** 2 for row in rows) / (count - 1)
    of_images = count * sum((column - mean) ** 2 for column in columns) / (n - 1)
    left = [(values[t, i] - rows[t] - columns[i] + mean) ** 2 for t in range(count) for i in range(n)]
    of_rest = sum(left) / ((count - 1) * (n - 1))
    found = crossed([Block((3, 1, 0, 2), values)])
    assert found.mean == pytest.approx(mean)
    assert found.seeds == pytest.approx(of_seeds / values.size)
    assert found.images == pytest.approx(of_images / values.size)
    assert found.rest == pytest.approx(of_rest / values.size)
    assert (found.df, found.df_rest) == (pytest.approx(3), 3 * 6)
    total = ((values - mean) ** 2).sum()
    parts = found.seeds * (count - 1) + found.images * (n - 1) + found.rest * found.df_rest
    assert parts * values.size == pytest.approx(total)


def test_blocks_add_up_by_hand():
    """Unequal numbers of seeds; the block with one seed takes the others' mean variance."""
    blocks = several(3, 2, 1, 4)
    found = crossed(blocks)
    means = [block.values.mean() for block in blocks]
    assert found.mean == pytest.approx(sum(means) / 4)
    variances = [sum((row.mean() - mean) ** 2 for row in block.values) / (len(block.seeds) - 1)
                 for block, mean in zip(blocks, means, strict=True) if len(block.seeds) > 1]  # fmt: skip
    usual = sum(variances) / 3
    a, b, d = variances
    assert found.seeds == pytest.approx((a / 3 + b / 2 + usual / 1 + d / 4) / 16)
    per_image = [sum(block.values[:, i].mean() for block in blocks) / 4 for i in range(20)]
    assert found.images == pytest.approx(np.var(per_image, ddof=1) / 20)
    assert (found.blocks, found.trials, found.test_images, found.shared) == (4, 10, 20, False)
    parts = [(a * (1 / 3 + 1 / 3), 2), (b * (1 / 2 + 1 / 3), 1), (d * (1 / 4 + 1 / 3), 3)]
    welch = sum(part for part, _ in parts) ** 2 / sum(part**2 / (df + 2) for part, df in parts) - 2
    assert found.df == pytest.approx(min(6, max(1, welch)))


def test_variance_is_the_mean_s():
    """Over many draws of seeds and images, against what means of such draws vary by and what the world's closed form says."""
    world = Variant(0.8, deviation=0.03, agreement=0.4)
    found = [crossed([Block(tuple(range(4)), world.margins(rng(k), 4, 100)[0] > 0)]) for k in range(1500)]
    true = world.variance(4, 100)
    assert np.mean([one.seeds + one.images - one.rest for one in found]) == pytest.approx(true, rel=0.06)
    assert np.var([one.mean for one in found]) == pytest.approx(true, rel=0.12)
    assert np.mean([one.variance for one in found]) >= true


def test_order_makes_no_difference():
    blocks = several(3, 3, 2)
    found = crossed(blocks)
    turned = [Block(block.seeds[::-1], block.values[::-1]) for block in blocks]
    shuffled = [Block(block.seeds, block.values[:, rng(1).permutation(20)]) for block in blocks]
    for other in (turned, shuffled, blocks[::-1]):
        same(crossed(other), found)


@pytest.mark.parametrize("kind", [np.bool_, np.int8, np.float32])
def test_any_type_of_values_once_through_a_generator(kind):
    values = [(numbers(3, 30, key=key) > 0).astype(kind) for key in range(4)]
    kept = [one.copy() for one in values]
    found = crossed(Block((0, 1, 2), one) for one in values)
    same(found, crossed([Block((0, 1, 2), one.astype(np.float64)) for one in kept]))
    assert all(np.array_equal(one, other) for one, other in zip(values, kept, strict=True)), "left as they were"


def test_a_shift_moves_the_mean_and_a_scale_the_variance():
    blocks = several(3, 3)
    found = crossed(blocks)
    moved = crossed([Block(block.seeds, 3 * block.values + 5) for block in blocks])
    same(
        moved,
        replace(found, mean=3 * found.mean + 5, seeds=9 * found.seeds, images=9 * found.images, rest=9 * found.rest),
    )


def test_one_seed_tells_of_its_model_over_images():
    values = (numbers(1, 400) > 0).astype(float)
    found = crossed([Block((0,), values)])
    assert found.seeds is found.df is None
    assert found.variance == pytest.approx(values.var(ddof=1) / 400)
    assert found.freedom == 399
    share = values.mean()
    expected = stats.binomtest(int(values.sum()), 400).proportion_ci(method="wilson")
    assert unit_interval(found) == pytest.approx((expected.low, expected.high), abs=1e-3)
    assert unit_interval(found)[0] < share < unit_interval(found)[1]


def test_one_seed_in_each_of_several_blocks_says_nothing_of_seeds():
    found = crossed(several(1, 1, 1))
    assert found.seeds is None
    assert found.variance == found.images


def test_one_image_has_no_variance_over_images():
    found = crossed([Block((0, 1, 2), np.array([[1.0], [0.0], [1.0]]))])
    assert found.images == 0.0
    assert found.seeds == pytest.approx(np.var([1, 0, 1], ddof=1) / 3)
    assert unit_interval(found)[1] <= 1.0
    alone = crossed([Block((0,), np.array([[1.0]]))])
    assert 0.0 <= unit_interval(alone)[0] < unit_interval(alone)[1] == 1.0


def test_two_seeds_are_wide():
    world = Variant(0.9, deviation=0.02)
    widths = {2: [], 3: []}
    for key in range(60):
        right = world.margins(rng(4, key), 3, 2000)[0] > 0
        for count, found in widths.items():
            low, high = unit_interval(crossed([Block(tuple(range(count)), right[:count])]))
            found.append(high - low)
    assert np.mean(widths[2]) > 1.5 * np.mean(widths[3])


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("count", [1, 2, 3, 10])
def test_where_nothing_varies_each_image_counts_once(right, count):
    found = crossed([Block(tuple(range(count)), np.full((count, 200), right))])
    assert found.variance == 0.0
    low, high = unit_interval(found)
    edge = wilson(0.0, 200, t_quantile(0.975, 199))[1]
    assert (low, high) == pytest.approx((1 - edge, 1.0) if right else (0.0, edge))
    assert upper_bound(found) <= high
    differences = crossed([Block(tuple(range(count)), np.zeros((count, 200)))])
    assert t_interval(differences) == pytest.approx((-edge, edge)), "200 images without a difference do not exclude one"
    assert p_above(differences, -edge) == pytest.approx(0.025)
    assert p_above(differences, edge) == pytest.approx(0.975)
    assert p_above(differences, 0.0) == 0.5


def test_rounding_is_not_variance():
    values = np.full((3, 1000), 0.1, np.float32) * np.array([[1.0], [1.0], [1.0]], np.float32)
    assert crossed([Block((0, 1, 2), values), Block((0, 1, 2), values / 3)]).variance == 0.0
    single = np.zeros((10, 10_000))
    single[3, 7] = 1
    blocks = [Block(tuple(range(10)), single), *[Block(tuple(range(10)), np.zeros((10, 10_000)))] * 29]
    assert crossed(blocks).variance > 0.0, "one outcome of three million is"


def test_a_perfect_and_a_rarely_wrong_model_claim_no_more_images_than_there_are():
    values = np.ones((10, 200))
    perfect = unit_interval(crossed([Block(tuple(range(10)), values)]))
    values[4, 17] = 0
    wrong = unit_interval(crossed([Block(tuple(range(10)), values)]))
    assert wrong[0] < perfect[0] + 0.005, "one error of 2,000 outcomes is no knowledge of 2,000 images"
    assert wrong[1] < 1.0


def test_no_blocks_and_other_images_are_refused():
    with pytest.raises(ValueError, match="no blocks"):
        crossed([])
    with pytest.raises(ValueError, match="20 and 21 images"):
        crossed([*several(2), *several(2, n=21)])


shares = st.tuples(st.integers(1, 5), st.integers(1, 30), st.integers(0, 2**32 - 1), st.floats(0, 1), st.booleans())


@settings(deadline=None, max_examples=150)
@given(shares)
def test_intervals_of_shares_stay_inside_and_widen_with_confidence(case):
    count, n, key, share, smooth = case
    draw = rng(key)
    values = draw.random((count, n)) * share if smooth else draw.random((count, n)) < share
    found = crossed([Block(tuple(range(count)), values)])
    assert found.freedom >= 1.0
    before = (found.mean, found.mean)
    for confidence in (0.5, 0.8, 0.95, 0.99, 0.9999):
        low, high = unit_interval(found, confidence)
        assert 0.0 <= low <= high <= 1.0
        assert low - 1e-12 <= before[0] <= before[1] <= high + 1e-12
        before = low, high
        assert upper_bound(found, (1 + confidence) / 2) == pytest.approx(high)
        left, right = t_interval(found, confidence)
        assert left <= found.mean <= right


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 2**32 - 1), st.floats(0.5, 0.999))
def test_a_p_value_and_the_interval_say_the_same(sizes, key, confidence):
    found = crossed(several(*sizes, key=key))
    low, high = t_interval(found, confidence)
    assert p_above(found, low) == pytest.approx((1 - confidence) / 2)
    assert p_above(found, high) == pytest.approx((1 + confidence) / 2)
    assert p_above(found, low - 1) < p_above(found, low) < p_above(found, found.mean + 1e-9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_degrees_of_freedom_lie_between_the_fewest_and_all(sizes, key):
    found = crossed(several(*sizes, key=key))
    if found.df is None:
        return
    dfs = [size - 1 for size in sizes if size > 1]
    assert found.shared or min(dfs) - 1e-9 <= found.df <= sum(dfs) + 1e-9
    assert found.freedom >= min(found.df, 19.0) - 1e-9
    assert found.variance >= max(found.seeds, found.images) * (1 - 1e-12)


def test_seeds_alone_give_student_s_interval():
    """Every image the same: only seeds vary, and the interval is the textbook's."""
    offsets = rng(5).normal(size=6)
    found = crossed([Block(tuple(range(6)), np.repeat(offsets[:, None], 5000, axis=1))])
    assert t_interval(found) == pytest.approx(stats.t.interval(0.95, 5, offsets.mean(), stats.sem(offsets)))
    assert p_above(found, 0.3) == pytest.approx(stats.ttest_1samp(offsets, 0.3, alternative="greater").pvalue)


def test_many_images_hardly_widen_student_s_interval():
    offsets = rng(6).normal(size=4)
    found = crossed([Block(tuple(range(4)), offsets[:, None] + rng(7).normal(size=(1, 100_000)))])
    expected = stats.t.interval(0.95, 3, offsets.mean(), stats.sem(offsets))
    assert t_interval(found) == pytest.approx(expected, abs=0.02 * (expected[1] - expected[0]))


def test_images_alone_give_student_s_interval():
    """All seeds the same: they are not more than one."""
    values = numbers(1, 300)
    found = crossed([Block((0, 1, 2), np.repeat(values, 3, axis=0))])
    low, high = stats.t.interval(0.95, 299, values.mean(), stats.sem(values[0]))
    assert t_interval(found) == pytest.approx((low, high))


def test_wilson_s_interval_is_scipy_s():
    for right, n in itertools.product((0, 1, 17, 99, 100), (100, 1000)):
        expected = stats.binomtest(right, n).proportion_ci(method="wilson")
        assert wilson(right / n, n, stats.norm.ppf(0.975)) == pytest.approx((expected.low, expected.high), abs=1e-12)


def moved(blocks, count, share, key, missing=0.0):
    """Blocks of `count` seeds whose means vary by 1, of which `share` goes with the seed through all blocks."""
    draw = rng(key, blocks, count)
    along = draw.normal(size=count)
    found = []
    for _ in range(blocks):
        there = draw.random(count) >= missing
        there[:2] = True
        own = draw.normal(size=count)
        values = math.sqrt(share) * along + math.sqrt(1 - share) * own
        seeds = np.flatnonzero(there)
        found.append(Block(tuple(seeds.tolist()), np.repeat(values[seeds, None], 2, axis=1)))
    return found


def test_seeds_that_move_all_blocks_alike_count_once():
    blocks = moved(12, 10, 1.0, 3)
    found = crossed(blocks)
    offsets = np.mean([block.values[:, 0] for block in blocks], axis=0)
    assert found.shared
    assert found.df == pytest.approx(9)
    assert t_interval(found) == pytest.approx(stats.t.interval(0.95, 9, offsets.mean(), stats.sem(offsets)))
    assert found.seeds > 5 * crossed(moved(12, 10, 0.0, 3)).seeds


@pytest.mark.parametrize(("count", "missing", "error"), [(3, 0.0, 0.01), (5, 0.0, 0.1), (5, 0.3, 0.1)])
def test_the_alarm_for_shared_seeds_errs_as_it_should(count, missing, error):
    alarms = np.mean([crossed(moved(8, count, 0.0, key, missing)).shared for key in range(700)])
    assert 0.2 * error <= alarms <= 1.8 * error


@pytest.mark.parametrize(("count", "missing"), [(5, 0.0), (10, 0.0), (10, 0.3)])
def test_shared_seeds_are_noticed_also_where_some_are_missing(count, missing):
    found = [crossed(moved(12, count, 0.5, key, missing)) for key in range(200)]
    assert np.mean([one.shared for one in found]) > 0.8
    held = np.mean([low <= 0 <= high for low, high in map(t_interval, found)])
    assert held > 0.88


def test_one_block_that_varies_alone_is_no_shared_seed():
    """A collapsed seed in one block of twelve; the others are all the same."""
    blocks = [Block((0, 1, 2), np.zeros((3, 50))) for _ in range(12)]
    blocks[4].values[1] = -0.8
    found = crossed(blocks)
    assert not found.shared
    assert found.df == pytest.approx(2)
    low, high = t_interval(found)
    assert low < 0 < high


def test_worlds_are_what_they_say():
    assert covariance(0.9, 0.5) == pytest.approx(
        stats.multivariate_normal.cdf([stats.norm.ppf(0.9)] * 2, cov=[[1, 0.5], [0.5, 1]]) - 0.81, abs=1e-5
    )
    world = Variant(0.9, deviation=0.02, agreement=0.5)
    right = world.margins(rng(1), 300, 20_000)[0] > 0
    assert right.mean() == pytest.approx(world.truth("clean_accuracy"), abs=0.005) == pytest.approx(0.9, abs=0.005)
    assert right.mean(axis=1).std() == pytest.approx(0.02, rel=0.15)
    assert np.corrcoef(right[:40])[np.triu_indices(40, 1)].mean() == pytest.approx(0.5, abs=0.02)
    found = influences("innate", world.margins(rng(2), 300, 5000)[0])
    assert found.mean() == pytest.approx(world.truth("innate"), abs=0.005)
    pairs = Pairs(blocks=200, seeds=3, images=2000, gain=0.03, agreement=0.7)
    blocks = pairs.draw(rng(3))
    assert np.mean([block.values.mean() for block in blocks]) == pytest.approx(pairs.truth, abs=0.006)
    assert np.mean([(block.values != 0).mean() for block in blocks]) == pytest.approx(2 * 0.09 * 0.3, rel=0.15)


@pytest.mark.parametrize(
    ("count", "n", "score"), [(3, 300, "clean_accuracy"), (5, 100, "innate"), (10, 300, "clean_accuracy")]
)
def test_intervals_of_scores_cover(count, n, score):
    world = Variant(0.9, deviation=0.015, agreement=0.5)
    truth, widths, held, means = world.truth(score), [], [], []
    for key in range(400):
        found = crossed([Block(tuple(range(count)), influences(score, world.margins(rng(key, count), count, n)[0]))])
        low, high = unit_interval(found)
        held.append(low <= truth <= high)
        widths.append(high - low)
        means.append(found.mean)
    assert 0.92 <= np.mean(held) <= 0.995
    assert np.mean(widths) < 1.6 * 2 * 1.96 * np.std(means)


def test_intervals_of_comparisons_cover_and_find():
    world = Pairs(blocks=12, seeds=3, images=300, gain=0.01, accuracy=0.95, uneven=(0.5, 1.5))
    found = [t_interval(crossed(world.draw(rng(key, 9)))) for key in range(400)]
    assert 0.92 <= np.mean([low <= 0.01 <= high for low, high in found]) <= 0.985
    assert np.mean([low > 0 for low, _ in found]) > 0.5


def test_an_interval_needs_no_more_than_a_spread():
    found = Spread(mean=0.5, seeds=0.01, images=0.01, rest=0.0, df=4.0, df_rest=4.0, blocks=1, trials=5, test_images=5)
    assert found.variance == pytest.approx(0.02)
    assert found.freedom == pytest.approx(0.02 / (0.01 / 4 + 0.01 / 4))
    low, high = t_interval(found)
    assert (low + high) / 2 == pytest.approx(0.5)
    assert high - low == pytest.approx(2 * stats.t.ppf(0.975, 4) * math.sqrt(0.02))
