"""Who owns a home, when somebody who is none of innate's holds its lock: no signal is sent on the word of a file."""

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from app.report.status import worker_view
from app.worker import control, owner, proof
from app.worker.changes import perform
from app.worker.owner import DETACHED, FOREGROUND, Holder, holder
from core.errors import Unavailable
from storage import database, worker_state
from storage.changes import Pause
from tests.conftest import innate_command

STRANGER = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
os.set_inheritable(file, True)
os.execvp("sleep", ["sleep", "600"])
"""
OWNER = """
import signal, sys, time
from pathlib import Path
from app.worker import owner
from storage.home import Home
if sys.argv[4:]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
owner.acquire(Home(Path(sys.argv[1])), sys.argv[2])
print("owns", flush=True)
time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def processes():
    """`processes(*command)` starts one that is ended with the test."""
    made = []

    def start(*command, **options):
        made.append(subprocess.Popen(command, **options))
        return made[-1]

    yield start
    for process in made:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
def stranger(home, processes):
    """A sleep that holds the home's lock."""
    process = processes(sys.executable, "-c", STRANGER, str(home.lock))
    _until(
        lambda: (
            home.lock.exists() and proof.found(home.lock, home.lock.stat()) and proof.name_of(process.pid) == "sleep"
        )
    )
    return process


@pytest.fixture
def bystander(processes):
    """Some living process."""
    return processes("sleep", "600")


@pytest.fixture
def owning(home, processes):
    """`owning(role, seconds)`: a process of innate's that owns the home so long, and obeys SIGTERM unless `deaf`."""

    def start(role, seconds=600.0, *deaf):
        process = processes(
            sys.executable, "-c", OWNER, str(home.root), role, str(seconds), *deaf, stdout=subprocess.PIPE
        )
        assert process.stdout.readline() == b"owns\n"
        return process

    return start


def _until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def claim(pid, began=None, role=DETACHED):
    began = proof.started(pid) if began is None else began
    return json.dumps({"pid": pid, "role": role, "since": time.time(), "started": began})


def texts(bystander, stranger):
    """What may stand in the file: of another living process, of a pid given out again, nothing, nonsense."""
    return {
        "another's": claim(bystander.pid),
        "its pid, given out again": claim(stranger.pid, began=1.0),
        "an owner that did not write its start": json.dumps({"pid": bystander.pid, "role": DETACHED, "since": 1.0}),
        "init": claim(1),
        "this process": claim(os.getpid()),
        "empty": "",
        "a list": "[1, 2]",
        "deep": "[" * 4000,
        "a group": claim(bystander.pid).replace(str(bystander.pid), str(-bystander.pid), 1),
        "a bool": '{"pid": true, "role": "worker", "started": 1.0}',
    }


def test_stop_ends_neither_a_stranger_nor_whom_the_file_names(home, stranger, bystander):
    for what, text in texts(bystander, stranger).items():
        home.lock.write_text(text)
        with pytest.raises(Unavailable) as refused:
            control.stop(home, now=True)
        assert f"is held by pid {stranger.pid} (sleep), which is no worker of innate's" in str(refused.value), what
    with pytest.raises(Unavailable, match="no worker of innate's"):
        control.stop(home, now=False)
    assert stranger.poll() is None
    assert bystander.poll() is None


def test_commands_say_that_a_stranger_holds_the_lock(home, stranger, bystander):
    db = database.connect(home.database)
    worker_state.beat(db, worker_state.WorkerState(DETACHED, time.time(), "idle", None, None, (), 0), [])
    db.execute("UPDATE worker SET pid = ?", (bystander.pid,))
    home.lock.write_text(claim(bystander.pid))
    words = f"worker.lock is held by pid {stranger.pid} (sleep)"
    done = innate_command("worker", "stop", "--now", home=home.root, check=4)
    assert done.stderr.count("\n") == 1
    assert words in done.stderr
    told = innate_command("worker", "status", home=home.root).stdout
    assert "no worker is running" in told
    assert words in told
    assert str(bystander.pid) not in told
    assert words in innate_command("worker", "start", home=home.root, check=4).stderr
    rows = json.loads(innate_command("doctor", "--json", home=home.root, check=2).stdout)["doctor"]
    (row,) = [row for row in rows if row["check"] == "worker"]
    assert row["status"] == "bad"
    assert words in row["detail"]
    view = worker_view(db, home)
    assert (view.alive, view.state, view.pid) == (False, "blocked", None)
    with pytest.raises(Unavailable, match="no worker of innate's"):
        perform(db, home, Pause("x"))
    assert db.execute("SELECT count(*) FROM command").fetchone()[0] == 0, "nobody would ever answer"
    assert stranger.poll() is None
    assert bystander.poll() is None


