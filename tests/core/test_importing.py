"""Weights that were trained elsewhere: what fits, what does not, and in which words. Everything runs in this process."""

import dataclasses
import pickle
import re
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from core.datasets import load, npz, parse_source
from core.errors import BadInput
from core.events import CleanEvaluated, Finished, Imported, Started, Stopped, TrialFailed
from core.jobs.importing.job import run_import
from core.jobs.orders import ImportJob, Job
from core.jobs.trial import run_trial
from core.models.activations import ACTIVATIONS
from core.models.architectures import ARCHITECTURES
from core.models.pixel_model import build_model
from core.records.choice import Choice
from core.records.trial import TrialSpec
from core.registry import resolve_options
from core.training import checkpoints
from tests.conftest import plan_of, tiny

torch.set_num_threads(1)


def mlp(activation="relu", **options):
    given = {"hidden": [24], **options}
    return TrialSpec(
        "digits",
        None,
        Choice("mlp", resolve_options(ARCHITECTURES["mlp"], given, "test")),
        Choice(activation, resolve_options(ACTIVATIONS[activation], {}, "test")),
        None,
        None,
        None,
        0,
    )


def built(trial, shape=(1, 8, 8), classes=10):
    torch.manual_seed(3)
    return build_model(trial, torch.randint(0, 256, (20, *shape), dtype=torch.uint8), classes)


@pytest.fixture
def attempt(tmp_path, cache):
    """`attempt(content, trial)`: the events of importing what torch.save makes of `content`, or a file of these bytes."""

    def run(content, trial=None, dataset="digits"):
        path = tmp_path / "net.pt"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        source = parse_source(dataset, tmp_path)
        identity = "digits" if source.path is None else f"npz:{npz.content_digest(source.path)}"
        trial = dataclasses.replace(trial or mlp(), dataset=identity)
        job = ImportJob(path, trial, source, cache / "no-data", cache, tmp_path / "incoming" / "1")
        return list(run_import(job, lambda: False))

    return run


@pytest.fixture
def refused(attempt, tmp_path):
    """The one line with which an import is refused; nothing has been written."""

    def run(content, trial=None, dataset="digits"):
        events = attempt(content, trial, dataset)
        assert [type(event) for event in events] == [TrialFailed]
        assert events[0].traceback == ""
        assert "\n" not in events[0].reason
        assert not (tmp_path / "incoming").exists()
        return events[0].reason.removeprefix(f"{tmp_path / 'net.pt'}: ")

    return run


# --- what is taken ---


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": {f"module.{key}": value for key, value in state.items()}, "loss": torch.ones(1)},
        lambda state: {f"_orig_mod.network.{key}": value for key, value in state.items()},
        lambda state: {key: value.double() for key, value in state.items()},
        lambda state: {f"layers.{chr(97 + number)}": value for number, value in enumerate(state.values())},
    ],
)
def test_a_plain_state_dict_is_taken_however_it_is_wrapped(wrapped, attempt, cache):
    network = built(mlp()).network
    imported, _ = attempt(wrapped(network.state_dict()))
    content = checkpoints.read(imported.weights, imported.trial.id)
    arrays = load(parse_source("digits", cache), cache, cache)
    pixels = torch.from_numpy(arrays.train_images.copy()).float() / 255
    for key, value in network.state_dict().items():
        assert torch.equal(content["model"][f"network.{key}"], value)
    assert content["model"]["mean"].item() == pytest.approx(pixels.mean().item())
    assert content["model"]["deviation"].item() == pytest.approx(pixels.std().item())
    assert content["final_digest"] == imported.trial.imported == checkpoints.weights_digest(content["model"])
    assert content["history"] == []


def test_our_own_file_brings_its_normalisation(attempt):
    model = built(mlp())
    imported, last = attempt({"trial": "x", "model": model.state_dict(), "final_digest": "y", "history": []})
    assert isinstance(last, Finished)
    assert imported.trial.imported == checkpoints.weights_digest(model.state_dict())


def test_names_that_are_not_shared_are_told_of(attempt):
    state = {f"layer{key}": value for key, value in built(mlp()).network.state_dict().items()}
    imported, _ = attempt(state)
    assert imported.notes == ("names differ, so tensors were placed by their shapes (layer1.weight as 1.weight, …)",)


def test_batch_norm_counters_may_be_missing(attempt):
    trial = mlp(batch_norm=True)
    state = {key: value for key, value in built(trial).network.state_dict().items() if "num_batches" not in key}
    assert isinstance(attempt(state, trial)[0], Imported)


