"""Audits: the bound against exact enumeration, the attacks against a linear model whose robust samples are known."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom

from core.attacks import resolve
from core.audit import AuditedRadius, AuditSpec
from core.engine.victim import EvaluationStopped
from core.evaluation.audit import audit, members, order_of
from core.evaluation.evaluate import clean_outcome
from core.events import Audited
from core.records.attack import AuditSettings, Threat
from core.verdict.audited import (
    ERROR,
    error_of_round,
    fallible_at_most,
    overstated_at_most,
    overstated_by,
    pooled_at_most,
    wanted_audits,
)
from tests.core.linear import Linear, grey_images, samples_of, small_net

torch.set_num_threads(1)


def radius(standing, audited, fell=0, rounds=1, eps=0.1):
    return AuditedRadius(eps, standing, audited, fell, fell, rounds, ("apgd-targeted",), ())


# --- the bound -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("standing", "audited"), [(40, 10), (25, 24), (60, 5), (12, 12), (200, 64)])
@pytest.mark.parametrize("error", [0.05, 0.025])
def test_the_bound_covers_every_true_count_often_enough(standing, audited, error):
    """Not simulated: the chance of every outcome is summed up."""
    bounds = [fallible_at_most(standing, audited, fell, error) for fell in range(audited + 1)]
    for true in range(standing + 1):
        chances = hypergeom.pmf(np.arange(audited + 1), standing, true, audited)
        missed = sum(chance for chance, bound in zip(chances, bounds, strict=True) if bound < true)
        assert missed <= error + 1e-12


@given(st.integers(1, 120), st.data())
def test_the_bound_is_the_largest_count_that_is_not_too_rare(standing, data):
    audited = data.draw(st.integers(1, standing))
    fell = data.draw(st.integers(0, audited))
    found = fallible_at_most(standing, audited, fell, 0.05)
    assert fell <= found <= standing - (audited - fell)
    if audited < standing:
        assert found == fell or hypergeom.cdf(fell, standing, found, audited) > 0.05
        if found < standing - (audited - fell):
            assert hypergeom.cdf(fell, standing, found + 1, audited) <= 0.05


def test_of_64_that_stand_among_1000_at_most_5_7_points_fall_in_the_first_round():
    """By the product formula: the largest K with C(1000 - K, 64) / C(1000, 64) above 0.025."""
    chance = [math.comb(1000 - k, 64) / math.comb(1000, 64) for k in range(100)]
    most = max(k for k, one in enumerate(chance) if one > 0.025)
    assert overstated_at_most(radius(1000, 64), 1000) == most / 1000
    assert 0.05 < most / 1000 < 0.06


def test_rounds_share_the_error_and_a_later_one_is_bounded_more_loosely():
    assert sum(error_of_round(number) for number in range(1, 60)) == pytest.approx(ERROR)
    bounds = [overstated_at_most(radius(500, 64, rounds=number), 500) for number in (1, 2, 3)]
    assert bounds == sorted(bounds)
    assert bounds[0] < bounds[2]


def test_whoever_was_audited_whole_cannot_be_too_high_and_who_was_not_is_not_bounded():
    assert overstated_at_most(radius(30, 30, fell=4), 200) == 0.0
    assert overstated_at_most(radius(0, 0), 200) == 0.0
    assert overstated_at_most(radius(30, 0), 200) is None
    assert overstated_by(radius(100, 50, fell=5), 95, 200) == 5 / 50 * 50 / 200
    assert overstated_by(radius(100, 50, fell=5), 92, 200) == 2 / 200, "three more have fallen since"
    assert overstated_by(radius(100, 50, fell=5), 60, 200) == 0.0


@pytest.mark.parametrize(
    "strata", [[(12, 4), (9, 3)], [(20, 5), (20, 5)], [(8, 8), (15, 2)], [(10, 3), (6, 2), (5, 1)]]
)
def test_a_level_bound_is_the_largest_sum_of_counts_that_spares_all_samples(strata):
    """Against all combinations of counts."""
    total = 20
    error = error_of_round(1)
    best = 0
    for counts in itertools.product(*(range(standing + 1) for standing, _ in strata)):
        chance = math.prod(
            hypergeom.pmf(0, standing, count, audited)
            for (standing, audited), count in zip(strata, counts, strict=True)
        )
        if chance > error * (1 + 1e-9):
            best = max(best, sum(counts))
    found = pooled_at_most([(radius(*one), total) for one in strata])
    assert found == pytest.approx(best / total / len(strata))


def test_pooling_models_is_tighter_than_their_own_bounds_and_none_may_lack_an_audit():
    one = radius(400, 64)
    assert pooled_at_most([(one, 500)] * 8) < overstated_at_most(one, 500) / 4
    assert pooled_at_most([(one, 500)]) == overstated_at_most(one, 500)
    assert pooled_at_most([(one, 500), (radius(400, 0), 500)]) is None
    assert pooled_at_most([]) is None
    broken = [(radius(400, 64, fell=3), 500), (one, 500), (one, 500)]
    assert pooled_at_most(broken) > pooled_at_most([(one, 500)] * 3)


# --- what is audited ------------------------------------------------------------------------------


def test_each_norm_is_audited_at_all_that_the_study_says():
    attacks = [
        resolve("fgsm", {"eps": [0.1, 0.3]}, "x"),
        resolve("pgd", {"eps": [0.2]}, "x"),
        resolve("fmn", {"norm": "l2"}, "x"),
    ]
    found = wanted_audits(attacks, Threat("linf", 0.25), AuditSettings())
    assert [(spec.norm, spec.eps) for spec in found] == [("linf", (0.1, 0.2, 0.25, 0.3)), ("l2", (1.0,))]
    assert {(spec.samples, spec.share, spec.depth) for spec in found} == {(64, 0.25, "budget")}
    assert wanted_audits(attacks, None, AuditSettings(samples=0)) == ()
    assert AuditSpec.from_json(found[0].as_json()) == found[0]
    assert AuditSpec.from_json(found[0].as_json()).id == found[0].id
    assert found[0].id != AuditSpec("linf", found[0].eps, 65, 0.25, "budget").id


MEMBERS = ("apgd-targeted-2", "apgd-targeted-4", "apgd-ce", "fmn", "pgd-margin", "square")
"""Of an audit in ℓ∞."""


# --- carried out ----------------------------------------------------------------------------------


def carried_out(model, tests, spec, standing, passes=None, **options):
    *_, last = audit(model, tests, spec, standing, passes, **options)
    assert isinstance(last, Audited)
    return last


@pytest.fixture(scope="module")
def linear():
    """90 images, the model, and who is classified rightly; the closest mistake lies at |margin| / ‖w‖."""
    model, images = Linear(3), grey_images(90, 5)
    with torch.no_grad():
        margin = model.margin(images.float() / 255)
    labels = (margin > 0).long()
    labels[::17] = 1 - labels[::17]
    tests = samples_of(images, labels)
    correct = clean_outcome(model, tests, 2).correct
    w = model.w.detach()
    return (
        model,
        tests,
        correct,
        {
            "linf": (margin.abs() / w.abs().sum()).numpy(),
            "l2": (margin.abs() / w.norm()).numpy(),
        },
    )


@pytest.mark.parametrize(("norm", "eps"), [("linf", (0.01, 0.03, 0.06)), ("l2", (0.05, 0.1, 0.2))])
def test_on_a_linear_model_an_audit_without_a_limit_breaks_exactly_what_can_be_broken(linear, norm, eps):
    """Nobody was attacked before, so many of the first sample fall, and what broke them goes to all."""
    model, tests, correct, distance = linear
    spec = AuditSpec(norm, eps, 10, 0.25, "budget")
    found = carried_out(model, tests, spec, [correct.copy() for _ in eps])
    for one in found.radii:
        breakable = correct & (distance[norm] <= one.eps)
        surely = correct & (distance[norm] <= one.eps * 0.995)
        fell = found.fell_at <= np.float32(one.eps)
        assert not (fell & ~breakable).any()
        assert not (surely & ~fell).any()
        assert one.fell == 0
        assert one.rounds >= 2
        assert one.broken == int((fell & correct).sum())
        assert one.standing == int(correct.sum()) - one.broken
        assert one.audited == min(10, one.standing)
        assert one.felled_by
    assert not np.isfinite(found.fell_at[~correct]).any()


def test_where_nothing_can_be_broken_one_round_says_so(linear):
    model, tests, correct, distance = linear
    safe = correct & (distance["linf"] > 0.02)
    found = carried_out(model, tests, AuditSpec("linf", (0.01, 0.02), 16, 0.25, "budget"), [safe, safe])
    assert [(one.audited, one.fell, one.broken, one.rounds) for one in found.radii] == [(16, 0, 0, 1)] * 2
    assert [one.attack.name for one in found.runs] == ["apgd", "apgd", "apgd", "fmn", "pgd", "square"]
    assert all(one.attacks == MEMBERS for one in found.radii)
    drawn = order_of(len(tests))
    assert sum(safe[drawn[: np.flatnonzero(np.cumsum(safe[drawn]) == 16)[0] + 1]]) == 16


def test_a_spent_budget_leaves_a_wider_sample_with_what_fell_in_it(linear):
    """The first attack goes through the sample in any case; what is left of the passes goes on in order."""
    model, tests, correct, distance = linear
    spec = AuditSpec("linf", (0.03,), 20, 0.25, "budget")
    whole = carried_out(model, tests, spec, [correct])
    some = carried_out(model, tests, spec, [correct], passes=1_500)
    none = carried_out(model, tests, spec, [correct], passes=0)
    (one,), (all_of,), (least,) = some.radii, whole.radii, none.radii
    assert (least.audited, least.rounds) == (20, 1)
    assert least.fell == least.broken > 0
    assert 20 < one.audited < int(correct.sum())
    first = order_of(len(tests))
    first = first[correct[first]][: one.audited]
    assert one.fell == int((distance["linf"][first] <= 0.03).sum())
    assert none.forward_passes < some.forward_passes < whole.forward_passes
    assert all_of.fell == 0
    assert overstated_at_most(one, len(tests)) < overstated_at_most(least, len(tests))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_audit_does_not_depend_on_the_batch_size(norm):
    model, images = small_net(1), grey_images(40, 9)
    model.eval()
    with torch.no_grad():
        labels = model(images.float() / 255).argmax(dim=1)
    tests = samples_of(images, labels)
    standing = [np.ones(40, bool)] * 2
    spec = AuditSpec(norm, (0.02, 0.05) if norm == "linf" else (0.1, 0.3), 8, 0.25, "budget")
    few, many = (carried_out(model, tests, spec, standing, batch_size=size) for size in (20, 128))
    assert few.radii == many.radii
    assert np.allclose(few.fell_at, many.fell_at, rtol=1e-4)
    assert np.isfinite(few.fell_at).any()


def test_the_same_sample_is_drawn_for_every_model_and_grows_with_more_samples():
    assert np.array_equal(order_of(500), order_of(500))
    assert sorted(order_of(500)) == list(range(500))


def test_no_survivor_means_nothing_to_audit_and_a_stop_is_heard(linear):
    model, tests, correct, _ = linear
    nobody = np.zeros_like(correct)
    found = carried_out(model, tests, AuditSpec("linf", (0.1,), 8, 0.25, "budget"), [nobody])
    assert (found.radii[0].audited, found.radii[0].standing, found.runs) == (0, 0, ())
    with pytest.raises(EvaluationStopped):
        carried_out(model, tests, AuditSpec("linf", (0.1,), 8, 0.25, "budget"), [correct], stop=lambda: True)


def test_full_depth_is_the_whole_ensemble_whatever_it_costs(linear):
    spec = AuditSpec("linf", (0.03,), 8, 0.25, "full")
    assert [one.name for one in members(spec)] == ["apgd", "apgd", "fmn", "square"]
    model, tests, correct, distance = linear
    weak = correct & (distance["linf"] < 0.029)
    found = carried_out(model, tests, spec, [weak], passes=0)
    (one,) = found.radii
    assert (one.broken, one.standing, one.fell) == (int(weak.sum()), 0, 0), "what broke the sample was tried on all"
    assert one.felled_by == ("apgd-ce",)
    assert found.runs[0].attack.params["steps"] == 100


# --- how often the bound holds, rounds and budgets included -----------------------------------------


def title_of(member):
    targets = member.params.get("targets")
    loss = member.params.get("loss")
    return "-".join(str(part) for part in (member.name, loss, targets) if part is not None)


def pretended(monkeypatch, breaks):
    """Audits whose attacks break the samples in `breaks[title]` [n] at the one ε, whatever the model."""
    from core.evaluation import audit as carrying_out

    def rounds_at(sweep, member, eps, survived, tally):
        sweep.victim._cost.forward += int(survived.sum()) * 10
        survived &= ~torch.from_numpy(breaks[title_of(member)])
        yield from ()

    def distances_of(sweep, member, wanted, distance, eps=None):
        sweep.victim._cost.forward += int(wanted.sum()) * 10
        distance[wanted & torch.from_numpy(breaks["fmn"])] = 0.05
        yield from ()

    monkeypatch.setattr(carrying_out, "rounds_at", rounds_at)
    monkeypatch.setattr(carrying_out, "distances_of", distances_of)
    monkeypatch.setattr(carrying_out, "price", lambda attack, classes: 10)


RATES = [(0.0, 0.0, 0.0, 0.0, 0.0, 0.04), (0.03, 0.0, 0.02, 0.0, 0.0, 0.01), (0.1, 0.02, 0.0, 0.0, 0.05, 0.0)]


@pytest.mark.parametrize(
    ("rates", "passes"),
    [(rates, passes) for rates in RATES for passes in (None, 3_000, 800)],
)
def test_the_bound_holds_as_often_as_it_says_through_all_rounds(monkeypatch, rates, passes):
    """400 audits of 250 survivors of whom each attack breaks its share: what fell and what follows from it decide which attack
    goes on and where an audit ends, and still no more than one in twenty bounds is below what is left to fall."""
    count, trials, missed = 250, 400, 0
    rng = np.random.default_rng(1)
    titles = MEMBERS
    model, tests = Linear(0), samples_of(grey_images(count, 0), torch.zeros(count, dtype=torch.long))
    for _ in range(trials):
        breaks = {title: rng.random(count) < rate for title, rate in zip(titles, rates, strict=True)}
        pretended(monkeypatch, breaks)
        found = carried_out(model, tests, AuditSpec("linf", (0.1,), 32, 0.25, "budget"), [np.ones(count, bool)], passes)
        (one,) = found.radii
        left = np.isinf(found.fell_at) & np.any([breaks[title] for title in one.attacks], axis=0)
        missed += left.sum() / count > overstated_at_most(one, count) + 1e-12
    assert missed / trials <= ERROR + 3 * math.sqrt(ERROR * (1 - ERROR) / trials)
