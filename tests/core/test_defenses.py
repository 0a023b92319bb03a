"""Defenses: what each step trains on, what it keeps, and the probe that watches them."""

import dataclasses
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from core.datasets import load
from core.errors import BadInput
from core.events import CleanEvaluated, EpochFinished, EvaluationFailed, Finished, Trained, TrialFailed
from core.jobs.orders import EvaluationSpec, Job
from core.jobs.trial import run_trial
from core.records.choice import Choice
from core.records.trial import TrialSpec
from core.registry import Parameter, Registry, resolve_options
from core.training import loop, step
from core.training import probe as probes
from core.training.defenses import DEFENSES
from core.training.defenses.adversarial import fgsm, fgsm_rs, n_fgsm, pgd
from core.training.defenses.entry import Defense
from core.training.defenses.inner import eval_mode, mixed
from core.training.defenses.trades import ascend_divergence, divergence
from core.training.overfitting import overfitting
from core.training.probe import Probe, draw_probe, probe_accuracy
from core.training.step import autocast
from tests.conftest import plan_of, tiny
from tests.core.linear import Linear, grey_images, small_net

torch.set_num_threads(1)

NORMS = ["linf", "l2"]
DEFENDED = [name for name in DEFENSES if name != "none"]
IN_BOTH_NORMS = [name for name in DEFENDED if name != "n-fgsm"]
CRAFTS = {"fgsm-at": fgsm, "fgsm-rs": fgsm_rs, "pgd-at": pgd}


def choice(name, **given):
    return Choice(name, resolve_options(DEFENSES[name], given, "test"))


def taught(model, x, y, name, memory=None, smoothing=0.0, **given):
    options = choice(name, **given).options
    defense = DEFENSES[name]
    return defense.objective(
        model, x, y, smoothing, options, defense.remembered(x, options) if memory is None else memory
    )


def crafted(name, model, x, y, **given):
    options = choice(name, **given).options
    if name == "trades":
        return ascend_divergence(model, x, options)
    return mixed(CRAFTS[name], model, x, y, options)


def lengths(delta, norm):
    return delta.flatten(1).abs().amax(dim=1) if norm == "linf" else delta.flatten(1).norm(dim=1)


def grey(count, seed=0):
    return grey_images(count, seed).float() / 255


# --- the catalogue ---


def test_every_defense_that_attacks_says_where_and_how_far():
    assert list(DEFENSES) == ["none", "fgsm-at", "fgsm-rs", "n-fgsm", "pgd-at", "trades", "free-at"]
    for name in IN_BOTH_NORMS:
        options = choice(name, eps="8/255", norm="l2").options
        assert (options["eps"], options["norm"]) == (pytest.approx(8 / 255), "l2")
        assert DEFENSES[name].source != "-"
    assert choice("n-fgsm").options == {"eps": 0.3, "norm": "linf", "k": 2.0, "alpha": "eps/1"}
    with pytest.raises(BadInput, match=r"test\.norm: 'l2' is not one of linf"):
        choice("n-fgsm", norm="l2")


def test_an_option_that_came_later_leaves_known_trials_their_identity(cache):
    """The ids are those of the program before there was a clean share, but for the engine of these two defenses."""
    before = {
        "fgsm-at": "8cba05dc1befa76b3d7904faecdbb25e1b98784767a3536d4365c2c6aece3e15",
        "pgd-at": "4ca9a90ccb7999c35dcbe7c888a53b0f6fc4293bacbbec41434215abf0576a08",
    }
    now = {
        "fgsm-at": "a8e26cde04e28252ca416fafe2d4234aea8c4b621a5a5d89395a218b6c7a6220",
        "pgd-at": "a50f2d29d8b2920f4175f9163bac12ec381cc24668c986ac0c993cea5e6eea53",
    }
    small = {"optimizers": ["adam"], "activations": ["relu"], "seeds": 1}
    for defenses in (["fgsm-at", "pgd-at"], [{"name": name, "clean_share": 0} for name in before]):
        trials = plan_of(tiny(defenses=defenses, **small), cache).trials
        assert {trial.defense.name: trial.id for trial in trials} == now
        first = [replace(trial, defense=replace(trial.defense, engine=1)) for trial in trials]
        assert {trial.defense.name: trial.id for trial in first} == before
    mixed_trials = plan_of(tiny(defenses=[{"name": "fgsm-at", "clean_share": 0.5}], **small), cache).trials
    assert mixed_trials[0].id not in (before["fgsm-at"], now["fgsm-at"])
    with pytest.raises(BadInput, match="at least 0 and below 1"):
        choice("fgsm-at", clean_share=1.0)


