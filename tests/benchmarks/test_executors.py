"""What each executor costs beside the trial itself: the same trivial trials through the real loop, in one slot each."""

import itertools
import statistics
import time
from dataclasses import replace

import psutil
import pytest

from app.worker import loop, owner
from core.events import Finished, Started, Trained
from core.executors.inline import InlineExecutor
from core.executors.lanes import LanesExecutor
from core.executors.process import ProcessExecutor
from core.executors.protocol import Slot
from core.jobs.orders import Job
from core.jobs.trial import run_trial
from storage import database, queue, submitting
from storage.home import Home, prepare
from tests.benchmarks.tables import show
from tests.benchmarks.test_queue import SMALL, Silent
from tests.conftest import plan_of

pytestmark = pytest.mark.benchmark

WARM = 10
"""Trials before what is measured."""


class Noted(Silent):
    """When each trial ended, as the loop heard of it."""

    def __init__(self):
        self.ended = []

    def happened(self, trial, event):
        if isinstance(event, Finished):
            self.ended.append(time.perf_counter())


def inline(folder):
    return InlineExecutor(run_trial)


def process(folder):
    return ProcessExecutor([Slot("cpu", 1)], folder / "children.log")


def lanes(folder):
    return LanesExecutor([Slot("cpu", 1, lanes=1)], folder / "children.log")


def ray(folder):
    from core.executors.cluster.connection import Connection
    from core.executors.cluster.executor import RayExecutor
    from core.executors.cluster.fleet import Wanted

    return RayExecutor(Connection("local", folder / "ray.log"), Wanted("cpu", slots=1), "b" * 32, print)


def through(make, folder):
    """(seconds a trial, this process's processor seconds a trial) once the first few have warmed everything up."""
    home = Home(folder / "home")
    prepare(home)
    db = database.connect(home.database)
    submitting.submit(db, plan_of(SMALL, home.cache))
    ownership, noted = owner.acquire(home, owner.DETACHED), Noted()
    executor = make(folder)
    spent = []

    def stop():
        spent.append((len(noted.ended), time.process_time()))
        return loop.Stop.NO

    try:
        worker = loop.Worker(home, db, executor, noted, ownership, role=owner.DETACHED, gpus=list)
        worker.work(None, stop)
    finally:
        ownership.release()
    began = next(at for ended, at in spent if ended >= WARM)
    rest = len(noted.ended) - WARM
    last = spent[-1][1]
    return (noted.ended[-1] - noted.ended[WARM - 1]) / rest, (last - began) / rest


def bare(folder):
    """Seconds of the trial alone, in this process."""
    home = Home(folder / "home")
    prepare(home)
    db = database.connect(home.database)
    submitting.submit(db, plan_of(SMALL, home.cache))
    took = []
    for _ in range(15):
        claim = queue.claim(db)
        place = home.checkpoints / claim.trial_id
        job = Job(
            claim.trial, claim.source, claim.evaluations, claim.clean, 1, place / "1", (), home.data_root, home.cache,
            diagnoses=claim.diagnoses, traits=claim.traits, audits=claim.audits,
        )  # fmt: skip
        began = time.perf_counter()
        assert isinstance(list(run_trial(job, lambda: False))[-1], Finished)
        took.append(time.perf_counter() - began)
    return statistics.median(took[5:])


def test_overhead_of_each_executor(tmp_path, monkeypatch):
    monkeypatch.setenv("INNATE_SCRATCH", str(tmp_path / "scratch"))  # the station's own, which starts from here
    (tmp_path / "bare").mkdir()
    alone = bare(tmp_path / "bare")
    rows = []
    for make in (inline, process, lanes, ray):
        folder = tmp_path / make.__name__
        folder.mkdir()
        wall, driver = through(make, folder)
        rows.append((make.__name__, f"{1000 * wall:.1f}", f"{1000 * (wall - alone):.1f}", f"{1000 * driver:.1f}"))
    show(
        f"Overhead of a trial, trivial trials in one slot; the trial alone takes {1000 * alone:.1f} ms",
        ("executor", "ms a trial", "beside the trial", "processor ms of the worker"),
        rows,
        "inline: the trial's own work is in the worker's processor time",
    )


def test_what_a_driver_can_record(tmp_path):
    """Trials a second that the loop claims and records whole, whatever computes them: what bounds a cluster."""
    home = Home(tmp_path / "home")
    prepare(home)
    db = database.connect(home.database)
    submitting.submit(db, plan_of({**SMALL, "seeds": 40}, home.cache))
    told = {}

    def taught(job, stop):
        """The first trial is computed, and all others tell the same of themselves."""
        if not told:
            for event in run_trial(job, stop):
                told.setdefault("story", []).append(event)
        for event in told["story"]:
            yield replace(event, weights=job.folder / "weights.pt") if isinstance(event, Trained) else event

    ownership, noted = owner.acquire(home, owner.DETACHED), Noted()
    try:
        before = psutil.Process().cpu_times().user
        worker = loop.Worker(home, db, InlineExecutor(taught, 16), noted, ownership, role=owner.DETACHED, gpus=list)
        worker.work(None, lambda: loop.Stop.NO)
    finally:
        ownership.release()
    count = len(noted.ended)
    seconds = (noted.ended[-1] - noted.ended[20]) / (count - 21)
    spent = psutil.Process().cpu_times().user - before
    events = sum(1 for event in told["story"] if not isinstance(event, Started)) + 1
    size = home.database.stat().st_size / count
    print(
        f"\nthe loop records {1 / seconds:,.0f} trials a second ({events} events each; {1000 * spent / count:.1f} ms of a "
        f"processor), {size / 1024:.1f} KiB of database each"
    )
    gaps = [after - before for before, after in itertools.pairwise(noted.ended)]
    print(f"between two ends: median {1000 * statistics.median(gaps):.1f} ms")
