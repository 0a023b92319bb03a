"""The Ray executor on a real cluster. Few tests, each of many steps: every station loads torch once."""

import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import tomli_w

from core.events import Crashed, EpochFinished, Finished, Started, Stopped, Trained
from core.executors.cluster.connection import Connection
from core.executors.cluster.executor import RayExecutor
from core.executors.cluster.fleet import Wanted
from tests.conftest import ROOT, tiny
from tests.core.test_executors import TestEveryExecutor as Contract
from tests.core.test_executors import all_ended, gone, make_job, saw, until
from tests.faults.machinery import truth

pytest.importorskip("ray", reason="Ray is not installed: nothing was tried on a cluster; pip install 'innate[ray]'")


class Machines:
    """The cluster, which a test may take apart: each says how many nodes it is to have."""

    def __init__(self, scratch):
        from ray.cluster_utils import Cluster

        self.scratch = scratch
        self.ray = Cluster(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "object_store_memory": 80 << 20},
        )
        self.nodes = []

    def are(self, count):
        """So many nodes from now on."""
        while len(self.nodes) < count:
            self.nodes.append(self.ray.add_node(num_cpus=1, object_store_memory=80 << 20))
        while len(self.nodes) > count:
            self.lose(self.nodes[-1].node_id)

    def lose(self, node):
        """As a machine whose power is cut."""
        (lost,) = (one for one in self.nodes if one.node_id == node)
        self.nodes.remove(lost)
        self.ray.remove_node(lost, allow_graceful=False)


@pytest.fixture(scope="module")
def machines(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        scratch = tmp_path_factory.mktemp("scratch")
        patch.setenv("INNATE_SCRATCH", str(scratch))  # of the nodes, which start from here
        made = Machines(scratch)
        yield made
        made.ray.shutdown()


def ready(executor, slots):
    deadline = time.monotonic() + 120
    while len(executor.capacity()) < slots:
        assert time.monotonic() < deadline, "the stations do not come to life"
        assert executor.poll(0.2) == []


def spooled(scratch, home):
    """Trial id → the events of its pieces, of the home with this id."""
    found = {}
    # Unlike a glob, a walk passes over folders that are gone by the time it comes to them: stations live meanwhile.
    pieces = [Path(folder) / name for folder, _, names in os.walk(scratch / home) for name in names]
    for path in sorted(path for path in pieces if path.suffix == ".piece"):
        try:
            page = pickle.loads(path.read_bytes().split(b"\n", 2)[2])
        except FileNotFoundError:  # recorded meanwhile
            continue
        found.setdefault(page.trial.id, []).extend(kept.event for kept in page.kept)
    return found


def test_a_cluster_carries_trials_as_every_executor_does_and_a_lost_machine_costs_what_it_ran(
    machines, tmp_path, cache
):
    machines.are(2)
    said = []
    executor = RayExecutor(Connection(machines.ray.address, tmp_path / "ray.log"), Wanted("cpu"), "a" * 32, said.append)
    ready(executor, 2)
    contract = Contract()
    contract.test_has_the_slots_it_was_given(executor)
    (tmp_path / "kept").mkdir()
    contract.test_carries_each_job_s_events_in_order_to_one_last_one(executor, tmp_path / "kept", cache)
    assert (tmp_path / "kept" / "0" / "1" / "weights.pt").exists(), "brought back from the machine"
    contract.test_ignores_keys_that_it_does_not_know(executor)
    for name, method in (
        ("stopped", contract.test_stops_a_job_cleanly),
        ("killed", contract.test_kills_a_job_on_request_without_blaming_it),
    ):
        (tmp_path / name).mkdir()
        method(executor, tmp_path / name / "trial", cache)
    executor.poll(0)
    deadline = time.monotonic() + 20
    while spooled(machines.scratch, "a" * 32):
        assert time.monotonic() < deadline, "what is recorded goes"
        time.sleep(0.05)

    # One of the two machines goes while both are at work.
    begun = {}
    for number, key in enumerate(("one", "other")):
        executor.submit(key, make_job(tmp_path / key, cache, number, epochs=5000))
    begun = until(executor, lambda events: all(saw(key, EpochFinished)(events) for key in ("one", "other")))
    nodes = {key: next(e for e in begun[key] if isinstance(e, Started)).environment["node"] for key in begun}
    assert len(set(nodes.values())) == 2
    (station,) = (one for one in executor._fleet.stations if one.node.name == nodes["one"])
    machines.lose(station.node.id)
    child = psutil.Process(next(e for e in begun["other"] if isinstance(e, Started)).pid)
    family = [child.pid, *(one.pid for one in child.parents()[:2])]  # its fork server, its station
    crash = until(executor, all_ended("one"))["one"][-1]
    assert isinstance(crash, Crashed)
    assert (crash.trial_at_fault, crash.node) == (False, nodes["one"])
    assert len(executor.capacity()) == 1
    # Its next attempt is done on the machine that is left, after what that has to do; the other trial has noticed nothing.
    executor.submit(
        "one again", make_job(tmp_path / "one", cache, 0, epochs=3, attempt=2, earlier=[tmp_path / "one" / "1"])
    )
    executor.cancel("other")
    events = until(executor, all_ended("one again", "other"))
    assert isinstance(events["other"][-1], Stopped)
    assert isinstance(events["one again"][-1], Finished)
    assert sum(isinstance(event, Trained) for event in events["one again"]) == 1
    executor.close()
    assert gone(family), "nothing outlives the executor"


def kept_by(scratch, home, known, patience=10.0):
    """Trial id → process of those that are whole in the spool and not `known`, once there are any."""
    deadline = time.monotonic() + patience
    while True:
        found = {
            trial: events[0].pid
            for trial, events in spooled(scratch, home).items()
            if isinstance(events[-1], Finished) and trial not in known
        }
        if found or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def test_a_killed_driver_loses_nothing_and_results_are_those_of_processes(machines, filled, tmp_path):
    machines.are(1)
    home = tmp_path / "home"
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(tiny()))
    command = [
        sys.executable, "-P", "-m", "app.main", "--home", str(home), "run", str(tmp_path / "tiny.toml"),
        "--executor", "ray", "--address", machines.ray.address, "--json",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "INNATE_DATA": str(home / "data"), "HOME": str(tmp_path)}
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd=tmp_path)

    def recorded(sql):
        try:
            with sqlite3.connect(f"file:{home / 'innate.db'}?mode=ro", uri=True) as db:
                return db.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []

    deadline = time.monotonic() + 150
    kept = {}
    while not kept:
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
        known = {trial for (trial,) in recorded("SELECT trial_id FROM attempt WHERE exit_kind = 'finished'")}
        if known:
            driver.send_signal(signal.SIGSTOP)  # what its station works out from now on reaches nobody
            known = {trial for (trial,) in recorded("SELECT trial_id FROM attempt WHERE exit_kind = 'finished'")}
            kept = kept_by(machines.scratch, (home / "cluster-id").read_text(), known)
            if not kept:
                driver.send_signal(signal.SIGCONT)
    driver.kill()
    driver.communicate()
    again = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path, timeout=200, check=False)
    assert again.returncode == 0, again.stderr
    assert again.stdout.startswith(b"{"), "Ray says nothing on stdout"
    finished = dict(recorded("SELECT trial_id, pid FROM attempt WHERE exit_kind = 'finished'"))
    assert len(finished) == 8
    assert {trial: finished[trial] for trial in kept} == kept, (
        "done by the first driver's stations, recorded by the second"
    )
    assert truth(home) == truth(filled)
    assert spooled(machines.scratch, (home / "cluster-id").read_text()) == {}