def test_only_what_a_change_touches_is_addressed_anew(cache):
    """Crafting along the cross-entropy's slope: the defenses that do, in both norms; ℓ2 steps of full length: TRADES in ℓ2."""
    small = {"optimizers": ["adam"], "activations": ["relu"], "seeds": 1}
    engines = {}
    for norm in NORMS:
        defenses = ["none", *({"name": name, "norm": norm} for name in IN_BOTH_NORMS)]
        for trial in plan_of(tiny(defenses=defenses, **small), cache).trials:
            engines[norm, trial.defense.name] = trial.as_json()["defense"].get("engine", 1)
            assert TrialSpec.from_json(json.loads(json.dumps(trial.as_json()))).id == trial.id
    anew = {"fgsm-at", "fgsm-rs", "pgd-at", "free-at"}
    assert {key for key, engine in engines.items() if engine == 2} == {
        *((norm, name) for norm in NORMS for name in anew), ("l2", "trades"),
    }  # fmt: skip


def test_a_trial_that_an_earlier_version_queued_is_not_trained_under_its_address(cache, tmp_path):
    plan = plan_of(tiny(defenses=["fgsm-at"], optimizers=["adam"], activations=["relu"], seeds=1), cache)
    (trial,) = plan.trials
    stale = replace(trial, defense=replace(trial.defense, engine=1))
    job = Job(stale, plan.study.source, (), (), 1, tmp_path / "a", (), tmp_path, cache)
    *_, last = run_trial(job, lambda: False)
    assert isinstance(last, TrialFailed)
    assert "submit the study again: innate run" in last.reason
    attack = replace(plan.study.attacks[0], engine=1)
    job = Job(trial, plan.study.source, (EvaluationSpec(attack, 60),), (60,), 1, tmp_path / "b", (), tmp_path, cache)
    failed = [event for event in run_trial(job, lambda: False) if isinstance(event, EvaluationFailed)]
    assert "whose attack was another" in failed[0].reason


def test_a_default_is_left_out_only_where_it_is_meant_to_be():
    entry = Defense(
        "any", "", "-", DEFENSES["none"].objective,
        (Parameter("kept", "int", 1, ""), Parameter("late", "float", 0.5, "", omit_default=True)),
    )  # fmt: skip
    assert resolve_options(entry, {}, "t") == {"kept": 1}
    assert resolve_options(entry, {"late": "1/2"}, "t") == {"kept": 1}
    assert resolve_options(entry, {"kept": 1, "late": 0.25}, "t") == {"kept": 1, "late": 0.25}


# --- crafted images ---


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", [*CRAFTS, "trades"])
def test_crafted_images_keep_to_ball_and_box_raise_the_loss_and_restore_modes(name, norm):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Flatten(), torch.nn.Linear(16, 3)
    )
    model.train()
    model[1].eval()
    statistics = model[1].running_mean.clone()
    x = torch.rand(20, 1, 4, 4)
    y = model.eval()(x).argmax(dim=1)  # what it says already, so that moving away from it and from y are the same
    model.train()
    model[1].eval()
    made = crafted(name, model, x, y, eps=0.2, norm=norm)
    assert float(lengths(made - x, norm).max()) <= 0.2 + 1e-5
    assert float(made.min()) >= 0
    assert float(made.max()) <= 1
    assert [module.training for module in model] == [True, False, True, True]
    assert torch.equal(statistics, model[1].running_mean)
    with eval_mode(model):
        assert bool(functional.cross_entropy(model(made), y) > functional.cross_entropy(model(x), y))
    assert all(parameter.grad is None for parameter in model.parameters())


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(NORMS), st.floats(0.01, 0.3), st.integers(0, 10_000))
def test_a_random_start_and_one_step_climb_a_linear_model(norm, eps, seed):
    """The step is 1.25 ε and the start at worst ε downhill: at least ε/4 uphill is left, before the ball cuts it."""
    model, x = Linear(seed), grey(8, seed)
    y = torch.arange(8) % 2
    torch.manual_seed(seed)
    delta = (crafted("fgsm-rs", model, x, y, eps=eps, norm=norm) - x).flatten(1)
    uphill = torch.where(y == 0, 1.0, -1.0)[:, None] * model.w.detach()
    assert bool((lengths(delta, norm) <= eps * (1 + 1e-4) + 1e-6).all())
    if norm == "linf":
        assert bool((delta * uphill.sign() >= eps / 4 - 1e-5).all())
    else:
        along = (delta * uphill).sum(dim=1) / uphill.norm(dim=1)
        assert bool((along >= eps / 4 / 2.25 - 1e-5).all())


