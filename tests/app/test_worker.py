"""The worker's loop in this process, with trials that run inline, and the small decisions around it."""

import itertools
import os
import shutil
import sqlite3
import time

import pytest

from app.report.status import unfinished, worker_view
from app.worker import conditions, daemon, foreground, login, loop, owner, retention
from app.worker.changes import perform
from app.worker.loop import Stop, Worker
from app.worker.pulse import Pulse
from core.attacks import resolve
from core.errors import BadInput, Unavailable
from core.events import (
    AttackProgress,
    Crashed,
    EpochFinished,
    EpochRecord,
    Finished,
    Started,
    TrainingProgress,
    TrialFailed,
)
from core.executors.inline import InlineExecutor
from core.executors.protocol import Slot
from core.jobs.trial import run_trial
from storage import commands, database, queries, queue, studies, submitting, worker_state
from storage.changes import Drain, Draining, Pause, Sweep
from storage.home import Home
from storage.one_file import OpenedFile, checkpoint
from tests.conftest import answered, plan_of, tiny
from tests.storage import stored


class Audience:
    """Of a follower."""

    def following(self, pid, running):
        pass

    def tick(self):
        pass


class Silent:
    def __init__(self):
        self.notes, self.events = [], []

    def began(self, trial, slot_number, slot):
        pass

    def happened(self, trial, event):
        self.events.append(event)

    def noted(self, text):
        self.notes.append(text)

    def tick(self):
        pass


@pytest.fixture
def db(home):
    return database.connect(home.database)


@pytest.fixture
def make(home, db):
    """`make(run_trial)`: a worker of this home."""
    ownership = owner.acquire(home, owner.DETACHED)
    watcher = Silent()

    def worker(run=run_trial, slots=1, **options):
        made = Worker(
            home, db, InlineExecutor(run, slots), watcher, ownership, role=owner.DETACHED, gpus=list, **options
        )
        made.watcher = watcher
        return made

    yield worker
    ownership.release()


def never():
    return Stop.NO


def counting(turns):
    """A wish to stop after so many turns of the loop."""
    counter = itertools.count()
    return lambda: Stop.CLEANLY if next(counter) > turns else Stop.NO


def test_the_loop_does_a_study_and_leaves_no_row_behind(home, db, cache, make):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    assert make().work(None, never) is True
    assert queue.remaining(db, "tiny") == {"done": 4}
    assert worker_state.last_heartbeat(db) is None
    assert worker_state.running_rows(db) == {}
    epochs = db.execute("SELECT count(*) FROM epoch").fetchone()[0]
    assert epochs == 12, "also those that were put off"
    kinds = {row[0] for row in db.execute("SELECT DISTINCT kind FROM event")}
    assert {"Started", "Trained", "EvaluationFinished", "Finished"} <= kinds


def test_a_clock_set_back_stops_nothing_and_turns_no_order_around(home, db, cache, make, monkeypatch):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    real, calls = time.time, itertools.count()
    monkeypatch.setattr(time, "time", lambda: real() - 3600 * next(calls))
    assert make().work(None, never) is True
    assert queue.remaining(db, "tiny") == {"done": 4}
    submitting.submit(db, plan_of(tiny(name="second", seeds=1), cache))
    assert studies.latest_study(db) == "second"


def test_epochs_are_written_in_batches_of_one_transaction_a_second(home, db, cache, make):
    """A hundred epochs in a moment must not be a hundred transactions."""
    submitting.submit(db, plan_of(tiny(seeds=1, optimizers=["adam"], activations=["relu"]), cache))

    def quick(job, stop):
        yield Started({"device": "cpu"}, os.getpid(), "0" * 64)
        for epoch in range(100):
            yield EpochFinished(EpochRecord(epoch + 1, 1.0, 0.5, None, 0.1, 0.01))
        yield Finished()

    made = make(quick)
    begins = []
    db.conn.set_trace_callback(lambda sql: begins.append(sql) if sql.startswith("BEGIN") else None)
    made.work(None, counting(140))
    db.conn.set_trace_callback(None)
    assert db.execute("SELECT count(*) FROM epoch").fetchone()[0] == 100
    assert len(begins) < 30, "claims, beats and ends, but none for each epoch"


def test_pause_holds_the_queue_and_hands_back(home, db, cache, make):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    worker_state.pause(db, "lunch")
    made = make()
    assert made.work(None, counting(30)) is False
    assert queue.remaining(db, "tiny") == {"queued": 4}
    assert "paused: lunch" in made.watcher.notes


