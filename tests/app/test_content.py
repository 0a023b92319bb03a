"""Content decides identity: whatever lies under a set's name, results of one content are never shown for another, and no
weights are attacked on images that they were not trained for."""

import dataclasses
import json
import struct

import numpy as np
import pytest

from app.report.trial_page import trial_page
from app.worker import changes, owner
from app.worker.loop import Stop, Worker
from core import datasets
from core.datasets import DATASETS
from core.datasets.portrait import content_digest
from core.errors import BadInput
from core.executors.inline import InlineExecutor
from core.jobs.trial import run_trial
from core.study.plan import make_plan
from core.study.resolve import parse_study
from storage import content, database, deletion, queries, queue, submitting
from storage.changes import Attack, Submit
from storage.trial import trial_detail
from tests.app.test_worker import Silent
from tests.conftest import tiny

TRAIN, TEST = 60, 30
SMALL = {"dataset": "mnist", "train_samples": None, "test_samples": None, "seeds": 1, "activations": ["relu"]}
LEAST = tiny(**{**SMALL, "optimizers": ["adam"], "attacks": [{"name": "fgsm", "eps": [0.1]}]})


def write(root, seed, folder="MNIST", turn=lambda pixels: pixels, labels=lambda digits: digits):
    """A set in MNIST's format, of 60 and 30 images."""
    rng = np.random.default_rng(seed)
    place = root / folder / "raw"
    place.mkdir(parents=True, exist_ok=True)
    for part, count in (("train", TRAIN), ("t10k", TEST)):
        images = turn(rng.integers(0, 256, (count, 28, 28), np.uint8))
        digits = labels((np.arange(count) % 10).astype(np.uint8))
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", digits)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (place / name).write_bytes(header + array.tobytes())
    return root


