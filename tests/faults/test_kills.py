"""Real processes of the real program, killed at random: nothing is lost, trained twice or left behind."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time

import psutil
import pytest
import tomli_w

from tests.conftest import tiny

STUDY = tiny(training={"epochs": 12, "batch_size": 16}, train_samples=800)


def start(home, study, *arguments):
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "app.main", "--home", str(home), "run", str(study), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process, code=0):
    out, err = process.communicate(timeout=240)
    assert process.returncode == code, err
    return out, err


def family(process):
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def all_gone(processes, seconds=10):
    _, left = psutil.wait_procs(processes, timeout=seconds)
    return [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def truth(home):
    """Everything that a kill must not change: weights, ledgers, scores."""
    db = sqlite3.connect(home / "innate.db")
    return [
        db.execute(sql).fetchall()
        for sql in (
            "SELECT trial_id, state, initial_digest, final_digest FROM v_trials ORDER BY study, trial_id",
            "SELECT e.trial_id, e.attack_id, e.state, l.eps, l.survived, c.bitmap FROM evaluation e JOIN ledger l "
            "ON l.evaluation_id = e.id JOIN ledger_content c ON c.evaluation_id = e.id AND c.position = l.position "
            "ORDER BY 1, 2, 4",
            "SELECT trial_id, epoch, loss, accuracy, lr FROM epoch ORDER BY 1, 2",
            "SELECT study, trial_id, name, value, low, high FROM score ORDER BY 1, 2, 3",
        )
    ]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "study.toml").write_text(tomli_w.dumps(STUDY))
    finish(start(folder / "home", folder / "study.toml", "--slots", "1"))
    return folder / "study.toml", truth(folder / "home")


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_at_random_the_same_command_ends_with_the_same_results(seed, undisturbed, tmp_path):
    study, expected = undisturbed
    rng = random.Random(seed)
    home = tmp_path / "home"
    seen, kills = [], []
    for _ in range(12):
        process = start(home, study)
        deadline = time.monotonic() + rng.uniform(2.5, 6.0)
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        members = family(process)
        seen += members
        target = rng.choice(["group", "worker", "child", "server"])
        kills.append(target)
        if process.poll() is not None:
            break
        if target == "worker" or not members:
            process.kill()
        elif target == "group":
            for member in [process, *members]:
                member.kill()
        elif target == "server":
            members[0].kill()  # the first of its descendants is the fork server
        else:
            members[-1].kill()
        if target in ("child", "server") and members:
            time.sleep(rng.uniform(0.0, 1.0))
            process.kill()
        process.communicate()
        assert all_gone(members) == [], f"something outlived its worker after {kills}"
    out, _ = finish(start(home, study))
    assert "tiny" in out
    assert truth(home) == expected
    assert all_gone(seen) == []


def test_ctrl_c_checkpoints_and_leaves_with_130_and_the_same_command_resumes(undisturbed, tmp_path):
    study, expected = undisturbed
    home = tmp_path / "home"
    for patience in (3.0, 4.5):
        process = start(home, study, "--slots", "2")
        time.sleep(patience)
        members = family(process)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the whole foreground group
        _, err = finish(process, 130)
        assert "the same command goes on" in err
        assert all_gone(members) == []
    db = sqlite3.connect(home / "innate.db")
    assert db.execute("SELECT count(*) FROM study_trial WHERE state = 'running'").fetchone()[0] == 0
    finish(start(home, study, "--slots", "2"))
    assert truth(home) == expected


def test_sigterm_is_a_clean_stop_too(undisturbed, tmp_path):
    study, _ = undisturbed
    process = start(tmp_path / "home", study)
    time.sleep(4)
    process.terminate()
    finish(process, 130)


def test_two_runs_of_overlapping_studies_share_trials_and_train_none_twice(undisturbed, tmp_path):
    study, expected = undisturbed
    other = tmp_path / "other.toml"
    other.write_text(tomli_w.dumps({**STUDY, "name": "other", "seeds": [1, 2]}))
    home = tmp_path / "home"
    first = start(home, study)
    second = start(home, other)
    third = start(home, study)
    finish(first)
    finish(third)
    _, err = finish(second)
    db = sqlite3.connect(home / "innate.db")
    finished = db.execute("SELECT trial_id, count(*) FROM attempt WHERE exit_kind = 'finished' GROUP BY 1").fetchall()
    trained = db.execute(
        "SELECT count(*) FROM (SELECT trial_id FROM attempt a JOIN epoch e USING (trial_id) WHERE a.number = 1 GROUP BY 1)"
    ).fetchone()[0]
    assert trained == len(finished) == 12, err
    # Only a trial whose first job was planned before the other study asked for it has a second, which trains nothing.
    assert db.execute("SELECT count(*) FROM epoch").fetchone()[0] == 12 * 12
    mine = [row for row in truth(home)[0] if row[0] in {old[0] for old in expected[0]}]
    assert {row[3] for row in mine} == {row[3] for row in expected[0]}
    assert {state for (state,) in db.execute("SELECT DISTINCT state FROM study_trial")} == {"done"}
