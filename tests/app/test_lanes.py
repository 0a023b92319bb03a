"""Lanes as the worker drives them: the same results however many there are, faults counted once, and how they are told."""

import json
from dataclasses import replace

import pytest

from app.cli.worker import describe
from app.report.status import WorkerView, unfinished
from app.worker import loop, owner
from app.worker.crashes import BlamelessCrashes
from app.worker.loop import Stop, Worker
from app.worker.pulse import Pulse, rows
from app.worker.rooms import FewerLanes, Rooms
from core.errors import Unavailable
from core.events import Crashed
from core.executors.inline import InlineExecutor
from core.executors.protocol import Lanes, Slot
from core.jobs.trial import run_trial
from storage import database, queue, submitting, worker_state
from storage.home import Home, prepare
from storage.tuning import Stages
from storage.worker_state import LaneRow, SlotRow
from tests.app.test_worker import Silent
from tests.conftest import SharedLanes, plan_of, tiny
from tests.core.odd_jobs import LANE, Deadly, Greedy, odd
from tests.faults.machinery import truth

DRAWING = tiny(
    architectures=[{"name": "kumar-cnn", "width": 0.25, "dropout": 0.2}],
    optimizers=["adam"],
    training={"epochs": 2, "batch_size": 32},
    defenses=["none", {"name": "fgsm-rs", "eps": 0.1}],
    seeds=1,
)
"""Trials that draw at every step: dropout, random starts."""


def never():
    return Stop.NO


@pytest.fixture
def work_in(tmp_path, lasting):
    """`work_in(name, lanes, document, cache)`: a home in which a worker with so many lanes on the CPU did the study, its
    database, and who watched."""

    def work(name, lanes, document, cache, executor=None):
        home = Home(tmp_path / name)
        prepare(home)
        db = database.connect(home.database)
        submitting.submit(db, plan_of(document, cache))
        ownership = owner.acquire(home, owner.DETACHED)
        made = executor or SharedLanes(lanes, lasting)
        try:
            worker = Worker(home, db, made, Silent(), ownership, role=owner.DETACHED, gpus=list)
            assert worker.work(None, never)
        finally:
            ownership.release()
        return home, db, worker._watcher

    return work


def test_a_study_comes_to_the_same_in_one_lane_and_in_eight(work_in, cache):
    one, _, _ = work_in("one", 1, DRAWING, cache)
    eight, db, _ = work_in("eight", 8, DRAWING, cache)
    assert truth(eight.root) == truth(one.root)
    assert queue.remaining(db, "tiny") == {"done": 4}
    recorded = {json.loads(row[0])["lanes"] for row in db.execute("SELECT content FROM environment")}
    assert recorded == {8}
    assert {row[0] for row in db.execute("SELECT count(DISTINCT pid) FROM attempt")} == {1}


def odd_one(monkeypatch, kind, which=lambda number: True):
    """Have some of a worker's jobs be of an odd kind: those of the trials that come as number …"""
    plain, seen = Worker._job, {}

    def job(self, claim, slot):
        made = plain(self, claim, slot)
        return odd(kind, made) if which(seen.setdefault(claim.trial_id, len(seen))) else made

    monkeypatch.setattr(Worker, "_job", job)


def test_only_the_trial_at_fault_is_given_up_and_no_retry_of_others_counts(work_in, cache, monkeypatch):
    odd_one(monkeypatch, Deadly, lambda number: number == 1)
    document = tiny(seeds=1, training={"epochs": 30, "batch_size": 16})
    _, db, _ = work_in("home", 4, document, cache)
    assert queue.remaining(db, "tiny") == {"done": 3, "failed": 1}
    ((crashes, failure),) = db.execute("SELECT crashes, failure FROM trial WHERE failure IS NOT NULL").fetchall()
    assert crashes == 5
    assert "SIGSEGV, 5 times in a row" in failure.replace("ended by ", "")
    assert {row[0] for row in db.execute("SELECT crashes FROM trial WHERE failure IS NULL")} == {0}


def test_lanes_that_the_memory_does_not_hold_are_said_in_one_line(work_in, cache, monkeypatch):
    odd_one(monkeypatch, Greedy)
    monkeypatch.setattr(loop.Worker, "_key", staticmethod(lambda claim: f"{LANE}{claim.trial_id}/{claim.number}"))
    _, db, watcher = work_in("home", 4, tiny(training={"epochs": 20, "batch_size": 16}), cache)
    assert queue.remaining(db, "tiny") == {"done": 8}
    assert db.execute("SELECT max(crashes) FROM trial").fetchone()[0] == 0
    notes = [note for note in watcher.notes if "at once" in note]
    # Those that run out in the same moment may be told one after the other: a line for each number that stayed.
    two, three = "cpu holds 2 trials at once, not 4", "cpu holds 3 trials at once, not 4"
    assert notes in ([two], [three, two])


