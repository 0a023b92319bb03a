"""Lanes through real processes: threads of one child on the CPU, and what becomes of them when one goes wrong."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from core.errors import BadInput
from core.events import (
    LAST_EVENTS,
    Crashed,
    EpochFinished,
    EvaluationFinished,
    Finished,
    Started,
    Stopped,
    Trained,
    TrainingProgress,
)
from core.executors.lane_host import Shelf
from core.executors.lanes import Suspects
from core.executors.messages import Look
from core.jobs.trial import run_trial
from core.lanes.faults import is_out_of_memory, spoils_process
from tests.conftest import ROOT, SharedLanes
from tests.core.odd_jobs import Deadly, Greedy, Late, Spoiling, odd
from tests.core.test_executors import all_ended, gone, make_job, saw, until


class Watched(SharedLanes):
    """Notes what its hosts tell beside events."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.looks = []

    def _take(self, device, message):
        if isinstance(message, Look):
            self.looks.append(message)
        return super()._take(device, message)


@pytest.fixture
def hosted(lasting):
    """`hosted(lanes)`: an executor with so many lanes on the CPU."""
    made = []

    def make(lanes):
        made.append(Watched(lanes, lasting))
        return made[-1]

    yield make
    for one in made:
        one.close()


def outcome(events):
    """What a trial came to: digests, and each attack's ledgers."""
    (trained,) = (event for event in events if isinstance(event, Trained))
    ledgers = [
        (event.attack.id, [(ledger.eps, ledger.survived.tolist()) for ledger in event.ledgers])
        for event in events
        if isinstance(event, EvaluationFinished)
    ]
    return trained.initial_digest, trained.final_digest, ledgers


def last_of(events, *keys):
    return [events[key][-1] for key in keys]


def test_eight_lanes_one_lane_and_a_process_of_its_own_give_the_same(hosted, tmp_path, cache):
    keys = [f"trial {number}" for number in range(8)]
    for lanes in (1, 8):
        executor = hosted(lanes)
        assert len(executor.capacity()) == lanes
        for number, key in enumerate(keys):
            executor.submit(key, make_job(tmp_path / str(lanes) / key, cache, number))
        events = until(executor, all_ended(*keys))
        for key in keys:
            assert isinstance(events[key][0], Started)
            assert events[key][0].environment["lanes"] == lanes
            assert [one.record.epoch for one in events[key] if isinstance(one, EpochFinished)] == [1, 2, 3]
            assert sum(isinstance(one, LAST_EVENTS) for one in events[key]) == 1
        assert len({events[key][0].pid for key in keys}) == 1, "all in one process"
        if lanes == 1:
            before = {key: outcome(events[key]) for key in keys}
        else:
            assert {key: outcome(events[key]) for key in keys} == before
        executor.close()
    alone = list(run_trial(make_job(tmp_path / "alone", cache, 5), lambda: False))
    assert outcome(alone) == before["trial 5"]
    assert alone[0].environment["lanes"] == 1


def test_a_killed_host_is_no_trial_s_fault_and_each_resumes_alone_to_the_same_weights(hosted, tmp_path, cache):
    executor = hosted(3)
    keys = ["a", "b", "c"]
    undisturbed = {
        key: outcome(list(run_trial(make_job(tmp_path / "whole" / key, cache, number, epochs=12), lambda: False)))[1]
        for number, key in enumerate(keys)
    }
    for number, key in enumerate(keys):
        executor.submit(key, make_job(tmp_path / key, cache, number, epochs=12))
    seen = until(executor, lambda events: all(saw(key, EpochFinished)(events) for key in keys))
    ended = {key for key in keys if isinstance(seen[key][-1], LAST_EVENTS)}
    assert not ended, "the machine is too fast for this test"
    (host,) = set(executor.pids().values())
    os.kill(host, signal.SIGKILL)
    for crash in last_of(until(executor, all_ended(*keys)), *keys):
        assert (crash.trial_at_fault, crash.beside, crash.exit_code) == (False, 2, -signal.SIGKILL)
        assert "SIGKILL" in crash.reason
    for number, key in enumerate(keys):
        again = make_job(tmp_path / key, cache, number, epochs=12, attempt=2, earlier=[tmp_path / key / "1"])
        executor.submit(key, again)
        assert executor.lanes()["cpu"].alone
    # The loop would have submitted one at a time: while a suspect is on its way there is no room for more.
    assert len(executor.capacity()) == 3 == executor.lanes()["cpu"].busy
    events, running = {}, []
    deadline = time.monotonic() + 240
    while not all_ended(*keys)(events):
        assert time.monotonic() < deadline, events
        for key, event in executor.poll(0.2):
            events.setdefault(key, []).append(event)
        running.append(len(executor.pids()))
    assert max(running) == 1
    assert {key: outcome(events[key])[1] for key in keys} == undisturbed
    assert all(events[key][0].resumed for key in keys), "from their checkpoints"
    assert not executor.lanes()["cpu"].alone


