"""What the worker costs beside the work itself. `make bench` prints the table; nothing here is a bar for CI."""

import itertools
import statistics
import subprocess
import sys
import time

import psutil
import pytest

from app.worker import loop, owner
from core.events import EpochFinished, EpochRecord, Finished, Started
from core.executors.inline import InlineExecutor
from storage import database, submitting
from storage.home import Home, prepare
from tests.conftest import plan_of, tiny
from tests.faults.machinery import Lab

pytestmark = pytest.mark.benchmark

SMALL = tiny(
    name="small",
    architectures=[{"name": "mlp", "hidden": [8]}],
    train_samples=64,
    test_samples=20,
    seeds=10,
    training={"epochs": 1, "batch_size": 32},
    attacks=[{"name": "fgsm", "eps": [0.1]}],
)
IDLE_SECONDS = 30.0
READERS = 50

READER = """
import sqlite3, sys, threading, time

def poll(path):
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    seen = None
    while True:
        version = connection.execute("PRAGMA data_version").fetchone()
        if version != seen:
            seen = version
            connection.execute("SELECT state, count(*) FROM v_trials GROUP BY 1").fetchall()
            connection.execute("SELECT * FROM progress").fetchall()
        time.sleep(1.0)

for _ in range(int(sys.argv[2])):
    threading.Thread(target=poll, args=(sys.argv[1],)).start()
"""


@pytest.fixture
def lab(tmp_path):
    made = Lab(tmp_path)
    yield made
    made.close()


def test_from_detach_to_the_first_epoch_and_from_one_trial_to_the_next(lab):
    lab.innate("trials")
    begun = time.time()
    lab.innate("run", lab.study(SMALL), "--detach", "--slots", "1")
    queued = time.time() - begun
    lab.innate("wait")
    lab.innate("worker", "stop")  # writes the rest of the event log
    attempts = lab.query(
        "SELECT a.started_at, a.ended_at, (SELECT min(at) FROM event e WHERE e.kind = 'Started' AND e.trial_id = a.trial_id) "
        "FROM attempt a ORDER BY a.id"
    )
    first = attempts[0][2] - begun
    gaps = [after[2] - before[1] for before, after in itertools.pairwise(attempts)]
    claims = [after[0] - before[1] for before, after in itertools.pairwise(attempts)]
    print(f"\nrun --detach returns after {queued:.2f} s; the first batch begins {first:.2f} s after the command")
    middle, most, claim = (1000 * f for f in (statistics.median(gaps), max(gaps), statistics.median(claims)))
    print(
        f"from one trial's end to the next one's first batch ({len(gaps)} times): median {middle:.0f} ms, most {most:.0f} ms"
    )
    print(f"of that until the next trial is claimed: median {claim:.1f} ms")
    assert len(attempts) == len(lab.query("SELECT * FROM trial"))


def test_an_idle_worker(lab):
    """One that has worked: before that it has no fork server."""
    lab.innate("run", lab.study(SMALL), "--detach", "--slots", "1")
    lab.innate("wait")
    worker = lab.worker()
    time.sleep(8)  # until the last trial's child has ended, too
    family = [worker, lab.server_of(worker)]
    before = [sum(process.cpu_times()[:2]) for process in family]
    time.sleep(IDLE_SECONDS)
    used = [sum(process.cpu_times()[:2]) - old for process, old in zip(family, before, strict=True)]
    memory = [process.memory_info().rss / 2**20 for process in family]
    print(
        f"\nidle for {IDLE_SECONDS:.0f} s: the worker used {used[0] / IDLE_SECONDS:.2%} of a core and holds {memory[0]:.0f} MiB, "
        f"its fork server {used[1] / IDLE_SECONDS:.2%} and {memory[1]:.0f} MiB"
    )
    assert all(psutil.pid_exists(process.pid) for process in family)


class Silent:
    def began(self, trial, slot_number, slot): ...
    def happened(self, trial, event): ...
    def noted(self, text): ...
    def tick(self): ...


def epochs_per_second(home, readers):
    """Epochs recorded by the real loop from trials that do nothing but report them, while others read."""
    prepare(home)
    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(seeds=1), home.cache))

    def reporting(job, stop):
        yield Started({"device": "cpu"}, 1, "0" * 64)
        for epoch in range(5000):
            yield EpochFinished(EpochRecord(epoch + 1, 1.0, 0.5, None, 0.1, 0.01))
        yield Finished()

    others = subprocess.Popen([sys.executable, "-c", READER, str(home.database), str(readers)])
    ownership = owner.acquire(home, owner.DETACHED)
    try:
        time.sleep(2)
        begun = time.perf_counter()
        turns = itertools.count()
        worker = loop.Worker(
            home, db, InlineExecutor(reporting, 4), Silent(), ownership, role=owner.DETACHED, gpus=list
        )
        worker.work(None, lambda: loop.Stop.CLEANLY if next(turns) > 40_000 else loop.Stop.NO)
        seconds = time.perf_counter() - begun
        return db.execute("SELECT count(*) FROM epoch").fetchone()[0] / seconds
    finally:
        others.kill()
        ownership.release()


def test_events_recorded_while_fifty_clients_poll(tmp_path):
    alone = epochs_per_second(Home(tmp_path / "alone"), 0)
    watched = epochs_per_second(Home(tmp_path / "watched"), READERS)
    print(
        f"\nepochs recorded: {alone:,.0f} a second alone, {watched:,.0f} with {READERS} readers ({watched / alone:.0%})"
    )
    assert watched > 0
