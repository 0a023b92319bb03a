import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.attacks import ATTACKS, geometry, resolve
from core.attacks.victim import EvaluationStopped, NonFiniteLogits, Victim, under_attack
from core.evaluation import clean_outcome, crafting_precision, evaluate
from core.events import EvaluationFinished
from tests.core.linear import Linear, grey_images, samples_of, small_net

torch.set_num_threads(1)


def attack(name, **options):
    return resolve(name, {"eps": [0.05], **options}, "attack")


def outcome(model, tests, spec, **options):
    """The final event of attacking `tests` with `spec` in fp32."""
    correct = clean_outcome(model, tests, 3).correct
    events = list(evaluate(model, tests, spec, correct, crafting="fp32", **options))
    assert isinstance(events[-1], EvaluationFinished)
    return events[-1]


def survived(model, tests, spec, **options):
    return np.stack([ledger.survived for ledger in outcome(model, tests, spec, **options).ledgers])


@pytest.fixture(scope="module")
def linear():
    model = Linear(0)
    images = grey_images(200, 1)
    margin = model.margin(images.float() / 255).detach()
    return model, samples_of(images, (margin > 0).long()), margin.abs().numpy()


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
@pytest.mark.parametrize(
    ("name", "options"),
    [("fgsm", {}), ("bim", {}), ("pgd", {"steps": 20}), ("pgd", {"steps": 20, "random_start": False})],
)
def test_a_linear_model_falls_exactly_where_the_closed_form_says(name, options, norm, dual, linear):
    """Away from the box a sample falls at ε = |margin| / ‖w‖ of the dual norm (for l2 iterates creep, within 0.1 %)."""
    model, tests, margin = linear
    critical = margin / float(model.w.detach().norm(p=dual))
    eps = sorted({round(float(value), 6) for value in np.quantile(critical, [0.1, 0.35, 0.6, 0.9])})
    spec = attack(name, norm=norm, eps=eps, **options)
    for radius, standing in zip(eps, survived(model, tests, spec), strict=True):
        clear = np.abs(critical - radius) > 1e-3 * radius
        assert np.array_equal(standing[clear], (critical > radius)[clear])


def test_a_box_aware_closed_form_holds_where_pixels_are_black_or_white():
    model = Linear(3)
    rng = np.random.default_rng(3)
    images = torch.from_numpy(rng.choice([0, 255, 128], (200, 1, 4, 4)).astype(np.uint8))
    x = images.flatten(1).double() / 255
    margin = (x @ model.w.double() + model.b.double()).detach()
    labels = (margin > 0).long()
    eps = 0.4
    towards = torch.where(labels == 1, -1.0, 1.0)[:, None] * model.w.detach().double().sign()
    worst = (x + eps * towards).clamp(0, 1)
    worst_margin = worst @ model.w.detach().double() + model.b.detach().double()
    expected = ((worst_margin > 0).long() == labels).numpy()
    tests = samples_of(images, labels)
    for spec in (attack("fgsm", eps=[eps]), attack("pgd", eps=[eps], steps=20)):
        assert np.array_equal(survived(model, tests, spec)[0], expected)


def test_fgsm_is_the_papers_formula_in_float64():
    model = small_net().double().eval()
    x, y = torch.rand(8, 1, 4, 4, dtype=torch.float64), torch.arange(8) % 3
    spec = attack("fgsm")
    step = ATTACKS["fgsm"].direction(Victim(model), x, y, torch.arange(8), 0, spec)
    leaf = x.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(model(leaf), y)
    (gradient,) = torch.autograd.grad(loss, leaf)
    expected = (x + 0.05 * gradient.sign()).clamp(0, 1)
    assert torch.allclose(geometry.project(x + 0.05 * step, x, 0.05, "linf"), expected, atol=1e-12)