class _Sharing(InlineExecutor):
    """All trials under way are told the same crash at once, the first few times."""

    def __init__(self, run, slots, crash, times):
        super().__init__(run, slots)
        self._crash, self._times = crash, times

    def poll(self, timeout):
        if self._times and len(self._running) > 1:
            self._times -= 1
            told = [(key, replace(self._crash, beside=len(self._running) - 1)) for key in self._running]
            self._running.clear()
            return told
        return super().poll(timeout)


def test_a_crash_that_lanes_share_counts_once(work_in, cache):
    document = tiny(training={"epochs": 1})
    shared = Crashed("the process died", -9, trial_at_fault=False)
    _, _, watcher = work_in("home", 8, document, cache, _Sharing(run_trial, 8, shared, 4))
    assert sum(isinstance(event, Crashed) for event in watcher.events) == 4 * 8
    with pytest.raises(Unavailable, match="the process died"):
        work_in("other", 8, document, cache, _Sharing(run_trial, 8, shared, 5))


def test_memory_that_ends_beside_others_is_never_given_up_for(work_in, cache):
    full = Crashed("out of memory", None, trial_at_fault=False, memory_needed=1)
    _, db, _ = work_in("home", 8, tiny(training={"epochs": 1}), cache, _Sharing(run_trial, 8, full, 20))
    assert queue.remaining(db, "tiny") == {"done": 8}


# --- numbers ---


def test_numbers_stay_with_their_device_while_lanes_come_and_go():
    rooms = Rooms()
    two = [Slot("cuda:0", 1)] * 2
    assert [number for number, _ in rooms.free([*two, Slot("cpu", 1)], set())] == [0, 1, 2]
    four = [Slot("cuda:0", 1)] * 4
    assert [(n, slot.device) for n, slot in rooms.free([*four, Slot("cpu", 1)], {0, 2})] == [
        (1, "cuda:0"), (3, "cuda:0"), (4, "cuda:0"),
    ]  # fmt: skip
    assert rooms.free([*two, Slot("cpu", 1)], {1, 2, 3, 4}) == [], "fewer than are busy: none is free"
    assert [n for n, _ in rooms.free([*two, Slot("cpu", 1)], {2, 4})] == [0], "one of two is busy"


def test_lanes_of_one_process_are_told_a_part_of_its_memory_each(monkeypatch):
    monkeypatch.setattr("app.worker.pulse._resident", lambda pid: None if pid is None else 600)
    pulses = [Pulse(str(number), number, Slot("cpu", 1), pid=pid) for number, pid in enumerate((7, 7, 7, 8, None))]
    assert [row.memory for row in rows(pulses, {})] == [200, 200, 200, 600, None]


# --- words ---

IDS = [f"{number:064x}" for number in range(40)]


def view(lanes, busy, device="cuda:0", waits=None):
    slots = tuple(
        SlotRow(number, device, 1, IDS[number] if number < busy else None, waits, lanes)
        for number in range(max(busy, lanes.allowed))
    )
    return WorkerView(alive=True, state="working", reason=None, pid=1, role="worker", slots=slots)


@pytest.mark.parametrize(
    ("lanes", "busy", "told"),
    [
        (LaneRow(16, None, True), 5, "cuda:0  lanes 5 of 16 busy (auto, settled)"),
        (LaneRow(2, None, False), 2, "cuda:0  lanes 2 of 2 busy (auto, trying how many pay)"),
        (LaneRow(8, 8, True), 8, "cuda:0  lanes 8 of 8 busy"),
        (LaneRow(12, 64, True), 12, "cuda:0  lanes 12 of 12 busy; it holds 12 at once, not 64"),
        (LaneRow(8, None, True, alone=True), 1, "cuda:0  lanes 1 of 8 busy, one trial alone: its process died before"),
    ],
)
def test_lanes_are_told_by_device(lanes, busy, told):
    lines = describe(view(lanes, busy))
    assert told in "\n".join(lines)
    assert not any("slot " in line for line in lines)
    (row,) = view(lanes, busy).as_row()["lanes"]
    assert (row["device"], row["busy"], row["allowed"], row["asked"]) == ("cuda:0", busy, lanes.allowed, lanes.asked)


def test_thirty_two_lanes_are_a_few_lines_of_eighty_columns():
    lines = describe(view(LaneRow(32, None, True), 32))
    assert len(lines) <= 8
    assert max(map(len, lines)) <= 80
    assert sum(line.count("00000000") for line in lines) >= 32


