"""The detached worker under faults that no operating system spares it, each with real processes."""

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from app.worker.recorder import FLUSH_SECONDS
from storage.database import BUSY_SECONDS
from storage.schema import SCHEMA_VERSION
from tests.faults.machinery import LONG, MEDIUM, STUDY, all_gone

SHORT = {**STUDY, "name": "short", "seeds": 1}


def training(lab):
    return lambda: any(phase == "training" for phase, _ in lab.progress())


def detached(lab, document=LONG):
    """A worker in the midst of training."""
    lab.innate("run", lab.study(document), "--detach", "--slots", "1")
    lab.until(training(lab), what="training begins")
    return lab.worker()


def test_detach_wait_results_and_nothing_is_left_after_stop(lab):
    out, err = lab.innate("run", lab.study(SHORT), "--detach", "--slots", "1", "--json")
    assert lab.query("SELECT 1 FROM study_trial WHERE state != 'done'"), "it waits for none of them"
    assert '"new": 4' in out
    assert "worker started" in err
    worker = lab.worker()
    assert os.getsid(worker.pid) == worker.pid, "a session of its own"
    (waited,) = lab.rows("wait")["wait"]
    assert (waited["done"], waited["failed"]) == (4, 0)
    family = lab.family(worker)
    assert "done" in lab.asked("worker", "logs", "-n", "5")[0]
    _, err = lab.innate("worker", "start")
    assert f"already (pid {worker.pid})" in err
    lab.asked("worker", "stop")
    assert all_gone([worker, *family]) == []
    assert lab.query("SELECT count(*) FROM worker") == [(0,)]
    assert "no worker" in lab.asked("worker", "stop", code=4)[1]


def test_two_workers_started_at_once_are_one(lab):
    lab.asked("trials")
    starts = [lab.popen("worker", "start", "--slots", "1") for _ in range(4)]
    told = [process.communicate(timeout=120)[1] for process in starts]
    assert [process.returncode for process in starts] == [0] * 4
    assert sum("worker started" in text for text in told) == 1, told
    assert sum("running already" in text for text in told) == 3, told
    homes = [p for p in psutil.process_iter(["cmdline"]) if str(lab.home) in (p.info["cmdline"] or [])]
    assert len(homes) == 1


def test_pause_hands_back_and_ends_the_children_and_resume_goes_on(lab):
    worker = detached(lab)
    assert lab.child_of(worker) is not None
    lab.asked("worker", "pause", "--reason", "the GPU is needed")
    lab.until(lambda: lab.child_of(worker) is None, what="the child ends, and its device memory with it")
    (row,) = lab.rows("worker", "status")["worker"]
    assert (row["state"], row["reason"]) == ("paused", "the GPU is needed")
    rows = lab.rows("status")["status"]
    assert {row["state"] for row in rows} == {"queued"}
    assert all("the GPU is needed" in row["waits_for"] for row in rows)
    (before,) = lab.query("SELECT max(epoch) FROM epoch")[0]
    assert before >= 1
    lab.asked("worker", "resume")
    lab.until(training(lab))
    assert lab.query("SELECT max(number) FROM attempt WHERE trial_id IN (SELECT trial_id FROM epoch)")[0][0] == 2
    assert "resumed after epoch" in lab.log()


def test_a_pause_outlives_the_worker(lab):
    worker = detached(lab)
    lab.asked("worker", "pause")
    lab.asked("worker", "stop")
    _, err = lab.innate("worker", "start", "--slots", "1")
    assert "paused" in err
    time.sleep(1)
    assert lab.child_of(lab.worker()) is None
    assert worker.pid != lab.worker().pid


def test_drain_finishes_what_runs_and_ends(lab):
    worker = detached(lab, MEDIUM)
    lab.asked("worker", "drain")
    worker.wait(180)
    states = dict(lab.query("SELECT state, count(*) FROM study_trial GROUP BY 1"))
    assert states["done"] >= 1
    assert states["queued"] >= 1
    assert "running" not in states


