import os
import platform
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from core.environment import environment
from core.events import LAST_EVENTS, Crashed, EpochFinished, Finished, Started, Stopped, Trained, TrainingProgress
from core.executors.inline import InlineExecutor
from core.executors.process import ProcessExecutor
from core.executors.protocol import Slot
from core.jobs.orders import EvaluationSpec, Job
from core.jobs.trial import run_trial
from tests.conftest import SharedLanes, plan_of, tiny
from tests.core.odd_jobs import Wasteful, odd


@pytest.fixture(scope="module", params=["inline", "process", "lanes"])
def executor(request, lasting):
    """One for all tests, as for all trials of a worker: a test leaves nothing under way."""
    made = {
        "inline": lambda: InlineExecutor(run_trial, slots=2),
        "process": lambda: lasting,
        "lanes": lambda: SharedLanes(2, lasting),
    }[request.param]()
    yield made
    made.close()


@pytest.fixture
def process(tmp_path):
    made = ProcessExecutor([Slot("cpu", 1)] * 2, tmp_path / "children.log")
    yield made
    made.close()


def make_job(folder, cache, number=0, epochs=3, attempt=1, earlier=()):
    plan = plan_of(tiny(training={"epochs": epochs, "batch_size": 16}), cache)
    evaluations = tuple(EvaluationSpec(attack, 60) for attack in plan.study.attacks)
    return Job(
        plan.trials[number],
        plan.info.source,
        evaluations,
        (60,),
        attempt,
        folder / str(attempt),
        tuple(earlier),
        cache,
        cache,
    )


def until(executor, done, seconds=180):
    """All events by key, until `done(events)`."""
    events = {}
    deadline = time.monotonic() + seconds
    while not done(events):
        assert time.monotonic() < deadline, events
        for key, event in executor.poll(0.2):
            events.setdefault(key, []).append(event)
    return events


def all_ended(*keys):
    return lambda events: all(key in events and isinstance(events[key][-1], LAST_EVENTS) for key in keys)


def saw(key, kind):
    return lambda events: any(isinstance(event, kind) for event in events.get(key, ()))


class TestEveryExecutor:
    def test_has_the_slots_it_was_given(self, executor):
        assert [replace(slot, node=None) for slot in executor.capacity()] == [Slot("cpu", 1)] * 2

    def test_carries_each_job_s_events_in_order_to_one_last_one(self, executor, tmp_path, cache):
        for number in range(2):
            executor.submit(f"job {number}", make_job(tmp_path / str(number), cache, number))
        events = until(executor, all_ended("job 0", "job 1"))
        for story in events.values():
            assert isinstance(story[0], Started)
            assert isinstance(story[-1], Finished)
            assert [event.record.epoch for event in story if isinstance(event, EpochFinished)] == [1, 2, 3]
            assert sum(isinstance(event, LAST_EVENTS) for event in story) == 1
        assert executor.poll(0) == []

    def test_stops_a_job_cleanly(self, executor, tmp_path, cache):
        executor.submit("long", make_job(tmp_path, cache, epochs=5000))
        until(executor, saw("long", EpochFinished))
        executor.cancel("long")
        events = until(executor, all_ended("long"))
        assert isinstance(events["long"][-1], Stopped)
        assert (tmp_path / "1" / "last.pt").exists()

    def test_kills_a_job_on_request_without_blaming_it(self, executor, tmp_path, cache):
        executor.submit("long", make_job(tmp_path, cache, epochs=5000))
        until(executor, saw("long", EpochFinished))
        executor.cancel("long", now=True)
        last = until(executor, all_ended("long"))["long"][-1]
        assert isinstance(last, Crashed)
        assert "killed" in last.reason

    def test_ignores_keys_that_it_does_not_know(self, executor):
        executor.cancel("nobody")
        executor.cancel("nobody", now=True)
        assert executor.poll(0) == []


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def gone(pids, seconds=5):
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a process outlived its parent"
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(("number", "name"), [(signal.SIGSEGV, "SIGSEGV"), (signal.SIGKILL, "SIGKILL")])
def test_a_child_that_dies_is_one_crash_and_its_neighbour_goes_on(lasting, number, name, tmp_path, cache):
    lasting.submit("victim", make_job(tmp_path / "a", cache, 0, epochs=5000))
    lasting.submit("neighbour", make_job(tmp_path / "b", cache, 1))
    first = until(lasting, saw("victim", TrainingProgress))
    os.kill(lasting.pids()["victim"], number)
    ended = lambda key: lambda events: all_ended(key)({k: first.get(k, []) + v for k, v in events.items()})  # noqa: E731
    events = until(lasting, ended("victim"))
    crash = events["victim"][-1]
    assert name in crash.reason
    assert crash.exit_code == -number
    assert crash.trial_at_fault
    if not isinstance((first.get("neighbour", []) + events.get("neighbour", []))[-1], Finished):
        assert isinstance(until(lasting, all_ended("neighbour"))["neighbour"][-1], Finished)