def test_lanes_that_do_not_fit_are_news_once_their_number_has_stayed():
    told = FewerLanes()

    def news(allowed, asked=8):
        return told.news({"cuda:0": Lanes(allowed, 0, asked, True), "cuda:1": Lanes(4, 0, None, True)})

    assert news(8) == []
    assert [news(5), news(3)] == [[], []], "it still shrinks"
    assert news(3) == ["cuda:0 holds 3 trials at once, not 8"]
    assert news(3) == []
    assert [news(1), news(1)] == [[], ["cuda:0 holds 1 trial at once, not 8"]]


def test_too_many_blameless_crashes_in_a_row_are_the_machines_and_shared_ones_count_once():
    def one(beside=0, memory=None, at_fault=False):
        return Crashed("ended", None, trial_at_fault=at_fault, beside=beside, memory_needed=memory)

    crashes = BlamelessCrashes()
    assert [crashes.too_many(one()) for _ in range(4)] == [False] * 4
    crashes.forget()
    for _ in range(4):
        crashes.begin_turn()
        assert not any(crashes.too_many(one(beside=15)) for _ in range(16))
    crashes.begin_turn()
    assert not any(crashes.too_many(one(beside=2, memory=1)) for _ in range(9)), "lanes become fewer until they fit"
    assert crashes.too_many(one(beside=15))
    assert not crashes.too_many(one(at_fault=True)), "one was found to blame"
    assert not crashes.too_many(one())


def test_status_has_a_line_for_each_gpu(home, monkeypatch):
    from typer.testing import CliRunner

    from app.main import app

    monkeypatch.setattr("app.report.status.worker_view", lambda *_: view(LaneRow(16, None, True), 5))
    done = CliRunner().invoke(app, ["--home", str(home.root), "status"])
    assert done.exit_code == 0
    assert "  cuda:0  lanes 5 of 16 busy (auto, settled)" in done.output.splitlines()


def test_what_runs_fits_the_terminal_however_many_lanes_there_are(cache):
    import io

    from rich.console import Console

    from app.cli.progress import Progress

    plan = plan_of(tiny(seeds=8), cache)
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    stages = Stages({}, {"running": 32}, 0, 0, 0)
    shown = Progress(plan.study, lambda: plan.trials, lambda: stages, console, lambda: 0, quiet=False, verbose=False)
    try:
        for number, trial in enumerate(plan.trials):
            shown.began(trial, number, Slot("cuda:0", 1))
        lines = console.render_lines(shown._panel(), pad=False)
    finally:
        shown.close()
    text = ["".join(part.text for part in line) for line in lines]
    assert len(plan.trials) == 32
    assert len(text) < 24
    assert sum("cuda:0" in line for line in text) == 19
    assert "and 13 more" in text[-1]


def test_why_something_waits_names_the_lanes(home, cache):
    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    told = {row.waits_for for row in unfinished(db, view(LaneRow(16, None, True), 16))}
    assert "all 16 lanes of cuda:0 are busy, next in line" in told
    assert "all 16 lanes of cuda:0 are busy, 1 before it" in told
    one = {row.waits_for for row in unfinished(db, view(LaneRow(1, None, False), 1))}
    assert "the only lane of cuda:0 is busy, next in line" in one


def test_lanes_go_with_the_heartbeat_and_rows_of_before_still_load(home):
    db = database.connect(home.database)
    told = view(LaneRow(2, 4, True, alone=True), 1).slots
    worker_state.beat(db, worker_state.WorkerState("worker", 0.0, "working", None, None, told, 0), [])
    assert worker_state.last_heartbeat(db).worker.slots == told
    old = [{"number": 0, "device": "cpu", "threads": 1, "trial_id": None, "waits": None}]
    db.execute("UPDATE worker SET slots = ?", (json.dumps(old),))
    assert worker_state.last_heartbeat(db).worker.slots == (SlotRow(0, "cpu", 1, None, None),)


def test_the_worker_s_rows_say_how_lanes_stand(home, cache):
    class Laned(InlineExecutor):
        def lanes(self):
            return {"cpu": Lanes(allowed=2, busy=1, asked=3, settled=True)}

    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    ownership = owner.acquire(home, owner.DETACHED)
    worker = Worker(home, db, Laned(run_trial, 2), Silent(), ownership, role=owner.DETACHED, gpus=list)
    try:
        assert [slot.lanes for slot in worker._slot_rows()] == [LaneRow(2, 3, True)] * 2
    finally:
        ownership.release()


@pytest.mark.parametrize("command", [["run", "quick"], ["worker", "start"]])
def test_lanes_without_a_gpu_are_bad_input_in_one_line(innate, command):
    done = innate(*command, "--device", "cpu", "--lanes", "4", check=2)
    assert done.stderr.strip().splitlines() == [
        "innate: --lanes 4: only GPUs of NVIDIA have lanes, and this is for cpu; use --slots"
    ]
    done = innate(*command, "--device", "cpu", "--lanes", "4", "--slots", "2", check=2)
    assert "--slots 2 --lanes 4: use one of them" in done.stderr
