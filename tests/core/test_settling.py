"""Settling claims in stages: error that is never overspent, verdicts that stay, seeds for open comparisons alone."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.verdict.crossed import Block, Spread, crossed
from core.verdict.decisions import ERROR, above, all_of, at_least, holm
from core.verdict.settling.claim import Claim, Difference
from core.verdict.settling.spending import LOOKS, Look, error_now, errors_ahead, next_seeds
from core.verdict.settling.stage import FUTILE, WORTH, Decided, Limit, stage
from core.verdict.statistics import t_interval


def spread(mean, deviation, seeds=3, images=0.0, blocks=5, test_images=10_000):
    """Of a mean whose trials' deviation from seed to seed is known, and whose images' standard error is."""
    rest = 1e-6
    return Spread(
        mean=mean,
        seeds=deviation**2 / seeds / blocks,
        images=images**2 + rest,
        rest=rest,
        df=float(blocks * (seeds - 1)),
        df_rest=1e5,
        blocks=blocks,
        trials=blocks * seeds,
        test_images=test_images,
    )


def claim(key, mean, deviation=1.0, variants=("a", "b"), margin=0.5, sided="above", **more):
    return Claim(key, (Difference(spread(mean, deviation, **more), frozenset(variants)),), margin, sided)


CLEAR, DENIED, OPEN = claim("clear", 4.0), claim("denied", -3.0), claim("open", 1.2, 1.5, ("c", "d"))
THREE = dict.fromkeys("abcdef", 3)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=30),
    st.lists(st.integers(1, 60), max_size=5),
)
def test_spends_never_more_than_all_whatever_is_looked_at(calls, more):
    spent = []
    for seeds, images in [*calls, *((seeds, 9) for seeds in more)]:
        error = error_now(spent, seeds, images)
        assert 0.0 <= error < ERROR
        if error > 0.0:
            assert all(seeds >= look.seeds for look in spent)
            spent.append(Look(seeds, error, images))
            assert error_now(spent, seeds, images) == 0.0
            assert error_now(spent, seeds - 1, images + 1) == 0.0
        assert math.fsum(look.error for look in spent) <= ERROR


@given(st.sets(st.integers(2, LOOKS[-1]), min_size=1))
def test_how_much_was_spent_depends_on_the_seeds_and_not_on_how_often_was_looked(numbers):
    spent = []
    for seeds in sorted(numbers):
        spent.append(Look(seeds, error_now(spent, seeds)))
    assert math.fsum(look.error for look in spent) == pytest.approx(error_now([], max(numbers)))


def test_something_is_left_for_more_images_and_for_seeds_beyond_the_last_look():
    spent = [Look(LOOKS[-1], error_now([], LOOKS[-1], 1000), 1000)]
    images = error_now(spent, LOOKS[-1], 2000)
    assert 0.0 < images < 0.004
    spent.append(Look(LOOKS[-1], images, 2000))
    assert 0.0 < error_now(spent, LOOKS[-1] + 5, 2000) <= images
    assert error_now([], 1) == 0.0, "one seed says nothing of others"


def test_a_look_at_more_images_takes_nothing_from_what_was_planned():
    first = [Look(3, error_now([], 3, 500), 500)]
    extra = Look(3, error_now(first, 3, 1000), 1000)
    assert 0.0 < extra.error < 0.1 * ERROR
    ahead, after = errors_ahead(first, 3), errors_ahead([*first, extra], 3)
    assert [look.error for look in after] == pytest.approx([look.error for look in ahead])
    again = error_now([*first, extra], 3, 2000)
    assert again == pytest.approx(extra.error / 2)


def test_one_look_is_holm_at_that_look_s_error():
    rng = np.random.default_rng(4)
    family = [claim(str(place), mean) for place, mean in enumerate(rng.normal(0.5, 1.5, size=12))]
    found = stage(family, [], [], dict.fromkeys("ab", 3))
    expected = holm([one.doubt for one in family], error_now([], 3))
    assert found.looks == (Look(3, error_now([], 3), 10_000),)
    verdicts = {one.key: (one.verdict, one.error, one.p) for one in found.decided}
    assert 2 < len(verdicts) < 12
    for one, decision in zip(family, expected, strict=True):
        if decision.verdict == "inconclusive":
            assert one.key not in verdicts
        else:
            assert verdicts[one.key] == (decision.verdict, decision.error, decision.p)


def test_intervals_are_those_of_the_look_and_say_what_the_verdict_says():
    found = stage([CLEAR, DENIED, OPEN, claim("two-sided", -4.0, sided="differs")], [], [], THREE)
    by_key = {one.key: one for one in found.decided}
    low, high = by_key["clear"].interval
    plain = t_interval(CLEAR.differences[0].spread)
    assert by_key["clear"].verdict == "supported"
    assert 0.5 < low < plain[0] < plain[1] < high
    assert by_key["denied"].verdict == "contradicted"
    assert by_key["denied"].interval[1] < 0.5
    assert by_key["two-sided"].interval[1] < -0.5
    (still,) = found.undecided
    assert still.interval[0] < 0.5 < still.interval[1]


@pytest.mark.parametrize("mean", np.linspace(-2, 3, 41))
@pytest.mark.parametrize("sided", ["above", "differs"])
@pytest.mark.parametrize("least", [1, 2, None])
def test_an_interval_excludes_the_margin_exactly_where_the_claim_is_decided(mean, sided, least):
    differences = tuple(Difference(spread(value, 0.4), frozenset("ab")) for value in (mean, 1.0))
    one = Claim("q", differences, 0.5, sided, least)
    if least == 1 and sided == "above":
        one = replace(one, differences=(differences[0], Difference(spread(0.3, 0.4), frozenset("ab"))))
    (decided, undecided) = (lambda s: (s.decided, s.undecided))(stage([one], [], [], THREE))
    if decided:
        low, high = decided[0].interval
        assert low > 0.5 if decided[0].verdict == "supported" else high < 0.5
    else:
        low, high = undecided[0].interval
        assert low <= 0.5 <= high


def test_a_claim_on_several_contrasts_is_their_partial_conjunction():
    spreads = [spread(mean, 0.5) for mean in (0.9, 1.1, 0.2)]
    differences = tuple(Difference(one, frozenset("ab")) for one in spreads)
    single = [above(one, 0.5) for one in spreads]
    assert Claim("q", differences, 0.5).doubt == all_of(single)
    assert Claim("q", differences, 0.5, least=1).doubt == at_least(1, single)
    two = Claim("q", differences, 0.5, least=2).doubt
    assert two.for_ == pytest.approx(2 * single[0].for_), "the second surest of three, twice"
    low = [above(spread(mean, 0.5), 0.5) for mean in (-0.5, 0.0, 0.2)]
    lows = tuple(Difference(spread(mean, 0.5), frozenset("ab")) for mean in (-0.5, 0.0, 0.2))
    assert Claim("q", lows, 0.5, least=2).doubt.against == pytest.approx(2 * low[1].against), "two are denied, of three"
    assert two.for_ <= at_least(2, single).for_


def test_an_interval_of_the_least_effect_is_of_the_least_effect():
    differences = tuple(Difference(spread(mean, 0.5), frozenset("ab")) for mean in (1.0, 2.0, 7.0))
    one = Claim("all", differences, 0.5)
    low, high = one.interval(0.01)
    assert low == t_interval(differences[0].spread, 0.98)[0]
    assert low < 1.0 < high < 2.0
    least, most = replace(one, least=1).interval(0.01)
    assert 6.0 < least < 7.0 < most


def test_looking_again_spends_nothing_and_decides_nothing_even_where_outcomes_changed():
    first = stage([CLEAR, OPEN], [], [], THREE)
    again = stage([CLEAR, OPEN], first.looks, first.decided, THREE)
    assert again.looks == first.looks
    assert again == first
    moved = claim("open", 9.0, 0.1, ("c", "d"))
    peeked = stage([CLEAR, moved], first.looks, first.decided, THREE)
    assert peeked.decided == first.decided, "no error is left for that look"
    later = stage([CLEAR, moved], first.looks, first.decided, THREE | {"c": 5, "d": 5})
    assert {one.key for one in later.decided} == {"clear", "open"}
    assert later.looks[:1] == first.looks
    assert later.looks[1].seeds == 5


def test_what_is_decided_stays_whatever_is_seen_later_and_leaves_the_family():
    first = stage([CLEAR, OPEN], [], [], THREE)
    assert [one.key for one in first.decided] == ["clear"]
    turned = claim("clear", -9.0)
    grown = claim("open", 1.2, 0.6, ("c", "d"), seeds=5)
    second = stage([turned, grown], first.looks, first.decided, THREE | {"c": 5, "d": 5})
    assert second.decided[0] == first.decided[0]
    assert second.decided[1] == Decided(
        "open",
        "supported",
        2,
        second.looks[1].error,
        grown.interval(second.looks[1].error),
        grown.doubt.for_,
    ), "alone in its family it has all of the look's error"


def test_only_variants_of_open_comparisons_get_seeds_and_only_those_that_lack_them():
    found = stage([CLEAR, DENIED, OPEN], [], [], THREE | {"d": 4})
    assert found.open == ("open",)
    assert found.wanted == {"c": 5, "d": 5}
    assert found.trials == 3
    assert set(found.expected) == {"c", "d"}
    assert all(5 <= seeds <= LOOKS[-1] for seeds in found.expected.values())
    assert found.expected_trials == pytest.approx(sum(found.expected.values()) - 7)


def test_of_several_contrasts_only_the_contested_get_seeds():
    differences = (
        Difference(spread(6.0, 1.0), frozenset("ab")),
        Difference(spread(1.2, 1.5), frozenset("ac")),
        Difference(spread(7.0, 1.0), frozenset("ad")),
    )
    found = stage([Claim("best", differences, 0.5)], [], [], THREE)
    assert found.open == ("best",)
    assert found.wanted == {"a": 5, "c": 5}


def test_a_budget_serves_whole_claims_the_likeliest_for_what_they_cost_first():
    likely, unlikely = claim("likely", 1.9, 1.5, "cd"), claim("unlikely", 1.0, 1.5, "ef")
    found = stage([claim("shared", 1.1, 1.5, "de"), unlikely, likely], [], [], THREE)
    assert set(found.open) == {"shared", "unlikely", "likely"}
    costs = dict.fromkeys("cdef", 1.0)
    assert found.within(4.0, costs) == found.wanted == dict.fromkeys("cdef", 5)
    assert found.within(2.0, costs) == {"c": 5, "d": 5}
    assert found.within(3.0, costs) == {"c": 5, "d": 5, "e": 5}, "what is trained anyway costs nothing more"
    assert found.within(2.0, costs | {"c": 20.0}) == {"d": 5, "e": 5}
    assert found.within(1.9, costs) == {}


def test_a_claim_at_the_margin_gives_up_for_want_of_seeds_and_not_at_once():
    early = stage([claim("q", 0.7, 1.0)], [], [], THREE)
    assert early.open == ("q",)
    late = stage([claim("q", 0.5, 1.0, seeds=12)], [], [], dict.fromkeys("ab", 12))
    (one,) = late.undecided
    assert (one.limit, one.images) == (Limit.SEEDS, None)
    assert one.chance < FUTILE
    assert not late.wanted
    assert late.trials == 0


def test_where_images_limit_it_asks_for_images_that_would_do():
    held = dict.fromkeys("ab", 3)
    one = claim("q", 1.2, 0.3, images=0.5, test_images=1000)
    found = stage([one], [], [], held)
    (limited,) = found.undecided
    assert limited.limit == Limit.IMAGES
    assert 1000 < limited.images < 20_000
    assert not found.wanted
    # With them, and what they show as it was, it is decided.
    more = claim("q", 1.2, 0.3, images=0.5 * math.sqrt(1000 / limited.images), test_images=limited.images)
    after = stage([more], found.looks, found.decided, held)
    assert after.looks[1].images == limited.images
    assert [one.verdict for one in after.decided] == ["supported"] or after.undecided[0].chance > WORTH / 2
    # With few images and seeds that vary as much, seeds are asked for.
    assert stage([claim("q", 1.5, 3.0, images=0.2, test_images=1000)], [], [], held).open == ("q",)


def test_a_claim_that_gave_up_keeps_its_share_of_the_family():
    """Its silence depends on the data: were it to leave the family, the promising of many null claims would get all the error."""
    held = dict.fromkeys("ab", 12) | dict.fromkeys("cd", 12)
    given_up = [claim(str(place), 0.5, seeds=12) for place in range(9)]
    still = claim("open", 1.05, 1.6, ("c", "d"), seeds=12)
    first = stage([*given_up, still], [], [], held)
    assert first.open == ("open",)
    grown = replace(still, differences=(Difference(spread(1.05, 1.6, seeds=20), frozenset("cd")),))
    last = stage([*given_up, grown], first.looks, first.decided, held | {"c": 20, "d": 20})
    found = {one.key: one.error for one in (*last.decided, *last.undecided)}
    assert found["open"] == pytest.approx(last.looks[-1].error / 10)


def test_after_the_last_look_nothing_is_wanted():
    held = dict.fromkeys("cd", LOOKS[-1])
    found = stage([claim("open", 0.9, 1.5, ("c", "d"), seeds=LOOKS[-1])], [], [], held)
    assert not found.open
    assert not found.wanted
    assert next_seeds(LOOKS[-1]) is None


def test_one_seed_is_no_look_and_asks_for_the_first():
    single = replace(spread(4.0, 1.0), seeds=None, df=None, rest=0.0)
    one = Claim("q", (Difference(single, frozenset("ab")),), 0.5)
    found = stage([one], [], [], {"a": 1, "b": 1})
    assert found.looks == ()
    assert found.decided == ()
    assert found.wanted == {"a": LOOKS[0], "b": LOOKS[0]}
    assert found.trials == 4


def test_a_claim_that_nothing_was_measured_for_is_inconclusive():
    found = stage([Claim("nothing", (), 0.5)], [], [], {})
    assert [one.key for one in found.undecided] == ["nothing"]
    assert not found.wanted


def test_no_questions_spend_nothing():
    assert stage([], [], [], THREE).looks == ()


def test_two_questions_of_one_key_are_refused():
    with pytest.raises(ValueError, match="one key"):
        stage([CLEAR, CLEAR], [], [], THREE)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_error_is_within_bounds_and_verdicts_stay_over_whole_sequences(seed):
    rng = np.random.default_rng(seed)
    outcomes = rng.normal(rng.normal(0.5, 1.0, size=(6, 1, 1)), 1.5, size=(6, 4, LOOKS[-1]))
    held = {str(place): int(rng.integers(2, 6)) for place in range(6)}
    looks, decided = (), ()
    for _ in range(len(LOOKS) + 2):
        family = [of_outcomes(str(place), outcomes[place], held) for place in range(6)]
        found = stage(family, looks, decided, held)
        assert math.fsum(look.error for look in found.looks) <= ERROR
        assert found.decided[: len(decided)] == tuple(decided)
        assert set(found.wanted) <= set(found.open)
        looks, decided = found.looks, found.decided
        held |= found.wanted
    assert not found.wanted, "it comes to an end"


def test_wrong_verdicts_are_rare_however_long_one_goes_on():
    """Null claims at the margin, five looks, 100 families of 4."""
    wrong = naive = 0
    for family in range(100):
        rng = np.random.default_rng((11, family))
        outcomes = rng.normal(0.5, 1.0, size=(4, 3, LOOKS[-1]))
        looks, decided, peeks = (), (), set()
        held = dict.fromkeys("0123", 3)
        for seeds in LOOKS:
            # More seeds for all, asked for or not.
            held = dict.fromkeys(held, seeds)
            claims = [of_outcomes(str(place), outcomes[place], held) for place in range(4)]
            found = stage(claims, looks, decided, held)
            looks, decided = found.looks, found.decided
            peeks |= {one.verdict for one in holm([claim.doubt for claim in claims])}
        wrong += any(one.verdict == "supported" for one in decided)
        naive += "supported" in peeks
    assert wrong <= 10, "P(> 10 of 100) is 1 % at 5 %"
    assert naive > wrong


def of_outcomes(key, outcomes, held):
    seeds = held[key]
    blocks = [Block(tuple(range(seeds)), row[:seeds, None]) for row in outcomes]
    return Claim(key, (Difference(crossed(blocks), frozenset({key})),), 0.5)