def test_the_trial_that_kills_its_process_is_found_by_running_alone(hosted, tmp_path, cache):
    executor = hosted(3)
    jobs = {
        "good": make_job(tmp_path / "good", cache, 0, epochs=60),
        "bad": odd(Deadly, make_job(tmp_path / "bad", cache, 1)),
        "other": make_job(tmp_path / "other", cache, 2, epochs=60),
    }
    for key, job in jobs.items():
        executor.submit(key, job)
    for crash in last_of(until(executor, all_ended(*jobs)), *jobs):
        assert not crash.trial_at_fault
        assert "SIGSEGV" in crash.reason
    executor.submit("bad", jobs["bad"])
    executor.submit("good", jobs["good"])
    (crash,) = last_of(until(executor, all_ended("bad")), "bad")
    assert (crash.trial_at_fault, crash.beside) == (True, 0)
    executor.submit("other", jobs["other"])
    until(executor, lambda events: len(executor.pids()) == 2)
    executor.submit("bad", jobs["bad"])
    executor.poll(0)
    assert "bad" not in executor.pids(), "it waits until the others, who are cleared, have ended"
    assert isinstance(last_of(until(executor, all_ended("good", "other")), "good")[0], Finished)
    (crash,) = last_of(until(executor, all_ended("bad")), "bad")
    assert crash.trial_at_fault


def test_an_error_that_spoils_the_process_ends_it_and_says_why(hosted, tmp_path, cache):
    executor = hosted(2)
    executor.submit("bad", odd(Spoiling, make_job(tmp_path / "bad", cache)))
    executor.submit("good", make_job(tmp_path / "good", cache, 1, epochs=5000))
    for crash in last_of(until(executor, all_ended("bad", "good")), "bad", "good"):
        assert "CUDA error: an illegal memory access" in crash.reason
        assert "more words" not in crash.reason
        assert (crash.trial_at_fault, crash.beside) == (False, 1)
    executor.submit("bad", odd(Spoiling, make_job(tmp_path / "bad", cache)))
    assert last_of(until(executor, all_ended("bad")), "bad")[0].trial_at_fault


def test_memory_that_ends_beside_others_makes_lanes_fewer_until_all_fit(hosted, tmp_path, cache):
    executor = hosted(4)
    jobs = {
        f"lane of {number}": odd(Greedy, make_job(tmp_path / str(number), cache, number, epochs=1))
        for number in range(4)
    }
    open_ones, crashes = dict(jobs), []
    for key, job in jobs.items():
        executor.submit(key, job)
    deadline = time.monotonic() + 240
    while open_ones:
        assert time.monotonic() < deadline
        for key, event in executor.poll(0.2):
            if isinstance(event, Crashed):
                crashes.append(event)
                executor.submit(key, jobs[key])
            elif isinstance(event, Finished):
                del open_ones[key]
    assert crashes
    assert all(not one.trial_at_fault and one.beside and one.memory_needed for one in crashes)
    assert "out of memory on cpu beside" in crashes[0].reason
    state = executor.lanes()["cpu"]
    assert 2 <= state.allowed < state.asked == 4, "two fit: no lane is given up for nothing"
    assert len(executor.capacity()) == state.allowed


def test_memory_that_a_neighbour_had_is_not_the_trial_s_fault_though_the_neighbour_has_gone(hosted, tmp_path, cache):
    executor = hosted(2)
    executor.submit("lane of late", odd(Late, make_job(tmp_path / "late", cache, 0, epochs=1)))
    executor.submit("lane of other", make_job(tmp_path / "other", cache, 1, epochs=1))
    late, other = last_of(until(executor, all_ended("lane of late", "lane of other")), "lane of late", "lane of other")
    assert isinstance(other, Finished)
    assert isinstance(late, Crashed), "tried again once there is more room"
    assert (late.trial_at_fault, late.beside) == (False, 1)


def test_stopping_one_lane_leaves_its_neighbour_and_killing_one_costs_it_nothing_but_time(hosted, tmp_path, cache):
    executor = hosted(2)
    for number, key in enumerate("abc"):
        executor.submit(key, make_job(tmp_path / key, cache, number, epochs=5000))
    until(executor, lambda events: all(saw(key, EpochFinished)(events) for key in "ab"))
    assert "c" not in executor.pids(), "two lanes"
    executor.cancel("c")
    executor.cancel("a")
    events = until(executor, all_ended("a", "c"))
    assert all(isinstance(one, Stopped) for one in last_of(events, "a", "c"))
    assert (tmp_path / "a" / "1" / "last.pt").exists()
    executor.submit("d", make_job(tmp_path / "d", cache, 3, epochs=5000))
    until(executor, lambda events: saw("b", TrainingProgress)(events) and saw("d", EpochFinished)(events))
    executor.cancel("b", now=True)
    killed, shared = last_of(until(executor, all_ended("b", "d")), "b", "d")
    assert killed.reason == "killed on request"
    assert "did not stop" in shared.reason
    assert not killed.trial_at_fault
    assert (shared.trial_at_fault, shared.beside) == (False, 1)
    executor.submit("b", make_job(tmp_path / "b2", cache, 0, epochs=2))
    executor.submit("d", make_job(tmp_path / "d2", cache, 3, epochs=2))
    assert not executor.lanes()["cpu"].alone, "nobody is suspected"
    events = until(executor, all_ended("b", "d"))
    assert all(isinstance(one, Finished) for one in last_of(events, "b", "d"))


