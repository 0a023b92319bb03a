import dataclasses
import itertools

import numpy as np
import pytest
import torch

from core.datasets import load
from core.datasets.subsets import holdout, stratified
from core.errors import BadInput
from core.events import (
    CleanEvaluated,
    EpochFinished,
    EvaluationFailed,
    EvaluationFinished,
    Finished,
    LookFailed,
    Started,
    Stopped,
    Trained,
    TraitsMeasured,
    TrialFailed,
)
from core.identity import stream_seed
from core.jobs.orders import EvaluationSpec, Job
from core.jobs.trial import run_trial
from core.models.activations import ACTIVATIONS, factory
from core.models.architectures import ARCHITECTURES, check
from core.models.pixel_model import build_model
from core.records.choice import Choice
from core.records.outcome import DiagnosisSpec
from core.registry import resolve_options
from core.training import checkpoints, optimizers
from core.training.loop import batch_bounds
from core.training.optimizers import OPTIMIZERS
from core.training.schedules import learning_rate
from tests.conftest import plan_of, tiny

torch.set_num_threads(1)


def choice(registry, name, **given):
    return Choice(name, resolve_options(registry[name], given, "test"))


# --- optimizers ---


@pytest.mark.parametrize(
    ("name", "given", "key"),
    [
        ("sgd", {"nesterov": True}, "nesterov"),
        ("sgd", {"nesterov": True, "momentum": 0.9, "dampening": 0.1}, "nesterov"),
        ("rprop", {"eta_minus": 0.0}, "eta_minus"),
        ("adafactor", {"d": 0.5}, "d"),
    ],
)
def test_what_torch_would_refuse_is_refused_when_it_is_planned(name, given, key):
    with pytest.raises(BadInput) as refused:
        optimizers.resolve(name, given, "torch", 0.0, "optimizers[0]")
    assert refused.value.key == f"optimizers[0].{key}"
    options = {**choice(OPTIMIZERS, name).options, **given}
    with pytest.raises(ValueError, match=r".+"):
        optimizers.build(Choice(name, options), torch.nn.Linear(2, 2).parameters())


def test_what_torch_and_keras_take_is_taken():
    for name, given, profile in (
        ("sgd", {"nesterov": True, "momentum": 0.9}, "torch"),
        ("sgd", {"nesterov": True, "momentum": 0.9}, "keras"),
        ("adafactor", {"d": 1.0}, "torch"),
        ("adafactor", {"d": 0.5}, "keras"),
        ("rprop", {"eta_minus": 0.01}, "torch"),
    ):
        resolved = optimizers.resolve(name, given, profile, 0.0, "optimizers[0]")
        optimizers.build(resolved, torch.nn.Linear(2, 2).parameters())


# --- architectures, activations ---


@pytest.mark.parametrize("name", list(ARCHITECTURES))
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 20, 25)])
def test_every_architecture_takes_every_size_it_says_it_takes(name, shape, cache):
    picked = choice(ARCHITECTURES, name, **({"width": 0.125} if name not in ("mlp",) else {}))
    if min(shape[1:]) < ARCHITECTURES[name].smallest:
        with pytest.raises(BadInput, match="at least"):
            check(picked, shape, "architectures[0]")
        return
    check(picked, shape, "architectures[0]")
    trial = dataclasses.replace(plan_of(tiny(), cache).trials[0], architecture=picked)
    images = torch.randint(0, 256, (4, *shape), dtype=torch.uint8)
    model = build_model(trial, images, 7)
    logits = model(images.float() / 255)
    assert logits.shape == (4, 7)
    assert bool(torch.isfinite(logits).all())


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_the_smallest_size_is_the_smallest(name):
    entry = ARCHITECTURES[name]
    options = {key: value for key, value in choice(ARCHITECTURES, name).options.items() if key != "normalise"}
    side = entry.smallest
    model = entry.build((1, side, side), 3, factory(choice(ACTIVATIONS, "relu")), options)
    assert model.eval()(torch.rand(2, 1, side, side)).shape == (2, 3)


def built(name, shape, **given):
    options = {key: value for key, value in choice(ARCHITECTURES, name, **given).options.items() if key != "normalise"}
    return ARCHITECTURES[name].build(shape, 10, factory(choice(ACTIVATIONS, "relu")), options)