@pytest.fixture(scope="module")
def net_and_tests():
    model = small_net().eval()
    images = torch.from_numpy(np.random.default_rng(2).integers(0, 256, (60, 1, 4, 4)).astype(np.uint8))
    labels = model(images.float() / 255).argmax(dim=1)
    labels[::7] = (labels[::7] + 1) % 3  # some are wrong from the start
    return model, samples_of(images, labels)


SPECS = [
    attack("noise", eps=[0.05, 0.2], restarts=3),
    attack("fgsm", eps=[0.05, 0.2]),
    attack("bim", eps=[0.02, 0.1]),
    attack("pgd", eps=[0.02, 0.05, 0.1], steps=5, restarts=2),
    attack("pgd", eps=[0.1, 0.4], steps=5, norm="l2"),
]


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(SPECS), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_an_outcome_hangs_neither_on_batch_size_nor_on_order_nor_on_neighbours(net_and_tests, spec, batch, seed):
    model, tests = net_and_tests
    whole = survived(model, tests, spec)
    rng = np.random.default_rng(seed)
    order = torch.from_numpy(rng.permutation(len(tests))[: rng.integers(5, len(tests))])
    part = samples_of(tests.images[order], tests.labels[order], tests.indices[order])
    assert np.array_equal(survived(model, part, spec, batch_size=batch), whole[:, order.numpy()])


def test_a_sweep_is_at_every_radius_at_least_as_strong_as_alone(net_and_tests):
    model, tests = net_and_tests
    eps = [0.02, 0.05, 0.1]
    together = survived(model, tests, attack("pgd", eps=eps, steps=5))
    for radius, standing in zip(eps, together, strict=True):
        alone = survived(model, tests, attack("pgd", eps=[radius], steps=5))[0]
        assert not (standing & ~alone).any()
    assert not (together[1:] & ~together[:-1]).any()


def test_restarts_only_ever_break_more(net_and_tests):
    model, tests = net_and_tests
    few = survived(model, tests, attack("pgd", eps=[0.05], steps=2, restarts=1))
    many = survived(model, tests, attack("pgd", eps=[0.05], steps=2, restarts=6))
    assert not (many & ~few).any()


def test_single_steps_judge_every_image_at_every_radius_by_itself(net_and_tests):
    model, tests = net_and_tests
    eps = [0.01, 0.3, 1.0]
    swept = outcome(model, tests, attack("fgsm", eps=eps))
    for radius, ledger in zip(eps, swept.ledgers, strict=True):
        (alone,) = outcome(model, tests, attack("fgsm", eps=[radius])).ledgers
        assert np.array_equal(alone.survived, ledger.survived)
        assert alone.adversarial_accuracy == ledger.adversarial_accuracy
        assert ledger.adversarial_accuracy >= ledger.survived.mean()
    assert swept.backward_passes == len(tests)


def test_kept_examples_keep_to_ball_and_box_and_do_fool(net_and_tests):
    model, tests = net_and_tests
    for spec in SPECS:
        found = outcome(model, tests, spec).examples
        assert found, spec.name
        for example in found:
            delta = example.adversarial - example.clean
            size = np.abs(delta).max() if spec.norm == "linf" else math.sqrt((delta**2).sum())
            assert size <= example.eps + 2e-6
            assert example.adversarial.min() >= 0
            assert example.adversarial.max() <= 1
            logits = model(torch.from_numpy(example.adversarial)[None])
            assert int(logits.argmax()) == example.adversarial_prediction != example.label
            assert example.clean_prediction == example.label


def test_modes_and_gradients_are_restored_one_by_one_even_after_an_error():
    model = small_net()
    model.train()
    model[1].eval()  # a frozen batch norm
    model[0].weight.requires_grad_(False)
    before = [module.training for module in model.modules()], [p.requires_grad for p in model.parameters()]

    def explode():
        with under_attack(model):
            assert not any(module.training for module in model.modules())
            assert not any(p.requires_grad for p in model.parameters())
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        explode()
    assert before == ([module.training for module in model.modules()], [p.requires_grad for p in model.parameters()])


