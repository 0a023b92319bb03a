"""The log of a trial: what is kept of its events, in which order it comes back, and what an older database still has of it."""

import json
import math
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from core.attacks import resolve
from core.events import (
    CleanEvaluated,
    EpochFinished,
    EvaluationFinished,
    Started,
    Trained,
)
from core.records.outcome import Ledger
from storage import database, journal, queue, recording, submitting, worker_state
from storage.journal import Line
from tests.conftest import plan_of, tiny
from tests.storage import stored

PGD = resolve("pgd", {"eps": [0.1, 0.2], "steps": 4}, "test")
FMN = resolve("fmn", {"norm": "linf"}, "test")


@pytest.fixture
def db(home):
    return database.connect(home.database)


def finished(attack, *ledgers, notes=()):
    return EvaluationFinished(attack, "s", None, ledgers, (), 1, 1, 0.5, 8, "fp32", notes)


def test_what_is_kept_of_an_event():
    half = np.arange(4) < 2
    measured = [
        Ledger(None, np.ones(4, bool), np.array(found, np.float32)) for found in ([1, 2, 2, 3], [1, np.inf] * 2)
    ]
    assert journal.entries(finished(PGD, Ledger(0.1, half), Ledger(0.2, ~half & half), notes=("halved",))) == [
        journal.AttackEnded("pgd", "linf", ((0.1, 0.5), (0.2, 0.0)), (), 0.5, ("halved",))
    ]
    assert journal.entries(finished(FMN, *measured)) == [journal.AttackEnded("fmn", "linf", (), (2.0, None), 0.5)]
    late = stored.epoch(3)
    assert journal.entries(Started({}, 1, None, (late,), ("a note",))) == [journal.Started(("a note",), 3)]
    assert journal.entries(Started({}, 1, None, (late,), to_train=False)) == [journal.Started()]
    assert journal.entries(EpochFinished(late, "it overfits")) == [
        journal.EpochEnded(3, late.loss, 0.5, None, 0.25), journal.Warned("it overfits")
    ]  # fmt: skip
    trained = Trained(Path("w"), None, "f", (late, late), 1)
    assert journal.entries(trained) == [journal.TrainingEnded(0.5)]
    assert journal.entries(Trained(Path("w"), None, "f", (late,), 1, earlier=True)) == []
    assert journal.entries(CleanEvaluated("s", None, half, half, half, 2)) == []