def test_cancel_stops_what_runs_and_priority_decides_what_is_next(lab):
    detached(lab)
    rows = lab.rows("status")["status"]
    running = next(row for row in rows if row["state"] == "running")
    last = [row for row in rows if row["state"] == "queued"][-1]
    lab.asked("priority", last["trial_id"], "7")
    lab.asked("cancel", running["trial_id"][:10])
    lab.until(lambda: lab.query("SELECT 1 FROM study_trial WHERE state = 'running' AND trial_id = ?", last["trial_id"]))
    assert lab.query("SELECT state FROM study_trial WHERE trial_id = ?", running["trial_id"]) == [("cancelled",)]
    assert lab.query("SELECT exit_kind FROM attempt WHERE trial_id = ?", running["trial_id"]) == [("stopped",)]
    lab.asked("cancel", "--study", "long")
    lab.until(lambda: not lab.query("SELECT 1 FROM attempt WHERE ended_at IS NULL"))
    assert lab.query("SELECT DISTINCT state FROM study_trial") == [("cancelled",)]
    lab.innate("wait")
    assert "1 trial" in lab.asked("retry", running["trial_id"])[1]
    lab.until(lambda: lab.query("SELECT 1 FROM study_trial WHERE state = 'running'"))
    assert "no worker" not in lab.asked("status")[0]


def test_the_end_of_the_terminal_is_survived(lab):
    worker = detached(lab)
    worker.send_signal(signal.SIGHUP)
    lab.server_of(worker).send_signal(signal.SIGHUP)
    lab.child_of(worker).send_signal(signal.SIGHUP)
    before = lab.progress()
    lab.until(lambda: lab.progress() and lab.progress() != before, what="progress after SIGHUP")
    assert worker.is_running()
    assert lab.query("SELECT count(*) FROM attempt") == [(1,)]


@pytest.mark.parametrize("phase", ["training", "attack"])
def test_sigterm_in_the_middle_of_an_epoch_or_an_attack_is_a_clean_stop(phase, lab, undisturbed):
    attacks = [{"name": "fgsm", "eps": [0.1, 0.2]}, {"name": "pgd", "eps": [0.1, 0.2], "steps": 4}]
    short = {**SHORT, "optimizers": STUDY["optimizers"][:1], "activations": ["relu"]}
    long_attack = {**short, "attacks": [*attacks, {"name": "pgd", "eps": [0.02], "steps": 100_000, "alpha": 1e-5}]}
    document = LONG if phase == "training" else long_attack
    lab.innate("run", lab.study(document), "--detach", "--slots", "1")
    lab.until(training(lab) if phase == "training"
              else lambda: lab.query("SELECT 1 FROM progress WHERE attack = 'pgd' AND eps = 0.02"))  # fmt: skip
    worker = lab.worker()
    family = lab.family(worker)
    worker.terminate()
    worker.wait(90)
    assert all_gone(family) == []
    assert lab.query("SELECT exit_kind FROM attempt ORDER BY id DESC LIMIT 1") == [("stopped",)]
    assert lab.query("SELECT count(*) FROM study_trial WHERE state = 'running'") == [(0,)]
    if phase == "attack":
        lab.innate("run", lab.study(short), "--slots", "1")
        (digest,) = {row[3] for row in lab.truth()[0]}
        assert digest in {row[3] for row in undisturbed[0]}


def test_stop_now_kills_even_what_does_not_answer(lab):
    worker = detached(lab)
    family = lab.family(worker)
    worker.suspend()
    lab.asked("worker", "stop", "--now")
    assert all_gone([worker, *family]) == []


def test_a_worker_that_is_stopped_for_a_while_goes_on(lab):
    worker = detached(lab)
    worker.suspend()
    before = lab.query("SELECT max(epoch) FROM epoch")
    time.sleep(3)
    worker.resume()
    lab.until(lambda: lab.query("SELECT max(epoch) FROM epoch") > before)
    assert lab.query("SELECT count(*) FROM attempt") == [(1,)]


def test_a_child_that_hangs_is_shown_as_stalled_and_can_be_cancelled(lab):
    worker = detached(lab)
    child = lab.child_of(worker)
    child.suspend()
    stalled = lambda: [r for r in lab.rows("status", "--stalled-after", "1.5")["status"] if r["stalled"]]  # noqa: E731
    (row,) = lab.until(stalled, what="stalled")
    assert row["pid"] == child.pid
    assert "STALLED" in lab.asked("status", "--stalled-after", "1.5")[0]
    (beat,) = lab.rows("worker", "status")["worker"]
    assert beat["state"] == "working", "the worker itself is well"
    child.resume()
    lab.until(lambda: not stalled())


def test_a_child_that_segfaults_every_time_fails_its_trial_with_the_reason(lab):
    document = {**LONG, "optimizers": ["adam"], "activations": ["relu"], "train_samples": 900,
                "training": {"epochs": 3, "batch_size": 1}}  # fmt: skip
    lab.innate("run", lab.study(document), "--detach", "--slots", "1")
    worker = lab.worker()
    hit = set()

    def failed():
        child = lab.child_of(worker)
        if child is not None and child.pid not in hit:
            hit.add(child.pid)
            child.send_signal(signal.SIGSEGV)
        return lab.query("SELECT reason FROM study_trial WHERE state = 'failed'")

    ((reason,),) = lab.until(failed)
    assert "SIGSEGV, 5 times in a row" in reason
    assert len(hit) == 5
    assert "SIGSEGV" in lab.asked("status")[0]
    lab.innate("wait", code=1)
    trial = lab.query("SELECT trial_id FROM study_trial")[0][0]
    assert "SIGSEGV" in lab.asked("show", trial)[0]