@pytest.mark.parametrize("role", [DETACHED, FOREGROUND])
@pytest.mark.parametrize("now", [False, True])
def test_a_worker_that_owns_the_home_is_ended(role, now, home, owning):
    process = owning(role)
    assert holder(home) == Holder(process.pid, role, proven=True)
    assert control.stop(home, now=now) == process.pid
    assert process.wait(timeout=10) == -signal.SIGTERM
    assert holder(home) is None
    assert control.stop(home, now=now) is None


def test_a_worker_that_does_not_answer_is_killed_and_one_without_pidfd_too(home, owning, monkeypatch):
    process = owning(DETACHED, 600.0, "deaf")
    monkeypatch.setattr(sys, "platform", "other")
    monkeypatch.setattr(control.time, "monotonic", _hurrying())
    assert control.stop(home, now=True) == process.pid
    assert process.wait(timeout=10) == -signal.SIGKILL


def _hurrying():
    real, began = time.monotonic, time.monotonic()
    return lambda: began + 20 * (real() - began)


def test_a_short_command_is_waited_for_and_gets_no_signal(home, owning, monkeypatch):
    process = owning("innate delete", 0.5)
    assert control.stop(home, now=True) is None
    assert process.wait(timeout=10) == 0
    process = owning("innate delete")
    monkeypatch.setattr(control, "_COMMAND_SECONDS", 0.2)
    with pytest.raises(Unavailable, match=f"innate delete .pid {process.pid}. for a moment; try again"):
        control.stop(home, now=True)
    assert process.poll() is None


def test_a_pid_given_out_again_between_look_and_signal_gets_none(home, owning, bystander, monkeypatch):
    """The worker ends just before the signal, and another process has its pid."""
    process = owning(DETACHED)
    real = control._signal

    def late(home, pid, number):
        process.kill()
        process.wait()
        real(home, bystander.pid, number)

    monkeypatch.setattr(control, "_signal", late)
    assert control.stop(home, now=True) == process.pid
    assert bystander.poll() is None


def test_a_worker_that_cannot_be_seen_is_believed_while_its_heart_beats_but_never_ended(home, bystander, monkeypatch):
    """As in another container, where pids are others'."""
    db = database.connect(home.database)
    with home.lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(claim(bystander.pid))
        file.flush()
        monkeypatch.setattr(proof, "found", lambda path, lock: None)
        assert holder(home) == Holder(bystander.pid, DETACHED, proven=False)
        assert worker_view(db, home).state == "blocked"
        worker_state.beat(db, worker_state.WorkerState(DETACHED, time.time(), "idle", None, None, (), 0), [])
        db.execute("UPDATE worker SET pid = ?", (bystander.pid,))
        assert worker_view(db, home).state == "idle"
        with pytest.raises(Unavailable, match="cannot be seen from here"):
            control.stop(home, now=True)
    assert bystander.poll() is None


def test_an_owner_is_known_while_many_come_and_go(home, processes):
    """The text is written after the lock is taken: nobody may be taken for a stranger in between."""
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom app.worker import owner\nfrom storage.home import Home\n"
        "home = Home(Path(sys.argv[1]))\nprint('on', flush=True)\n"
        "while True:\n    own = owner.acquire(home, 'innate delete')\n    time.sleep(0.003)\n"
        "    own and own.release()\n"
    )
    for _ in range(2):
        process = processes(sys.executable, "-c", code, str(home.root), stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"on\n"
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        who = holder(home)
        assert who is None or who.role == "innate delete", who


def test_what_is_told_of_this_process(home):
    assert proof.started(os.getpid()) == proof.started(os.getpid()) is not None
    assert proof.started(2**22 + 1) is None
    ownership = owner.acquire(home, DETACHED)
    lock = home.lock.stat()
    try:
        assert proof.holds(os.getpid(), home.lock, lock) is True
        assert proof.found(home.lock, lock) == os.getpid()
        with home.lock.open() as second:  # open here too, but not what holds the lock
            assert proof.holds(os.getpid(), home.lock, lock) is True
            assert second.fileno() != ownership.descriptor
        assert proof._has_open(os.getpid(), lock) is True, "what is asked where there is no /proc"
        assert proof._has_open(os.getppid(), lock) in (False, None)
    finally:
        ownership.release()
    with home.lock.open():
        assert proof.holds(os.getpid(), home.lock, lock) is False
    with contextlib.suppress(FileNotFoundError):
        assert proof.found(home.lock, lock) is None
