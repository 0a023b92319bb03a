"""A data set that memory does not hold: the same weights, predictions and ledgers as from memory."""

import dataclasses
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from core import datasets
from core.datasets import staging
from core.datasets.arrays import Arrays, ImageReader, cached
from core.datasets.resident import Residents
from core.datasets.staging import StagedImages, ahead, exact_normalisation, fits, images_on, whole
from core.events import CleanEvaluated, EpochFinished, EvaluationFinished, Finished, Stopped, Trained, TrialFailed
from core.jobs.orders import EvaluationSpec, Job
from core.jobs.trial import run_trial
from core.models.pixel_model import build_model
from core.study.plan import make_plan
from core.study.resolve import parse_study
from tests.conftest import tiny

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of coloured pictures of mixed sizes, two classes, no halves."""
    root, rng = tmp_path_factory.mktemp("pictures") / "set", np.random.default_rng(5)
    for label, name in enumerate(("dark", "light")):
        (root / name).mkdir(parents=True)
        for number in range(90):
            size = (int(rng.integers(9, 30)), int(rng.integers(9, 30)), 3)
            pixels = rng.integers(60 * label, 160 + 60 * label, size, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02}.png")
    return root


def no_memory(monkeypatch):
    monkeypatch.setattr(staging, "free_memory", lambda *_: 0)


def job_of(pictures, folder, cache, *, size=8, **changes):
    dataset = {"folder": str(pictures), "size": size, "split": 0.3}
    training = {"epochs": 2, "batch_size": 16, "validation": 0.2, **changes.pop("training", {})}
    document = tiny(dataset=dataset, train_samples=None, test_samples=None, training=training, **changes)
    plan = make_plan(parse_study(document, "test", pictures), cache, cache)
    evaluations = tuple(EvaluationSpec(attack, None) for attack in plan.study.attacks)
    return Job(plan.trials[0], plan.study.source, evaluations, (None,), 1, folder, (), cache, cache)


def events_of(job, stop=lambda: False):
    found = list(run_trial(job, stop))
    assert not [event for event in found if isinstance(event, TrialFailed)], found
    return found


def one(events, kind):
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"training": {"augment": True}},
        {"defenses": [{"name": "free-at", "eps": 0.1, "replays": 2}]},
        {"defenses": [{"name": "pgd-at", "eps": 0.1, "steps": 2}]},
    ],
    ids=["plain", "augmented", "free-at", "pgd-at"],
)
def test_staged_or_from_memory_the_weights_and_ledgers_are_the_same(changes, pictures, tmp_path, monkeypatch):
    job = job_of(pictures, tmp_path / "whole", tmp_path / "cache", **changes)
    from_memory = events_of(job)
    no_memory(monkeypatch)
    used = []
    real = StagedImages.ahead
    monkeypatch.setattr(StagedImages, "ahead", lambda *given: used.append(1) or real(*given))
    staged = events_of(dataclasses.replace(job, folder=tmp_path / "staged"))
    assert len(used) == 2  # an epoch each
    (a,), (b,) = one(from_memory, Trained), one(staged, Trained)
    assert a.final_digest == b.final_digest != a.initial_digest
    assert [event.record.validation_accuracy for event in one(from_memory, EpochFinished)] == [
        event.record.validation_accuracy for event in one(staged, EpochFinished)
    ]
    (a,), (b,) = one(from_memory, CleanEvaluated), one(staged, CleanEvaluated)
    assert np.array_equal(a.predictions, b.predictions)
    assert a.samples == b.samples
    assert len(one(staged, EvaluationFinished)) == 2
    for a, b in zip(one(from_memory, EvaluationFinished), one(staged, EvaluationFinished), strict=True):
        assert all(np.array_equal(x.survived, y.survived) for x, y in zip(a.ledgers, b.ledgers, strict=True))
    assert one(staged, Finished)


def test_a_plain_folder_too_gives_the_same_weights(pictures, tmp_path, monkeypatch):
    """Without a size mean and deviation are torch's sums in fp32, staged or not."""
    place = tmp_path / "plain"
    for half in ("train", "test"):
        for label in ("a", "b"):
            (place / half / label).mkdir(parents=True)
            for number in range(30):
                pixels = np.random.default_rng(number).integers(0, 256, (8, 8), np.uint8)
                Image.fromarray(pixels).save(place / half / label / f"{number}.png")
    document = tiny(dataset=f"folder:{place}", train_samples=40, test_samples=None)
    plan = make_plan(parse_study(document, "test", place), tmp_path, tmp_path / "cache")
    job = Job(plan.trials[0], plan.study.source, (), (None,), 1, tmp_path / "1", (), tmp_path, tmp_path / "cache")
    (a,) = one(events_of(job), Trained)
    no_memory(monkeypatch)
    (b,) = one(events_of(dataclasses.replace(job, folder=tmp_path / "2")), Trained)
    assert a.final_digest == b.final_digest