def test_the_small_inception_has_the_weights_of_its_paper():
    """Zhang et al. 2017, table 1: 1,649,402 for CIFAR-10's images, which they crop to 28×28; without batch norm's own."""
    assert sum(one.numel() for one in built("inception", (3, 28, 28), batch_norm=False).parameters()) == 1_649_402
    network = built("inception", (3, 28, 28)).eval()
    assert [tuple(layer(torch.zeros(1, 3, 28, 28)).shape[1:]) for layer in (network[:3], network[:8], network[:11])] == [
        (80, 28, 28), (144, 14, 14), (336, 7, 7),
    ]  # fmt: skip


def test_depth_and_pooling_of_the_papers_net_leave_it_alone_by_default(cache):
    usual = choice(ARCHITECTURES, "kumar-cnn")
    assert usual.options == {"width": 1.0, "batch_norm": False, "dropout": 0.25, "normalise": False}
    assert choice(ARCHITECTURES, "kumar-cnn", depth=3, pooling="none") == usual

    def layers(**given):
        return [
            one for one in built("kumar-cnn", (1, 28, 28), width=0.1, **given) if not isinstance(one, torch.nn.ReLU)
        ]

    def convolutions(**given):
        found = [one for one in layers(**given) if isinstance(one, torch.nn.Conv2d)]
        return [(one.kernel_size[0], one.stride[0]) for one in found]

    assert convolutions() == [(8, 2), (6, 2), (5, 1)]
    assert convolutions(depth=1) == [(8, 2)]
    assert convolutions(depth=5) == [(8, 2), (6, 2), (5, 1), (1, 1), (1, 1)]  # one pixel is left by then
    assert convolutions(pooling="max") == [(8, 1), (6, 1), (4, 1)]
    for pooling, kind in (("max", torch.nn.MaxPool2d), ("average", torch.nn.AvgPool2d)):
        assert sum(isinstance(one, kind) for one in layers(pooling=pooling)) == 2
        for side in (4, 5, 9):
            network = built("kumar-cnn", (1, side, side), width=0.1, depth=6, pooling=pooling)
            assert network.eval()(torch.zeros(2, 1, side, side)).shape == (2, 10)


def test_the_papers_net_is_the_notebooks(cache):
    trial = dataclasses.replace(plan_of(tiny(), cache).trials[0], architecture=choice(ARCHITECTURES, "kumar-cnn"))
    model = build_model(trial, torch.zeros(2, 1, 28, 28, dtype=torch.uint8), 10)
    shapes = [tuple(p.shape) for name, p in model.named_parameters() if "weight" in name]
    assert shapes == [(64, 1, 8, 8), (128, 64, 6, 6), (128, 128, 5, 5), (128, 128), (10, 128)]
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_every_activation_is_elementwise_and_finite(name):
    module = factory(choice(ACTIVATIONS, name))()
    x = torch.linspace(-20, 20, 101)
    assert bool(torch.isfinite(module(x)).all())
    assert torch.allclose(module(x[50:60]), module(x)[50:60])


@pytest.mark.parametrize("initialisation", ["torch", "glorot"])
def test_variants_that_share_a_seed_start_alike(initialisation, cache):
    study = tiny(training={"initialisation": initialisation}, activations=["relu", "tanh"])
    images = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
    states = [build_model(trial, images, 10).state_dict() for trial in plan_of(study, cache).trials]
    digests = [checkpoints.weights_digest(state) for state in states]
    assert len(set(digests[:4])) == len(set(digests[4:])) == 1
    assert digests[0] != digests[4]
    if initialisation == "glorot":
        weight = states[0]["network.1.weight"]
        bound = (6 / sum(weight.shape)) ** 0.5
        assert 0.9 * bound < float(weight.abs().max()) <= bound
        assert float(states[0]["network.1.bias"].abs().max()) == 0


def test_normalisation_is_a_layer_of_the_model(cache):
    trial = plan_of(tiny(), cache).trials[0]
    images = torch.randint(0, 256, (500, 1, 8, 8), dtype=torch.uint8)
    model = build_model(trial, images, 10)
    inside = (images.float() / 255 - model.mean) / model.deviation
    assert float(inside.mean()) == pytest.approx(0, abs=1e-4)
    assert float(inside.std()) == pytest.approx(1, abs=1e-3)


