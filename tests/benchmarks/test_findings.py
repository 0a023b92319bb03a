"""Table (h): what comparisons cost on 10,000 trials: findings, levels, effects and comparing, on a grid like the paper's."""

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.verdict.scoring.trial_scores import scores_of
from storage import database, image_outcomes, submitting
from storage.home import Home, prepare
from tests.benchmarks.tables import show
from tests.conftest import plan_of, tiny
from tests.many import outcomes

pytestmark = pytest.mark.benchmark

IMAGES = 1_000
SEEDS = 71
GRID = {
    "architectures": ["mlp", {"name": "mlp", "hidden": [32]}],
    "optimizers": ["adam", "adadelta", "adagrad", "adamax", "nadam", "rmsprop", "sgd"],
    "activations": ["relu", "sigmoid", "silu", "tanh", "elu"],
    "defenses": ["none", {"name": "pgd-at", "eps": 0.1}],
}
COMMANDS = (
    "results",
    "results --by optimizer --score worst_case",
    "results --by optimizer",
    "findings",
    "chart effects",
    "chart interactions",
    "compare activation=relu activation=tanh",
)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    """9,940 scored trials of 140 variants, made up: sgd is better, sigmoid worse."""
    place = Home(tmp_path_factory.mktemp("findings") / "home")
    prepare(place)
    db = database.connect(place.database)
    document = tiny(name="grid", seeds=SEEDS, **GRID)
    del document["test_samples"]
    submitting.submit(db, plan_of(document, place.cache))
    (samples,) = db.execute("SELECT samples FROM study").fetchone()
    rows = db.execute(
        "SELECT st.trial_id, t.optimizer, t.activation FROM study_trial st JOIN trial t ON t.id = st.trial_id"
    ).fetchall()
    rng = np.random.default_rng(0)
    with database.transaction(db):
        for trial, optimizer, activation in rows:
            clean = 0.9 + 0.02 * rng.standard_normal() + 0.03 * (optimizer == "sgd") - 0.05 * (activation == "sigmoid")
            found = outcomes(rng, min(0.99, clean), IMAGES, [0.1, 0.2])
            image_outcomes.store(db, "grid", trial, found, bound=False)
            db.execute(
                "UPDATE study_trial SET state = 'done', trust = 'ok', trust_reasons = '[]' WHERE trial_id = ?", (trial,)
            )
            db.execute("INSERT INTO clean VALUES (?, ?, ?, 10, ?, 0.1, 0.2, x'00')", (trial, samples, IMAGES, clean))
            db.conn.executemany(
                "INSERT INTO score VALUES ('grid', ?, ?, ?, ?, ?, 0)",
                [(trial, one.name, one.value, one.low, one.high) for one in scores_of(found, bound=False)],
            )
            standing = [(eps, float(row.mean())) for eps, row in zip(found.eps, found.robust, strict=True)]
            db.conn.executemany(
                "INSERT INTO robustness VALUES ('grid', ?, 'linf', ?, ?, ?, 'ok', NULL)",
                [(trial, eps, share, share) for eps, share in standing],
            )
        variants = db.execute("SELECT DISTINCT variant_id FROM trial").fetchall()
        image_outcomes.refresh(db, "grid", [str(one) for (one,) in variants])
    db.conn.close()
    return place


def test_comparisons_of_ten_thousand_trials(home):
    innate, table = str(Path(sys.executable).parent / "innate"), []
    for command in COMMANDS:
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [innate, "--home", str(home.root), *command.split()], check=True, capture_output=True, env=os.environ
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        table.append([f"innate {command}", f"{time.perf_counter() - begun:.1f}", f"{spent:.1f}"])
    show(f"{SEEDS * 140:,} trials, {IMAGES:,} images", ["command", "s", "CPU s"], table)
    by_command = {row[0]: float(row[2]) for row in table}
    assert by_command["innate results"] < 2.0
    assert by_command["innate findings"] < 20.0
