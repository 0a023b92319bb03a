"""Killed at random, by kill -9, Ctrl-C or SIGTERM: nothing is lost, trained twice or left behind."""

import os
import random
import signal
import sqlite3
import time

import psutil
import pytest

from tests.conftest import copy_home, thorough
from tests.faults.machinery import STUDY, Lab, all_gone

KILLS = int(os.environ.get("INNATE_KILLS", "24"))
"""`make faults` does 200."""
KILLED = {**STUDY, "seeds": max(2, KILLS // 5)}


def family(process):
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def at_work(lab, process):
    """Once it has a fork server, so that its own signal handlers stand: xdist's workers hand down an ignored Ctrl-C."""
    lab.until(lambda: family(process), what="a fork server")
    return process


def begun(lab, process):
    """Once its fork server has a child, or there was nothing left to do."""
    lab.until(lambda: process.poll() is not None or len(family(process)) > 1, what="a child")


def finish(process, code=0):
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    return out, err


@pytest.fixture
def calm(undisturbed_home, tmp_path):
    """What the study that is killed comes to when nobody disturbs it; what others have run of it is not run again."""
    calm = Lab(tmp_path / "calm")
    copy_home(undisturbed_home, calm.home)
    calm.innate("run", calm.study(KILLED), timeout=600)
    return calm.truth()


def test_child_server_and_worker_killed_at_random_every_trial_is_done_once_with_the_same_results(lab, calm):
    rng = random.Random(20)
    counts = {"child": 0, "server": 0, "worker": 0}
    lab.innate("run", lab.study(KILLED), "--detach", "--slots", "1")
    worker = lab.worker()
    deadline = time.monotonic() + 12 * KILLS + 120
    while sum(counts.values()) < KILLS and time.monotonic() < deadline:
        time.sleep(rng.uniform(0.05, 1.2))
        if worker is None or not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE:
            worker = lab.start()
        if not lab.query("SELECT 1 FROM study_trial WHERE state IN ('queued', 'running') LIMIT 1"):
            break  # all done: more kills would hit nothing
        target = rng.choice(sorted(counts))
        # On a busy machine no epoch may end between kills, and a trial is given up whose child crashes five times in a row:
        # rightly, so it is not to come to that here.
        if target == "child" and lab.query("SELECT max(crashes) FROM trial") >= [(3,)]:
            target = "server"
        find = {"worker": lab.itself, "server": lab.server_of, "child": lab.child_of}[target]
        patience = time.monotonic() + (15 if target == "child" else 0)  # a new server takes seconds to import torch
        while (victim := find(worker)) is None and time.monotonic() < patience:
            time.sleep(0.02)
        if victim is None:
            continue
        if target == "child":
            time.sleep(rng.uniform(0.0, 1.0))
        members = lab.family(worker)
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue
        counts[target] += 1
        if target == "worker":
            worker.wait(10)
            assert all_gone(members) == [], f"something outlived its worker after {counts}"
            worker = None
    lab.innate("worker", "start", "--slots", "1")
    lab.innate("wait", timeout=600)
    print(f"killed: {counts}, {12 * KILLED['seeds'] // 3} trials")
    assert lab.truth() == calm
    assert sum(counts.values()) >= min(KILLS, 12), counts
    done = lab.query("SELECT trial_id FROM attempt WHERE exit_kind = 'finished' GROUP BY 1 HAVING count(*) > 1")
    assert done == [], "a trial came to its end twice"
    lab.asked("worker", "stop")
    assert all_gone(lab.seen) == []


@pytest.mark.parametrize("seed", thorough([1, 2], usually=[1]))
def test_a_foreground_run_killed_at_random_goes_on_with_the_same_command(seed, lab, undisturbed):
    rng = random.Random(seed)
    study = lab.study(STUDY)
    seen = []
    for number in range(12):
        process = lab.popen("run", study)
        if number % 3:  # else in the midst of starting
            begun(lab, process)
        deadline = time.monotonic() + rng.uniform(0.0, 3.0)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        members = family(process)
        seen += members
        if process.poll() is not None:
            break
        for member in [process, *(members if rng.random() < 0.5 else [])]:
            member.kill()
        process.communicate()
        assert all_gone(members) == [], "something outlived its worker"
    out, _ = finish(lab.popen("run", study))
    assert "tiny" in out
    assert lab.truth() == undisturbed
    assert all_gone(seen) == []


def test_ctrl_c_checkpoints_and_leaves_with_130_and_the_same_command_resumes(lab, undisturbed):
    study = lab.study(STUDY)
    for patience in thorough((0.0, 1.5), usually=(0.7,)):
        process = at_work(lab, lab.popen("run", study, "--slots", "2"))
        lab.until(lab.progress, what="progress")
        time.sleep(patience)
        members = family(process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the whole foreground group
        _, err = finish(process, 130)
        assert "the same command goes on" in err
        assert all_gone(members) == []
    assert lab.query("SELECT count(*) FROM study_trial WHERE state = 'running'") == [(0,)]
    finish(lab.popen("run", study, "--slots", "2"))
    assert lab.truth() == undisturbed


def test_sigterm_is_a_clean_stop_of_a_foreground_run_too(lab):
    process = at_work(lab, lab.popen("run", lab.study(STUDY)))
    lab.until(lab.progress, what="progress")
    process.terminate()
    finish(process, 130)


def test_two_runs_of_overlapping_studies_share_trials_and_train_none_twice(lab, undisturbed):
    study, other = lab.study(STUDY), lab.study({**STUDY, "name": "other", "seeds": [1, 2]})
    first, second, third = (lab.popen("run", path) for path in (study, other, study))
    finish(first)
    finish(third)
    _, err = finish(second)
    db = sqlite3.connect(lab.home / "innate.db")
    finished = db.execute("SELECT trial_id, count(*) FROM attempt WHERE exit_kind = 'finished' GROUP BY 1").fetchall()
    trained = db.execute(
        "SELECT count(*) FROM (SELECT trial_id FROM attempt a JOIN epoch e USING (trial_id) WHERE a.number = 1 GROUP BY 1)"
    ).fetchone()[0]
    assert trained == len(finished) == 12, err
    # Only a trial whose first job was planned before the other study asked for it has a second, which trains nothing.
    assert db.execute("SELECT count(*) FROM epoch").fetchone()[0] == 12 * 12
    mine = [row for row in lab.truth()[0] if row[0] in {old[0] for old in undisturbed[0]}]
    assert {row[3] for row in mine} == {row[3] for row in undisturbed[0]}
    assert {state for (state,) in db.execute("SELECT DISTINCT state FROM study_trial")} == {"done"}