# --- optimizers, schedules ---


@pytest.mark.parametrize("profile", ["torch", "keras"])
@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_moves_convolutions_downhill(name, profile):
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(2, 3, 3)
    optimizer = optimizers.build(optimizers.resolve(name, {}, profile, 0.0, "t"), layer.parameters())
    x = torch.rand(4, 2, 6, 6)

    def loss():
        return ((layer(x) - 1) ** 2).mean()

    first = float(loss().detach())
    for _ in range(30):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
    assert float(loss().detach()) < first


def first_step(name, gradient, **given):
    """How far one step moves a single weight from 0 under Keras's defaults."""
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = optimizers.build(optimizers.resolve(name, given, "keras", 0.0, "t"), [weight])
    weight.grad = torch.tensor([gradient], dtype=torch.float64)
    optimizer.step()
    return float(weight)


def test_keras_defaults_take_keras_s_first_steps():
    g = 0.5
    assert first_step("sgd", g) == pytest.approx(-0.01 * g)
    assert first_step("adam", g) == pytest.approx(-0.001, rel=1e-5)
    assert first_step("rmsprop", g) == pytest.approx(-0.001 * g / (0.1 * g * g) ** 0.5, rel=1e-5)
    assert first_step("adagrad", g) == pytest.approx(-0.001 * g / (0.1 + g * g) ** 0.5, rel=1e-5)
    assert first_step("adamax", g) == pytest.approx(-0.001, rel=1e-5)
    # Adadelta: the step's own average starts at 0, so the first step is √ε / √((1-ρ)g² + ε) of the gradient
    assert first_step("adadelta", g) == pytest.approx(-0.001 * g * (1e-7 / (0.05 * g * g + 1e-7)) ** 0.5, rel=1e-5)


def test_what_is_given_beats_the_training_key_which_beats_the_profile():
    assert optimizers.resolve("adamw", {}, "torch", 0.0, "t").options["weight_decay"] == 0.01
    assert optimizers.resolve("adamw", {}, "torch", 0.5, "t").options["weight_decay"] == 0.5
    assert optimizers.resolve("adamw", {"weight_decay": 0.2}, "torch", 0.5, "t").options["weight_decay"] == 0.2
    assert optimizers.resolve("rmsprop", {}, "keras", 0.0, "t").options["alpha"] == 0.9
    assert optimizers.resolve("rmsprop", {}, "torch", 0.0, "t").options["alpha"] == 0.99


def test_schedules_are_functions_of_the_step():
    cosine = Choice("cosine")
    assert learning_rate(cosine, 0.1, 0, 10, 4) == 0.1
    assert learning_rate(cosine, 0.1, 20, 10, 4) == pytest.approx(0.05)
    assert learning_rate(cosine, 0.1, 39, 10, 4) < 0.001
    step = Choice("step", {"at": [1, 3], "lr": [0.5, 0.25]})
    assert [learning_rate(step, 1.0, n * 10, 10, 4) for n in range(4)] == [1.0, 0.5, 0.5, 0.25]
    assert learning_rate(step, 1.0, 9, 10, 4) == 1.0


@pytest.mark.parametrize(("samples", "size"), [(300, 64), (129, 64), (64, 64), (1, 64), (65, 64), (5, 1)])
def test_batches_cover_every_sample_once(samples, size):
    bounds = batch_bounds(samples, size)
    assert list(itertools.chain(*(range(*bound) for bound in bounds))) == list(range(samples))
    if size > 1 and samples > 1:
        assert all(last - first > 1 for first, last in bounds)


# --- whole trials ---


def job(trial, plan, folder, cache, earlier=(), attacks=True):
    specs = tuple(EvaluationSpec(attack, plan.study.test_samples) for attack in plan.study.attacks) if attacks else ()
    return Job(trial, plan.info.source, specs, (plan.study.test_samples,), 1, folder, tuple(earlier), cache, cache)


def events_of(job, stop=lambda: False):
    return list(run_trial(job, stop))


def one(events, kind):
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