def test_the_same_weights_are_the_same_trial_and_other_weights_another(attempt, tmp_path):
    state = built(mlp()).network.state_dict()
    first = attempt(state)[0].trial
    (tmp_path / "incoming").rename(tmp_path / "before")
    again = attempt({"weights": {f"module.{key}": value for key, value in state.items()}})[0].trial
    (tmp_path / "incoming").rename(tmp_path / "before2")
    other = attempt({key: value + 1e-3 for key, value in state.items()})[0].trial
    assert first.id == again.id != other.id
    assert TrialSpec.from_json(first.as_json()) == first
    assert first.variant_id != other.variant_id


def test_a_stop_is_heard_before_anything_is_written(tmp_path, cache):
    torch.save(built(mlp()).network.state_dict(), tmp_path / "net.pt")
    source = parse_source("digits", tmp_path)
    job = ImportJob(tmp_path / "net.pt", mlp(), source, cache / "no-data", cache, tmp_path / "incoming")
    assert [type(event) for event in run_import(job, lambda: True)] == [Stopped]
    assert not (tmp_path / "incoming").exists()


# --- what is not ---


class Surprise:
    def __reduce__(self):
        return (eval, ("1/0",))


def saved(content, tmp_path, **options):
    torch.save(content, tmp_path / "other.pt", **options)
    return (tmp_path / "other.pt").read_bytes()


def test_what_is_no_torch_file(refused, tmp_path):
    assert refused(b"name = 3").startswith("is not a torch file; save it with torch.save(model.state_dict(), FILE)")
    assert refused(b"").startswith("is not a torch file")
    np.savez(tmp_path / "arrays.npz", a=np.ones(3))
    assert refused((tmp_path / "arrays.npz").read_bytes()).startswith("is an archive, but not a torch file")
    assert refused(b"\x80\x04garbage").startswith("is damaged, or")


def test_a_truncated_file(refused, tmp_path):
    state = built(mlp()).network.state_dict()
    whole = saved(state, tmp_path)
    assert refused(whole[: len(whole) // 2]) == "is damaged, or cut short; copy it again"
    legacy = saved(state, tmp_path, _use_new_zipfile_serialization=False)
    assert refused(legacy[: len(legacy) - 100]).startswith("is damaged, or")


def test_pickled_code_is_refused_and_never_run(refused, tmp_path):
    assert refused({"state_dict": Surprise()}).startswith("holds pickled code (eval), which is refused; save it with")
    assert refused(pickle.dumps(Surprise(), protocol=2)).startswith("holds pickled code")
    assert refused(nn.Linear(2, 2)).startswith("holds pickled code (torch.nn.modules.linear.Linear)")


def test_a_torchscript_program(refused, tmp_path):
    class Twice(nn.Module):
        def forward(self, x):
            return 2 * x

    with warnings.catch_warnings(action="ignore"):  # torch would rather export
        torch.jit.trace(Twice(), torch.ones(1)).save(str(tmp_path / "script.pt"))
    assert refused((tmp_path / "script.pt").read_bytes()).startswith("is a TorchScript program, not a state_dict")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (torch.ones(3), "holds a Tensor, not a state_dict"),
        ([torch.ones(3)], "holds a list, not a state_dict"),
        ({}, "holds no state_dict (its keys: nothing)"),
        ({"epoch": 3, "loss": 0.1}, "holds no state_dict (its keys: epoch, loss)"),
        ({"a": torch.ones(3).to_sparse()}, "a is a sparse tensor; import the weights as ordinary floats"),
    ],
)
def test_what_is_no_state_dict(content, words, refused):
    assert refused(content).startswith(words)


def test_another_architecture_is_named_and_the_one_that_fits(refused):
    state = built(mlp(hidden=[24, 12])).network.state_dict()
    assert refused(state) == (
        "does not fit mlp: 4.weight has the shape 12×24, 10×24 expected (and 3 more such); "
        "it fits --architecture mlp --set 'hidden=[24,12]'"
    )
    assert refused(built(mlp(batch_norm=True)).network.state_dict()).endswith(
        "it fits --architecture mlp --set batch_norm=true"
    )
    kumar = resolve_options(ARCHITECTURES["kumar-cnn"], {"width": 0.25}, "test")
    narrow = built(dataclasses.replace(mlp(), architecture=Choice("kumar-cnn", kumar)))
    assert refused(narrow.network.state_dict()).endswith("it fits --architecture kumar-cnn --set width=0.25")
    assert re.fullmatch(r"does not fit mlp: 1.weight is missing \(and \d more such\)", refused({"w": torch.ones(3)}))


def test_other_classes_channels_and_sizes_are_named(refused):
    assert refused(built(mlp(), classes=7).network.state_dict()) == "tells 7 classes apart, but digits has 10"
    assert refused(built(mlp(), (3, 8, 8)).network.state_dict()) == (
        "takes images of 3 channels, but those of digits have 1"
    )
    assert refused(built(mlp(), (1, 28, 28)).network.state_dict()) == (
        "takes images of 28×28 pixels, but those of digits have 8×8"
    )


