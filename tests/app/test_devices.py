"""Slots and waiting, against a driver that is made up: there is no GPU where the suite runs."""

import pynvml
import pytest

from app.worker import conditions, devices
from app.worker.devices import resolve_slots
from app.worker.driver import Gpu, memory_of_processes
from app.worker.visible import Visible, visible_gpus
from core.errors import BadInput, Unavailable
from core.executors.protocol import Slot
from storage import database, queue, submitting
from storage.worker_state import SlotRow
from tests.app.imaginary import GIB, UUIDS
from tests.conftest import plan_of, tiny
from tests.storage import stored


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (None, UUIDS),
        ("", []),
        ("-1", []),
        ("1", UUIDS[1:2]),
        ("2,0", [UUIDS[2], UUIDS[0]]),
        ("0,-1,1", UUIDS[:1]),
        ("0,7,1", UUIDS[:1]),
        ("GPU-bbbb", UUIDS[1:2]),
        ("GPU-", []),
        ("0,0", []),
        ("+1,2nd", UUIDS[1:]),
        ("none", []),
        ("NoDevFiles", []),
    ],
)
def test_visible_devices_are_those_that_cuda_would_see_in_its_order(driver, variable, expected):
    environment = {} if variable is None else {"CUDA_VISIBLE_DEVICES": variable}
    found = visible_gpus(environment)
    assert [gpu.uuid for gpu in found] == expected
    assert [gpu.name for gpu in found] == [f"cuda:{n}" for n in range(len(expected))]
    assert all((gpu.model, gpu.total, gpu.utilisation) == ("Imaginary 8000", 8 * GIB, 0.37) for gpu in found)


def test_without_a_driver_there_are_no_gpus(monkeypatch):
    def absent():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    assert visible_gpus({}) == []
    assert memory_of_processes(UUIDS) == {}


def fake(count):
    return lambda: Visible([Gpu(f"cuda:{n}", f"GPU-{n}", "Imaginary", 8 * GIB, 8 * GIB) for n in range(count)])


def test_slots_one_per_core_or_device_unless_asked(monkeypatch):
    monkeypatch.setattr(devices, "cores", lambda: 6)
    monkeypatch.setattr(devices, "has_mps", lambda: False)
    assert resolve_slots((), None, None, look=fake(0)) == [Slot("cpu", 1)] * 6
    assert resolve_slots(["cpu"], None, 2, look=fake(2)) == [Slot("cpu", 2)] * 3
    assert resolve_slots((), None, None, look=fake(2)) == [Slot("cuda:0", 1), Slot("cuda:1", 1)]
    assert resolve_slots(["cuda:1"], None, None, look=fake(2)) == [Slot("cuda:1", 1)]
    assert [s.device for s in resolve_slots(["cuda:1", "cpu"], None, None, look=fake(2))] == ["cuda:1"] + ["cpu"] * 6
    assert resolve_slots(["cuda:0", "cuda:1"], 3, None, look=fake(2)) == [
        Slot("cuda:0", 1, lanes=2),
        Slot("cuda:1", 1, lanes=1),
    ]


def test_a_gpu_takes_no_more_lanes_than_torch_has_streams_for():
    assert resolve_slots((), None, None, look=fake(1), lanes=32)[0].lanes == 32
    for asked in ({"slots": None, "lanes": 33}, {"slots": 65, "lanes": None}):
        with pytest.raises(BadInput, match="33 trials at once on cuda:0: a GPU takes 32 at most"):
            resolve_slots((), asked["slots"], None, look=fake(1 if asked["slots"] is None else 2), lanes=asked["lanes"])
    assert len(resolve_slots(["cpu"], 65, None, look=fake(0))) == 65


def test_lanes_are_counted_on_each_gpu_and_slots_on_all():
    assert resolve_slots((), None, None, look=fake(2), lanes=4) == [
        Slot("cuda:0", 1, lanes=4),
        Slot("cuda:1", 1, lanes=4),
    ]
    with_cpu = resolve_slots(["cuda:0", "cpu"], None, 2, look=fake(1), lanes=3)
    assert with_cpu[0] == Slot("cuda:0", 2, lanes=3)
    assert {slot.lanes for slot in with_cpu[1:]} == {None}, "a trial on the CPU has a process of its own"
    with pytest.raises(BadInput, match="--slots 2 --lanes 4: use one of them"):
        resolve_slots((), 2, None, look=fake(1), lanes=4)
    with pytest.raises(BadInput, match=r"--lanes 4: only GPUs of NVIDIA have lanes.*use --slots"):
        resolve_slots(["cpu"], None, None, look=fake(1), lanes=4)


def test_room_is_told_in_words():
    assert devices.in_words([Slot("cpu", 1)] * 2) == "2 slots: cpu"
    assert devices.in_words(resolve_slots((), None, None, look=fake(1))) == "cuda:0 with as many lanes as pay"
    two = resolve_slots(["cuda:0", "cpu"], 2, None, look=fake(1))
    assert devices.in_words(two) == "cuda:0 with 1 lane, 1 slot: cpu"


def test_the_lanes_of_a_device_share_what_it_may_take():
    assert resolve_slots(["cuda:0"], 2, None, look=fake(1)) == [Slot("cuda:0", 1, None, 2)]
    assert resolve_slots(["cuda:0"], 2, None, 0.6, look=fake(1)) == [Slot("cuda:0", 1, 0.6, 2)]
    assert resolve_slots(["cuda:0"], None, None, look=fake(1))[0].memory_fraction is None
    for fraction in (0.0, 1.5, -1.0):
        with pytest.raises(BadInput, match="memory-fraction"):
            resolve_slots(["cuda:0"], None, None, fraction, look=fake(1))


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:x", "cpu:0", "CUDA"])
def test_a_misspelt_device_is_bad_input(name):
    with pytest.raises(BadInput, match="expected auto"):
        resolve_slots([name], None, None, look=fake(1))