RICH = {
    "architectures": [{"name": "kumar-cnn", "width": 0.1, "batch_norm": True}],
    "defenses": [{"name": "pgd-at", "eps": 0.1, "steps": 2}],
    "training": {"epochs": 3, "batch_size": 64, "schedule": "cosine", "label_smoothing": 0.1, "validation": 0.2},
}


def test_a_trial_tells_its_story_in_order(tmp_path, cache):
    plan = plan_of(tiny(), cache)
    events = list(events_of(job(plan.trials[0], plan, tmp_path / "1", cache)))
    kinds = [type(event) for event in events if not type(event).__name__.endswith("Progress")]
    assert kinds == [
        Started,
        *[EpochFinished] * 3,
        Trained,
        CleanEvaluated,
        *[EvaluationFinished] * 2,
        Finished,
    ]
    trained = one(events, Trained)
    assert trained.weights.is_file()
    assert not (tmp_path / "1" / checkpoints.LAST).exists()
    assert trained.history[-1].accuracy > trained.history[0].accuracy
    assert one(events, Started).environment["threads"] == 1
    clean = one(events, CleanEvaluated)
    assert clean.correct.mean() > 0.5
    assert np.array_equal(clean.correct, clean.predictions == clean.labels)


@pytest.mark.parametrize("architecture", [{"name": "mlp", "hidden": [24]}, {"name": "kumar-cnn", "width": 0.1}])
@pytest.mark.parametrize("optimizer", ["adam", "rmsprop", "sgd"])
def test_an_undefended_trial_of_torchs_profile_ends_with_the_weights_of_a_plain_loop(
    optimizer, architecture, tmp_path, cache
):
    """Bit for bit: torch's own optimizer and cross-entropy, and the documented streams of randomness. Trials known by these
    addresses must never get other weights."""
    plan = plan_of(tiny(architectures=[architecture], optimizers=[optimizer], activations=["tanh"], seeds=[3]), cache)
    (trial,) = plan.trials
    events = events_of(job(trial, plan, tmp_path / "1", cache, attacks=False))
    state = torch.load(one(events, Trained).weights, weights_only=True)["model"]
    arrays = load(plan.info.source, cache, cache)
    chosen = stratified(arrays.train_labels, 300, "train_samples")
    model = plain_loop(trial, arrays, chosen, optimizer)
    assert checkpoints.weights_digest(model.state_dict()) == checkpoints.weights_digest(state)


def plain_loop(trial, arrays, chosen, optimizer):
    """What torch's own optimizer makes of the training images `chosen` in the trial's streams."""
    images, labels = torch.from_numpy(arrays.train_images[chosen]), torch.from_numpy(arrays.train_labels[chosen])
    model = build_model(trial, images, 10).to(memory_format=torch.channels_last)
    theirs = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}
    plain = theirs[optimizer](model.parameters())
    model.train()
    for epoch in (1, 2, 3):
        generator = torch.Generator().manual_seed(stream_seed(trial.seed, "order", epoch))
        for number, rows in enumerate(torch.randperm(len(chosen), generator=generator).split(32)):
            torch.manual_seed(stream_seed(trial.seed, "step", epoch, number))
            plain.zero_grad()
            torch.nn.functional.cross_entropy(model(images[rows].float() / 255.0), labels[rows]).backward()
            plain.step()
    return model


def test_each_seed_learns_from_a_subset_of_its_own_and_all_else_is_as_without(tmp_path, cache):
    """Bit for bit: the images are the documented draw of the seed, less the validation part of it; initialisation and order
    are those of the default."""
    plain = {
        "architectures": [{"name": "mlp", "hidden": [24], "normalise": False}],
        "optimizers": ["adam"],
        "activations": ["tanh"],
        "training": {"epochs": 3, "batch_size": 32, "validation": 0.2},
    }
    plan, fixed = plan_of(tiny(**plain, vary=["seed", "train_subset"]), cache), plan_of(tiny(**plain), cache)
    arrays = load(plan.info.source, cache, cache)
    for trial, usual in zip(plan.trials, fixed.trials, strict=True):
        events = events_of(job(trial, plan, tmp_path / trial.id, cache))
        alike = events_of(job(usual, fixed, tmp_path / usual.id, cache))
        own = stratified(arrays.train_labels, 300, "train_samples", stream_seed(trial.seed, "train subset"))
        kept, held = holdout(arrays.train_labels[own], 0.2)
        trained = one(events, Trained)
        model = plain_loop(trial, arrays, own[kept], "adam").eval()
        assert trained.final_digest == checkpoints.weights_digest(model.state_dict())
        assert trained.final_digest != one(alike, Trained).final_digest
        assert trained.initial_digest == one(alike, Trained).initial_digest
        guesses = model(torch.from_numpy(arrays.train_images[own[held]]).float() / 255.0).argmax(dim=1).numpy()
        accuracy = (guesses == arrays.train_labels[own[held]]).mean()
        assert trained.history[-1].validation_accuracy == pytest.approx(accuracy)
        tests = [
            [event.samples for event in found if isinstance(event, EvaluationFinished)] for found in (events, alike)
        ]
        assert tests == [[plan.samples] * 2] * 2, "the test samples stay where they are"


