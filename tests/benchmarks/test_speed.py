"""Speed as shares of what this machine's own matrix multiplication does in the same run. `make bench` prints the table."""

import time

import pytest
import torch
from torch.nn import functional

from core.attacks.victim import Victim, under_attack
from core.model import build_model
from core.records import Choice, TrialSpec
from core.study import load_study

pytestmark = pytest.mark.benchmark

BATCH = 128


def best(work, repeats=8):
    """Least seconds of several runs after two to warm up."""
    for _ in range(2):
        work()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def matmul_rate(dtype):
    """Floating-point operations per second of a 1024³ product on one thread."""
    a, b = torch.randn(1024, 1024, dtype=dtype), torch.randn(1024, 1024, dtype=dtype)
    return 2 * 1024**3 / best(lambda: a @ b)


def convolution_operations(model, x):
    """Multiply-adds times two of one forward pass, counted layer by layer, and those of the first layer alone."""
    counted = []

    def count(module, _, output):
        weights = module.weight[0].numel()
        counted.append(2 * weights * output.numel())

    hooks = [
        module.register_forward_hook(count)
        for module in model.modules()
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear)
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return sum(counted), counted[0]


@pytest.fixture(scope="module")
def papers_net():
    torch.set_num_threads(1)
    study = load_study("quick")
    trial = TrialSpec(
        "mnist5k",
        None,
        study.architectures[0],
        study.activations[0],
        study.optimizers[0],
        Choice("none"),
        study.training,
        0,
    )
    images = torch.randint(0, 256, (BATCH, 1, 28, 28), dtype=torch.uint8)
    model = build_model(trial, images, 10).to(memory_format=torch.channels_last)
    return model, images.float() / 255, torch.randint(0, 10, (BATCH,))


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_training_the_papers_net_as_a_share_of_the_matmul_rate(precision, dtype, papers_net, capsys):
    model, x, y = papers_net
    optimizer = torch.optim.Adam(model.parameters())
    model.train()

    def step():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            logits = model(x).float()
        optimizer.zero_grad()
        functional.cross_entropy(logits, y).backward()
        optimizer.step()

    forward, first = convolution_operations(model, x)
    rate = (3 * forward - first) / best(step)  # backward costs two forwards, but for the first layer's input gradient
    share = rate / matmul_rate(dtype)
    with capsys.disabled():
        print(
            f"\ntraining kumar-cnn, {precision}, batch {BATCH}, 1 thread: {rate / 1e9:.1f} GFLOP/s, {share:.0%} of matmul"
        )
    assert share > (0.5 if precision == "fp32" else 0.2)


@pytest.mark.parametrize("crafting", ["fp32", "bf16"])
def test_attack_gradients_as_a_share_of_the_matmul_rate(crafting, papers_net, capsys):
    model, x, y = papers_net
    victim = Victim(model, crafting)
    with under_attack(model):
        forward, _ = convolution_operations(model, x)
        rate = 2 * forward / best(lambda: victim.gradient(x, y))
    share = rate / matmul_rate(torch.float32 if crafting == "fp32" else torch.bfloat16)
    with capsys.disabled():
        print(
            f"\ninput gradients, {crafting}, batch {BATCH}, 1 thread: {rate / 1e9:.1f} GFLOP/s, {share:.0%} of matmul"
        )
    assert share > 0.1
