"""Bytes cut off, zeroed or changed anywhere in any format: the same images, other ones that no plan takes, or one line."""

import gzip
import io
import pickle
import struct
import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from core.datasets import archives, embedded, matlab, npz, pickled
from core.datasets.portrait import content_digest
from core.errors import BadInput

RNG = np.random.default_rng(5)
PIXELS = RNG.integers(0, 256, (12, 8, 8), np.uint8)
LABELS = (np.arange(12) % 3).astype(np.int64)


def idx(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def idx_files():
    files = {}
    for part, count in (("train", 12), ("t10k", 6)):
        files[f"{part}-images-idx3-ubyte"] = idx(PIXELS[:count])
        files[f"{part}-labels-idx1-ubyte"] = idx(LABELS[:count].astype(np.uint8))
    return files


def gz_files():
    return {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in idx_files().items()}


def cifar_files(protocol):
    colour = RNG.integers(0, 256, (4, 3072), np.uint8)
    batch = {"data": colour, "labels": [0, 1, 2, 0], "filenames": ["a.png", "b.png", "c.png", "d.png"]}
    return {name: pickle.dumps(batch, protocol=protocol) for name in ("data_batch_1", "test_batch")}


def svhn_files(compressed):
    files = {}
    for name in archives.SVHN_FILES:
        packed = io.BytesIO()
        colour = np.random.default_rng(1).integers(0, 256, (4, 4, 3, 6), np.uint8)
        savemat(packed, {"X": colour, "y": np.arange(1, 7, dtype=np.uint8)[:, None]}, do_compression=compressed)
        files[name] = packed.getvalue()
    return files


def npz_files(save):
    packed = io.BytesIO()
    save(packed, x_train=PIXELS, y_train=LABELS, x_test=PIXELS[:6] / np.float32(255), y_test=LABELS[:6])
    return {"d.npz": packed.getvalue()}


def digits_files():
    table = np.column_stack([RNG.integers(0, 17, (1797, 64)), np.arange(1797) % 10])
    text = "\n".join(",".join(map(str, row)) for row in table)
    return {"digits.csv.gz": gzip.compress(text.encode(), 1, mtime=0)}


def load_digits(folder):
    before = embedded._inside
    embedded._inside = lambda *_: folder / "digits.csv.gz"
    try:
        return embedded.load_digits(folder)
    finally:
        embedded._inside = before


FORMATS = {
    "idx": (idx_files, archives.load_idx, False),
    "idx.gz": (gz_files, archives.load_idx, True),
    "cifar, protocol 2": (
        partial(cifar_files, 2),
        lambda folder: pickled.load_cifar(folder, ["data_batch_1"], ["test_batch"], "labels"),
        False,
    ),
    "cifar, protocol 4": (
        partial(cifar_files, 4),
        lambda folder: pickled.load_cifar(folder, ["data_batch_1"], ["test_batch"], "labels"),
        False,
    ),
    "svhn, compressed": (partial(svhn_files, True), matlab.load_svhn, True),
    "svhn": (partial(svhn_files, False), matlab.load_svhn, False),
    "npz": (partial(npz_files, np.savez), lambda folder: npz.load_npz(folder / "d.npz"), True),
    "npz, compressed": (
        partial(npz_files, np.savez_compressed),
        lambda folder: npz.load_npz(folder / "d.npz"),
        True,
    ),
    "digits": (digits_files, load_digits, True),
}
"""Name → (files, how they are read, whether the format itself has a checksum over all content)."""


@cache
def whole(kind):
    make, load, _ = FORMATS[kind]
    files = make()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        return files, content_digest(load(Path(folder)))


def damaged(content, how, at, value):
    at %= len(content)
    if how == "cut":
        return content[:at]
    if how == "zeroed":
        return content[:at] + bytes(len(content[at : at + value])) + content[at + value :]
    return content[:at] + bytes([content[at] ^ value]) + content[at + 1 :]


def outcome(kind, changed):
    """The digest of what was read, None where it was refused in one line; anything else passes through."""
    _, load, _ = FORMATS[kind]
    with tempfile.TemporaryDirectory() as folder:
        for name, content in changed.items():
            (Path(folder) / name).write_bytes(content)
        try:
            return content_digest(load(Path(folder)))
        except BadInput as error:
            told = str(error)
        assert "\n" not in told
        assert folder in told, "the line names the file"
        return None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    which=st.integers(0, 3),
    how=st.sampled_from(["cut", "zeroed", "changed"]),
    at=st.one_of(st.integers(0, 400), st.integers(0, 10**6)),
    value=st.integers(1, 255),
)
def test_damage_anywhere_is_told_or_changes_nothing(kind, which, how, at, value):
    files, digest = whole(kind)
    name = sorted(files)[which % len(files)]
    found = outcome(kind, {**files, name: damaged(files[name], how, at, value)})
    if FORMATS[kind][2]:
        assert found in (None, digest), "a format with a checksum never gives other images"
    if how == "cut" and kind != "svhn":
        assert found in (None, digest)


@pytest.mark.parametrize("kind", FORMATS)
def test_each_file_cut_in_half_is_told(kind):
    files, _ = whole(kind)
    for name, content in files.items():
        assert outcome(kind, {**files, name: content[: len(content) // 2]}) is None
        assert outcome(kind, {**files, name: b""}) is None
        assert outcome(kind, {**files, name: b"<html>no such page</html>"}) is None