FREE = {
    "defenses": [{"name": "free-at", "eps": 0.1, "replays": 3}],
    "training": {"epochs": 2, "batch_size": 64},
}
MIXED = {
    "defenses": [{"name": "fgsm-rs", "eps": 0.5, "norm": "l2", "clean_share": 0.25}],
    "training": {"epochs": 2, "batch_size": 64},
}
DIVERGENCE = {
    "architectures": [{"name": "kumar-cnn", "width": 0.1}],  # with dropout in both of its passes
    "defenses": [{"name": "trades", "eps": 0.1, "steps": 2}],
    "training": {"epochs": 2, "batch_size": 64},
}


OWN = {**RICH, "vary": ["seed", "train_subset"], "seeds": [5]}


@pytest.mark.parametrize(
    "changes", [{}, RICH, FREE, MIXED, DIVERGENCE, OWN], ids=["plain", "rich", "free", "mixed", "divergence", "own"]
)
def test_stopped_anywhere_and_resumed_the_weights_are_bit_identical(changes, tmp_path, cache):
    plan = plan_of(tiny(**changes), cache)
    trial = plan.trials[0]
    undisturbed = one(events_of(job(trial, plan, tmp_path / "whole", cache, attacks=False)), Trained)
    folders, patience = [], itertools.cycle([2, 5, 1, 7])
    for attempt in range(40):
        left = next(patience)
        counter = itertools.count()
        folder = tmp_path / str(attempt)
        events = events_of(
            job(trial, plan, folder, cache, reversed(folders), attacks=False), lambda c=counter, n=left: next(c) >= n
        )
        folders.append(folder)
        if isinstance(events[-1], Finished):
            break
        assert isinstance(events[-1], Stopped)
    assert attempt > 2
    resumed = one(events, Trained)
    assert resumed.final_digest == undisturbed.final_digest
    assert resumed.initial_digest == undisturbed.initial_digest
    assert [dataclasses.replace(r, seconds=0) for r in resumed.history] == [
        dataclasses.replace(r, seconds=0) for r in undisturbed.history
    ]


def test_killed_after_the_last_epoch_and_before_its_weights_the_history_is_kept(tmp_path, cache):
    """Once in some hundred kills the epochs of such a trial were gone, and its training time was 0."""
    plan = plan_of(tiny(), cache)
    trial = plan.trials[0]
    undisturbed = one(events_of(job(trial, plan, tmp_path / "whole", cache, attacks=False)), Trained)
    killed = run_trial(job(trial, plan, tmp_path / "1", cache, attacks=False), lambda: False)
    for event in killed:
        if isinstance(event, EpochFinished) and event.record.epoch == trial.training.epochs:
            break
    killed.close()
    assert not (tmp_path / "1" / "weights.pt").exists()
    resumed = one(events_of(job(trial, plan, tmp_path / "2", cache, [tmp_path / "1"], attacks=False)), Trained)
    assert resumed.final_digest == undisturbed.final_digest
    assert [dataclasses.replace(r, seconds=0) for r in resumed.history] == [
        dataclasses.replace(r, seconds=0) for r in undisturbed.history
    ]
    again = one(events_of(job(trial, plan, tmp_path / "3", cache, [tmp_path / "2"], attacks=False)), Trained)
    assert again.history == resumed.history


