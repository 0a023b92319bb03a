"""What a plugin's attack claims counts for nothing until the engine has seen it, and what it breaks is said."""

import numpy as np
import pytest
import torch

from core import plugged
from core.attacks import ATTACKS, resolve
from core.attacks.added import ModelTouched
from core.engine.geometry import project
from core.evaluation.evaluate import clean_outcome, evaluate
from core.jobs.evaluations import _pass_on
from core.plugins import Attack, Plugin
from tests.core.linear import Linear, grey_images, samples_of

EPS = 0.04


@pytest.fixture
def add(monkeypatch):
    """`add(**fields)`: a plugin "p" 1.0 with these entries is all that is installed."""

    def installed(**fields):
        found = (plugged.Installed("p", "1.0", "package-p", Plugin(**fields)),)
        monkeypatch.setattr(plugged, "_all", lambda: found)

    return installed


@pytest.fixture(scope="module")
def model():
    return Linear(3)


@pytest.fixture(scope="module")
def tests(model):
    images = grey_images(40, 5)
    with torch.no_grad():
        labels = (model.margin(images / 255.0) > 0).long()
    labels[:4] = 1 - labels[:4]  # wrong from the start
    return samples_of(images, labels)


def run(add, model, tests, **kind):
    add(attacks=(Attack("x", "", "-", (), norms=("linf",), **kind),))
    given = {} if "minimise" in kind else {"eps": [EPS]}
    correct = clean_outcome(model, tests, 2).correct
    *_, event = evaluate(model, tests, resolve("p:x", given, "attacks[0]"), correct, crafting="fp32")
    return event, correct


def best(model, x, y, eps):
    sign = torch.where(y == 1, -1.0, 1.0)[:, None] * model.w.detach().sign()
    return project(x + eps * sign.view_as(x), x, eps, "linf")


def outside_the_ball(victim, x, y, *_):
    return best(victim.model, x, y, 0.5)


def outside_the_box(victim, x, y, *_):
    return x + 5.0 * (best(victim.model, x, y, EPS) - x)


def somebody_elses(victim, x, y, *_):
    return x.flip(0)


def nothing_done(victim, x, y, *_):
    return x


def in_place(victim, x, y, *_):
    x += 0.5
    y.copy_(1 - y)
    return x


@pytest.mark.parametrize("lie", [outside_the_ball, outside_the_box, somebody_elses, nothing_done, in_place])
def test_no_proposal_lowers_robust_accuracy_but_a_confirmed_one(lie, add, model, tests):
    event, correct = run(add, model, tests, propose=lie)
    assert correct.sum() == 36
    np.testing.assert_array_equal(event.ledgers[0].survived, correct)
    assert not event.examples


def test_images_that_fool_from_outside_are_counted_as_such(add, model, tests):
    event, correct = run(add, model, tests, propose=outside_the_ball)
    assert event.traces[0].outside == correct.sum()


def test_the_best_there_is_breaks_what_the_closed_form_says(add, model, tests):
    x = tests.pixels(torch.arange(40))
    stands = (model.margin(x).abs() > EPS * model.w.abs().sum()).detach().numpy()
    event, correct = run(add, model, tests, propose=lambda victim, x, y, *_: best(victim.model, x, y, EPS))
    np.testing.assert_array_equal(event.ledgers[0].survived, correct & stands)
    assert 0 < (correct & stands).sum() < correct.sum(), "some of both kinds"
    assert event.forward_passes >= correct.sum()
    assert all(example.adversarial_prediction != example.label for example in event.examples)


def test_a_direction_is_taken_to_the_surface_whatever_its_length(add, model, tests):
    def direction(victim, x, y, *_):
        return 100.0 * (best(victim.model, x, y, EPS) - x)

    proposed, _ = run(add, model, tests, propose=lambda victim, x, y, *_: best(victim.model, x, y, EPS))
    event, _ = run(add, model, tests, direction=direction)
    np.testing.assert_array_equal(event.ledgers[0].survived, proposed.ledgers[0].survived)


def test_a_distance_is_measured_not_believed(add, model, tests):
    event, correct = run(add, model, tests, minimise=nothing_done)
    assert np.isinf(event.ledgers[0].distances[correct]).all()
    event, _ = run(add, model, tests, minimise=lambda victim, x, y, *_: best(victim.model, x, y, 0.3))
    x = tests.pixels(torch.arange(40))
    least = (model.margin(x).abs() / model.w.abs().sum()).detach().numpy()
    assert (event.ledgers[0].distances[correct] >= least[correct] - 1e-6).all()
    np.testing.assert_allclose(event.ledgers[0].distances[correct], least[correct], atol=4e-4)


def raises(victim, x, y, *_):
    return {}["missing"]


def ends(victim, x, y, *_):
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda victim, x, y, *_: x[:1], r"gave \(1, 1, 4, 4\) where floats of shape \("),
        (lambda victim, x, y, *_: None, "gave NoneType"),
        (lambda victim, x, y, *_: x.long(), r"where floats of shape"),
        (lambda victim, x, y, *_: x * float("nan"), "gave NaN or infinity"),
        (raises, "KeyError: 'missing'"),
        (ends, "asked the program to end"),
    ],
)
@pytest.mark.parametrize("kind", ["propose", "direction", "minimise"])
def test_what_is_no_answer_fails_the_evaluation_in_a_line(kind, answer, words, add, model, tests):
    with pytest.raises(plugged.PluginFailed, match=f"^attack p:x of plugin p 1.0: .*{words}"):
        run(add, model, tests, **{kind: answer})


def spoils(victim, x, y, *_):
    with torch.no_grad():
        victim.model.b += 1.0
    return x


def trains(victim, x, y, *_):
    victim.model.train()
    return x


@pytest.mark.parametrize(("touch", "words"), [(spoils, "changed the weights"), (trains, "into training mode")])
def test_an_attack_that_changes_the_model_costs_the_trial(touch, words, add, tests):
    with pytest.raises(ModelTouched, match=words) as raised:
        run(add, Linear(3), tests, propose=touch)
    with pytest.raises(ModelTouched):  # nothing else is measured of it
        _pass_on(raised.value)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (
            Attack("x", "", "-", (), iterate=nothing_done),
            "gives iterate or ensemble, which say themselves what they broke",
        ),
        (Attack("x", "", "-", ()), "must give exactly one function of direction, propose, minimise"),
        (Attack("x", "", "-", (), propose=nothing_done, norms=("l1",)), "has norms"),
        (Attack("x", "", "-", (), propose=nothing_done, engine=0), "has an engine"),
        (Attack("X y", "", "-", (), propose=nothing_done), "has a name of other characters"),
        ("x", "is of type str, not Attack"),
    ],
)
def test_an_entry_that_cannot_be_held_to_its_word_is_refused(entry, words, add):
    good = Attack("good", "", "-", (), propose=nothing_done)
    add(attacks=(entry, good))
    assert [words in said for _, said in ATTACKS.adopted.refused] == [True]
    assert set(ATTACKS) - {"p:good"} == {name for name in ATTACKS if ":" not in name}