def test_nan_logits_are_an_error_with_a_reason(net_and_tests):
    _, tests = net_and_tests
    model = small_net()
    model[-1].bias.data[0] = float("nan")
    with pytest.raises(NonFiniteLogits, match="NaN"):
        list(evaluate(model, tests, attack("fgsm"), np.ones(len(tests), bool)))


def test_running_out_of_memory_halves_the_batch_and_says_so(net_and_tests):
    model, tests = net_and_tests

    class Hungry(torch.nn.Module):
        def forward(self, x):
            if len(x) > 16:
                raise torch.OutOfMemoryError("too many")
            return model(x)

    spec = attack("pgd", eps=[0.05, 0.1], steps=3)
    correct = clean_outcome(model, tests, 3).correct
    *_, event = evaluate(Hungry(), tests, spec, correct, crafting="fp32", batch_size=64)
    assert event.batch_size <= 16
    assert "out of memory" in event.notes[0]
    plain = survived(model, tests, spec)
    assert np.array_equal(np.stack([ledger.survived for ledger in event.ledgers]), plain)


def test_a_wish_to_stop_ends_the_attack_between_batches(net_and_tests):
    model, tests = net_and_tests
    with pytest.raises(EvaluationStopped):
        list(evaluate(model, tests, attack("pgd"), np.ones(len(tests), bool), stop=lambda: True))


def test_bf16_crafting_never_counts_what_fp32_does_not_confirm(net_and_tests):
    model, tests = net_and_tests
    victim = Victim(model, "bf16")
    x, y = tests.pixels(torch.arange(len(tests))), tests.labels
    with under_attack(model):
        broken, found = ATTACKS["pgd"].iterate(victim, x, y, tests.indices, 0, 0.1, attack("pgd", eps=[0.1], steps=5))
        logits = model(found)
    assert bool((logits.argmax(dim=1) != y)[broken].all())
    assert crafting_precision("fp32", torch.device("cpu")) == "fp32"


# --- geometry ---


@settings(deadline=None)
@given(st.sampled_from(["linf", "l2"]), st.floats(0.01, 2.0), st.integers(0, 1000))
def test_projection_lands_in_ball_and_box_and_leaves_what_is_inside(norm, eps, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(5, 1, 3, 3, generator=generator)
    far = x + 4 * torch.randn(5, 1, 3, 3, generator=generator)
    near = geometry.project(far, x, eps, norm)
    delta = (near - x).flatten(1)
    size = delta.abs().amax(dim=1) if norm == "linf" else delta.norm(dim=1)
    assert bool((size <= eps + 1e-5).all())
    assert float(near.min()) >= 0
    assert float(near.max()) <= 1
    assert torch.allclose(geometry.project(near, x, eps, norm), near, atol=1e-5)
    per_sample = geometry.project(far, x, torch.full((5,), eps), norm)
    assert torch.allclose(per_sample, near, atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_noise_belongs_to_the_sample_and_fills_the_ball(norm):
    x = torch.zeros(400, 1, 6, 6)
    samples = torch.arange(400)
    drawn = geometry.noise(0, samples, 0, x, norm)
    shuffled = torch.randperm(400)
    assert torch.equal(geometry.noise(0, samples[shuffled], 0, x, norm), drawn[shuffled])
    assert not torch.equal(geometry.noise(0, samples, 1, x, norm), drawn)
    assert not torch.equal(geometry.noise(1, samples, 0, x, norm), drawn)
    assert abs(float(drawn.mean())) < 0.02
    if norm == "linf":
        assert float(drawn.std()) == pytest.approx(1 / math.sqrt(3), rel=0.02)
    else:
        radii = drawn.flatten(1).norm(dim=1)
        assert float(radii.max()) <= 1 + 1e-6
        # u^(1/d) has mean d / (d + 1)
        assert float(radii.mean()) == pytest.approx(36 / 37, rel=0.01)