def test_it_comes_back_as_it_was_oldest_first_with_the_epochs_among_it(home, db, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    claim = queue.claim(db)
    kept = [
        (10.0, journal.Began("cuda:1", 3)),
        (11.0, journal.Started(("a note",), None)),
        (13.0, journal.Warned("it overfits")),
        (14.0, journal.TrainingEnded(0.5)),
        (15.0, journal.AttackEnded("fmn", "linf", (), (None,), 0.5)),
        (16.0, journal.Suspected(("zero gradients",))),
        (17.0, journal.AttackFailed("cw", "no memory", "Traceback")),
        (18.0, journal.Failed("loss is not finite", "Traceback")),
        (19.0, journal.Crashed("killed")),
        (20.0, journal.Stopped()),
        (21.0, journal.Finished()),
    ]
    lines = [Line(at, claim.trial_id, entry) for at, entry in kept]
    journal.append(db, [*lines, Line(10.5, "another", journal.Stopped())])
    db.execute("INSERT INTO event (at, kind, trial_id) VALUES (12.0, 'Unheard', ?)", (claim.trial_id,))
    recording.record_epochs(db, claim.trial_id, [stored.epoch(1), stored.epoch(2)], [12.0, 13.0])
    recording.record_trained(
        db,
        claim.attempt_id,
        Trained(stored.weights_file(home, claim), None, "f", (stored.epoch(1), stored.epoch(2)), 1),
        home,
    )
    epochs = [
        Line(at, claim.trial_id, journal.EpochEnded(n, 1 / n, 0.5, None, 0.25)) for at, n in ((12.0, 1), (13.0, 2))
    ]
    assert journal.lines_of(db, claim.trial_id) == [*lines[:2], *epochs, *lines[2:]]


def test_a_log_of_before_schema_5_says_what_the_tables_still_know(tmp_path):
    path = tmp_path / "innate.db"
    old = sqlite3.connect(path)
    old.executescript((Path(__file__).parent / "schemas" / "v4.sql").read_text())
    (trial,) = old.execute("SELECT id FROM trial LIMIT 1").fetchone()
    (pgd,) = old.execute("SELECT id FROM attack WHERE name = 'pgd'").fetchone()
    robust = old.execute(
        "SELECT l.eps, l.robust_accuracy FROM ledger l JOIN evaluation e ON e.id = l.evaluation_id "
        "WHERE e.trial_id = ? AND e.attack_id = ? ORDER BY l.position", (trial, pgd),
    ).fetchall()  # fmt: skip
    told = [
        ("Started", {"notes": "a note"}), ("Trained", {}), ("CleanEvaluated", {}), ("EvaluationFinished", {"attack": pgd}),
        ("EvaluationFinished", {"attack": "gone"}), ("Diagnosed", {}),
        ("EvaluationFailed", {"attack": pgd, "reason": "no memory"}), ("TrialFailed", {"reason": "NaN"}),
        ("Crashed", {"reason": "killed"}), ("Trained", {}), ("Stopped", {}), ("Finished", {}),
    ]  # fmt: skip
    for at, (kind, content) in enumerate(told):
        old.execute(
            "INSERT INTO event (at, kind, trial_id, content) VALUES (?, ?, ?, ?)",
            (at, kind, trial, json.dumps(content)),
        )
    old.commit()
    old.close()
    lines = journal.lines_of(database.connect(path), trial)
    assert [line.entry for line in lines] == [
        journal.Started(("a note",)),
        journal.TrainingEnded(0.5),
        journal.AttackEnded("pgd", "linf", lines[2].entry.robust, (), 0.5),
        journal.AttackFailed("pgd", "no memory"),
        journal.Failed("NaN"),
        journal.Crashed("killed"),
        journal.Stopped(),
        journal.Finished(),
    ]
    np.testing.assert_allclose(lines[2].entry.robust, robust)


@pytest.mark.parametrize(
    "phase",
    [
        worker_state.LoadingPhase(),
        worker_state.TrainingPhase(2, 5, 0.123, 0.971),
        worker_state.TrainedPhase(),
        worker_state.AttackPhase("a" * 64, "pgd", 0.1, 12, 60),
        worker_state.AttackPhase("a" * 64, "cw", None, 12, 60),
    ],
)
def test_a_running_trial_is_read_as_it_was_told(db, home, cache, phase):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    (trial,) = db.execute("SELECT id FROM trial LIMIT 1").fetchone()
    row = worker_state.RunningRow(trial, 1, "cuda:0", 42, phase, 0.5, 1234.5, 1 << 30, 3.5, 100.0, 200.0)
    slots = (
        worker_state.SlotRow(0, "cuda:0", 1, None, "cuda:0 is full"),
        worker_state.SlotRow(1, "cuda:0", 1, trial, None),
    )
    worker = worker_state.WorkerState("worker", 1.0, "working", None, "tiny", slots, 3)
    worker_state.beat(db, worker, [row])
    assert worker_state.running_rows(db) == {trial: row}
    assert worker_state.last_heartbeat(db).worker == worker


def test_a_loss_that_is_no_number_is_told_as_that(db, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    (trial,) = db.execute("SELECT id FROM trial LIMIT 1").fetchone()
    for loss in (math.nan, math.inf):
        phase = worker_state.TrainingPhase(1, 2, loss, math.nan)
        row = worker_state.RunningRow(trial, 0, "cpu", None, phase, None, None, None, None, 1.0, 1.0)
        worker_state.beat(db, worker_state.WorkerState("worker", 1.0, "working", None, None, (), 0), [row])
        assert str(worker_state.running_rows(db)[trial].phase.loss) == str(loss)


def test_an_entry_that_is_not_understood_costs_no_other(home, db, cache):
    plan = plan_of(tiny(seeds=1), cache)
    submitting.submit(db, plan)
    trial = plan.trials[0].id
    rows = [(1.0, "Crashed", trial, '{"why": "another version"}'), (2.0, "Crashed", trial, '{"reason": "killed"}')]
    db.conn.executemany("INSERT INTO event (at, kind, trial_id, content) VALUES (?, ?, ?, ?)", rows)
    assert journal.lines_of(db, trial) == [Line(2.0, trial, journal.Crashed("killed"))]
