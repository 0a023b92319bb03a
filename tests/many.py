"""A home with ten thousand trials of every state, as a year of work leaves it: filled by SQL, nothing is trained."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from core.study.plan import make_plan
from core.study.resolve import parse_study
from core.verdict.scoring import scores_of
from core.verdict.scoring.outcomes import Outcomes, UnderAttack
from storage import database, image_outcomes, submitting
from storage.home import Home, prepare
from tests.conftest import tiny

TRIALS = 10_000
SCORES = ("clean_accuracy", "worst_case", "retention", "curve_area", "innate")


def fill(home: Home, *, done: int = 9_000, failed: int = 100, **changes: Any) -> None:
    """`done` trials with scores and two attacks each at two ε, `failed` ones with a reason, the rest queued; `changes` are made
    to the study's document."""
    prepare(home)
    db = database.connect(home.database)
    document = tiny(name="big", **{"seeds": TRIALS // 4, **changes})
    plan = make_plan(parse_study(document, "test", Path("/")), home.cache / "no-data", home.cache, large=True)
    submitting.submit(db, plan)
    rng, bits = random.Random(1), np.random.default_rng(1)
    (samples,) = db.execute("SELECT samples FROM study").fetchone()
    attacks = [
        (attack, json.loads(spec)["eps"]) for attack, spec in db.execute("SELECT id, spec FROM attack").fetchall()
    ]
    trials = [str(row[0]) for row in db.execute("SELECT trial_id FROM study_trial ORDER BY position")]
    evaluation = 0
    with database.transaction(db):
        for trial in trials[:done]:
            clean = rng.uniform(0.1, 0.99)
            verdict = "invalid" if clean < 0.15 else "suspect" if clean > 0.95 else "ok"
            reasons = [] if verdict == "ok" else [f"made up, to be {verdict}"]
            db.execute(
                "UPDATE study_trial SET state = 'done', trust = ?, trust_reasons = ? WHERE trial_id = ?",
                (verdict, json.dumps(reasons), trial),
            )
            db.execute("UPDATE trial SET train_seconds = ?, weights = 'x' WHERE id = ?", (rng.uniform(1, 100), trial))
            db.execute("INSERT INTO clean VALUES (?, ?, 60, 10, ?, 0.1, 0.2, x'00')", (trial, samples, clean))
            for name in SCORES:
                scale = 100 if name == "innate" else 1
                value = scale * clean * (1 if name == "clean_accuracy" else rng.random())
                db.execute(
                    "INSERT INTO score VALUES ('big', ?, ?, ?, ?, ?, 0)", (trial, name, value, 0.9 * value, value)
                )
            db.conn.executemany(
                "INSERT INTO epoch (trial_id, epoch, loss, accuracy, lr, seconds) VALUES (?, ?, ?, ?, 0.01, 1.0)",
                [(trial, epoch, 1.0 / epoch, 1 - 0.5 / epoch) for epoch in (1, 2, 3)],
            )
            for attack, radii in attacks:
                evaluation += 1
                db.execute(
                    "INSERT INTO evaluation (id, trial_id, attack_id, samples, state, trust, trust_reasons, count, "
                    "forward_passes, backward_passes, seconds, crafting, notes, finished_at) "
                    "VALUES (?, ?, ?, ?, 'done', 'ok', '[]', 60, 100, 50, 0.5, 'fp32', '[]', 0)",
                    (evaluation, trial, attack, samples),
                )
                db.conn.executemany(
                    "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, NULL)",
                    [(evaluation, n, eps, 30, clean * 0.5 ** (n + 1)) for n, eps in enumerate(radii)],
                )
            found = outcomes(bits, clean, 60, [0.1, 0.2])
            image_outcomes.store(db, "big", trial, found, bound=True)
            db.conn.executemany(
                "INSERT INTO robustness VALUES ('big', ?, 'linf', ?, ?, ?, ?, NULL)",
                [
                    (trial, eps, share, share, verdict)
                    for eps, share in zip(found.eps, found.robust.mean(axis=1).tolist(), strict=True)
                ],
            )
        variants = [str(row[0]) for row in db.execute("SELECT DISTINCT variant_id FROM trial").fetchall()]
        image_outcomes.refresh(db, "big", variants)
        for trial in trials[done : done + failed]:
            db.execute(
                "UPDATE study_trial SET state = 'failed', reason = 'the loss became NaN or infinite in epoch 1' "
                "WHERE trial_id = ?",
                (trial,),
            )
    db.conn.close()


def multiply(home: Home, times: int) -> None:
    """As many trials `times` over, each copy of the study with another network: for tables that look into no ledger."""
    db = database.connect(home.database)
    (count,) = db.execute("SELECT count(*) FROM study_trial").fetchone()
    other = {
        **{name: f"substr({name}, 1, 58) || printf('%06d', n)" for name in ("id", "trial_id", "variant_id")},
        "architecture_options": "json_object('hidden', json_array(n))",
        "position": f"position + n * {count}",
    }
    with database.transaction(db):
        for table in ("trial", "study_trial", "clean", "score", "robustness"):
            names = [str(row[1]) for row in db.execute(f"PRAGMA table_info({table})").fetchall()]
            db.execute(
                "WITH RECURSIVE copy(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM copy WHERE n < ?) "
                f"INSERT INTO {table} ({', '.join(names)}) "
                f"SELECT {', '.join(other.get(name, name) for name in names)} FROM {table}, copy",
                [times - 1],
            )
    db.conn.close()


def agree(home: Home) -> None:
    """Make the scores those of the made-up outcomes, which they are not: some tables show both."""
    db = database.connect(home.database)
    with database.transaction(db):
        for one in list(image_outcomes.stored(db, "big")):
            db.conn.executemany(
                "UPDATE score SET value = ?, low = ?, high = ? WHERE study = 'big' AND trial_id = ? AND name = ?",
                [
                    (score.value, score.low, score.high, one.trial_id, score.name)
                    for score in scores_of(one.found, bound=False)
                ],
            )
            db.execute(
                "UPDATE clean SET accuracy = ? WHERE trial_id = ?", (float(one.found.clean.mean()), one.trial_id)
            )
    db.conn.close()


def outcomes(rng: np.random.Generator, clean: float, images: int, eps: Sequence[float]) -> Outcomes:
    """Of a made-up model: so many of its images stand on clean pixels, and ever fewer at each ε."""
    standing = rng.random(images) < clean
    rows, robust = standing, []
    for _ in eps:
        rows = rows & (rng.random(images) < 0.6)
        robust.append(rows)
    alone = UnderAttack("a" * 64, "pgd", "linf", eps[0], robust[0])
    return Outcomes(10, bool(clean < 0.15), tuple(eps), standing, np.array(robust), robust[0], (alone,))
