"""Weight averaging: what is averaged, what is stored, and that it takes no other steps than a training without it."""

import dataclasses
import itertools
import json

import pytest
import torch

from core.datasets import load
from core.datasets.subsets import stratified
from core.errors import BadInput
from core.events import Finished, Stopped, Trained
from core.identity import stream_seed
from core.jobs.trial import run_trial
from core.lanes.lane import Lane
from core.models.pixel_model import build_model
from core.records.choice import Choice
from core.records.trial import TrialSpec
from core.study.resolve import mistakes
from core.training import checkpoints
from core.training.averaging import first_averaged
from tests.conftest import plan_of, tiny
from tests.core.tape import Tape
from tests.core.test_training import job, one

torch.set_num_threads(1)
CPU = torch.device("cpu")
NORMED = {"name": "mlp", "hidden": [12], "batch_norm": True, "dropout": 0.1}
EMA = {"name": "ema", "decay": 0.9}
SWA = {"name": "swa", "start": 0.4}


def plan_for(cache, averaging, **changes):
    training = {"epochs": 4, "batch_size": 64, "averaging": averaging, **changes.pop("training", {})}
    base = {
        "architectures": [NORMED],
        "optimizers": ["adam"],
        "activations": ["tanh"],
        "seeds": [5],
        "train_samples": 150,
    }
    return plan_of(tiny(**{**base, "training": training, **changes}), cache)


def trained(plan, folder, cache, lane=None):
    work = job(plan.trials[0], plan, folder, cache, attacks=False)
    if lane is None:
        return one(list(run_trial(work, lambda: False)), Trained)
    with lane.entered():
        return one(list(run_trial(work, lambda: False)), Trained)


def state_of(found):
    return torch.load(found.weights, weights_only=True)["model"]


# --- the study file ---


def test_averaging_is_in_the_identity_only_where_there_is_one(cache):
    plain, none, ema, other, swa = (
        plan_for(cache, averaging).trials[0]
        for averaging in ("none", {"name": "none"}, "ema", {"name": "ema", "decay": 0.99}, "swa")
    )
    assert "averaging" not in plain.as_json()["training"]
    assert plain.id == none.id == plan_of(
        tiny(
            architectures=[NORMED], optimizers=["adam"], activations=["tanh"], seeds=[5], train_samples=150,
            training={"epochs": 4, "batch_size": 64},
        ),
        cache,
    ).trials[0].id  # fmt: skip
    assert ema.as_json()["training"]["averaging"] == {"name": "ema", "options": {"decay": 0.999}}
    assert len({plain.id, ema.id, other.id, swa.id}) == 4
    for trial in (plain, ema, swa):
        assert TrialSpec.from_json(json.loads(json.dumps(trial.as_json()))) == trial


@pytest.mark.parametrize(
    ("averaging", "key", "words"),
    [
        ("mean", "training.averaging", "unknown averaging 'mean'"),
        ({"name": "ema", "decay": 1.0}, "training.averaging.decay", "above 0 and below 1"),
        ({"name": "swa", "start": 1}, "training.averaging.start", "at least 0 and below 1"),
        ({"name": "swa", "decay": 0.9}, "training.averaging.decay", "swa has no option 'decay'"),
        ({"decay": 0.9}, "training.averaging", "a table needs a name"),
    ],
)
def test_a_mistake_in_averaging_names_its_key(averaging, key, words, tmp_path):
    (found,) = mistakes(tiny(training={"averaging": averaging}), tmp_path)
    assert isinstance(found, BadInput)
    assert found.key == key
    assert words in found.words


def test_the_mean_always_has_an_epoch_to_begin_with():
    for epochs, start in itertools.product(range(1, 30), (0.0, 0.3, 0.5, 0.75, 0.999)):
        first = first_averaged(Choice("swa", {"start": start}), epochs)
        assert 1 <= first <= epochs
        assert first > start * epochs >= first - 1


# --- what is averaged ---


@pytest.mark.parametrize("averaging", [EMA, SWA])
def test_the_weights_are_the_average_of_a_plain_loops(averaging, tmp_path, cache):
    """Without batch norm, spelled out from the papers' formulas on the weights of an ordinary training."""
    plan = plan_for(cache, averaging, architectures=[{"name": "mlp", "hidden": [12]}])
    (trial,) = plan.trials
    arrays = load(plan.info.source, cache, cache)
    chosen = stratified(arrays.train_labels, 150, "train_samples")
    images, labels = torch.from_numpy(arrays.train_images[chosen]), torch.from_numpy(arrays.train_labels[chosen])
    model = build_model(trial, images, 10).train()
    optimizer = torch.optim.Adam(model.parameters())
    average, entered, steps = [one.detach().clone().double() for one in model.parameters()], 0, 0
    for epoch in range(1, 5):
        order = torch.randperm(150, generator=torch.Generator().manual_seed(stream_seed(5, "order", epoch)))
        for number, rows in enumerate(order.split(64)):
            torch.manual_seed(stream_seed(5, "step", epoch, number))
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(images[rows].float() / 255), labels[rows]).backward()
            optimizer.step()
            if averaging is EMA:
                decay = min(0.9, (1 + steps) / (10 + steps))
                average = [
                    decay * a + (1 - decay) * w.detach() for a, w in zip(average, model.parameters(), strict=True)
                ]
                steps += 1
        if averaging is SWA and epoch >= 2:  # 0.4 of 4 epochs are over after 1.6
            average = [
                (a * entered + w.detach()) / (entered + 1) for a, w in zip(average, model.parameters(), strict=True)
            ]
            entered += 1
    state = state_of(trained(plan, tmp_path / "1", cache))
    for (name, weight), expected in zip(model.named_parameters(), average, strict=True):
        assert torch.allclose(state[name].double(), expected, atol=1e-6)
        assert not torch.allclose(state[name], weight.detach(), atol=1e-5)