def test_weights_that_are_not_finite(refused):
    state = built(mlp()).network.state_dict()
    state["1.bias"][0] = float("nan")
    assert refused(state) == "1.bias holds NaN or infinite weights; the training had diverged"
    state["4.weight"].fill_(float("inf"))
    assert "1.bias and 1 more hold NaN" in refused(state)


def test_logits_that_overflow(refused):
    state = {key: value * 1e30 for key, value in built(mlp()).network.state_dict().items()}
    assert refused(state) == "the model answers test images of digits with NaN or infinite logits"


def test_weights_of_another_kind_of_number(refused):
    state = {key: value.to(torch.int32) for key, value in built(mlp()).network.state_dict().items()}
    assert refused(state) == "1.weight holds int32, float32 expected"


def test_normalisation_that_contradicts_the_option(refused):
    assert refused(built(mlp()).state_dict(), mlp(normalise=False)) == (
        "normalises its input, but mlp as asked for does not; add --set normalise=true"
    )
    assert refused(built(mlp(normalise=False)).state_dict()).endswith("add --set normalise=false")


def test_images_outside_the_unit_interval(refused, tmp_path):
    x, y = np.random.default_rng(0).random((20, 8, 8)), np.arange(20) % 10
    np.savez(tmp_path / "own.npz", x_train=x * 2, y_train=y, x_test=x, y_test=y)
    words = refused(built(mlp()).network.state_dict(), dataset="npz:own.npz")
    assert re.search(r"x_train: floats must lie in \[0, 1\], found .* to 1\.9.*; give pixels in \[0, 1\]", words)


# --- afterwards, when it is evaluated ---


@pytest.fixture
def evaluated(attempt, tmp_path, cache):
    """`evaluated(trial, folder)`: the events of the clean outcome of a trial whose weights lie in `folder`."""

    def run(trial, folder):
        source = parse_source("digits", tmp_path)
        return list(
            run_trial(
                Job(trial, source, (), (60,), 2, tmp_path / "2", (folder,), cache / "no-data", cache), lambda: False
            )
        )

    return run


def test_an_imported_trial_is_evaluated_without_training(attempt, evaluated):
    imported, _ = attempt(built(mlp()).network.state_dict())
    events = evaluated(imported.trial, imported.weights.parent)
    assert [type(event).__name__ for event in events] == ["Started", "Trained", "CleanEvaluated", "Finished"]
    assert events[0].initial_digest is None
    assert events[1].final_digest == imported.trial.imported
    assert events[1].history == ()
    assert isinstance(events[2], CleanEvaluated)


@pytest.mark.parametrize("damage", ["gone", "truncated", "another", "changed"])
def test_an_imported_trial_whose_weights_are_of_no_use_fails_in_one_line(damage, attempt, evaluated):
    imported, _ = attempt(built(mlp()).network.state_dict())
    path = imported.weights
    if damage == "gone":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    else:
        content = checkpoints.read(path, imported.trial.id)
        model = built(mlp(hidden=[12])) if damage == "another" else built(mlp())
        content["model"] = model.state_dict()
        checkpoints.write(path, content)
    (failed,) = evaluated(imported.trial, path.parent)
    assert failed == TrialFailed("the imported weights are gone or damaged; import them again: innate import")


@pytest.mark.parametrize("damage", ["truncated", "another"])
def test_a_trial_of_ours_with_such_weights_is_trained_again_and_says_so(damage, evaluated, tmp_path, cache):
    trial = plan_of(tiny(training={"epochs": 1, "batch_size": 64}), cache).trials[0]
    folder = tmp_path / "1"
    folder.mkdir()
    path = folder / checkpoints.WEIGHTS
    state = built(mlp(hidden=[12])).state_dict()
    checkpoints.write(
        path, {"trial": trial.id, "model": state, "initial_digest": "", "final_digest": "", "history": []}
    )
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    events = evaluated(trial, folder)
    assert isinstance(events[0], Started)
    assert events[0].notes == ("the weights of attempt 1 are damaged or another model's, and were left aside",)
    assert "EpochFinished" in [type(event).__name__ for event in events]
    assert isinstance(events[-1], Finished)


def test_a_trial_that_is_trained_here_keeps_its_identity(cache):
    trial = plan_of(tiny(), cache).trials[0]
    assert "imported" not in trial.as_json()
    assert TrialSpec.from_json(trial.as_json()) == trial


def test_the_reader_never_follows_a_folder(tmp_path):
    from core.jobs.importing.foreign_weights import read

    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        read(tmp_path)