def test_low_disk_ends_a_foreground_run_and_pauses_a_detached_worker(home, db, cache, make):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    with pytest.raises(BadInput, match="12 MiB of disk"):
        make(free_disk=lambda home: 12 << 20).work(None, never)
    staying = make(free_disk=lambda home: 12 << 20, stay=True)
    assert staying.work(None, counting(30)) is False
    assert any("12 MiB" in note for note in staying.watcher.notes)
    assert queue.remaining(db, "tiny") == {"queued": 4}


def left_by_another_version(db, kind, payload):
    return db.execute(
        "INSERT INTO command (left_at, kind, payload) VALUES (0, ?, ?) RETURNING id", (kind, payload)
    ).fetchone()[0]


def test_commands_of_clients_are_carried_out_and_a_broken_one_is_answered(home, db, cache, make):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    other = database.connect(home.database)
    drain = commands.leave(other, Drain())
    odd, unknown = left_by_another_version(other, "retry", '{"no": 1}'), left_by_another_version(other, "dance", "{}")
    assert make().work(None, never) is False, "drained before it began"
    assert commands.outcome(other, drain, Drain()) == commands.Outcome(Draining(0))
    for number, words in ((odd, "cannot read the command 'retry' (trials is missing)"), (unknown, "does not know")):
        answered = commands.outcome(other, number, Drain())
        assert (answered.answer, answered.exit_code) == (None, 2)
        assert words in answered.error
    assert queue.remaining(db, "tiny") == {"queued": 4}


def test_a_cancelled_trial_is_stopped_and_nothing_claims_it_before_it_has_ended(home, db, cache, make):
    document = tiny(seeds=1, optimizers=["adam"], activations=["relu"])
    submitting.submit(db, plan_of(document, cache))
    (trial,) = [row.trial_id for row in queries.trials(db)]
    seen = []

    def slow(job, stop):
        seen.append(job.attempt)
        yield Started({"device": "cpu"}, os.getpid(), "0" * 64)
        queue.cancel(db, [trial], "tiny")
        submitting.submit(db, plan_of({**document, "name": "other"}, cache))
        assert queue.next_trial(db) is None, "it is still under way"
        while not stop():
            yield TrainingProgress(1, 2, 1, 2, 1.0, 0.5, 10.0)
        yield Crashed("ended", None)

    made = make(slow)
    made.work("tiny", counting(60))
    assert queue.remaining(db, "tiny") == {"cancelled": 1}
    assert queue.remaining(db, "other") == {"queued": 1}
    assert db.execute("SELECT crashes FROM trial").fetchone()[0] == 0, "a crash while stopping is not its fault"


def test_a_home_that_is_gone_ends_the_worker(home, db, cache, make):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    home.lock.unlink()
    with pytest.raises(Unavailable, match="removed"):
        make().work(None, never)


@pytest.mark.parametrize("other", [False, True], ids=["deleted", "replaced"])
def test_a_database_that_is_taken_away_ends_the_worker(other, home, db, cache, make, tmp_path):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))

    def away():
        home.database.rename(tmp_path / "away.db")
        if other:
            database.connect(tmp_path / "other.db").conn.close()
            (tmp_path / "other.db").rename(home.database)

    def taken_away(job, stop):
        yield Started({"device": "cpu"}, os.getpid(), "0" * 64)
        away()
        while not stop():
            yield TrainingProgress(1, 2, 1, 2, 1.0, 0.5, 10.0)
            time.sleep(0.01)

    with pytest.raises(Unavailable, match=r"innate\.db was removed or replaced"):
        make(taken_away).work(None, never)
    assert not home.database.with_name("innate.db-wal").stat().st_size, "nothing that would be read into another file"
    assert queue.remaining(database.connect(tmp_path / "away.db"), "tiny") == {"queued": 3, "running": 1}, (
        "left as it was"
    )
    if other:
        assert queries.count_trials(database.connect(home.database)) == 0


@pytest.mark.parametrize("fault", [sqlite3.OperationalError("disk I/O error"), BadInput("the disk is full")])
def test_a_detached_worker_ends_with_its_database_whatever_fails_first(fault, home, db, cache, monkeypatch):
    """What else makes the loop give up is waited out."""
    held = owner.acquire(home, owner.DETACHED)

    class Executor(InlineExecutor):
        def poll(self, seconds):
            home.database.unlink()
            raise fault

        def warm(self):
            raise AssertionError("nothing is queued")

    monkeypatch.setattr(daemon, "executor_for", lambda *_: Executor(run_trial, 1))
    with pytest.raises(Unavailable, match=r"innate\.db was removed or replaced under its worker"):
        daemon._stay(
            home,
            db,
            OpenedFile.at(home.database),
            [Slot("cpu", 1)],
            "auto",
            held,
            Silent(),
            foreground.StopSignals(),
            None,
        )
    held.release()