def test_steps_are_those_of_a_training_without_average(tmp_path, cache):
    """Loss and accuracy in training are sums over the weights under way; only what is looked at is averaged."""
    with_validation = {"training": {"validation": 0.2}}
    found = [
        trained(plan_for(cache, averaging, **with_validation), tmp_path / str(number), cache).history
        for number, averaging in enumerate(("none", EMA, SWA))
    ]
    for history in found[1:]:
        assert [(one.loss, one.accuracy) for one in history] == [(one.loss, one.accuracy) for one in found[0]]
    assert found[2][0].validation_accuracy == found[0][0].validation_accuracy  # there is no average yet
    assert any(a.validation_accuracy != b.validation_accuracy for a, b in zip(found[0], found[1], strict=True))


def test_an_average_of_nothing_but_the_last_epoch_is_the_plain_training_but_for_its_statistics(tmp_path, cache):
    plain = state_of(trained(plan_for(cache, "none"), tmp_path / "1", cache))
    last = state_of(trained(plan_for(cache, {"name": "swa", "start": 0.99}), tmp_path / "2", cache))
    for name, weight in plain.items():
        assert torch.equal(weight, last[name]) == ("running" not in name)


def test_the_statistics_of_the_mean_are_those_of_its_own_images(tmp_path, cache):
    plan = plan_for(cache, SWA, architectures=[{**NORMED, "dropout": 0.0}])
    (trial,) = plan.trials
    arrays = load(plan.info.source, cache, cache)
    state = state_of(trained(plan, tmp_path / "1", cache))
    chosen = stratified(arrays.train_labels, 150, "train_samples")
    images = torch.from_numpy(arrays.train_images[chosen])
    model = build_model(trial, images, 10)
    model.load_state_dict(state)
    order = torch.randperm(150, generator=torch.Generator().manual_seed(stream_seed(5, "order", 4)))
    norm = next(key for key in state if key.endswith("running_mean")).removesuffix(".running_mean")
    inputs = []
    model.get_submodule(norm).register_forward_pre_hook(lambda _, given: inputs.append(given[0].detach()))
    model.eval()(images.float() / 255)
    means = torch.stack([inputs[0][rows].mean(dim=0) for rows in order.split(64)])
    assert torch.allclose(state[f"{norm}.running_mean"], means.mean(dim=0), atol=1e-5)
    assert int(state[f"{norm}.num_batches_tracked"]) == 4 * 3  # the passes that estimate count nothing


# --- recorded, resumed ---


@pytest.mark.parametrize("averaging", [EMA, SWA])
@pytest.mark.parametrize("defense", ["none", "pgd-at", "free-at"])
def test_recorded_steps_average_as_eager_ones(averaging, defense, tmp_path, cache):
    options = {"none": {}, "pgd-at": {"eps": 0.1, "steps": 2}, "free-at": {"eps": 0.1, "replays": 3}}[defense]
    plan = plan_for(cache, averaging, defenses=[{"name": defense, **options}], training={"validation": 0.1})

    def refuse(work):
        raise RuntimeError("operation not permitted when stream is capturing: item")

    tape = Tape()
    recorded = trained(plan, tmp_path / "1", cache, Lane(CPU, recorder=tape))
    eager = trained(plan, tmp_path / "2", cache, Lane(CPU, recorder=refuse))
    assert tape.replays > 5
    assert recorded.notes == ()
    assert recorded.final_digest == eager.final_digest
    assert [dataclasses.replace(r, seconds=0) for r in recorded.history] == [
        dataclasses.replace(r, seconds=0) for r in eager.history
    ]


@pytest.mark.parametrize("averaging", [EMA, SWA])
@pytest.mark.parametrize("records", [False, True])
def test_stopped_anywhere_and_resumed_the_average_is_the_same(averaging, records, tmp_path, cache, monkeypatch):
    monkeypatch.setattr("core.training.loop._RECORDED_CHECKPOINT_SECONDS", 1e-6)
    monkeypatch.setattr("core.training.loop._PROGRESS_SECONDS", 0.0)
    plan = plan_for(cache, averaging, defenses=[{"name": "fgsm-at", "eps": 0.1}], training={"validation": 0.1})
    (trial,) = plan.trials

    def attempt(folder, earlier, patience):
        count = itertools.count()
        with Lane(CPU, recorder=Tape() if records else None).entered():
            work = job(trial, plan, folder, cache, reversed(earlier), attacks=False)
            return list(run_trial(work, lambda: next(count) >= patience))

    whole = one(attempt(tmp_path / "whole", [], 10**9), Trained).final_digest
    folders = []
    for number, patience in enumerate(itertools.cycle([2, 5, 1])):
        events = attempt(tmp_path / str(number), folders, patience)
        folders.append(tmp_path / str(number))
        if isinstance(events[-1], Finished):
            break
        assert isinstance(events[-1], Stopped)
    assert number > 1
    assert one(events, Trained).final_digest == whole


def test_killed_after_the_last_epoch_the_average_is_stored_all_the_same(tmp_path, cache, monkeypatch):
    plan = plan_for(cache, SWA)
    (trial,) = plan.trials
    whole = trained(plan, tmp_path / "whole", cache).final_digest
    real = checkpoints.write

    def full(path, content):
        if path.name == checkpoints.WEIGHTS:
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(checkpoints, "write", full)
    with pytest.raises(KeyboardInterrupt):
        trained(plan, tmp_path / "1", cache)
    monkeypatch.setattr(checkpoints, "write", real)
    work = job(trial, plan, tmp_path / "2", cache, [tmp_path / "1"], attacks=False)
    assert one(list(run_trial(work, lambda: False)), Trained).final_digest == whole
