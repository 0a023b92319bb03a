"""Training in a lane that records, on the CPU: a tape stands for CUDA's graphs (`tests.core.tape`)."""

import dataclasses
import itertools
import threading

import numpy as np
import pytest
import torch

from core.events import EpochFinished, Finished, Stopped, Trained, TrialFailed
from core.jobs.trial import run_trial
from core.lanes.lane import Lane
from core.training import checkpoints
from core.training.aside import Aside, on_the_host
from core.training.defenses import DEFENSES
from core.training.optimizers import OPTIMIZERS
from tests.conftest import plan_of, thorough, tiny
from tests.core.tape import Tape
from tests.core.test_training import job, one

torch.set_num_threads(1)
CPU = torch.device("cpu")

NET = {"name": "kumar-cnn", "width": 0.1, "batch_norm": True}  # with dropout and running statistics
BASE = {"architectures": [NET], "activations": ["tanh"], "seeds": [5], "optimizers": ["adam"], "train_samples": 150}
TRAINING = {"epochs": 3, "batch_size": 64, "schedule": "cosine", "label_smoothing": 0.1}
DEFENDED = {
    "none": {},
    "fgsm-at": {"eps": 0.1, "clean_share": 0.25},
    "fgsm-rs": {"eps": 0.5, "norm": "l2"},
    "n-fgsm": {"eps": 0.1},
    "pgd-at": {"eps": 0.1, "steps": 2},
    "trades": {"eps": 0.1, "steps": 2},
    "free-at": {"eps": 0.1, "replays": 3},
}


def refuse(work):
    raise RuntimeError("operation not permitted when stream is capturing: item\nand more")


def events_in(lane, work, stop=lambda: False):
    with lane.entered():
        return list(run_trial(work, stop))


def weights_of(lane, work):
    return one(events_in(lane, work), Trained).final_digest


def plan_for(cache, **changes):
    return plan_of(tiny(**{**BASE, "training": TRAINING, **changes}), cache)


