"""Table (p): 20,000 JPEGs of mixed sizes: decoded once, in how much memory, and trained on from memory and from the cache."""

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import datasets
from tests.benchmarks.tables import show

pytestmark = pytest.mark.benchmark

COUNT = int(os.environ.get("INNATE_BENCH_PICTURES", "20000"))
SIZES = (64, 160)
MEMORY_BAR = 2**30
"""Bytes."""
SPEED_BAR = 0.85
"""Images per processor second, staged, of those from memory."""
BATCH = 128
STEPS = 20
ROADS = {"model": "on one batch, again and again", "memory": "from memory", "staged": "staged from the cache"}

MEASURED = """
import resource, sys, time
from pathlib import Path
import psutil
from core import datasets
source = datasets.parse_source({"folder": sys.argv[1], "size": int(sys.argv[2]), "split": 0.2}, Path("/"))
begun = time.monotonic()
info = datasets.describe(source, Path("/"), Path(sys.argv[3]), lambda text: print(text, file=sys.stderr))
print(time.monotonic() - begun, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, info.train_size)
"""
"""Folder, size, cache → seconds, peak bytes, training images: in a process of its own, so that nothing else counts."""

TRAINED = """
import resource, sys, time
from pathlib import Path
import numpy as np
import torch
from core import datasets
from core.datasets import staging
from core.datasets.staging import ahead, exact_normalisation, images_on
from core.models.pixel_model import build_model
from core.records.choice import Choice
from core.records.trial import TrialSpec
from core.study.resolve import load_study
from core.lanes.lane import current_lane
from core.training.step import fresh_epoch, learner
from core.training.steps import Batch, Steps
torch.set_num_threads(1)
folder, size, cache, road, batch, steps = sys.argv[1:]
batch, steps = int(batch), int(steps)
if road == "staged":
    staging.free_memory = lambda *_: 0
source = datasets.parse_source({"folder": folder, "size": int(size), "split": 0.2}, Path("/"))
arrays = datasets.load(source, Path("/"), Path(cache))
rows = np.arange(len(arrays.train_labels))
study = load_study("quick", ["architectures=[{name='lenet5'}]"])
trial = TrialSpec(
    "x", None, study.architectures[0], study.activations[0], study.optimizers[0], Choice("none"), study.training, 0
)
begun = time.monotonic()
normalisation = exact_normalisation(arrays, rows, resized=True)
shape = torch.empty((0, *arrays.train_images.shape[1:]), dtype=torch.uint8)
model = build_model(trial, shape, 2, normalisation).to(memory_format=torch.channels_last)
images = images_on("cpu", arrays.train_images, rows[:batch] if road == "model" else rows)
labels = torch.from_numpy(np.array(arrays.train_labels))
state = learner(trial, model, images[:batch])
device = torch.device("cpu")
training = Steps(state, images, labels, fresh_epoch(1, device), current_lane(device))
ready = time.monotonic() - begun
order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
if road == "model":
    order = order % batch
pieces = [(first, first + batch) for first in range(0, batch * steps, batch)]
begun, used = time.monotonic(), time.process_time()
with ahead(images, order, pieces) as batches:
    for (first, last), x in zip(pieces, batches):
        training.take(Batch(order[first:last], x), 1e-3)
begun, used = time.monotonic() - begun, time.process_time() - used
weights = float(sum(p.double().abs().sum() for p in model.parameters()))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(ready, batch * steps / begun, batch * steps / used, peak, repr(weights))
"""
"""Seconds until the first step, images per second and per processor second, peak bytes, and a sum of the weights, to see that
they are the same. The road "model" has one batch again and again: what the model alone needs."""


def sources():
    """Real images to cut pictures from, uint8 [n, h, w, 3]."""
    shared = Path(os.environ.get("INNATE_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")
    if (shared / "cifar10-mini.npz").is_file():
        images = np.load(shared / "cifar10-mini.npz")["x_train"]
        return images if images.shape[-1] == 3 else images.transpose(0, 2, 3, 1)
    grey = datasets.load(datasets.parse_source("mnist5k", Path("/")), Path("/"), Path("/nowhere")).train_images
    return np.repeat(grey[:2000, 0, :, :, None], 3, axis=-1)


def write(part):
    """Some of the pictures: four images side by side, cut at random and blown up to 80 to 400 pixels."""
    root, numbers = part
    images = sources()
    for number in numbers:
        rng = np.random.default_rng(number)
        four = images[rng.integers(0, len(images), 4)]
        scene = np.concatenate([np.concatenate(four[:2], axis=1), np.concatenate(four[2:], axis=1)])
        left, top = rng.integers(0, scene.shape[0] // 3, 2)
        side = int(rng.integers(scene.shape[0] // 2, scene.shape[0] * 2 // 3))
        cut = Image.fromarray(scene).crop((left, top, left + side, top + side))
        width, height = (int(length) for length in rng.integers(80, 401, 2))
        picture = cut.resize((width, height), Image.Resampling.BICUBIC)
        picture.save(root / ("a", "b")[number % 2] / f"{number:05}.jpg", quality=90)


@pytest.fixture(scope="session")
def folder(request):
    """The pictures, made once and kept in pytest's cache."""
    root = Path(os.environ.get("INNATE_BENCH_FOLDER") or request.config.cache.mkdir("innate-pictures")) / str(COUNT)
    if not (root / "b" / f"{COUNT - 1:05}.jpg").exists():
        for label in ("a", "b"):
            (root / label).mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor() as pool:
            list(pool.map(write, [(root, range(first, min(COUNT, first + 500))) for first in range(0, COUNT, 500)]))
    return root


def measured(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return [float(number) for number in done.stdout.split()]


def test_pictures_are_decoded_once_and_trained_on_from_the_cache(folder, tmp_path):
    rows, peaks, speeds = [], [], []
    cache = tmp_path / "cache"
    for size in SIZES:
        cold, peak, train = measured(MEASURED, folder, size, cache)
        warm, _, _ = measured(MEASURED, folder, size, cache)
        peaks.append(peak)
        decoded = COUNT * 3 * size * size
        rows.append((f"{size}×{size}: decoded once, {decoded / 2**20:,.0f} MiB", f"{cold:.1f}", f"{COUNT / cold:,.0f}", "",
                     f"{peak / 2**20:,.0f}"))  # fmt: skip
        rows.append((f"{size}×{size}: found again", f"{warm:.2f}", "", "", ""))
        found = {road: measured(TRAINED, folder, size, cache, road, BATCH, STEPS) for road in ROADS}
        for road, (ready, wall, used, peak, _) in found.items():
            rows.append((f"{size}×{size}: lenet5 trained {ROADS[road]}", f"{ready:.2f}", f"{wall:,.0f}", f"{used:,.0f}",
                         f"{peak / 2**20:,.0f}"))  # fmt: skip
        assert found["memory"][4] == found["staged"][4]
        speeds.append(found["staged"][2] / found["memory"][2])
        peaks.append(found["staged"][3] - found["model"][3])
    show(
        f"(p) {COUNT:,} JPEGs of 80 to 400 pixels, {train:,.0f} to train on",
        ("", "seconds", "images/s", "/cpu s", "peak MiB"),
        rows,
        f"Bar: under {MEMORY_BAR // 2**20:,} MiB while decoding, and in staged training beyond what the model alone has. Seconds "
        "of a training are those until its first step.",
    )
    assert max(peaks) < MEMORY_BAR
    assert min(speeds) > SPEED_BAR