def test_a_staged_training_that_was_stopped_goes_on_to_the_same_weights(pictures, tmp_path, monkeypatch):
    no_memory(monkeypatch)
    job = job_of(pictures, tmp_path / "whole", tmp_path / "cache")
    (undisturbed,) = one(events_of(job), Trained)
    asked = []

    def stop():
        asked.append(1)
        return len(asked) == 9  # in the middle of an epoch

    threads = threading.active_count()
    first = dataclasses.replace(job, folder=tmp_path / "first")
    assert one(events_of(first, stop), Stopped)
    assert threading.active_count() == threads
    second = dataclasses.replace(job, folder=tmp_path / "second", earlier=(tmp_path / "first",))
    (resumed,) = one(events_of(second), Trained)
    assert resumed.final_digest == undisturbed.final_digest


def test_what_fits_is_held_whole_and_what_does_not_is_staged(monkeypatch):
    images, rows, cpu = np.zeros((10, 1, 10, 10), np.uint8), np.arange(10), torch.device("cpu")
    monkeypatch.setattr(staging, "free_memory", lambda *_: 4000)
    assert fits(1000, cpu)
    assert not fits(1001, cpu)
    assert isinstance(images_on("cpu", images, rows), torch.Tensor)
    monkeypatch.setattr(staging, "free_memory", lambda *_: 3999)
    assert isinstance(images_on("cpu", images, rows), StagedImages)


def test_the_free_memory_of_this_machine_is_known():
    assert 2**20 < staging.free_memory(torch.device("cpu")) < 2**50