def test_a_dead_fork_server_takes_its_children_along_blames_nobody_and_is_replaced(lasting, tmp_path, cache):
    lasting.submit("orphan", make_job(tmp_path / "a", cache, 0, epochs=5000))
    until(lasting, saw("orphan", TrainingProgress))
    child = lasting.pids()["orphan"]
    lasting._server.process.kill()
    crash = until(lasting, all_ended("orphan"))["orphan"][-1]
    assert not crash.trial_at_fault
    assert gone([child])
    lasting.submit("next", make_job(tmp_path / "b", cache, 1))
    assert isinstance(until(lasting, all_ended("next"))["next"][-1], Finished)


def test_closing_leaves_no_process(process, tmp_path, cache):
    process.submit("long", make_job(tmp_path, cache, epochs=5000))
    until(process, saw("long", TrainingProgress))
    pids = [*process.pids().values(), process._server.process.pid]
    process.close()
    assert gone(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel ends a process with its parent")
def test_a_server_that_loads_torch_and_holds_the_interpreters_lock_ends_with_its_worker(tmp_path):
    (tmp_path / "torch.py").write_text(
        "import ctypes, pathlib\n"
        f"pathlib.Path({str(tmp_path / 'loading')!r}).touch()\n"
        "ctypes.PyDLL(None).sleep(120)\n"  # as PyDLL does not, the dynamic loader does not let go of the lock either
    )
    worker = subprocess.Popen(
        [sys.executable, "-P", "-c", "import sys, time\n"
         "from pathlib import Path\n"
         "from core.executors.process import ProcessExecutor\n"
         "executor = ProcessExecutor([], Path(sys.argv[1]))\n"
         "executor.warm()\n"
         "print(executor._server.process.pid, flush=True)\n"
         "time.sleep(120)", str(tmp_path / "children.log")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    server = int(worker.stdout.readline())
    deadline = time.monotonic() + 90
    while not (tmp_path / "loading").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    worker.kill()
    worker.communicate()
    assert gone([server])


def test_children_get_the_environment_and_not_the_current_folder(process, tmp_path, cache, monkeypatch):
    (tmp_path / "torch.py").write_text("raise SystemExit('imported from the current folder')")
    monkeypatch.chdir(tmp_path)
    process.submit("job", make_job(tmp_path, cache))
    assert isinstance(until(process, all_ended("job"))["job"][-1], Finished)


def test_a_child_starts_in_well_under_a_tenth_of_a_second_of_overhead(lasting, tmp_path, cache):
    """In time of the processor's, which no neighbour takes away: importing torch again would be more than a second of it."""
    lasting.submit("first", make_job(tmp_path / "a", cache))
    until(lasting, all_ended("first"))
    lasting.submit("second", make_job(tmp_path / "b", cache, 1, epochs=5000))
    until(lasting, saw("second", Started))
    spent = psutil.Process(lasting.pids()["second"]).cpu_times()
    assert spent.user + spent.system < 1.0
    lasting.cancel("second", now=True)
    until(lasting, all_ended("second"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep memory as they see fit")
def test_a_child_keeps_the_memory_that_it_frees_for_what_it_allocates_next(lasting, tmp_path, cache):
    lasting.submit("again", odd(Wasteful, make_job(tmp_path, cache, epochs=1)))
    events = until(lasting, all_ended("again"))
    assert isinstance(events["again"][-1], Finished), events["again"][-1]


def test_the_worker_s_side_imports_no_torch():
    modules = "core.executors.process, core.executors.cluster.executor, core.executors.cluster.station"
    code = f"import sys, {modules}; print('torch' in sys.modules, 'ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False False"


def test_what_an_attempt_ran_on_is_plain_data_that_imports_nothing():
    assert {type(value) for value in environment("cpu", 1, "fp32").values()} <= {str, int, bool, type(None)}


def test_resuming_elsewhere_gives_the_same_weights(lasting, tmp_path, cache):
    lasting.submit("whole", make_job(tmp_path / "w", cache, epochs=40))
    (whole,) = (e for e in until(lasting, all_ended("whole"))["whole"] if isinstance(e, Trained))
    lasting.submit("killed", make_job(tmp_path / "k", cache, epochs=40))
    until(lasting, saw("killed", EpochFinished))
    lasting.cancel("killed", now=True)
    until(lasting, all_ended("killed"))
    again = make_job(tmp_path / "k", cache, epochs=40, attempt=2, earlier=[tmp_path / "k" / "1"])
    lasting.submit("again", again)
    events = until(lasting, all_ended("again"))["again"]
    (resumed,) = (e for e in events if isinstance(e, Trained))
    assert resumed.final_digest == whole.final_digest