def test_an_absent_device_is_unavailable():
    with pytest.raises(Unavailable, match="no NVIDIA GPU"):
        resolve_slots(["cuda"], None, None, look=fake(0))
    with pytest.raises(Unavailable, match="shows 2 GPU"):
        resolve_slots(["cuda:2"], None, None, look=fake(2))


def test_a_device_that_others_fill_makes_trials_wait_with_the_reason(driver, home):
    db = database.connect(home.database)
    slots = [Slot("cuda:0", 1), Slot("cuda:1", 1), Slot("cpu", 1)]
    assert conditions.crowded(db, slots) == {}
    driver.free[UUIDS[1]] = GIB
    (reason,) = conditions.crowded(db, slots).values()
    assert "cuda:1 has 1.0 GiB free of 8.0, 2.0 needed" in reason
    assert conditions.crowded(db, [Slot("cpu", 1)]) == {}
    assert conditions.crowded(db, slots, at_work={"cuda:1"}) == {}, (
        "our own trials fill it: whether one more fits, they find"
    )
    driver.lost[UUIDS[1]] = pynvml.NVML_ERROR_GPU_IS_LOST
    assert "cuda:1" in conditions.crowded(db, slots, at_work={"cuda:1"}), "lost is lost"


def test_what_a_trial_needs_is_learned_from_those_measured_on_a_gpu(driver, home, cache):
    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    stored.run_one(db, home)
    db.execute("UPDATE trial SET peak_memory = ?", (4 * GIB,))
    driver.free[UUIDS[0]] = 5 * GIB
    slot = [Slot("cuda:0", 1)]
    assert conditions.crowded(db, slot) == {}, "measured on the CPU: says nothing about a GPU"
    db.execute("UPDATE attempt SET device = 'cuda:0'")
    assert "5.6 needed" in conditions.crowded(db, slot)["cuda:0"]
    assert conditions.crowded(db, [Slot("cuda:0", 1, 0.25)]) == {}, "it may not take more than its share"
    db.execute("UPDATE environment SET content = json_set(content, '$.lanes', 4)")
    assert conditions.crowded(db, slot) == {}, "four trials shared the process that took so much"
    driver.free[UUIDS[0]] = 1 * GIB
    assert "1.8 needed" in conditions.crowded(db, slot)["cuda:0"]


def test_out_of_memory_beside_others_waits_for_more_room_and_alone_it_fails(driver, home, cache, monkeypatch, tmp_path):
    import torch

    from core.events import Crashed, TrialFailed
    from core.jobs import trial
    from tests.core.test_executors import make_job

    def exhausted(job):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trial, "settle_torch", exhausted)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 3 * GIB)
    job = make_job(tmp_path, cache)
    job = type(job)(**{**job.__dict__, "device": "cuda:0"})
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (GIB // 4, 4 * GIB))
    (alone,) = trial.run_trial(job, lambda: False)
    assert isinstance(alone, TrialFailed)
    assert "smaller training.batch_size" in alone.reason
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (GIB, 8 * GIB))
    (beside,) = trial.run_trial(job, lambda: False)
    assert isinstance(beside, Crashed)
    assert "other processes hold 4.0 GiB" in beside.reason

    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    slot = [Slot("cuda:0", 1)]
    driver.free[UUIDS[0]] = 4 * GIB
    assert conditions.crowded(db, slot) == {}, "nothing is known of what a trial needs"
    claim = queue.claim(db, device="cuda:0")
    queue.crash(db, claim.attempt_id, beside.reason, None, True, beside.memory_needed)
    assert "4.3 needed" in conditions.crowded(db, slot)["cuda:0"]
    assert queue.next_trial(db) == claim.trial_id, "it waits, it has not failed"
    driver.free[UUIDS[0]] = 5 * GIB
    assert conditions.crowded(db, slot) == {}


def test_a_device_that_disappears_is_waited_for(driver, home, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    db = database.connect(home.database)
    assert "gone" in conditions.crowded(db, [Slot("cuda:1", 1)])["cuda:1"]


def test_memory_is_told_by_process(driver):
    driver.held[UUIDS[0]] = {11: 3 * GIB, 12: GIB}
    driver.held[UUIDS[2]] = {11: GIB}
    assert memory_of_processes(UUIDS) == {11: 4 * GIB, 12: GIB}


def test_the_memory_fraction_reaches_torch(monkeypatch, tmp_path, cache):
    import torch

    from core.jobs import trial
    from tests.core.test_executors import make_job

    asked = []
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda share, device: asked.append((share, device))
    )
    job = make_job(tmp_path, cache)
    trial.settle_torch(type(job)(**{**job.__dict__, "device": "cuda:1", "memory_fraction": 0.25}))
    trial.settle_torch(job)
    assert asked == [(0.25, torch.device("cuda:1"))]


def test_queue_waits_on_a_crowded_device_and_status_says_so(driver, home, cache):
    from app.report.status import WorkerView, unfinished

    db = database.connect(home.database)
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    driver.free[UUIDS[0]] = 0
    reason = conditions.crowded(db, [Slot("cuda:0", 1)])["cuda:0"]
    slots = (SlotRow(0, "cuda:0", 1, None, reason),)
    view = WorkerView(alive=True, state="idle", reason=None, pid=1, role="worker", slots=slots)
    assert {row.waits_for for row in unfinished(db, view)} == {reason}
    assert queue.next_trial(db) is not None