@pytest.mark.parametrize("norm", NORMS)
def test_a_long_step_from_any_start_reaches_the_optimum_of_a_linear_model(norm):
    model, x, y, eps = Linear(1), grey(8), torch.arange(8) % 2, 0.1
    made = crafted("fgsm-rs", model, x, y, eps=eps, norm=norm, alpha=100.0)
    weight = model.w.detach().norm(p=1 if norm == "linf" else 2)
    loss = (model.margin(made) - model.margin(x)).detach() * torch.where(y == 0, 1.0, -1.0)
    assert loss.numpy() == pytest.approx(np.full(8, float(eps * weight)), rel=1e-3)


@pytest.mark.parametrize(("k", "alpha"), [(2.0, None), (0.5, "eps/2")])
def test_n_fgsm_is_the_papers(k, alpha):
    """De Jorge et al. 2022, algorithm 1, spelled out; near black and white the box cuts both noise and step."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    x, y, eps = torch.rand(9, 1, 4, 4), torch.arange(9) % 3, 0.1
    given = {"k": k} | ({} if alpha is None else {"alpha": alpha})
    torch.manual_seed(5)
    made = mixed(n_fgsm, model, x, y, choice("n-fgsm", eps=eps, **given).options)
    torch.manual_seed(5)
    noise = (2 * torch.rand_like(x) - 1) * k * eps
    noise = torch.maximum(torch.minimum(noise, 1 - x), -x).requires_grad_()
    functional.cross_entropy(model(x + noise), y).backward()
    delta = noise.detach() + (eps if alpha is None else eps / 2) * noise.grad.sign()
    assert torch.allclose(made, (x + delta).clamp(0, 1), atol=1e-6)
    beyond = lengths(made - x, "linf").max()
    assert bool(beyond > 1.5 * eps) if k == 2.0 else bool(beyond <= eps + 1e-6)


@pytest.mark.parametrize("name", list(CRAFTS))
def test_the_clean_share_of_a_batch_stays_clean(name):
    model, x, y = Linear(0), grey(10), torch.arange(10) % 2
    made = crafted(name, model, x, y, eps=0.1, clean_share=0.3)
    moved = lengths(made - x, "linf")
    assert moved[:3].tolist() == [0.0] * 3
    assert bool((moved[3:] > 0.02).all())
    torch.manual_seed(3)
    alone = crafted(name, model, x[3:], y[3:], eps=0.1)
    torch.manual_seed(3)
    assert torch.equal(crafted(name, model, x, y, eps=0.1, clean_share=0.3)[3:], alone)
    assert torch.equal(crafted(name, model, x[:2], y[:2], eps=0.1, clean_share=0.9), x[:2])  # 1.8 rounds to both


# --- TRADES ---


@pytest.mark.parametrize("norm", NORMS)
def test_trades_ascends_the_divergence_from_the_clean_prediction(norm):
    model = small_net(3).eval()
    x = torch.rand(12, 1, 4, 4)

    def apart(steps):
        torch.manual_seed(0)
        moved = ascend_divergence(model, x, choice("trades", eps=0.3, norm=norm, steps=steps).options)
        return float(divergence(model(x), model(moved)).detach())

    one, many = apart(1), apart(10)
    start = x + 0.001 * torch.randn_like(x)
    assert many > one > 10 * float(divergence(model(x), model(start)).detach()) > 0


def test_the_divergence_is_kullback_leiblers():
    p, q = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]]), np.array([[0.5, 0.25, 0.25], [0.3, 0.3, 0.4]])
    expected = (p * np.log(p / q)).sum()
    found = divergence(torch.from_numpy(np.log(p)) + 5.0, torch.from_numpy(np.log(q)) - 2.0)
    assert float(found) == pytest.approx(expected)


def test_trades_descends_both_terms_and_counts_adversarial_images():
    model, x, y = Linear(2), grey(16), torch.arange(16) % 2
    torch.manual_seed(0)
    batch = taught(model, x, y, "trades", eps=0.1, beta=3.0, smoothing=0.2)
    torch.manual_seed(0)
    moved = model(ascend_divergence(model, x, choice("trades", eps=0.1).options))
    apart = divergence(model(x), moved) / 16
    expected = functional.cross_entropy(model(x), y, label_smoothing=0.2) + 3.0 * apart
    assert float(apart.detach()) > 0.01
    assert float(batch.loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert torch.equal(batch.logits, moved)


# --- free adversarial training ---


@pytest.mark.parametrize("norm", NORMS)
def test_the_free_perturbation_climbs_a_linear_model_with_the_weights_own_backward_pass(norm):
    model, x, y, eps = Linear(0), grey(6), torch.zeros(6, dtype=torch.long), 0.1
    memory = DEFENSES["free-at"].remembered(grey(8), choice("free-at").options)
    first = taught(model, x, y, "free-at", memory, eps=eps, norm=norm)
    assert torch.equal(first.logits, model(x))  # δ begins at 0
    first.loss.backward()
    assert model.w.grad is not None
    first.afterwards()
    uphill = model.w.detach()
    expected = eps * (uphill.sign() if norm == "linf" else uphill / uphill.norm())
    assert memory["delta"][:6].flatten(1).numpy() == pytest.approx(expected.expand(6, -1).numpy(), abs=1e-5)
    assert bool((memory["delta"][6:] == 0).all())  # places that this smaller batch does not have
    other = grey(6, seed=9)
    second = taught(model, other, y, "free-at", memory, eps=eps, norm=norm)
    assert torch.allclose(second.logits, model(other + memory["delta"][:6]), atol=1e-5)
    second.loss.backward()
    second.afterwards()
    assert float(lengths(memory["delta"], norm).max()) <= eps + 1e-6  # a second full step does not leave the ball


def test_a_free_step_that_overflows_leaves_the_perturbation_where_it_was():
    model, x = Linear(0), grey(2)
    memory = DEFENSES["free-at"].remembered(x, choice("free-at").options)
    batch = taught(model, x, torch.tensor([0, 1]), "free-at", memory, norm="l2")
    (batch.loss * float("inf")).backward()
    batch.afterwards()
    assert bool((memory["delta"] == 0).all())


def test_free_training_replays_each_batch_and_keeps_the_number_of_steps(tmp_path, cache, monkeypatch):
    seen = []

    def spying(model, x, y, *rest):
        seen.append((x.clone(), y.clone()))
        return DEFENSES["free-at"].objective(model, x, y, *rest)

    spy = dataclasses.replace(DEFENSES["free-at"], objective=spying)
    monkeypatch.setattr(step, "DEFENSES", Registry("defense", (spy,)))
    plan = plan_of(tiny(defenses=[{"name": "free-at", "replays": 4}], training={"epochs": 1, "batch_size": 32}), cache)
    trial = plan.trials[0]
    augmented = dataclasses.replace(trial, training=dataclasses.replace(trial.training, augment=True))
    events = run(dataclasses.replace(plan, trials=(augmented,)), tmp_path, cache)
    (epoch,) = [event.record for event in events if isinstance(event, EpochFinished)]
    assert len(seen) == 10  # 300 samples in batches of 32, as for any other defense
    for number, (x, y) in enumerate(seen):
        first_x, first_y = seen[number - number % 4]
        assert torch.equal(y, first_y)
        assert torch.equal(x, first_x)  # augmented once, not once per replay
    assert not torch.equal(seen[0][0], seen[4][0])
    assert 0 <= epoch.accuracy <= 1


# --- training with each ---


def run(plan, folder, cache, trial=0):
    clean = (plan.study.test_samples,)
    job = Job(plan.trials[trial], plan.info.source, (), clean, 1, folder, (), cache, cache)
    return list(run_trial(job, lambda: False))


def one(events, kind):
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


@pytest.mark.parametrize(
    ("name", "norm"), [*((name, norm) for name in IN_BOTH_NORMS for norm in NORMS), ("n-fgsm", "linf")]
)
def test_every_defense_learns_in_both_norms_and_is_probed(name, norm, tmp_path, cache):
    options = {"eps": 0.1 if norm == "linf" else 0.5, "norm": norm}
    options |= {"replays": 2} if name == "free-at" else {}
    plan = plan_of(tiny(defenses=[{"name": name, **options}], training={"epochs": 4, "batch_size": 32}), cache)
    events = run(plan, tmp_path, cache)
    assert isinstance(events[-1], Finished)
    assert one(events, CleanEvaluated).correct.mean() > 0.4  # ten classes: chance is 0.1
    history = one(events, Trained).history
    assert len(history) == 4
    assert history[-1].probe_accuracy > 0.2
    assert all(0 <= record.probe_accuracy <= 1 for record in history)


@pytest.mark.parametrize("name", list(DEFENSES))
def test_in_bf16_every_weight_learns(name):
    """A pass without gradients must not leave its converted weights, which have none, to the pass that trains."""
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 6, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(24, 3)
    ).train()
    x, y = torch.rand(6, 1, 4, 4), torch.arange(6) % 3
    with autocast(x.device, "bf16"):
        batch = taught(model, x, y, name)
    assert batch.loss.dtype == torch.float32
    batch.loss.backward()
    assert all(float(parameter.grad.abs().max()) > 0 for parameter in model.parameters())


# --- the probe ---


@pytest.mark.parametrize("norm", NORMS)
def test_the_probe_tells_the_robust_accuracy_of_a_linear_model(norm):
    model, images = Linear(4), grey_images(100, 4)
    x = images.float() / 255
    margin, weight = model.margin(x).detach(), float(model.w.detach().norm(p=1 if norm == "linf" else 2))
    labels = (margin > 0).long()
    labels[:10] = 1 - labels[:10]  # wrong on the clean image: never right
    eps = float(margin.abs().sort().values[49:51].mean()) / weight
    found = probe_accuracy(model, Probe(images, labels, torch.arange(100)), eps, norm)
    right = torch.arange(100) >= 10
    stands = int((right & (margin.abs() > eps * weight)).sum()) / 100
    # ten steps of ε/4 reach the corner of the box from anywhere, and come close to the pole of the l2 ball
    nearly = int((right & (margin.abs() > 0.95 * eps * weight)).sum()) / 100
    assert 0.3 < stands < 0.6
    assert stands <= found <= (stands if norm == "linf" else nearly)
    assert probe_accuracy(model, Probe(images, labels, torch.arange(100)), 1e-6, norm) == pytest.approx(0.9, abs=0.02)
    assert probe_accuracy(model, Probe(images, 1 - labels, torch.arange(100)), 1.0, norm) == 0.0


def test_the_probe_draws_nothing_and_leaves_the_model_as_it_was():
    model = small_net().train()
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    probe = Probe(grey_images(9, 0), torch.arange(9) % 3, torch.arange(9))
    state = torch.get_rng_state()
    first = probe_accuracy(model, probe, 0.2, "linf")
    assert torch.equal(state, torch.get_rng_state())
    assert [module.training for module in model] == [True, False, *[True] * 4]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert probe_accuracy(model, probe, 0.2, "linf") == first


@pytest.mark.parametrize("name", ["pgd-at", "free-at"])
def test_with_and_without_the_probe_the_weights_are_the_same(name, tmp_path, cache, monkeypatch):
    study = tiny(
        architectures=[{"name": "kumar-cnn", "width": 0.1, "batch_norm": True}],
        defenses=[{"name": name, "eps": 0.1}],
        training={"epochs": 2, "batch_size": 64},
    )
    plan = plan_of(study, cache)
    watched = one(run(plan, tmp_path / "1", cache), Trained)
    monkeypatch.setattr("core.jobs.trial.draw_probe", lambda *_: None)
    alone = one(run(plan, tmp_path / "2", cache), Trained)
    assert watched.final_digest == alone.final_digest
    assert [record.probe_accuracy is None for record in (*watched.history, *alone.history)] == [False] * 2 + [True] * 2
    assert [record.loss for record in watched.history] == [record.loss for record in alone.history]


def test_the_probe_is_held_out_and_the_same_for_every_trial(cache, digits_info):
    arrays = load(digits_info.source, cache, cache)
    count = len(arrays.train_labels)
    rng = np.random.default_rng(0)
    order = rng.permutation(count)
    none = np.arange(0)

    def images_of(probe):
        return {image.tobytes() for image in probe.images.numpy()}

    def drawn_from(probe, images, indices):
        assert np.array_equal(probe.images.numpy(), images[probe.samples.numpy()])
        return set(probe.samples.tolist()) <= set(indices.tolist())

    validated = draw_probe(arrays, order[200:], order[:200], "cpu")
    assert drawn_from(validated, arrays.train_images, order[:200])
    assert len(validated.labels) == probes.SAMPLES
    left_out = draw_probe(arrays, order[:300], none, "cpu")
    assert drawn_from(left_out, arrays.train_images, order[300:])
    assert images_of(left_out) == images_of(draw_probe(arrays, np.sort(order[:300]), none, "cpu"))
    everything = draw_probe(arrays, np.arange(count), none, "cpu")
    assert drawn_from(everything, arrays.test_images, np.arange(len(arrays.test_labels)))
    too_few = draw_probe(arrays, order[5:], order[:5], "cpu")  # five images would say nothing
    assert drawn_from(too_few, arrays.test_images, np.arange(len(arrays.test_labels)))
    assert np.array_equal(too_few.images.numpy(), everything.images.numpy())


# --- catastrophic overfitting ---


@pytest.mark.parametrize(
    ("accuracy", "probe", "share", "since"),
    [
        ([0.6, 0.97, 0.989], [0.55, 0.6, 0.016], 0.0, "in epoch 3: 98.9% on its own training images, 1.6% under PGD"),
        ([0.98], [0.1], 0.0, "in epoch 1: 98.0%"),
        ([0.276, 0.429, 0.555], [0.023, 0.055, 0.047], 0.0, "in epoch 3: 55.5%"),  # FGSM-AT on 10,000 of MNIST
        ([0.6, 0.97, 0.989], [0.55, 0.02, 0.0], 0.0, "since epoch 2; in epoch 3: 98.9%"),
        ([0.5, 0.55], [0.45, 0.2], 0.0, "in epoch 2: 55.0%"),  # a gap below 50 points, but it fell from 45 %
        ([0.99], [0.05], 0.5, "in epoch 1: 98.0% on its own adversarial training images, at the least"),
    ],
)
def test_a_model_that_learned_its_own_attack_only_is_found_out(accuracy, probe, share, since):
    reason = overfitting(accuracy, probe, clean_share=share)
    assert reason.startswith("catastrophic overfitting ")
    assert since in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("accuracy", "probe", "share"),
    [
        ([], [], 0.0),
        ([0.9, 0.95], [None, None], 0.0),  # no defense, or epochs of before there was a probe
        ([0.5, 0.9, 0.95], [0.5, 0.88, 0.92], 0.0),  # healthy
        ([0.05, 0.16, 0.21, 0.26], [0.15, 0.21, 0.26, 0.30], 0.0),  # PGD-AT on MNIST, at its beginning
        ([0.367, 0.494, 0.535, 0.558], [0.10, 0.16, 0.16, 0.24], 0.5),  # the same, half of it clean
        ([0.74], [0.55], 0.0),  # PGD-AT on 300 digits
        ([0.242, 0.444, 0.582], [0.063, 0.125, 0.242], 0.0),  # FGSM-RS on 10,000 of MNIST; it ends at 62 % under PGD
        ([0.11, 0.11], [0.0, 0.0], 0.0),  # learned nothing
        ([0.6, 0.99, 0.95], [0.6, 0.05, 0.8], 0.0),  # collapsed and came back
        ([0.9, 0.11], [0.85, 0.1], 0.0),  # fell apart altogether
        ([0.62], [0.1], 0.5),  # half the images are clean and easy
        ([0.9, 1.0], [0.35, 0.3], 0.0),  # learned by heart, but from PGD: robust overfitting
        ([0.6, 0.7], [0.45, 0.3], 0.0),  # the noise of 128 images
    ],
)
def test_what_is_healthy_or_hopeless_is_not_called_overfitting(accuracy, probe, share):
    assert overfitting(accuracy, probe, clean_share=share) is None


def test_the_epoch_in_which_it_first_shows_says_so_and_no_other(tmp_path, cache, monkeypatch):
    probed = iter([0.9, 0.0, 0.8, 0.0])  # back and forth: once is enough
    monkeypatch.setattr(loop, "probe_accuracy", lambda *_: next(probed))
    training_keys = {"epochs": 4, "batch_size": 32}
    plan = plan_of(tiny(defenses=[{"name": "fgsm-at", "eps": 0.05}], training=training_keys), cache)
    events = [event for event in run(plan, tmp_path, cache) if isinstance(event, EpochFinished)]
    assert [event.record.probe_accuracy for event in events] == [0.9, 0.0, 0.8, 0.0]
    assert [event.warning is None for event in events] == [True, False, True, True]
    assert "in epoch 2" in events[1].warning