def test_whoever_waits_for_a_worker_is_told_that_the_database_is_gone(home, db, cache, monkeypatch):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    held = owner.acquire(home, owner.DETACHED)

    def away(_):
        home.database.unlink(missing_ok=True)

    monkeypatch.setattr(time, "sleep", away)
    waiting = {
        "perform": lambda db: perform(db, home, Drain()),
        "follow": lambda db: foreground.work_on(db, home, "tiny", [], Audience(), foreground.StopSignals(), "auto"),
    }
    for name, wait in waiting.items():
        with pytest.raises(Unavailable, match="the database was removed or replaced meanwhile"):
            wait(db)
        assert not home.database.exists(), name
        db = database.connect(home.database)
        submitting.submit(db, plan_of(tiny(seeds=1), cache))
    told = answered("wait", home=home.root)
    assert (told.returncode, told.stderr.count("removed or replaced meanwhile")) == (4, 1)
    held.release()


def test_a_copy_of_the_one_file_is_whole_whenever_nothing_runs(home, db, cache, make, tmp_path):
    submitting.submit(db, plan_of(tiny(seeds=1, optimizers=["adam"], activations=["relu"]), cache))
    copy = tmp_path / "copy.db"

    def failing(job, stop):
        yield Started({"device": "cpu"}, os.getpid(), "0" * 64)
        yield TrialFailed("no such thing", "")

    made = make(failing, stay=True)
    made.watcher.tick = lambda: shutil.copyfile(home.database, copy)  # while it is idle, before it ends
    made.work(None, counting(15))
    assert queue.remaining(database.connect(copy, read_only=True), "tiny") == {"failed": 1}

    reader = database.connect(home.database).conn
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM trial").fetchone()
    assert worker_state.pause(db, "lunch")
    began = time.monotonic()
    assert not checkpoint(db), "somebody is reading"
    assert time.monotonic() - began < 5, "and is not waited for"
    reader.execute("COMMIT")
    assert checkpoint(db)
    shutil.copyfile(home.database, copy)
    assert worker_state.paused(database.connect(copy, read_only=True)) == "lunch"


def test_a_command_that_has_written_leaves_one_whole_file(home, db, tmp_path):
    perform(db, home, Pause("lunch"))
    shutil.copyfile(home.database, tmp_path / "copy.db")
    assert worker_state.paused(database.connect(tmp_path / "copy.db", read_only=True)) == "lunch"


def test_five_blameless_crashes_in_a_row_are_the_machine_s_fault(home, db, cache, make):
    submitting.submit(db, plan_of(tiny(), cache))

    def dying(job, stop):
        yield Started({"device": "cpu"}, os.getpid(), "0" * 64)
        yield Crashed("its fork server died", None, trial_at_fault=False)

    with pytest.raises(Unavailable, match="back in the queue"):
        make(dying).work(None, never)
    assert queue.remaining(db, "tiny") == {"queued": 8}


