"""Really trained nets to measure on, and the work of one attack on them. Imports torch."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from core import datasets
from core.attacks import resolve
from core.datasets.subsets import samples_digest, stratified
from core.evaluation.evaluate import TestSet, clean_outcome, evaluate
from core.events import EvaluationFinished, Trained
from core.jobs.orders import Job
from core.jobs.trial import run_trial
from core.models.pixel_model import build_model
from core.study.plan import make_plan
from core.study.resolve import parse_study
from core.training import checkpoints
from tests.conftest import REAL_DATA

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

FULL = (REAL_DATA / "MNIST" / "raw").is_dir()
"""Full MNIST is at hand; else the 5,000 images that ship with the program stand in, and the tables say so."""

STANDARD = {
    "name": "standard",
    "dataset": "mnist" if FULL else "mnist5k",
    "train_samples": 10_000 if FULL else None,
    "architectures": ["kumar-cnn"],
    "optimizers": ["adam"],
    "activations": ["relu"],
    "training": {"epochs": 3 if FULL else 8},
    "attacks": [{"name": "fgsm", "eps": [0.1]}],
}
"""The paper's net, undefended."""

DEFENDED = {
    **STANDARD,
    "name": "defended",
    "train_samples": 6_000 if FULL else None,
    "defenses": [{"name": "pgd-at", "eps": 0.15, "alpha": 0.06, "steps": 4}],  # at 0.3 it takes many epochs to take off
    "training": {"epochs": 4 if FULL else 6},
}
"""The same, adversarially trained: few samples break early, so there is little to save."""


@dataclass(frozen=True)
class Net:
    model: nn.Module
    tests: TestSet
    data: str
    """Which images it saw, in words."""


def trained(document: dict[str, object], folder: Path, images: int, device: str = "cpu") -> Net:
    """The one model of a study on `device`, trained there by the program itself unless `folder` has it from an earlier run,
    and as many test images. Leaves torch with one thread and its ordinary settings."""
    plan = make_plan(
        parse_study({k: v for k, v in document.items() if v is not None}, "bench", Path("/")), REAL_DATA, folder
    )
    (trial,) = plan.trials
    job = Job(
        trial=trial, source=plan.study.source, evaluations=(), clean=(), attempt=1, folder=folder / trial.id, earlier=(),
        data_root=REAL_DATA, cache=folder, device=device, threads=CORES,
    )  # fmt: skip
    (weights,) = (event.weights for event in run_trial(job, lambda: False) if isinstance(event, Trained))
    torch.use_deterministic_algorithms(False)  # which would hold back the libraries that are timed beside
    torch.set_num_threads(1)
    arrays = datasets.load(plan.study.source, REAL_DATA, folder)
    chosen = stratified(arrays.test_labels, images, "test_samples")
    model = build_model(trial, torch.from_numpy(np.array(arrays.train_images[:1])), len(plan.info.classes))
    model.load_state_dict(checkpoints.read(weights, trial.id)["model"])
    tests = TestSet(
        torch.from_numpy(np.array(arrays.test_images[chosen])).to(device),
        torch.from_numpy(np.array(arrays.test_labels[chosen])).to(device),
        torch.from_numpy(chosen).to(device),
        samples_digest(chosen),
        images,
    )
    seen = trial.train_samples or plan.info.train_size
    model = model.eval().to(device).to(memory_format=torch.channels_last)
    clean = clean_outcome(model, tests, len(plan.info.classes)).correct.mean()
    data = f"{plan.study.source.name} ({seen:,} images, {trial.training.epochs} epochs), {clean:.1%} clean accuracy"
    return Net(model, tests, data)


def on(net: Net, images: int) -> Net:
    """The same model and its first `images` test images; where there are not so many, all of them again and again."""
    rows = torch.arange(images, device=net.tests.labels.device) % len(net.tests)
    assert isinstance(net.tests.images, torch.Tensor)
    indices = torch.arange(images, device=rows.device)
    tests = TestSet(net.tests.images[rows], net.tests.labels[rows], indices, samples_digest(np.arange(images)), images)
    return Net(net.model, tests, net.data)


@dataclass(frozen=True)
class Cost:
    """What some work took: seconds of the processor (as good as wall seconds on one thread, and blind to whatever else
    runs on the machine; on a GPU they say nothing), wall seconds, and images passed forwards and backwards."""

    cpu: float
    wall: float
    forward: int
    backward: int


def attacked(
    net: Net, name: str, options: dict[str, object], crafting: str = "auto"
) -> tuple[Cost, EvaluationFinished]:
    """One attack of ours on all test images, the clean outcome that it starts from included."""
    spec = resolve(name, options, "attack")
    cpu, wall = time.process_time(), time.perf_counter()
    clean = clean_outcome(net.model, net.tests, 10)
    *_, event = evaluate(net.model, net.tests, spec, clean.correct, crafting)
    assert isinstance(event, EvaluationFinished)
    cost = Cost(
        time.process_time() - cpu,
        time.perf_counter() - wall,
        event.forward_passes + len(net.tests),
        event.backward_passes,
    )
    return cost, event


def operations(model: nn.Module, x: torch.Tensor) -> tuple[int, int]:
    """Multiply-adds times two of one image's forward pass, counted layer by layer, and those of the first layer alone."""
    counted: list[int] = []

    def count(module: nn.Module, _: object, output: torch.Tensor) -> None:
        weights = module.weight[0].numel()
        counted.append(2 * weights * output.numel() // len(x))

    hooks = [
        module.register_forward_hook(count) for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return sum(counted), counted[0]