def test_checkpoints_of_before_the_probe_still_unpack():
    old = {"epoch": 1, "loss": 1.5, "accuracy": 0.5, "validation_accuracy": None, "lr": 0.1, "seconds": 2.0}
    (record,) = checkpoints.unpack([old])
    assert record.probe_accuracy is None
    assert checkpoints.unpack(checkpoints.pack([record])) == (record,)


def test_trained_weights_are_taken_over_and_only_attacked(tmp_path, cache):
    plan = plan_of(tiny(), cache)
    first = events_of(job(plan.trials[0], plan, tmp_path / "1", cache))
    again = events_of(job(plan.trials[0], plan, tmp_path / "2", cache, [tmp_path / "1"]))
    assert not any(isinstance(event, EpochFinished) for event in again)
    assert one(again, Trained).weights == tmp_path / "1" / checkpoints.WEIGHTS
    for before, after in zip(
        (e for e in first if isinstance(e, EvaluationFinished)),
        (e for e in again if isinstance(e, EvaluationFinished)),
        strict=True,
    ):
        for one_ledger, other in zip(before.ledgers, after.ledgers, strict=True):
            assert np.array_equal(one_ledger.survived, other.survived)


def test_damaged_and_foreign_checkpoints_are_passed_over(tmp_path, cache):
    plan = plan_of(tiny(), cache)
    trial, other = plan.trials[:2]
    whole = one(events_of(job(trial, plan, tmp_path / "1", cache, attacks=False)), Trained)
    events_of(job(other, plan, tmp_path / "other", cache, attacks=False))
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / checkpoints.WEIGHTS).write_bytes(whole.weights.read_bytes()[:2000])
    (tmp_path / "half" / checkpoints.LAST).write_bytes(b"")
    events = events_of(job(trial, plan, tmp_path / "2", cache, [tmp_path / "half", tmp_path / "other"], attacks=False))
    assert len([event for event in events if isinstance(event, EpochFinished)]) == 3
    assert one(events, Trained).final_digest == whole.final_digest


def test_a_loss_that_is_not_a_number_fails_the_trial_with_the_epoch(tmp_path, cache):
    plan = plan_of(tiny(optimizers=[{"name": "sgd", "lr": 1e30}]), cache)
    failed = events_of(job(plan.trials[0], plan, tmp_path, cache))[-1]
    assert isinstance(failed, TrialFailed)
    assert "epoch 1" in failed.reason
    assert "learning rate" in failed.reason
    assert "\n" not in failed.reason


def test_one_failed_attack_leaves_the_others_alone(tmp_path, cache, monkeypatch):
    from core.jobs import evaluations as module

    genuine = module.evaluate

    def sabotaged(model, tests, attack, *rest, **options):
        if attack.name == "fgsm":
            raise RuntimeError("something broke\nin the middle")
        return genuine(model, tests, attack, *rest, **options)

    monkeypatch.setattr(module, "evaluate", sabotaged)
    plan = plan_of(tiny(), cache)
    events = events_of(job(plan.trials[0], plan, tmp_path, cache))
    assert one(events, EvaluationFailed).reason == "RuntimeError: something broke"
    assert one(events, EvaluationFinished).attack.name == "pgd"
    assert isinstance(events[-1], Finished)


def test_a_look_that_fails_is_told_and_leaves_the_attacks_alone(tmp_path, cache, monkeypatch):
    from core.jobs import evaluations as module

    def sabotaged(*_, **__):
        yield from ()
        raise RuntimeError("not enough memory\nin the middle")

    monkeypatch.setattr(module, "diagnose", sabotaged)
    plan = plan_of(tiny(), cache)
    looked = dataclasses.replace(
        job(plan.trials[0], plan, tmp_path, cache), diagnoses=(DiagnosisSpec(60, "linf", (0.1,)),)
    )
    events = events_of(looked)
    failed = one(events, LookFailed)
    assert (failed.norm, failed.reason) == ("linf", "RuntimeError: not enough memory")
    assert len([event for event in events if isinstance(event, EvaluationFinished)]) == 2
    assert isinstance(events[-1], Finished)