def test_a_child_that_is_killed_for_its_memory_is_tried_again(lab, medium_digests):
    worker = detached(lab, MEDIUM)
    lab.child_of(worker).kill()  # what the kernel does to it
    lab.innate("wait")
    assert "out of memory, if nobody sent it" in lab.query(
        "SELECT reason FROM attempt WHERE exit_kind = 'crashed'")[0][0]  # fmt: skip
    assert {row[3] for row in lab.truth()[0]} == medium_digests


def test_a_model_that_no_memory_holds_fails_in_a_line_and_is_not_tried_again(lab):
    greedy = {**SHORT, "architectures": [{"name": "mlp", "hidden": [60000, 60000]}], "optimizers": ["sgd"],
              "activations": ["relu"]}  # fmt: skip
    command = "ulimit -v 6000000; exec " + " ".join(
        [sys.executable, "-P", "-m", "app.main", "--home", str(lab.home), "run", lab.study(greedy), "--slots", "1"]
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1, done.stderr
    ((reason, attempts),) = lab.query("SELECT reason, attempts FROM v_trials")
    assert "memory" in reason
    assert "\n" not in reason
    assert attempts == 1


def test_a_database_that_an_outsider_keeps_locked_is_waited_for(lab, medium_digests):
    worker = detached(lab, MEDIUM)
    outsider = sqlite3.connect(lab.home / "innate.db", isolation_level=None)
    outsider.execute("BEGIN IMMEDIATE")
    time.sleep(BUSY_SECONDS + 4 * FLUSH_SECONDS)  # what the worker writes meanwhile gives up waiting
    assert worker.is_running()
    outsider.execute("ROLLBACK")
    outsider.close()
    lab.innate("wait")
    assert lab.query("SELECT count(*) FROM attempt") == [(2,)], "nothing was tried twice"
    assert {row[3] for row in lab.truth()[0]} == medium_digests


def test_a_home_deleted_under_the_worker_ends_it_and_is_not_raised_again(lab):
    worker = detached(lab)
    family = lab.family(worker)
    deadline = time.monotonic() + 60
    while lab.home.exists():  # as `rm -r` does, this stumbles over a checkpoint that is written meanwhile
        assert time.monotonic() < deadline, "the worker fills the home again and again"
        shutil.rmtree(lab.home, ignore_errors=True)
    worker.wait(90)
    assert all_gone(family) == []
    assert not lab.home.exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 130 MB, as far as this machine lets us have one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=130m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("no right to mount a small tmpfs: a full disk was not tried")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def fill(place, leave=0):
    """Take all of a disk but `leave` bytes."""
    ballast = place / "ballast"
    with ballast.open("wb") as file:
        try:
            while shutil.disk_usage(place).free > leave:
                file.write(b"\0" * min(1 << 16, max(1, shutil.disk_usage(place).free - leave)))
                file.flush()
        except OSError:
            pass
    return ballast


def test_a_disk_that_fills_up_pauses_the_queue_and_loses_nothing(lab, small_disk, medium_digests):
    lab.home = small_disk / "home"
    worker = detached(lab, MEDIUM)
    ballast = fill(small_disk)
    time.sleep(6)  # checkpoints and ledgers fail meanwhile
    assert worker.is_running()
    rows = lab.rows("status")
    assert rows["worker"][0]["alive"]
    ballast.unlink()
    lab.innate("wait")
    assert {row[3] for row in lab.truth()[0]} == medium_digests
    assert lab.query("SELECT count(*) FROM study_trial WHERE state = 'done'") == [(2,)]
    lab.asked("worker", "stop")
    lab.home = lab.folder / "home"


def test_a_migration_on_a_full_disk_leaves_the_old_file_and_works_once_there_is_room(lab, small_disk):
    path = small_disk / "innate.db"
    old = sqlite3.connect(path)
    old.executescript((Path(__file__).parent.parent / "storage" / "schemas" / "v1.sql").read_text())
    old.close()
    before = path.read_bytes()
    lab.home = small_disk
    ballast = fill(small_disk)
    _, err = lab.asked("studies", code=2)
    assert "disk is full" in err
    assert len(err.strip().splitlines()) == 1
    assert path.read_bytes() == before
    ballast.unlink()
    assert "tiny" in lab.asked("studies")[0]
    assert lab.query("PRAGMA user_version") == [(SCHEMA_VERSION,)]
    lab.home = lab.folder / "home"


def test_low_space_keeps_trials_waiting_with_the_reason(lab, small_disk):
    lab.home = small_disk / "home"
    lab.innate("worker", "start", "--slots", "1")
    ballast = fill(small_disk, leave=40 << 20)
    lab.innate("run", lab.study(SHORT), code=2)  # nothing is queued on a disk like that …
    ballast.unlink()
    lab.asked("worker", "pause")
    lab.innate("run", lab.study(SHORT), "--detach")
    ballast = fill(small_disk, leave=40 << 20)
    lab.asked("worker", "resume")
    waits = lambda: [r["waits_for"] for r in lab.rows("status")["status"]]  # noqa: E731
    lab.until(lambda: all("MiB of disk are free" in (text or "") for text in waits()))
    ballast.unlink()
    lab.innate("wait")
    lab.asked("worker", "stop")
    lab.home = lab.folder / "home"


def test_fifty_readers_hinder_no_worker(lab, undisturbed):
    lab.innate("run", lab.study(SHORT), "--detach", "--slots", "1")
    stop, errors, reads = threading.Event(), [], [0]

    def read():
        connection = sqlite3.connect(f"file:{lab.home / 'innate.db'}?mode=ro", uri=True, timeout=30)
        while not stop.is_set():
            try:
                connection.execute("PRAGMA data_version").fetchone()
                connection.execute("SELECT count(*), max(clean_accuracy) FROM v_trials").fetchone()
                connection.execute("SELECT * FROM progress").fetchall()
                reads[0] += 1
            except sqlite3.Error as error:
                errors.append(error)
            time.sleep(0.05)

    readers = [threading.Thread(target=read) for _ in range(50)]
    for reader in readers:
        reader.start()
    try:
        lab.innate("wait")
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert errors == []
    assert reads[0] > 50
    assert lab.query("SELECT count(*) FROM attempt") == [(4,)]
    assert {row[3] for row in lab.truth()[0]} <= {row[3] for row in undisturbed[0]}


def test_a_foreground_run_beside_a_worker_follows_and_ctrl_c_stops_only_the_following(lab):
    worker = detached(lab, {**MEDIUM, "seeds": 3})
    follower = lab.popen("run", lab.study({**MEDIUM, "seeds": 3}))
    told = any(f"another worker (pid {worker.pid})" in line for line in iter(follower.stderr.readline, ""))
    assert told, "a busy machine takes its time to say so"
    os.killpg(follower.pid, signal.SIGINT)
    follower.communicate(timeout=90)
    assert follower.returncode == 130
    assert worker.is_running()
    out, _ = lab.innate("run", lab.study({**MEDIUM, "seeds": 3}))
    assert "medium" in out
    assert lab.worker().pid == worker.pid


def test_a_worker_asked_for_beside_a_foreground_run_takes_over_when_that_ends(lab):
    run = lab.popen("run", lab.study(LONG), "--slots", "1")
    lab.until(training(lab))
    assert "owns" in lab.innate("worker", "start", code=4)[1]
    _, err = lab.innate("run", lab.study(SHORT), "--detach", "--slots", "1")
    assert "takes over when it ends" in err
    lab.innate("run", lab.study(SHORT), "--detach", "--slots", "1")
    waiting = [p for p in psutil.process_iter(["cmdline"]) if "app.worker.daemon" in (p.info["cmdline"] or [])
               and str(lab.home) in p.info["cmdline"]]  # fmt: skip
    assert len(waiting) == 1
    assert any("works on long only" in (row["waits_for"] or "") for row in lab.rows("status")["status"])
    os.killpg(run.pid, signal.SIGINT)
    run.communicate(timeout=120)
    lab.until(lambda: lab.worker() is not None and lab.worker().pid == waiting[0].pid)
    lab.asked("cancel", "--study", "long")
    lab.innate("wait", "--study", "short")


def test_a_killed_worker_leaves_rows_that_status_explains_and_delete_can_remove(lab):
    worker = detached(lab)
    worker.kill()
    worker.wait(10)
    rows = lab.rows("status")["status"]
    assert {row["state"] for row in rows} == {"queued"}
    assert any("its worker has ended" in row["waits_for"] for row in rows)
    assert "no worker is running" in lab.innate("wait", code=4)[1]
    lab.asked("delete", "--study", "long", "--yes")
    assert lab.query("SELECT count(*) FROM trial") == [(0,)]
