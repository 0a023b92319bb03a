"""Crafting for transfer against the closed form of linear models, and whatever must not change its counts."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from core.attacks import resolve
from core.datasets import parse_source
from core.engine.victim import EvaluationStopped, Victim
from core.errors import BadInput
from core.events import Finished, Stopped, TransferLeftOut, TransferRow, TrialFailed
from core.executors.inline import InlineExecutor
from core.identity import stream_seed
from core.jobs.orders import TrainedTrial, TransferJob
from core.jobs.run import run_job
from core.jobs.transfer import Batches, Gallery, cells, craft
from core.jobs.transfer_attack import transfer_attack
from core.records.outcome import TransferCell
from core.study.resolve import parse_study
from tests.conftest import plan_of, tiny
from tests.core.linear import Linear, grey_images, samples_of, small_net

EPS = 0.05


def attack_of(name, eps=EPS, **options):
    return resolve(name, {"eps": [eps], **options}, "test")


def linear_set(count=200):
    images = grey_images(count, seed=1)
    labels = torch.from_numpy(np.random.default_rng(2).integers(0, 2, count))
    return samples_of(images, labels)


def gallery_of(models, test_set, batch_size=256, stop=lambda: False):
    return Gallery(models.__getitem__, test_set, Batches(batch_size, stop))


def tried(models, test_set, source, targets, attack, **options):
    """target → cell."""
    *_, last = cells(gallery_of(models, test_set, **options), source, targets, attack)
    return {cell.target_id: cell for cell in last}


def test_fgsm_transfer_between_linear_models_is_the_closed_form():
    """For logits (0, w·x + b) the step is ±ε·sign(w) of the source, whatever the image: numpy tells who is fooled."""
    test_set, models = linear_set(), {name: Linear(seed) for name, seed in (("s", 0), ("t", 1), ("u", 2))}
    # The target shares most of the source's weights, so that it is fooled, but by no means always.
    models["t"].w.data = 0.6 * models["s"].w.data + 0.4 * models["t"].w.data
    models["t"].b.data = -0.5 * models["t"].w.data.sum()
    x = test_set.images.numpy().reshape(200, -1).astype(np.float64) / 255
    y = test_set.labels.numpy()
    weights = {name: model.w.detach().numpy().astype(np.float64) for name, model in models.items()}
    biases = {name: float(model.b.detach()) for name, model in models.items()}

    def right(name, images):
        return ((images @ weights[name] + biases[name] > 0) == y) & (
            np.abs(images @ weights[name] + biases[name]) > 1e-6
        )

    moved = np.clip(x - EPS * np.sign(weights["s"]) * np.where(y == 1, 1.0, -1.0)[:, None], 0.0, 1.0)
    found = tried(models, test_set, "s", ["s", "t", "u"], attack_of("fgsm"))
    for name in models:
        shared = right("s", x) & right(name, x)
        fooled = shared & ~right(name, moved)
        clean = right(name, x).sum()
        assert found[name] == TransferCell(name, int(shared.sum()), int(fooled.sum()), (clean - fooled.sum()) / 200)
    assert 0 < found["t"].fooled < found["t"].shared
    assert found["s"].fooled > found["t"].fooled > found["u"].fooled


@pytest.mark.parametrize("name", ["noise", "fgsm", "bim", "pgd", "mi-fgsm"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_images_stay_in_the_ball_and_the_box_and_equal_models_are_fooled_alike(name, norm):
    test_set = small_set()
    models = {"a": small_net(), "b": small_net(), "c": small_net(1)}
    eps = 0.1 if norm == "linf" else 0.6
    attack = attack_of(name, eps, norm=norm)
    x = test_set.pixels(torch.arange(len(test_set)))
    images = craft(Victim(models["a"].eval()), x, test_set.labels, test_set.indices, attack)
    delta = (images - x).flatten(1)
    size = delta.abs().amax(dim=1) if norm == "linf" else delta.norm(dim=1)
    assert float(size.max()) <= eps * (1 + 1e-5)
    assert 0.0 <= float(images.min()) <= float(images.max()) <= 1.0
    found = tried(models, test_set, "a", ["a", "b", "c"], attack)
    assert (found["b"].shared, found["b"].fooled) == (found["a"].shared, found["a"].fooled)
    assert found["a"].robust_accuracy == found["b"].robust_accuracy
    assert found["c"].shared < found["a"].shared


def small_set(count=90):
    rng = np.random.default_rng(3)
    images = torch.from_numpy(rng.integers(0, 256, (count, 1, 4, 4)).astype(np.uint8))
    labels = torch.from_numpy(rng.integers(0, 3, count))
    return samples_of(images, labels)


def test_crafting_goes_on_after_the_first_success():
    """Where an attack that stops at the boundary ends, a whole-length one has gone on to the surface of the ball."""
    test_set, model = linear_set(), Linear(0)
    x, y = test_set.pixels(torch.arange(200)), test_set.labels
    images = craft(Victim(model), x, y, test_set.indices, attack_of("bim", 0.1, steps=10))
    away = torch.where(y == 1, -1.0, 1.0)[:, None] * model.w.detach().sign()
    torch.testing.assert_close((images - x).flatten(1), 0.1 * away, atol=1e-6, rtol=0)


def test_momentum_is_the_papers():
    """Dong et al. 2018, algorithm 1, written out again in numpy for a model whose gradient turns on the way."""
    model = small_net().double().eval()
    test_set = small_set(5)
    x = test_set.pixels(torch.arange(5)).double()
    attack = attack_of("mi-fgsm", 0.2, steps=4, alpha=0.05)
    images = craft(Victim(model), x, test_set.labels, test_set.indices, attack)
    momentum, expected = torch.zeros_like(x), x.clone()
    for _ in range(4):
        point = expected.clone().requires_grad_()
        loss = nn.functional.cross_entropy(model(point), test_set.labels, reduction="sum")
        (gradient,) = torch.autograd.grad(loss, point)
        momentum = momentum + gradient / gradient.abs().sum(dim=(1, 2, 3), keepdim=True)
        expected = (x + (expected + 0.05 * momentum.sign() - x).clamp(-0.2, 0.2)).clamp(0.0, 1.0)
    torch.testing.assert_close(images, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", ["pgd", "noise"])
def test_counts_depend_neither_on_batch_size_nor_on_the_other_samples(name):
    test_set, models = linear_set(), {"s": Linear(0), "t": Linear(0)}
    models["t"].w.data += 0.3
    attack = attack_of(name, 0.04)
    whole = tried(models, test_set, "s", ["s", "t"], attack)
    assert tried(models, test_set, "s", ["s", "t"], attack, batch_size=7) == whole
    halves = [
        tried(models, samples_of(test_set.images[part], test_set.labels[part], part), "s", ["s", "t"], attack)
        for part in (torch.arange(0, 200, 2), torch.arange(1, 200, 2))
    ]
    for target, cell in whole.items():
        assert cell.fooled == sum(half[target].fooled for half in halves)
        assert cell.shared == sum(half[target].shared for half in halves)
        assert cell.robust_accuracy == pytest.approx(sum(half[target].robust_accuracy for half in halves) / 2)


def test_samples_wrong_from_the_start_count_neither_way():
    """Wrong on the source: no image is made, the target keeps it. Wrong on the target: it cannot be fooled."""
    test_set, models = linear_set(), {"s": Linear(0), "t": Linear(1)}
    there, back = (
        tried(models, test_set, one, [other], attack_of("fgsm", 1.0))[other] for one, other in (("s", "t"), ("t", "s"))
    )
    assert there.shared == back.shared < 200
    right = {name: int(gallery_of(models, test_set).right(name).sum()) for name in models}
    assert there.robust_accuracy == (right["t"] - there.fooled) / 200
    assert there.shared < min(right.values())
    nothing = samples_of(test_set.images, 1 - (models["s"](test_set.pixels(torch.arange(200))).argmax(1)))
    assert tried(models, nothing, "s", ["t"], attack_of("pgd"))["t"].shared == 0


def test_memory_that_runs_out_halves_the_batch_and_changes_nothing():
    class Small(Linear):
        def forward(self, x):
            if len(x) > 50:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().forward(x)

    test_set = linear_set()
    models = {"s": Small(0), "t": Linear(1)}
    gallery = gallery_of(models, test_set)
    *_, last = cells(gallery, "s", ["s", "t"], attack_of("pgd", steps=3))
    whole = tried({"s": Linear(0), "t": Linear(1)}, test_set, "s", ["s", "t"], attack_of("pgd", steps=3))
    assert {cell.target_id: cell for cell in last} == whole
    assert gallery.batches.size == 50
    assert gallery.batches.notes[-1] == "out of memory at 100 images per batch; went on with 50"


def test_models_are_read_when_needed_and_only_what_fits_is_kept(monkeypatch):
    test_set, models, read = linear_set(20), {name: Linear(seed) for seed, name in enumerate("abcd")}, []

    def load(name):
        read.append(name)
        return models[name]

    size = sum(value.numel() * 4 for value in models["a"].parameters())
    monkeypatch.setattr("core.jobs.transfer._MODELS_BYTES", 2 * size)
    gallery = Gallery(load, test_set, Batches(64))
    for source in "abcd":
        list(cells(gallery, source, list("abcd"), attack_of("fgsm")))
    assert read.count("a") == read.count("b") == 1
    assert read.count("c") > 1


def test_a_target_that_answers_nan_is_left_out_and_the_others_are_not():
    test_set, models = linear_set(), {"s": Linear(0), "t": Linear(1), "broken": Linear(2)}
    models["broken"].w.data[:] = float("nan")
    found = list(cells(gallery_of(models, test_set), "s", ["broken", "t"], attack_of("fgsm")))
    assert [one.trial_id for one in found if isinstance(one, TransferLeftOut)] == ["broken"]
    assert [cell.target_id for cell in found[-1]] == ["t"]


def test_stopping_is_heard_between_two_batches():
    asked = iter([False] * 3)
    gallery = gallery_of({"s": Linear(0)}, linear_set(), 10, lambda: next(asked, True))
    with pytest.raises(EvaluationStopped):
        list(cells(gallery, "s", ["s"], attack_of("pgd")))


# --- the job ---


@pytest.fixture(scope="module")
def trained(tmp_path_factory, cache):
    """Two real little models with their files, the same weights once more, and a damaged file."""
    from core.datasets import load
    from core.models.pixel_model import build_model
    from core.training import checkpoints

    folder = tmp_path_factory.mktemp("weights")
    plan = plan_of(tiny(architectures=[{"name": "mlp", "hidden": [24], "normalise": True}], seeds=1), cache)
    arrays = load(parse_source("digits", folder), folder, cache)
    images = torch.from_numpy(np.array(arrays.train_images[:400]))
    labels = torch.from_numpy(np.array(arrays.train_labels[:400]))
    models = []
    for trial in plan.trials[:2]:
        model = build_model(trial, images, 10)
        torch.manual_seed(stream_seed(0, "order"))
        optimizer = torch.optim.Adam(model.parameters(), 0.02)
        for _ in range(40):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images / 255.0), labels).backward()
            optimizer.step()
        path = folder / f"{trial.id[:8]}.pt"
        checkpoints.write(path, {"trial": trial.id, "model": model.state_dict()})
        models.append(TrainedTrial(trial.id, trial, path))
    damaged = TrainedTrial("f" * 64, plan.trials[2], folder / "damaged.pt")
    damaged.weights.write_bytes(b"PK no weights")
    other = TrainedTrial(plan.trials[3].id, plan.trials[3], folder / "other.pt")
    checkpoints.write(other.weights, {"trial": other.trial_id, "model": {"network.0.weight": torch.zeros(3)}})
    return [*models, damaged, other]


def never():
    return False


def job_of(models, cache, samples=None):
    ids = tuple(model.trial_id for model in models)
    attack, source = attack_of("pgd", 0.1, steps=5), parse_source("digits", cache)
    return TransferJob(attack, tuple(models), dict.fromkeys(ids, ids), source, 60, samples, cache, cache)


def test_no_images_are_made_of_other_data_than_the_models_know(trained, cache):
    there = dataclasses.replace(job_of(trained, cache), source=parse_source("mnist5k", cache))
    (event,) = run_job(there, never)
    assert isinstance(event, TrialFailed)
    assert event.reason == "data set mnist5k: digits was planned; submit the study again: innate run"


def test_a_job_gives_a_row_per_source_and_leaves_out_what_cannot_be_read(trained, cache):
    events = list(run_job(job_of(trained, cache), never))
    assert isinstance(events[-1], Finished)
    rows = [event for event in events if isinstance(event, TransferRow)]
    good = [model.trial_id for model in trained[:2]]
    assert [row.source_id for row in rows] == good
    assert all([cell.target_id for cell in row.cells] == good for row in rows)
    assert all(row.count == 60 for row in rows)
    assert rows[0].cells[0].fooled > rows[0].cells[1].fooled > 0
    assert rows[0].cells[1].shared == rows[1].cells[0].shared > 40
    reasons = {event.trial_id: event.reason for event in events if isinstance(event, TransferLeftOut)}
    assert reasons.keys() == {trained[2].trial_id, trained[3].trial_id}
    assert "missing or damaged" in reasons[trained[2].trial_id]
    assert "another architecture than mlp" in reasons[trained[3].trial_id]


def test_fewer_samples_are_the_first_of_the_studys(trained, cache):
    whole, some = (
        next(event for event in run_job(job_of(trained[:2], cache, samples), never) if isinstance(event, TransferRow))
        for samples in (None, 25)
    )
    assert (whole.count, some.count) == (60, 25)
    assert whole.samples != some.samples
    assert all(few.fooled <= many.fooled for few, many in zip(some.cells, whole.cells, strict=True))


def test_a_job_that_is_told_to_stop_says_so(trained, cache):
    executor = InlineExecutor(run_job)
    executor.submit("t", job_of(trained[:2], cache))
    executor.cancel("t")
    events = [event for _, event in executor.poll(0)]
    while not isinstance(events[-1], Stopped | Finished):
        events += [event for _, event in executor.poll(0)]
    assert isinstance(events[-1], Stopped)


# --- which attack ---

SHAPE = (1, 8, 8)


def study_with(*attacks, **changes):
    return parse_study(tiny(attacks=list(attacks), **changes), "test", Path("/"))


def test_the_default_attack_is_the_studys_strongest_at_its_score_radius():
    fgsm, bim = {"name": "fgsm", "eps": [0.1, 0.2]}, {"name": "bim", "eps": [0.1], "steps": 7}
    short, long = ({"name": "pgd", "eps": [0.1, 0.2, 0.3], "steps": steps, "seed": steps} for steps in (5, 9))
    found = transfer_attack(study_with(fgsm, short, long, bim), SHAPE)
    assert (found.name, found.norm, found.eps, found.params["steps"], found.seed) == ("pgd", "linf", (0.2,), 9, 9)
    assert transfer_attack(study_with(fgsm, bim), SHAPE).name == "bim"
    assert transfer_attack(study_with(fgsm), SHAPE).name == "fgsm"
    noise = study_with({"name": "noise", "eps": [0.1], "norm": "l2"})
    found = transfer_attack(noise, SHAPE)
    assert (found.name, found.norm, found.eps, found.params["steps"]) == ("pgd", "l2", (0.1,), 40)


def test_a_studys_restarts_and_losses_are_not_taken_over():
    study = study_with({"name": "pgd", "eps": [0.1], "steps": 5, "restarts": 4})
    assert transfer_attack(study, SHAPE).params["restarts"] == 1
    chosen = transfer_attack(study, SHAPE, "mi-fgsm", eps="8/255", options={"steps": 3})
    assert (chosen.eps, chosen.params["steps"]) == ((8 / 255,), 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "pdg"}, "did you mean 'pgd'"),
        ({"eps": "2"}, "out of range"),
        ({"eps": "0.1,0.2"}, "is not a number"),
        ({"eps": "9", "norm": "l2"}, "l2 radii here end at √d = 8"),
        ({"norm": "l2"}, "attacks nothing in l2"),
        ({"norm": "l3"}, "not one of linf, l2"),
        ({"options": {"eps": 0.1}}, "give it as --eps"),
        ({"options": {"step": 3}}, "has no option 'step'"),
        ({"options": {"restarts": 3}}, "restarts=1"),
    ],
)
def test_what_cannot_be_crafted_is_one_line(arguments, words):
    with pytest.raises(BadInput, match=words) as caught:
        transfer_attack(study_with({"name": "pgd", "eps": [0.1]}), SHAPE, **arguments)
    assert "\n" not in str(caught.value)


def test_attacks_that_stop_early_by_nature_are_refused_with_those_that_do_not():
    from core.attacks import ATTACKS
    from core.jobs.transfer_attack import TRANSFERABLE

    for name in set(ATTACKS) - set(TRANSFERABLE):
        with pytest.raises(BadInput, match="pgd, mi-fgsm, bim, fgsm, noise"):
            transfer_attack(study_with({"name": "pgd", "eps": [0.1]}), SHAPE, name)
