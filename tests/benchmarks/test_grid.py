"""Table (b): a small grid, by `innate run` and by `plain_script.py`, each a process of its own from start to end."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tomli_w

from core import datasets
from core.datasets.subsets import stratified
from storage.home import Home
from tests.benchmarks.conftest import IMAGES
from tests.benchmarks.tables import show

pytest.importorskip("torchattacks", reason="torchattacks is installed by `make bench`")
from tests.benchmarks.plain_script import ACTIVATIONS, EPS, OPTIMIZERS  # which imports torchattacks

pytestmark = pytest.mark.benchmark

BAR = 3.0
EPOCHS = 3
STUDY = {
    "name": "grid",
    "dataset": "mnist5k",
    "architectures": ["kumar-cnn"],
    "optimizers": [{"name": name, "lr": 0.001} for name in OPTIMIZERS],
    "activations": list(ACTIVATIONS),
    "test_samples": IMAGES,
    "training": {"epochs": EPOCHS, "batch_size": 128},
    "attacks": [
        {"name": "fgsm", "eps": list(EPS)},
        {"name": "pgd", "eps": list(EPS), "steps": 40, "alpha": 0.01},
    ],
}


def timed(command: list[str], folder: Path, **environment: str) -> float:
    begun = time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert done.returncode == 0, f"{command}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return time.perf_counter() - begun


def by_innate(folder: Path) -> tuple[float, dict[tuple[str, str], dict[str, float]]]:
    """Wall seconds of the installed command, and accuracies by (optimizer, activation)."""
    (folder / "grid.toml").write_text(tomli_w.dumps(STUDY))
    home = Home(folder / "home")
    seconds = timed([str(Path(sys.executable).parent / "innate"), "--home", str(home.root), "run", "grid.toml"], folder)
    db = sqlite3.connect(home.database)
    found: dict[tuple[str, str], dict[str, float]] = {}
    for optimizer, activation, attack, eps, clean, robust in db.execute(
        "SELECT optimizer, activation, attack, eps, clean_accuracy, robust_accuracy FROM v_results"
    ):
        found.setdefault((optimizer, activation), {"clean": clean})[f"{attack} {eps:g}"] = robust
    return seconds, found


def by_script(folder: Path) -> tuple[float, dict[tuple[str, str], dict[str, float]]]:
    """The same of the plain script, on the same images."""
    arrays = datasets.load(datasets.parse_source("mnist5k", folder), folder, folder / "cache")
    chosen = stratified(arrays.test_labels, IMAGES, "test_samples")
    np.savez(
        folder / "data.npz",
        x_train=arrays.train_images[:, 0],
        y_train=arrays.train_labels,
        x_test=arrays.test_images[chosen, 0],
        y_test=arrays.test_labels[chosen],
    )
    script = Path(__file__).with_name("plain_script.py")
    seconds = timed([sys.executable, str(script), "data.npz", "results.json", "--epochs", str(EPOCHS)], folder)
    rows = json.loads((folder / "results.json").read_text())
    return seconds, {(row["optimizer"], row["activation"]): row for row in rows}


def test_a_small_grid_against_a_plain_script(tmp_path):
    our_seconds, ours = by_innate(tmp_path)
    their_seconds, theirs = by_script(tmp_path)
    keys = ["clean", *(f"{attack} {eps:g}" for attack in ("fgsm", "pgd") for eps in EPS)]
    rows = []
    for (optimizer, activation), accuracies in sorted(ours.items()):
        for who, found in (("innate", accuracies), ("script", theirs[optimizer, activation])):
            rows.append((f"{optimizer} {activation}, {who}", *(f"{100 * found[key]:.1f}" for key in keys)))
    factor = their_seconds / our_seconds
    show(
        f"(b) A grid of {len(ours)} models on mnist5k, {EPOCHS} epochs; FGSM and PGD-40 at {len(EPS)} ε on {IMAGES} images\n"
        f"innate run: {our_seconds:.1f} s; plain PyTorch script: {their_seconds:.1f} s; {factor:.1f} times as fast",
        ("", "clean", *(f"{attack} {eps:g}" for attack in "FP" for eps in EPS)),
        rows,
        "Wall seconds from start to end, start-up included. F: FGSM, P: PGD-40; accuracies in %. "
        "The two draw other weights and other batches, so they are not the same models.",
    )
    assert len(ours) == len(OPTIMIZERS) * len(ACTIVATIONS)
    assert all(min(found["clean"] for found in side.values()) > 0.9 for side in (ours, theirs))
    assert factor >= BAR
