"""Table (d): how the cost of an evaluation grows with samples, steps, ε and models, and what holds it down."""

import dataclasses
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tomli_w
import torch

from storage.home import Home
from tests.benchmarks.nets import Cost, Net, attacked
from tests.benchmarks.tables import show

pytestmark = pytest.mark.benchmark

COUNTS = (1, 2, 4, 8)


def first(net: Net, count: int) -> Net:
    """The net with every so manieth of its test images: they come in the data set's order, which has its runs."""
    rows = torch.linspace(0, len(net.tests) - 1, count).long()
    tests = net.tests
    part = dataclasses.replace(
        tests, images=tests.images[rows], labels=tests.labels[rows], indices=tests.indices[rows], asked=count
    )
    return dataclasses.replace(net, tests=part)


def pgd(net: Net, **options: object) -> Cost:
    return attacked(net, "pgd", {"alpha": 0.01, **options})[0]


def table(title: str, what: str, costs: dict[object, Cost], note: str = "") -> None:
    """One row per amount; each cost also as a multiple of the first row's."""
    base = next(iter(costs.values()))
    show(
        title,
        (what, "CPU s", "×", "forward passes", "×", "backward passes", "×"),
        [
            (
                amount, f"{cost.cpu:.2f}", f"{cost.cpu / base.cpu:.2f}",
                f"{cost.forward:,}", f"{cost.forward / base.forward:.2f}",
                f"{cost.backward:,}", f"{cost.backward / base.backward:.2f}",
            )
            for amount, cost in costs.items()
        ],
        note,
    )  # fmt: skip


def growth(costs: dict[object, Cost]) -> float:
    """Backward passes of the last row as a multiple of the first row's."""
    rows = list(costs.values())
    return rows[-1].backward / rows[0].backward


def test_cost_against_samples(standard_net):
    most = min(800, len(standard_net.tests))
    counts = [most // 8, most // 4, most // 2, most]
    pgd(first(standard_net, 16), eps=[0.1], steps=2)  # the first pass of a process pays for its kernels
    costs = {count: pgd(first(standard_net, count), eps=[0.05, 0.1, 0.15], steps=20) for count in counts}
    table(
        "(d) Samples: PGD-20 at 3 ε, undefended kumar-cnn",
        "samples",
        costs,
        "Linear: samples know nothing of each other.",
    )
    assert 0.75 * 8 <= growth(costs) <= 1.25 * 8


def test_cost_against_steps(standard_net):
    net = first(standard_net, min(200, len(standard_net.tests)))
    costs = {steps: pgd(net, eps=[0.15], alpha="eps/8", steps=steps) for steps in (10, 20, 40, 80)}
    table(
        "(d) Steps: PGD at ε 0.15, undefended", "steps", costs,
        "Less than linear: what falls in the first steps takes no more.",
    )  # fmt: skip
    assert 1 < growth(costs) <= 8


def test_cost_against_radii(standard_net, defended_net):
    """Undefended, each further ε costs less than the one before, for fewer images reach it. Defended, about the same."""
    undefended = first(standard_net, min(200, len(standard_net.tests)))
    radii = {count: [round(0.05 * number, 2) for number in range(1, count + 1)] for count in COUNTS}
    costs = {count: pgd(undefended, eps=eps, steps=20, alpha=0.02) for count, eps in radii.items()}
    table(
        "(d) Radii: PGD-20 at ε 0.05, 0.1, … , undefended", "ε", costs,
        "Less than linear: only survivors go on to the next ε.",
    )  # fmt: skip
    assert growth(costs) < 0.75 * max(COUNTS)
    defended = first(defended_net, min(100, len(defended_net.tests)))
    few = {count: [round(0.02 * number, 2) for number in range(1, count + 1)] for count in COUNTS}
    hard = {count: pgd(defended, eps=eps, steps=20, alpha=0.02) for count, eps in few.items()}
    table(
        "(d) Radii: PGD-20 at ε 0.02, 0.04, … , pgd-at at ε 0.15", "ε", hard,
        "Nearly linear: hardly anything falls, so nearly all images go on.",
    )  # fmt: skip
    assert growth(hard) <= max(COUNTS)


def test_cost_of_a_finer_curve(standard_net):
    """More radii between 0 and the same largest one: a sweep is never dearer than its radii one by one."""
    net = first(standard_net, min(200, len(standard_net.tests)))
    costs, alone = {}, {}
    for count in COUNTS:
        eps = [round(0.3 * number / count, 4) for number in range(1, count + 1)]
        costs[count] = pgd(net, eps=eps, steps=20, alpha="eps/8")
        alone[count] = sum(pgd(net, eps=[radius], steps=20, alpha="eps/8").backward for radius in eps)
    nearest = attacked(net, "fmn", {"norm": "linf", "steps": 60})[0]
    show(
        "(d) A finer curve: PGD-20 at n radii up to ε 0.3, undefended",
        ("radii", "CPU s", "backward passes", "one by one", "every step on every image"),
        [
            (count, f"{cost.cpu:.2f}", f"{cost.backward:,}", f"{alone[count]:,}", f"{count * 20 * len(net.tests):,}")
            for count, cost in costs.items()
        ],
        f"FMN gives the whole curve at once: {nearest.cpu:.2f} CPU s, {nearest.backward:,} backward passes (60 steps).",
    )
    assert all(cost.backward <= alone[count] for count, cost in costs.items())


def test_cost_against_models(tmp_path):
    """The installed command on 1, 2, 4 and 8 seeds of one small model, with one slot."""
    rows: list[tuple[int, float, int, int]] = []
    for count in COUNTS:
        study = {
            "name": "growth",
            "dataset": "mnist5k",
            "architectures": [{"name": "kumar-cnn", "width": 0.25}],
            "optimizers": ["adam"],
            "activations": ["relu"],
            "seeds": count,
            "train_samples": 1000,
            "test_samples": 100,
            "training": {"epochs": 2},
            "attacks": [{"name": "pgd", "eps": [0.05, 0.1, 0.2], "steps": 20}],
        }
        file, home = tmp_path / f"{count}.toml", Home(tmp_path / f"home-{count}")
        file.write_text(tomli_w.dumps(study))
        command = [
            str(Path(sys.executable).parent / "innate"),
            "--home",
            str(home.root),
            "run",
            str(file),
            "--slots",
            "1",
        ]
        begun = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ, check=False)
        seconds = time.perf_counter() - begun
        assert done.returncode == 0, done.stderr
        passes = (
            sqlite3.connect(home.database)
            .execute("SELECT sum(forward_passes), sum(backward_passes) FROM (SELECT DISTINCT trial_id, attack_id, "
                     "forward_passes, backward_passes FROM v_results)")
            .fetchone()
        )  # fmt: skip
        rows.append((count, seconds, *passes))
    show(
        "(d) Models: innate run, 1 slot, start-up included",
        ("models", "wall s", "wall s per model", "forward passes", "backward passes", "×"),
        [
            (n, f"{seconds:.1f}", f"{seconds / n:.2f}", f"{forward:,}", f"{backward:,}", f"{backward / rows[0][3]:.2f}")
            for n, seconds, forward, backward in rows
        ],
        "Linear in work; start-up is paid once.",
    )
    assert 0.6 * 8 <= rows[-1][3] / rows[0][3] <= 1.6 * 8  # seeds differ in how robust they come out
    assert rows[-1][1] <= 1.3 * 8 * rows[0][1]