def test_status_tells_phase_pace_and_why_what_waits_waits(home, db, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    nobody = worker_view(db, home)
    assert not nobody.alive
    assert {row.waits_for for row in unfinished(db, nobody)} == {"no worker is running: innate worker start"}
    ownership = owner.acquire(home, owner.DETACHED)
    claim = queue.claim(db)
    pulse = Pulse(claim.trial_id, 0, Slot("cpu", 1))
    pulse.take(TrainingProgress(1, 4, 0, 10, 2.0, 0.1, 500.0))
    pulse.progress_mark -= 1
    pulse._phase_began -= 1
    pulse.take(TrainingProgress(2, 4, 5, 10, 0.5, 0.9, 500.0))
    slots = (worker_state.SlotRow(0, "cpu", 1, claim.trial_id, None),)
    state = worker_state.WorkerState(owner.DETACHED, time.time(), "working", None, None, slots, 0)
    worker_state.beat(db, state, [pulse.live(123)])
    view = worker_view(db, home)
    rows = unfinished(db, view)
    assert [row.state for row in rows] == ["running", "queued", "queued", "queued"]
    first = rows[0]
    assert first.running.phase == worker_state.TrainingPhase(2, 4, 0.5, 0.9)
    assert (first.running.share, first.running.rate, first.running.memory) == (0.375, 500.0, 123)
    assert first.running.seconds_left == pytest.approx(0.625 / 0.375, rel=0.1)
    told = first.as_row()
    assert (told["phase"], told["detail"], told["share"]) == ("epoch 2/4", "loss 0.500 acc 90.0%", 0.375)
    assert not first.stalled
    assert unfinished(db, view, stalled_after=-1.0)[0].stalled
    assert rows[1].waits_for == "the slot is busy, next in line"
    assert rows[3].waits_for == "the slot is busy, 2 before it"
    assert rows[3].as_row().keys() == told.keys()
    ownership.release()


def test_a_silent_worker_is_told_from_a_dead_one(home, db, monkeypatch):
    ownership = owner.acquire(home, owner.DETACHED)
    assert worker_view(db, home).state == "starting"
    state = worker_state.WorkerState(owner.DETACHED, time.time(), "idle", None, None, (), 0)
    worker_state.beat(db, state, [])
    assert worker_view(db, home).state == "idle"
    late = time.monotonic() + 100
    monkeypatch.setattr(time, "monotonic", lambda: late)
    assert worker_view(db, home).state == "silent"
    ownership.release()
    assert worker_view(db, home).state == "none"


def test_pulse_follows_an_attack(cache):
    attack = resolve("pgd", {"eps": [0.1], "steps": 4}, "test")
    pulse = Pulse("t", 0, Slot("cpu", 1))
    pulse.take(AttackProgress(attack, 0.1, 0, 100, 90))
    assert pulse.seconds_left() is None
    pulse._phase_began -= 2
    pulse.take(AttackProgress(attack, 0.1, 50, 100, 70))
    assert pulse.phase == worker_state.AttackPhase(attack.id, "pgd", 0.1, 70, 100)
    assert pulse.rate == pytest.approx(25, rel=0.05)
    assert pulse.seconds_left() == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(("setting", "left"), [("all", {"1", "2"}), ("last", {"2"}), ("none", set())])
def test_retention(setting, left, home, db, cache):
    submitting.submit(db, plan_of(tiny(seeds=1, optimizers=["adam"], activations=["relu"]), cache))
    first = queue.claim(db)
    queue.release(db, first.attempt_id, "stopped")
    assert stored.run_one(db, home)
    folder = home.checkpoints / first.trial_id
    for number in ("1", "2"):
        (folder / number).mkdir(parents=True, exist_ok=True)
        (folder / number / "weights.pt").write_bytes(b"x" * 100)
    stray = home.checkpoints / ("f" * 64)
    stray.mkdir()
    dry = perform(db, home, Sweep(setting, dry=True))
    assert worker_state.retention(db) == "last"
    assert {path.name for path in folder.iterdir()} == {"1", "2"}
    done = perform(db, home, Sweep(setting, dry=False))
    assert dry.removed == done.removed
    assert dry.bytes == done.bytes == 100 * (2 - len(left))
    assert not stray.exists()
    assert {path.name for path in folder.iterdir()} == left if left else not folder.exists()
    assert queue.remaining(db, "tiny") == {"done": 1}, "done, whatever is kept of it"
    if setting == "none":
        assert (done.weights, queue.weights_path(db, first.trial_id)) == (1, None)
        again = submitting.submit(db, plan_of(tiny(seeds=1, optimizers=["adam"], activations=["relu"]), cache))
        assert (again.done, again.new) == (1, 0)
        more = tiny(seeds=1, optimizers=["adam"], activations=["relu"])
        more["attacks"].append({"name": "bim", "eps": [0.1]})
        again = submitting.submit(db, plan_of(more, cache))
        assert (again.done, again.new, again.trained) == (0, 1, 0), "the weights are gone, so it is trained again"


def test_retention_none_trains_again_to_the_same_weights_for_a_new_attack(home, db, cache, make):
    document = tiny(seeds=1, optimizers=["adam"], activations=["relu"])
    submitting.submit(db, plan_of(document, cache))
    worker_state.set_retention(db, "none")
    make().work(None, never)
    (before,) = queries.trials(db)
    assert not any(home.checkpoints.rglob("*.pt"))
    submitting.submit(
        db, plan_of({**document, "attacks": [*document["attacks"], {"name": "bim", "eps": [0.1]}]}, cache)
    )
    make().work(None, never)
    (after,) = queries.trials(db)
    assert (after.state, after.final_digest) == ("done", before.final_digest)


def test_a_running_trial_s_folder_is_never_swept(home, db, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    claim = queue.claim(db)
    folder = home.checkpoints / claim.trial_id / "1"
    folder.mkdir(parents=True)
    (folder / "last.partial").write_bytes(b"half")
    assert retention.sweep(db, home, "none", dry=False).paths == []
    assert (folder / "last.partial").exists()


def test_logging_out_is_warned_of_only_where_it_kills():
    def says(kills, lingers):
        return lambda words: f"KillUserProcesses={kills}\n" if words[0] == "show-session" else f"Linger={lingers}\n"

    ssh, own = "0::/user.slice/user-7.slice/session-3.scope", "0::/user.slice/user-7.slice/user@7.service/app.slice"
    assert login.logout_warning(says("no", "no"), ssh) is None
    text = login.logout_warning(says("yes", "no"), ssh)
    assert "loginctl enable-linger && systemd-run --user --scope innate worker start" in text
    assert "enable-linger" not in login.logout_warning(says("yes", "yes"), ssh)
    for kills in ("yes", "no"):
        assert "lingering is off" in login.logout_warning(says(kills, "no"), own)
        assert login.logout_warning(says(kills, "yes"), own) is None, "the remedy that was given holds"
    for group in (ssh, own):
        assert login.logout_warning(lambda words: "", group) is None, "no systemd here"


def test_the_grace_period_ends(home, db, cache, make, monkeypatch):
    """A trial that does not stop when asked is killed."""
    submitting.submit(db, plan_of(tiny(seeds=1, optimizers=["adam"], activations=["relu"]), cache))
    monkeypatch.setattr(loop, "_GRACE_SECONDS", 0.0)

    def deaf(job, stop):
        yield Started({"device": "cpu"}, os.getpid(), "0" * 64)
        while True:
            yield TrainingProgress(1, 2, 1, 2, 1.0, 0.5, 10.0)

    assert make(deaf).work(None, counting(20)) is False
    assert queue.remaining(db, "tiny") == {"queued": 1}


def test_the_log_is_rotated_and_its_end_is_found_across_files(home, monkeypatch):
    import logging

    from app.worker import daemon
    from app.worker.log import last_lines

    monkeypatch.setattr(daemon, "_LOG_BYTES", 2000)
    daemon._log_to(home)
    handler = daemon.log.handlers[-1]
    try:
        for number in range(300):
            daemon.log.info("line %d", number)
    finally:
        daemon.log.removeHandler(handler)
        handler.close()
        logging.raiseExceptions = True
    kept = sorted(path.name for path in home.logs.glob("worker.log*"))
    assert kept == ["worker.log", "worker.log.1", "worker.log.2", "worker.log.3"]
    assert all((home.logs / name).stat().st_size <= 2000 for name in kept)
    end = last_lines(home.worker_log, 30)
    assert [line.rpartition(" ")[2] for line in end] == [str(number) for number in range(270, 300)]


def test_following_the_log_goes_on_after_it_was_rotated(home):
    import subprocess
    import sys

    home.worker_log.write_text("before\n")
    process = subprocess.Popen(
        [sys.executable, "-u", "-P", "-m", "app.main", "--home", str(home.root), "worker", "logs", "-f"],
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    try:
        assert process.stdout.readline() == "before\n"
        time.sleep(0.5)
        home.worker_log.rename(home.logs / "worker.log.1")
        with (home.logs / "worker.log.1").open("a") as old:
            old.write("the last of the old\n")
        home.worker_log.write_text("the first of the new\n")
        assert process.stdout.readline() == "the last of the old\n"
        assert process.stdout.readline() == "the first of the new\n"
    finally:
        process.kill()
        process.wait()


def test_a_database_named_by_db_is_asked_of_the_worker_beside_it(home, db, tmp_path):
    """Not of whoever owns the home that would be used without --db."""
    import json

    from tests.conftest import innate_command

    ownership = owner.acquire(home, owner.DETACHED)
    worker_state.beat(db, worker_state.WorkerState(owner.DETACHED, time.time(), "idle", None, None, (), 0), [])
    try:
        for database_, alive in ((home.database, True), (tmp_path / "copy.db", False)):
            if not alive:
                db.execute(f"VACUUM INTO '{database_}'")
            done = innate_command(
                "--db", str(database_), "worker", "status", "--json", home=tmp_path / "elsewhere", works=True
            )
            assert json.loads(done.stdout)["worker"][0]["alive"] is alive
    finally:
        ownership.release()


def test_a_home_that_is_not_there_yet_has_the_disk_on_which_it_would_lie(tmp_path):
    assert conditions.disk_for(Home(tmp_path / "not" / "yet")) > 0
    assert conditions.free_disk(Home(tmp_path / "not" / "yet")) == 0, "of a home that is gone a worker writes nothing"
