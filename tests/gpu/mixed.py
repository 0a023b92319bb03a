"""Sixteen trials that have little in common, for what neighbours in other lanes must not do to each other. Torch-free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from core.jobs.orders import Job
from tests.gpu.card import Card
from tests.gpu.data import coloured
from tests.gpu.trials import jobs

RANDOM: dict[str, Any] = {
    "architectures": ["kumar-cnn"],  # with dropout
    "defenses": [{"name": "pgd-at", "eps": 0.2, "steps": 2}],  # from a random start
    "training": {"augment": True},
}
"""What draws numbers wherever a training can."""

MIXED: dict[str, dict[str, Any]] = {
    "random": RANDOM,
    "batch norm": {
        "architectures": [{"name": "kumar-cnn", "batch_norm": True}], "optimizers": ["rmsprop"],
        "activations": ["sigmoid"], "training": {"augment": True},
    },
    "fgsm-rs": {
        "architectures": ["lenet5"], "optimizers": ["sgd"], "activations": ["tanh"],
        "defenses": [{"name": "fgsm-rs", "eps": 0.2}], "training": {"hyperparameters": "keras"},
    },
    "mlp pgd-at": {
        "architectures": [{"name": "mlp", "dropout": 0.3}], "optimizers": ["adagrad"], "activations": ["silu"],
        "defenses": [{"name": "pgd-at", "eps": 0.1, "steps": 3}], "training": {"augment": True},
    },
    "trades": {
        "architectures": [{"name": "lenet5", "batch_norm": True}], "optimizers": ["adamax"], "activations": ["elu"],
        "defenses": [{"name": "trades", "eps": 0.1, "steps": 2}],
    },
    "free-at": {
        "architectures": [{"name": "mlp", "dropout": 0.2}], "optimizers": ["nadam"],
        "defenses": [{"name": "free-at", "eps": 0.1, "replays": 2}],
    },
    "tf32": {"architectures": ["lenet5"], "optimizers": ["adadelta"], "training": {"precision": "tf32"}},
    "bf16": {
        "optimizers": ["adamw"], "activations": ["silu"], "defenses": [{"name": "fgsm-at", "eps": 0.1}],
        "training": {"precision": "bf16"},
    },
    "radam": {"architectures": [{"name": "mlp", "batch_norm": True}], "optimizers": ["radam"], "activations": ["tanh"]},
    "asgd": {
        "architectures": ["lenet5"], "optimizers": ["asgd"],
        "defenses": [{"name": "fgsm-rs", "eps": 0.1, "clean_share": 0.5}],
    },
    "rprop": {"architectures": ["mlp"], "optimizers": ["rprop"], "activations": ["elu"]},
    "adafactor": {"architectures": ["lenet5"], "optimizers": ["adafactor"], "training": {"hyperparameters": "keras"}},
    "keras-cnn": {"architectures": [{"name": "keras-cnn", "dropout": 0.25}], "training": {"hyperparameters": "keras"}},
    "l2": {
        "architectures": [{"name": "kumar-cnn", "width": 0.5}], "activations": ["tanh"],
        "optimizers": [{"name": "rmsprop", "centered": True}],
        "defenses": [{"name": "pgd-at", "norm": "l2", "eps": 1.0, "steps": 2}],
    },
    "cosine": {
        "architectures": [{"name": "lenet5", "dropout": 0.3}], "training": {"schedule": "cosine"},
        "optimizers": [{"name": "sgd", "momentum": 0.9, "nesterov": True}],
    },
    "smoothed": {
        "architectures": ["mlp"], "training": {"label_smoothing": 0.1, "validation": 0.2, "weight_decay": 0.001},
    },
}  # fmt: skip


def mixed_jobs(card: Card, folder: Path, cache: Path) -> dict[str, Job]:
    """The first attempt of each; on the CPU the first four, which is as many as it has lanes there."""
    chosen = list(MIXED.items())[: card.sized(16, 4)]
    return {name: job_of(document, card, folder / name, cache) for name, document in chosen}


def job_of(document: dict[str, Any], card: Card, folder: Path, cache: Path, seed: int = 0) -> Job:
    """One trial of 3 short epochs, the last batch of each smaller than the others."""
    training = {"epochs": card.sized(3, 2), "batch_size": card.sized(64, 32), **document.get("training", {})}
    if training.get("precision") == "tf32" and not card.real:
        del training["precision"]
    if training.get("augment"):
        document = {**document, "dataset": coloured(cache)}
    small = {"train_samples": card.sized(1000, 80), "seeds": [seed], "training": training}
    (job,) = jobs({**document, **small}, folder, cache, str(card.device))
    return job