def invert(pixels):
    return 255 - pixels


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data root with a small MNIST, which the program knows, and a small Fashion-MNIST, which it does not."""
    place = write(write(tmp_path / "root", 1), 2, "FashionMNIST")
    for name in ("mnist", "fashion-mnist"):
        entry = dataclasses.replace(DATASETS[name], train_size=TRAIN, test_size=TEST, digest=None)
        monkeypatch.setitem(DATASETS._entries, name, entry)
    known = content_digest(datasets.load(datasets.parse_source("mnist", place), place, tmp_path / "cache"))
    monkeypatch.setitem(DATASETS._entries, "mnist", dataclasses.replace(DATASETS["mnist"], digest=known))
    return place


@pytest.fixture
def db(home):
    return database.connect(home.database)


def work(home, db):
    """Do all that is queued."""
    ownership = owner.acquire(home, owner.DETACHED)
    try:
        worker = Worker(home, db, InlineExecutor(run_trial, 1), Silent(), ownership, role=owner.DETACHED, gpus=list)
        worker.work(None, lambda: Stop.NO)
    finally:
        ownership.release()


def planned(home, db, root, **keys):
    study = parse_study({**LEAST, **keys}, "s", root)
    return make_plan(study, root, home.cache, met=content.met(db))


def submitted(home, db, root, **keys):
    return changes.perform(db, home, Submit({**LEAST, **keys}, "s", root))


def data_of(db):
    return [row[0] for row in db.execute("SELECT data FROM attempt ORDER BY id")]


# --- identity ---


def test_the_real_set_and_an_absent_one_have_the_name_and_other_content_name_and_digest(home, db, root, tmp_path):
    real, absent = planned(home, db, root), planned(home, db, tmp_path / "nowhere")
    assert (real.info.identity, real.info.source.name, real.info.other_content) == ("mnist", "mnist", False)
    assert absent.info.identity == "mnist"
    assert absent.info.digest is None
    assert real.trials == absent.trials
    assert real.trials[0].id == "ce535c4157e6c787bf60b452c3265b3c3910421e4c39fcf55e892af71a5de1a6", "as it always was"
    other = planned(home, db, write(tmp_path / "other", 1, turn=invert))
    assert other.info.identity == f"mnist@{other.info.digest}"
    assert other.info.source.name == f"mnist@{other.info.digest[:8]}"
    assert other.info.other_content
    assert other.samples == real.samples, "the labels are the same, so only the identity tells them apart"
    assert {trial.id for trial in other.trials}.isdisjoint(trial.id for trial in real.trials)


def test_the_embedded_sets_and_the_real_mnist_are_what_is_known(home, db, real_data):
    for name in ("mnist5k", "digits", "mnist"):
        info = datasets.describe(datasets.parse_source(name, real_data), real_data, home.cache)
        assert (info.identity, info.digest) == (name, DATASETS[name].digest)


def test_results_of_the_real_set_are_not_shown_for_another(home, db, root, tmp_path):
    submitted(home, db, root)
    work(home, db)
    assert submitting.preview(db, planned(home, db, root)).done == 1
    other = planned(home, db, write(tmp_path / "other", 1, turn=invert))
    assert submitting.preview(db, other).new == 1
    submitted(home, db, tmp_path / "other")
    work(home, db)
    assert queue.remaining(db, "tiny") == {"done": 1}
    (row,) = queries.trials(db, "tiny")
    assert row.dataset == f"mnist@{other.info.digest[:8]}"
    assert data_of(db) == [DATASETS["mnist"].digest, other.info.digest]
    submitted(home, db, root)
    assert queue.remaining(db, "tiny") == {"done": 1}, "the first is still there, and done"


def test_a_cached_portrait_does_not_outlive_its_files(home, db, root):
    assert planned(home, db, root).info.identity == "mnist"
    write(root, 1, turn=invert)
    assert planned(home, db, root).info.other_content
    for kept in (home.cache / "known").iterdir():
        kept.write_text("{}")
    assert planned(home, db, root).info.other_content, "what cannot be understood is counted again"
    write(root, 1)
    assert not planned(home, db, root).info.other_content


def test_a_plan_reads_the_files_of_a_set_once(home, db, root, monkeypatch):
    planned(home, db, root)
    fail = dataclasses.replace(DATASETS["mnist"], load=lambda _: pytest.fail("read again"))
    monkeypatch.setitem(DATASETS._entries, "mnist", fail)
    plan = planned(home, db, root)
    assert datasets.portray(plan.info, root, home.cache).train.images == TRAIN


# --- content that arrives and is not what was planned ---


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_content_that_changed_after_it_was_planned_fails_the_trial_once_in_a_line(name, home, db, root):
    submitted(home, db, root, dataset=name)
    before = planned(home, db, root, dataset=name).info.digest
    write(root, 1 if name == "mnist" else 2, DATASETS[name].folder.removesuffix("/raw"), turn=invert)
    work(home, db)
    assert queue.remaining(db, "tiny") == {"failed": 1}
    ((reason, traceback),) = db.execute("SELECT reason, traceback FROM attempt").fetchall()
    assert f"data set {name}: its content is not what was planned ({before[:8]} then, " in reason
    assert "\n" not in reason
    assert traceback == ""
    write(root, 1 if name == "mnist" else 2, DATASETS[name].folder.removesuffix("/raw"))
    (trial,) = queue.retry(db, [row.trial_id for row in queries.trials(db, "tiny")])
    work(home, db)
    assert queue.remaining(db, "tiny") == {"done": 1}, trial


def test_old_weights_are_never_attacked_on_other_images(home, db, root):
    submitted(home, db, root)
    work(home, db)
    (row,) = queries.trials(db, "tiny")
    write(root, 1, turn=invert)
    attack = Attack("tiny", (row.trial_id,), "pgd", {"eps": [0.1]})
    with pytest.raises(BadInput, match="the content of mnist has changed since it was run; put that back"):
        changes.perform(db, home, attack)
    write(root, 1)
    changes.perform(db, home, attack)
    write(root, 1, turn=invert)
    work(home, db)
    assert db.execute("SELECT count(*) FROM evaluation").fetchone()[0] == 1, "only that of before"
    assert queue.remaining(db, "tiny") == {"failed": 1}


def test_an_npz_that_changed_fails_the_trial_too(home, db, root):
    images = np.linspace(0, 1, 40 * 64).reshape(40, 8, 8)
    arrays = {"y_train": np.arange(40) % 4, "x_test": images, "y_test": np.arange(40) % 4}
    np.savez(root / "own.npz", x_train=images, **arrays)
    submitted(home, db, root, dataset=f"npz:{root}/own.npz")
    np.savez(root / "own.npz", x_train=images[::-1], **arrays)
    work(home, db)
    assert (
        "data set npz:own.npz: its content is not what was planned"
        in db.execute("SELECT reason FROM attempt").fetchone()[0]
    )


def test_a_decoded_copy_that_was_damaged_is_made_again(home, db, tmp_path):
    source = datasets.parse_source("digits", tmp_path)
    whole, seen = datasets.load_planned(source, tmp_path, home.cache, "digits")
    images = np.array(whole.train_images)
    images[0, 0, 0, 0] ^= 255
    np.save(home.cache / "digits-1" / "train_images.npy", images)
    again, seen_again = datasets.load_planned(source, tmp_path, home.cache, "digits")
    assert seen_again == seen == DATASETS["digits"].digest
    assert again.train_images[0, 0, 0, 0] == whole.train_images[0, 0, 0, 0]


# --- sets that this program does not know ---


def test_a_home_remembers_the_first_content_that_it_met(home, db, root, tmp_path):
    assert planned(home, db, root, dataset="fashion-mnist").info.identity == "fashion-mnist"
    assert content.met(db) == {}, "a plan remembers nothing"
    submitted(home, db, root, dataset="fashion-mnist")
    first = planned(home, db, root, dataset="fashion-mnist").info
    assert content.met(db) == {"fashion-mnist": first.digest}
    other = write(tmp_path / "other", 2, "FashionMNIST", turn=invert)
    assert planned(home, db, other, dataset="fashion-mnist").info.other_content
    submitted(home, db, other, name="second", dataset="fashion-mnist")
    assert content.met(db) == {"fashion-mnist": first.digest}
    assert database.connect(home.database, read_only=True).execute("SELECT count(*) FROM dataset_content").fetchone()[0]
    deletion.delete_study(db, "second")
    assert content.met(db) != {}
    deletion.delete_study(db, "tiny")
    assert content.met(db) == {}, "a set that nothing was run on may be met anew"


def test_what_an_earlier_version_queued_is_met_when_it_runs(home, db, root):
    submitted(home, db, root, dataset="fashion-mnist")
    db.execute("DELETE FROM dataset_content")
    work(home, db)
    seen = planned(home, db, root, dataset="fashion-mnist").info.digest
    assert content.met(db) == {"fashion-mnist": seen}
    assert queue.remaining(db, "tiny") == {"done": 1}


# --- what is recorded ---


def test_attempts_and_evaluations_record_what_they_saw_and_show_says_it(home, db, root):
    submitted(home, db, root)
    work(home, db)
    seen = DATASETS["mnist"].digest
    assert data_of(db) == [seen]
    assert {row[0] for row in db.execute("SELECT data FROM evaluation")} == {seen}
    (row,) = queries.trials(db, "tiny")
    assert f"data            {seen}" in trial_page(trial_detail(db, row.trial_id), [], 100, every=False)
    db.execute("UPDATE attempt SET data = NULL")
    page = trial_page(trial_detail(db, row.trial_id), [], 100, every=False)
    assert "data            not recorded: run by an earlier version" in page


# --- shapes, counts and labels of named sets ---


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": lambda digits: digits + 1}, "label 10, which is out of range: those of mnist are 0 to 9"),
        ({"labels": lambda digits: digits // 2}, "the train half has no image of class 5; mnist has 10 classes"),
        ({"turn": lambda pixels: pixels[:-1], "labels": lambda digits: digits[:-1]}, "has 59 images and 59 labels, but that of"),
        ({"turn": lambda pixels: pixels[:, :-1]}, "the train half has images of 1×27×28, but those of mnist are 1×28×28"),
    ],
)  # fmt: skip
def test_a_named_set_has_its_shapes_sizes_and_labels(change, words, home, db, root):
    write(root, 1, **change)
    with pytest.raises(BadInput, match=words) as caught:
        planned(home, db, root)
    assert str(root / "MNIST" / "raw") in str(caught.value)
    assert list(home.cache.iterdir()) == [], "nothing is kept of what is refused"


# --- what the commands say ---


def test_plan_shows_the_set_and_doctor_too(innate, home):
    planned = innate("plan", "quick")
    text = planned.stdout
    assert planned.stderr == "", "an empty home is nothing to speak of beside a plan"
    assert "  data           4,000 training + 1,000 test images, 28×28, grey, 256 levels\n" in text
    assert "  per class      400 in each of 10 (training)\n                 100 in each of 10 (test)\n" in text
    (row,) = json.loads(innate("plan", "quick", "--json").stdout)["plan"]
    assert row["data"]["digest"] == DATASETS["mnist5k"].digest
    assert row["data"]["test"] == {"images": 1000, "per_class": [100] * 10, "least": 0, "greatest": 255, "levels": 256}
    assert (row["dataset"], row["dataset_identity"]) == ("mnist5k", "mnist5k")
    rows = json.loads(innate("doctor", "--json").stdout)["doctor"]
    (digits,) = (row["detail"] for row in rows if row["detail"].startswith("digits: "))
    assert "8×8 grey, pixels 0 to 255 and 0 to 255 in 17 levels, 139 to 146 and 35 to 37 per class" in digits


def test_a_set_that_is_not_at_hand_is_planned_by_its_name(innate):
    assert (
        "  data           not at hand yet; innate run fetches it\n"
        in innate("plan", "quick", "--set", "dataset=mnist").stdout
    )


def test_a_small_set_under_a_name_is_refused_by_plan_and_seen_by_doctor(innate, home):
    write(home.root / "data", 1)
    done = innate("plan", "quick", "--set", "dataset=mnist", check=2)
    assert (
        "has 60 images and 60 labels, but that of mnist has 60,000; a set of your own goes under npz: or folder:"
        in done.stderr
    )
    assert done.stderr.count("\n") == 1
    (image,) = (home.root / "data" / "MNIST" / "raw").glob("train-images*")
    image.with_name(image.name + ".gz").write_bytes(b"\x1f\x8b\x08 cut in half")
    image.unlink()
    done = innate("plan", "quick", "--set", "dataset=mnist", check=2)
    assert "train-images-idx3-ubyte.gz is damaged or half-downloaded" in done.stderr
    assert done.stderr.count("\n") == 1
    rows = json.loads(innate("doctor", "--json").stdout)["doctor"]
    assert any("train-images-idx3-ubyte.gz is damaged" in row["detail"] for row in rows)


def test_rounding_is_said_where_it_is_seen(innate, home):
    between = np.linspace(0, 1, 400 * 16).reshape(400, 4, 4).astype(np.float32)
    labels = np.arange(400) % 4
    np.savez(home.root / "own.npz", x_train=between, y_train=labels, x_test=between, y_test=labels)
    text = innate("plan", "quick", "--set", f"dataset=npz:{home.root}/own.npz", "--set", "attacks=[]").stdout
    assert "  rounded        12," in text
    assert "of 12,800 pixels lay between two of the 256 levels, by up to 0.50 of one" in text
