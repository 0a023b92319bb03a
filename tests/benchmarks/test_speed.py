"""Table (c): training and attack as shares of what this machine's own matrix multiplication does in the same run."""

import dataclasses
import time

import pytest
import torch
from torch.nn import functional

from core.engine.victim import Victim, under_attack
from core.events import EpochFinished
from core.models.pixel_model import build_model
from core.records.choice import Choice
from core.records.trial import TrialSpec
from core.study.resolve import load_study
from core.training.loop import TrainingData, train
from tests.benchmarks.nets import attacked, operations
from tests.benchmarks.tables import show

pytestmark = pytest.mark.benchmark

BATCH = 128
IMAGES = 2560
TRAINING_BAR = 0.65
"""Of the matmul rate, training in fp32."""
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def best(work, repeats=8):
    """Least processor seconds of several runs after two to warm up."""
    for _ in range(2):
        work()
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def matmul_rate(precision):
    """Floating-point operations per second of a 1024³ product on one thread."""
    a, b = (torch.randn(1024, 1024, dtype=DTYPES[precision]) for _ in range(2))
    return 2 * 1024**3 / best(lambda: a @ b)


def papers_trial(precision):
    study = load_study("quick")
    training = dataclasses.replace(study.training, precision=precision, batch_size=BATCH, epochs=3)
    return TrialSpec(
        "mnist5k", None, study.architectures[0], study.activations[0], study.optimizers[0], Choice("none"), training, 0
    )


def training_rate(precision, folder):
    """Operations per second of the program's own training loop, whole epochs, the quickest of three."""
    trial = papers_trial(precision)
    images, labels = torch.randint(0, 256, (IMAGES, 1, 28, 28), dtype=torch.uint8), torch.randint(0, 10, (IMAGES,))
    model = build_model(trial, images, 10).to(memory_format=torch.channels_last)
    forward, first = operations(model.eval(), images[:8].float() / 255)
    data = TrainingData(images, labels, images[:0], labels[:0])
    times, begun = [], time.process_time()
    for event in train(trial, model, data, folder, "0" * 64, None, lambda: False):
        if isinstance(event, EpochFinished):  # its checkpoint is written by now, and counts
            times.append(time.process_time() - begun)
            begun = time.process_time()
    # Backward costs two forwards, but for the first layer, which needs no gradient to its input.
    return IMAGES * (3 * forward - first) / min(times)


def step_rate(precision):
    """The same of a hand-written training step, so that what the loop adds can be seen."""
    trial = papers_trial(precision)
    images = torch.randint(0, 256, (BATCH, 1, 28, 28), dtype=torch.uint8)
    model = build_model(trial, images, 10).to(memory_format=torch.channels_last).train()
    x, y = images.float() / 255, torch.randint(0, 10, (BATCH,))
    optimizer = torch.optim.Adam(model.parameters())

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits = model(x).float()
        optimizer.zero_grad()
        functional.cross_entropy(logits, y).backward()
        optimizer.step()

    forward, first = operations(model, x)
    return BATCH * (3 * forward - first) / best(step)


def gradient_rate(net):
    """Operations per second of input gradients alone, in batches of 256."""
    rows = torch.arange(min(256, len(net.tests)))
    x, y = net.tests.pixels(rows), net.tests.labels[rows]
    forward, _ = operations(net.model, x)
    with under_attack(net.model):
        victim = Victim(net.model)
        return 2 * len(x) * forward / best(lambda: victim.gradient(x, y))


def attack_rate(net):
    """The same of a whole PGD-40 evaluation: judging, confirming in fp32 and compaction included."""
    forward, _ = operations(net.model, net.tests.pixels(torch.arange(8)))
    cost, _ = attacked(net, "pgd", {"eps": [0.1], "steps": 40, "alpha": 0.01})
    return forward * (cost.forward + cost.backward) / cost.cpu


def test_shares_of_the_matmul_rate(standard_net, tmp_path):
    torch.set_num_threads(1)
    precisions = [
        "fp32",
        *(["bf16"] if torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported() else []),
    ]
    rows, shares = [], {}
    for precision in precisions:
        matmul = matmul_rate(precision)
        (tmp_path / precision).mkdir()
        works = {
            "training, the program's loop": lambda p=precision: training_rate(p, tmp_path / p),
            "training, a bare step": lambda p=precision: step_rate(p),
        }
        if precision == "fp32":
            works["input gradients, 256 images"] = lambda: gradient_rate(standard_net)
            works["a PGD-40 evaluation, ε 0.1"] = lambda: attack_rate(standard_net)
        rows.append(("matrix product, 1024³", precision, f"{matmul / 1e9:.0f}", "100 %"))
        for name, measure in works.items():
            rate = measure()
            shares[name, precision] = rate / matmul
            rows.append((name, precision, f"{rate / 1e9:.0f}", f"{rate / matmul:.0%}"))
    show(
        f"(c) kumar-cnn, one thread, training in batches of {BATCH}: shares of the machine's own matmul rate",
        ("", "precision", "GFLOP/s", "of matmul"),
        rows,
        f"Bar: training in fp32 at {TRAINING_BAR:.0%} or more. Activations, pooling and the optimizer are not counted as work.",
    )
    assert shares["training, the program's loop", "fp32"] >= TRAINING_BAR