def test_a_container_s_limit_counts_without_what_is_only_cached(tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "_GROUP", tmp_path)
    cpu = torch.device("cpu")
    for name, text in (("max", "5000000"), ("current", "4000000"), ("stat", "anon 1\ninactive_file 700000\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert staging.free_memory(cpu) == 1_700_000
    (tmp_path / "memory.current").write_text("9000000")
    assert staging.free_memory(cpu) == 0
    (tmp_path / "memory.max").write_text("max")
    assert staging.free_memory(cpu) > 2**20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_too_what_is_staged_is_what_is_held_whole(mapped):
    staged = StagedImages(mapped[0], np.arange(50), torch.device("cuda"))
    tensor = torch.from_numpy(mapped[1]).to("cuda")
    order = torch.randperm(50, device="cuda")
    pieces = [(first, first + 10) for first in range(0, 50, 10)] * 20
    with ahead(staged, order, pieces) as batches, ahead(tensor, order, pieces) as there_anyway:
        for batch, (first, last), none in zip(batches, pieces, there_anyway, strict=True):
            assert torch.equal(batch, tensor[order[first:last]])
            assert none is None
    assert torch.equal(staged[order], tensor[order])


@pytest.fixture
def mapped(tmp_path):
    """Images in a mapped file, and the same in memory."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 3, 5, 4), np.uint8)
    labels = np.zeros(50, np.int64)
    cached(tmp_path, "set", lambda: Arrays(images, labels, images, labels))
    return cached(tmp_path, "set", lambda: pytest.fail("it is there")).train_images, images


def test_rows_are_read_through_the_file(mapped):
    from_file, images = mapped
    assert isinstance(from_file, np.memmap)
    rows = np.array([7, 3, 3, 49, 0])
    room = np.empty((6, 3, 5, 4), np.uint8)
    for source in (from_file, images):
        ImageReader(source).read(rows, room)
        assert np.array_equal(room[:5], images[rows])
        chunks = [chunk.copy() for chunk in ImageReader(source).chunks(np.arange(50), 16)]
        assert [len(chunk) for chunk in chunks] == [16, 16, 16, 2]
        assert np.array_equal(np.concatenate(chunks), images)
    assert torch.equal(whole(from_file, rows), torch.from_numpy(images[rows]))
    for source in (from_file, images):
        for row in (-1, 50):
            with pytest.raises(IndexError, match="there are 50 images"):
                ImageReader(source).read(np.array([3, row]), room)
    assert torch.equal(whole(from_file[5:], rows[:3]), torch.from_numpy(images[5:][rows[:3]])), "a part of a file"


def test_staged_images_answer_as_a_tensor_does(mapped):
    from_file, images = mapped
    rows = np.arange(0, 50, 2)
    staged, tensor = StagedImages(from_file, rows, torch.device("cpu")), torch.from_numpy(images[rows])
    assert (staged.shape, staged.dtype, staged.device, len(staged)) == (tensor.shape, tensor.dtype, tensor.device, 25)
    which = torch.tensor([24, 0, 3])
    assert torch.equal(staged[which], tensor[which])
    assert torch.equal(staged[5:9], tensor[5:9])
    assert staged[:0].shape == tensor[:0].shape
    order, pieces = torch.randperm(25), [(0, 10), (10, 20), (20, 25), (0, 10)]
    with ahead(staged, order, pieces) as batches, ahead(tensor, order, pieces) as there_anyway:
        for batch, (first, last), none in zip(batches, pieces, there_anyway, strict=True):
            assert torch.equal(batch, tensor[order[first:last]])
            assert none is None


def test_a_fault_in_the_reading_thread_is_raised_where_the_batch_is_used(mapped):
    staged = StagedImages(mapped[0], np.arange(50), torch.device("cpu"))
    threads = threading.active_count()
    with staged.ahead([np.array([1]), np.array([50])]) as batches:
        assert len(next(batches)) == 1
        with pytest.raises(IndexError):
            next(batches)
    assert threading.active_count() == threads


def test_a_cache_cut_short_is_an_error_not_an_endless_wait(mapped):
    reader = ImageReader(mapped[0])
    path = mapped[0].filename
    with open(path, "r+b") as file:  # noqa: PTH123
        file.truncate(500)
    with pytest.raises(OSError, match="cut short"):
        reader.read(np.array([40]), np.empty((1, 3, 5, 4), np.uint8))


def test_mean_and_deviation_are_exact_and_the_same_from_sums_and_pixels(pictures, tmp_path, monkeypatch):
    source = datasets.parse_source({"folder": str(pictures), "size": 8, "split": 0.3}, tmp_path)
    arrays = datasets.load(source, tmp_path, tmp_path)
    rows = np.arange(3, len(arrays.train_labels), 2)
    assert exact_normalisation(arrays, rows, resized=False) is None
    mean, deviation = exact_normalisation(arrays, rows, resized=True)
    pixels = arrays.train_images[rows].astype(np.float64) / 255
    assert mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), rel=1e-12)
    assert deviation == pytest.approx(pixels.std(axis=(0, 2, 3), ddof=1), rel=1e-12)
    monkeypatch.setattr(staging, "_SUMMED_IN_FP32", 0)
    without = dataclasses.replace(arrays, train_moments=None)
    assert exact_normalisation(without, rows, resized=False) == (mean, deviation)
    flat = dataclasses.replace(without, train_images=np.full((9, 1, 2, 2), 51, np.uint8))
    assert exact_normalisation(flat, np.arange(9), resized=True) == ([pytest.approx(0.2)], [1e-3])


def test_a_given_normalisation_stands_for_the_images(pictures, tmp_path):
    trial = job_of(pictures, tmp_path, tmp_path / "cache").trial
    images = torch.empty((0, 3, 8, 8), dtype=torch.uint8)
    model = build_model(trial, images, 2, ([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]))
    assert model.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    plain = dataclasses.replace(trial.architecture, options={**trial.architecture.options, "normalise": False})
    bare = build_model(dataclasses.replace(trial, architecture=plain), images, 2, ([0.1] * 3, [0.4] * 3))
    assert bare.mean.flatten().tolist() == [0.0] * 3


def test_images_are_brought_to_a_device_once_for_all_who_ask_and_the_oldest_go_first():
    kept, brought = Residents(limit=250), []
    sets = [np.zeros((40, 1, 2, 2), np.uint8) for _ in range(3)]

    def ask(number, rows=None):
        rows = np.arange(25) if rows is None else rows
        return kept.get(
            sets[number], rows, lambda: brought.append(number) or torch.zeros(len(rows), 1, 2, 2, dtype=torch.uint8)
        )

    assert ask(0) is ask(0)
    assert ask(1) is not ask(0)
    assert brought == [0, 1]
    assert ask(0, np.arange(1, 26)) is not ask(
        0
    )  # other rows of the same set; the three take 300 bytes, 250 are allowed
    assert brought == [0, 1, 0]
    ask(1)
    assert brought == [0, 1, 0, 1], "the one that was asked for longest ago had to go"


def test_lanes_that_ask_at_once_wait_for_the_same_images():
    kept, images, brought = Residents(limit=10**6), np.zeros((4, 1, 2, 2), np.uint8), []

    def bring():
        brought.append(None)
        time.sleep(0.05)
        return torch.zeros(4, 1, 2, 2, dtype=torch.uint8)

    found = []
    threads = [threading.Thread(target=lambda: found.append(kept.get(images, np.arange(4), bring))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(brought) == 1
    assert all(one is found[0] for one in found)