def test_a_host_with_nothing_to_do_ends_and_is_started_again_on_demand(hosted, tmp_path, cache):
    executor = hosted(2)
    executor.IDLE_SECONDS = 0.3
    executor.submit("first", make_job(tmp_path / "a", cache))
    until(executor, saw("first", Started))
    (host,) = executor.pids().values()
    until(executor, all_ended("first"))
    until(executor, lambda events: executor._devices["cpu"].host is None, 10)
    assert gone([host])
    executor.submit("second", make_job(tmp_path / "b", cache))
    events = until(executor, all_ended("second"))
    assert events["second"][0].pid != host


def test_work_counts_while_all_lanes_train(hosted, tmp_path, cache):
    executor = hosted(2)
    executor.submit("a", make_job(tmp_path / "a", cache, 0, epochs=5000))
    until(executor, lambda events: len(executor.looks) >= 4)
    assert not any(look.training for look in executor.looks), "one of two"
    assert executor.looks[-1].work > 0
    executor.submit("b", make_job(tmp_path / "b", cache, 1, epochs=5000))
    until(executor, lambda events: sum(look.training for look in executor.looks) >= 2)
    assert all(look.work > 0 and look.lanes == 2 and look.free > 0 for look in executor.looks if look.training)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel ends a process with its parent")
def test_a_killed_worker_takes_its_host_along(tmp_path, cache):
    worker = subprocess.Popen(
        [sys.executable, "-c", "import sys, time\n"
         "from pathlib import Path\n"
         "from core.executors.lanes import LanesExecutor\n"
         "from core.executors.protocol import Slot\n"
         "from tests.core.test_executors import make_job, saw, until\n"
         "from core.events import EpochFinished\n"
         "folder, cache = map(Path, sys.argv[1:])\n"
         "executor = LanesExecutor([Slot('cpu', 1, lanes=2)], folder / 'children.log')\n"
         "executor.submit('a', make_job(folder / 'a', cache, 0, epochs=5000))\n"
         "until(executor, saw('a', EpochFinished))\n"
         "print(executor.pids()['a'], flush=True)\n"
         "time.sleep(120)", str(tmp_path), str(cache)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    host = int(worker.stdout.readline())
    worker.kill()
    worker.communicate()
    assert gone([host])


def test_the_worker_s_side_of_lanes_imports_no_torch():
    code = "import sys, core.executors.lanes; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


# --- pieces ---


def test_a_data_set_is_read_once_for_all_lanes_and_a_fault_is_not_remembered():
    asked, faults = [], [BadInput("not there")]

    def load(source, root, cache, identity, met):
        if faults:
            raise faults.pop()
        asked.append(identity)
        time.sleep(0.05)
        return object(), identity

    shelf = Shelf(load)
    with pytest.raises(BadInput):
        shelf.load("source", "root", "cache", "x")
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(shelf.load("source", "root", "cache", "x"))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert asked == ["x"]
    assert len({id(arrays) for arrays, _ in found}) == 1
    for name in "abcd":
        shelf.load("source", "root", "cache", name)
    shelf.load("source", "root", "cache", "d")
    shelf.load("source", "root", "cache", "x")
    assert asked == ["x", "a", "b", "c", "d", "x"], "the last four stay"


@pytest.mark.parametrize(
    ("error", "memory", "spoilt"),
    [
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False, True),
        (RuntimeError("CUDA error: device-side assert triggered"), False, True),
        (RuntimeError("CUDA error: out of memory"), True, False),
        (RuntimeError("CUDA error: operation not permitted when stream is capturing"), False, False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False, False),
        (ValueError("CUDA error: in a name"), False, False),
    ],
)
def test_what_an_error_means_for_the_process(error, memory, spoilt):
    assert (is_out_of_memory(error), spoils_process(error)) == (memory, spoilt)


def test_suspects_of_one_death_are_cleared_once_the_one_to_blame_is_found(tmp_path, cache):
    first, second, third, other = (make_job(tmp_path, cache, number) for number in range(4))
    suspects = Suspects()
    suspects.died([first, second])
    suspects.died([third, other])
    assert all(job in suspects for job in (first, second, third, other))
    suspects.died([first])
    assert [job in suspects for job in (first, second, third, other)] == [True, False, True, True]
    suspects.clear(third)
    assert third not in suspects
    suspects.died([second])
    assert second in suspects, "it ended its process alone"
    assert other in suspects