def test_traits_are_measured_in_the_same_job_and_alone_without_training(tmp_path, cache, monkeypatch):
    from core.jobs import evaluations as module

    plan = plan_of(tiny(), cache)
    wanted = dataclasses.replace(job(plan.trials[0], plan, tmp_path, cache), traits=(60,))
    events = events_of(wanted)
    measured = one(events, TraitsMeasured)
    assert (measured.test_samples, measured.samples) == (60, one(events, CleanEvaluated).samples)
    assert measured.traits.margin > 0
    assert events.index(measured) < events.index(next(e for e in events if isinstance(e, EvaluationFinished)))
    later = dataclasses.replace(wanted, clean=(), evaluations=())
    again = events_of(later)
    assert one(again, TraitsMeasured).traits == measured.traits
    assert one(again, Trained).earlier
    gone = dataclasses.replace(later, folder=tmp_path / "elsewhere", earlier=())
    assert events_of(gone) == [Finished()]

    def sabotaged(*_):
        raise RuntimeError("not enough memory")

    monkeypatch.setattr(module, "measure", sabotaged)
    failed = one(events_of(later), LookFailed)
    assert (failed.norm, failed.reason) == (None, "RuntimeError: not enough memory")


def test_augmentation_moves_and_mirrors_colour_images(real_data, tmp_path, cache):
    from core.training.step import _moved

    images = torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8).to(torch.uint8)
    torch.manual_seed(0)
    moved = _moved(images)
    assert moved.shape == images.shape
    assert not torch.equal(moved, images)
    study = tiny(dataset=f"npz:{real_data}/cifar10-mini.npz", training={"epochs": 1, "augment": True})
    plan = plan_of(study, cache)
    assert isinstance(events_of(job(plan.trials[0], plan, tmp_path, cache))[-1], Finished)


def test_the_subset_is_the_same_for_every_trial(cache, digits_info):
    arrays = load(digits_info.source, cache, cache)
    assert len(np.unique(arrays.train_labels)) == 10


def test_an_audit_that_fails_is_told_and_costs_nothing_else(tmp_path, cache, monkeypatch):
    from core.audit import AuditSpec
    from core.events import AuditFailed
    from core.jobs import evaluations as module
    from core.jobs.orders import AuditOrder

    def sabotaged(*_, **__):
        yield from ()
        raise RuntimeError("no such luck\nin the middle")

    monkeypatch.setattr(module, "audit", sabotaged)
    plan = plan_of(tiny(), cache)
    order = AuditOrder(AuditSpec("linf", (0.1, 0.2), 8, 0.25, "budget"), 60)
    events = events_of(dataclasses.replace(job(plan.trials[0], plan, tmp_path, cache), audits=(order,)))
    failed = one(events, AuditFailed)
    assert (failed.spec, failed.reason) == (order.spec, "RuntimeError: no such luck")
    assert len([event for event in events if isinstance(event, EvaluationFinished)]) == 2
    assert isinstance(events[-1], Finished)


def test_an_audit_draws_from_what_this_job_and_those_before_left_standing(tmp_path, cache):
    """The same audit whether its trial was attacked in the same job or in one before: what stands and what it may spend are."""
    from core.audit import AuditSpec
    from core.events import Audited
    from core.jobs.orders import AuditOrder
    from core.verdict.ledgers import worst_case

    plan = plan_of(tiny(), cache)
    spec = AuditSpec("linf", (0.1, 0.2), 8, 0.25, "budget")
    whole = events_of(dataclasses.replace(job(plan.trials[0], plan, tmp_path, cache), audits=(AuditOrder(spec, 60),)))
    clean = one(whole, CleanEvaluated)
    attacks = [event for event in whole if isinstance(event, EvaluationFinished)]
    standing = tuple(worst_case(clean.outcome, [event.ledgers for event in attacks], eps) for eps in spec.eps)
    passes = sum(event.forward_passes + event.backward_passes for event in attacks)
    later = dataclasses.replace(
        job(plan.trials[0], plan, tmp_path, cache),
        evaluations=(), clean=(), audits=(AuditOrder(spec, 60, standing, passes),),
    )  # fmt: skip
    first, second = one(whole, Audited), one(events_of(later), Audited)
    assert first.radii == second.radii
    assert [radius.standing + radius.broken for radius in first.radii] == [int(alive.sum()) for alive in standing]
    assert np.array_equal(first.fell_at, second.fell_at)