@pytest.fixture(scope="module")
def colours(tmp_path_factory):
    """A small set of colour images, which can be augmented."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("colours") / "colours.npz"
    images, labels = rng.integers(0, 256, (220, 8, 8, 3), np.uint8), np.arange(220) % 4
    np.savez(path, x_train=images[:160], y_train=labels[:160], x_test=images[160:], y_test=labels[160:])
    return f"npz:{path}"


def test_every_defense_is_tried_here():
    assert set(DEFENDED) == set(DEFENSES)


@pytest.mark.parametrize(
    ("defense", "augment"),
    thorough(
        [(defense, augment) for augment in (False, True) for defense in DEFENDED],
        usually=[(defense, number % 2 == 0 or defense == "free-at") for number, defense in enumerate(DEFENDED)],
    ),
)
def test_recorded_steps_give_the_weights_of_eager_ones(defense, augment, tmp_path, cache, colours):
    plan = plan_for(
        cache,
        dataset=colours,
        defenses=[{"name": defense, **DEFENDED[defense]}],
        training={**TRAINING, "augment": augment, "validation": 0.1},
    )
    (trial,) = plan.trials
    tape = Tape()
    recorded = one(events_in(Lane(CPU, recorder=tape), job(trial, plan, tmp_path / "1", cache, attacks=False)), Trained)
    eager = one(events_in(Lane(CPU, recorder=refuse), job(trial, plan, tmp_path / "2", cache, attacks=False)), Trained)
    assert recorded.final_digest == eager.final_digest
    assert [dataclasses.replace(r, seconds=0) for r in recorded.history] == [
        dataclasses.replace(r, seconds=0) for r in eager.history
    ]
    assert recorded.notes == ()
    assert eager.notes == ("trained without CUDA graphs: operation not permitted when stream is capturing: item",)
    pieces = 2 if augment and defense == "free-at" else 1
    sizes = 1 if defense == "free-at" else 2  # an epoch of free-at never comes to the last, smaller batch
    assert tape.captures == sizes * pieces
    assert tape.replays == (3 * 3 - sizes) * pieces


@pytest.mark.parametrize("profile", ["torch", "keras"])
@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_optimizer_takes_the_same_steps_recorded(optimizer, profile, tmp_path, cache):
    plan = plan_for(
        cache,
        architectures=[{"name": "mlp", "hidden": [12]}],
        optimizers=[optimizer],
        training={**TRAINING, "hyperparameters": profile},
    )
    (trial,) = plan.trials
    found = [
        weights_of(Lane(CPU, recorder=recorder), job(trial, plan, tmp_path / str(number), cache, attacks=False))
        for number, recorder in enumerate((Tape(), refuse))
    ]
    assert found[0] == found[1]


MOMENTUM = {"name": "sgd", "momentum": 0.9}


@pytest.mark.parametrize(
    ("defense", "optimizer"),
    thorough(
        [
            (defense, optimizer)
            for optimizer in ("adam", MOMENTUM, "adagrad")
            for defense in ("none", "pgd-at", "free-at")
        ],
        usually=[("none", MOMENTUM), ("pgd-at", "adam"), ("free-at", "adagrad")],
    ),
)
def test_stopped_anywhere_and_resumed_the_weights_are_the_same(defense, optimizer, tmp_path, cache):
    """The first steps after a resumption are eager ones, which an undisturbed training took recorded."""
    plan = plan_for(cache, defenses=[{"name": defense, **DEFENDED[defense]}], optimizers=[optimizer])
    (trial,) = plan.trials
    undisturbed = weights_of(Lane(CPU, recorder=Tape()), job(trial, plan, tmp_path / "whole", cache, attacks=False))
    folders, patience = [], itertools.cycle([2, 5, 1, 7])
    for attempt in range(40):
        left, counter, folder = next(patience), itertools.count(), tmp_path / str(attempt)
        work = job(trial, plan, folder, cache, reversed(folders), attacks=False)
        events = events_in(Lane(CPU, recorder=Tape()), work, lambda c=counter, n=left: next(c) >= n)
        folders.append(folder)
        if isinstance(events[-1], Finished):
            break
        assert isinstance(events[-1], Stopped)
    assert attempt > 1
    assert one(events, Trained).final_digest == undisturbed


def test_images_that_do_not_fit_on_the_device_come_batch_by_batch_to_the_same_weights(tmp_path, cache, monkeypatch):
    plan = plan_for(cache)
    (trial,) = plan.trials
    whole = weights_of(Lane(CPU, recorder=Tape()), job(trial, plan, tmp_path / "1", cache, attacks=False))
    monkeypatch.setattr("core.datasets.staging.free_memory", lambda *_: 0)
    tape = Tape()
    assert weights_of(Lane(CPU, recorder=tape), job(trial, plan, tmp_path / "2", cache, attacks=False)) == whole
    assert tape.captures == 2


def test_a_training_goes_on_between_a_lane_and_a_process_of_its_own(tmp_path, cache):
    """As a home does that moves from a machine with a GPU to one without, and back. Rounding differs; nothing is lost."""
    plan = plan_for(cache, optimizers=[{"name": "sgd", "momentum": 0.9}])
    (trial,) = plan.trials
    counter = itertools.count()
    begun = events_in(
        Lane(CPU, recorder=Tape()),
        job(trial, plan, tmp_path / "1", cache, attacks=False),
        lambda: next(counter) >= 4,
    )
    assert isinstance(begun[-1], Stopped)
    alone = itertools.count()
    on = list(
        run_trial(job(trial, plan, tmp_path / "2", cache, [tmp_path / "1"], attacks=False), lambda: next(alone) >= 2)
    )
    assert isinstance(on[-1], Stopped)
    back = job(trial, plan, tmp_path / "3", cache, [tmp_path / "2"], attacks=False)
    events = events_in(Lane(CPU, recorder=Tape()), back)
    assert isinstance(events[-1], Finished)
    assert [record.epoch for record in one(events, Trained).history] == [1, 2, 3]


def test_lanes_beside_each_other_take_the_steps_that_they_take_alone(tmp_path, cache):
    nets = [[{"name": "mlp", "hidden": [width]}] for width in (8, 12, 16, 20)]
    plans = [plan_for(cache, architectures=net) for net in nets]

    def weights(number, folder):
        work = job(plans[number].trials[0], plans[number], tmp_path / f"{folder}{number}", cache, attacks=False)
        return weights_of(Lane(CPU, recorder=Tape()), work)

    alone = [weights(number, "alone") for number in range(4)]
    together = [None] * 4

    def lane(number):
        together[number] = weights(number, "together")

    threads = [threading.Thread(target=lane, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert together == alone


def test_a_loss_that_is_not_a_number_is_found_at_the_end_of_its_epoch(tmp_path, cache):
    plan = plan_for(cache, optimizers=[{"name": "sgd", "lr": 1e30}], training={"epochs": 2, "batch_size": 64})
    events = events_in(Lane(CPU, recorder=Tape()), job(plan.trials[0], plan, tmp_path / "1", cache, attacks=False))
    assert isinstance(events[-1], TrialFailed)
    assert "NaN or infinite in epoch 1" in events[-1].reason


def test_checkpoints_of_a_recording_lane_are_at_most_one_in_ten_seconds_and_the_last_is_there(
    tmp_path, cache, monkeypatch
):
    written = []
    real = checkpoints.write

    def write(path, content):
        written.append((path.name, content.get("epoch"), threading.current_thread() is threading.main_thread()))
        real(path, content)

    monkeypatch.setattr(checkpoints, "write", write)
    plan = plan_for(cache)
    events = events_in(Lane(CPU, recorder=Tape()), job(plan.trials[0], plan, tmp_path / "1", cache, attacks=False))
    assert sum(isinstance(event, EpochFinished) for event in events) == 3
    assert [(name, epoch) for name, epoch, _ in written] == [("last.pt", 4), ("weights.pt", None)]
    written.clear()
    monkeypatch.setattr("core.training.loop._RECORDED_CHECKPOINT_SECONDS", 1e-6)
    monkeypatch.setattr("core.training.loop._PROGRESS_SECONDS", 1e9)  # nothing in the middle of an epoch
    events_in(Lane(CPU, recorder=Tape()), job(plan.trials[0], plan, tmp_path / "2", cache, attacks=False))
    assert written == [("last.pt", 2, False), ("last.pt", 3, False), ("last.pt", 4, True), ("weights.pt", None, True)]


def test_a_lane_that_records_leaves_checkpoints_in_the_middle_of_an_epoch(tmp_path, cache, monkeypatch):
    """An epoch may take longer than what a killed process is to cost."""
    monkeypatch.setattr("core.training.loop._RECORDED_CHECKPOINT_SECONDS", 1e-6)
    monkeypatch.setattr("core.training.loop._PROGRESS_SECONDS", 0.0)
    plan = plan_for(cache, defenses=[{"name": "pgd-at", **DEFENDED["pgd-at"]}])
    (trial,) = plan.trials
    undisturbed = weights_of(Lane(CPU, recorder=Tape()), job(trial, plan, tmp_path / "whole", cache, attacks=False))
    counter = itertools.count()

    def killed():
        if next(counter) == 5:  # within the second epoch
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        events_in(Lane(CPU, recorder=Tape()), job(trial, plan, tmp_path / "1", cache, attacks=False), killed)
    for thread in threading.enumerate():
        if thread.name == "checkpoint":
            thread.join(10)
    left = checkpoints.read(tmp_path / "1" / checkpoints.LAST, trial.id)
    assert (left["epoch"], left["batch"]) == (2, 2)
    again = job(trial, plan, tmp_path / "2", cache, [tmp_path / "1"], attacks=False)
    assert weights_of(Lane(CPU, recorder=Tape()), again) == undisturbed


def test_what_is_written_aside_is_the_state_at_that_moment(tmp_path):
    aside = Aside(tmp_path / "last.pt", 0.5)
    state = {"trial": "t", "model": {"w": torch.zeros(3)}, "lists": [torch.ones(2), (1, 2)]}
    copy = on_the_host(state)
    state["model"]["w"].fill_(7.0)
    assert copy["model"]["w"].tolist() == [0.0, 0.0, 0.0]
    assert copy["lists"][1] == (1, 2)
    aside.write(state)
    state["model"]["w"].fill_(9.0)
    aside.write_now({"trial": "t", "model": {"w": torch.full((1,), 3.0)}})
    assert checkpoints.read(tmp_path / "last.pt", "t")["model"]["w"].tolist() == [3.0]


def test_a_full_disk_aside_is_told_to_the_training(tmp_path):
    aside = Aside(tmp_path / "gone" / "last.pt", 0.001)
    aside.write({"trial": "t"})
    with pytest.raises(OSError, match="last"):
        aside.write_now({"trial": "t"})
