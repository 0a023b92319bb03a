"""GPUs that are not what they seem: what is said of them, what is refused, and trials whose device is lost under them."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pynvml
import pytest
import tomli_w

from app.worker import conditions, visible
from app.worker.devices import remarks, resolve_slots
from app.worker.driver import ask_driver, memory_of_processes
from app.worker.loop import Stop, Worker
from app.worker.torch_build import TorchBuild, installed_torch, parsed
from app.worker.visible import Why, look, visible_gpus
from core.errors import Unavailable
from core.events import Crashed, EvaluationFailed, Finished, Started, TrialFailed
from core.executors.inline import InlineExecutor
from core.executors.protocol import Slot
from storage import database, queue, submitting
from tests.app.imaginary import GIB, UUIDS
from tests.app.test_worker import Silent
from tests.conftest import TINY, plan_of, tiny

SLICES = ["MIG-1111aaaa", "MIG-1111bbbb", "MIG-2222cccc"]


def under(variable):
    return look({} if variable is None else {"CUDA_VISIBLE_DEVICES": variable})


# --- the variable ---


@pytest.mark.parametrize(
    ("variable", "shown", "stopped"),
    [
        ("0,-1", ["GPU-aaaa1111"], None),
        ("0,", ["GPU-aaaa1111"], None),
        ("0,none,1", ["GPU-aaaa1111"], None),
        ("7", [], ("7", Why.NO_SUCH_NUMBER)),
        ("1,3,0", ["GPU-bbbb2222"], ("3", Why.NO_SUCH_NUMBER)),
        ("GPU-dddd", [], ("GPU-dddd", Why.NO_SUCH_NAME)),
        ("cuda:0", [], ("cuda:0", Why.NO_SUCH_NAME)),
        ("all", [], ("all", Why.NO_SUCH_NAME)),
        ("²", [], ("²", Why.NO_SUCH_NAME)),
        ("MIG-1111aaaa", [], ("MIG-1111aaaa", Why.NO_SUCH_NAME)),
        ("GPU-", [], ("GPU-", Why.AMBIGUOUS)),
        ("0,1,0", [], ("0", Why.TWICE)),
        ("GPU-bbbb,1", [], ("1", Why.TWICE)),
        ("-2", [], None),
        ("Void", [], None),
        (" ", [], None),
    ],
)
def test_where_cuda_stops_reading_and_why(driver, variable, shown, stopped):
    seen = under(variable)
    assert [gpu.uuid for gpu in seen.gpus] == shown
    assert (None if seen.stopped is None else (seen.stopped.entry, seen.stopped.why)) == stopped


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("7", "CUDA_VISIBLE_DEVICES is '7': there is no GPU 7, they count from 0 to 2"),
        ("GPU-dddd", "no device here is 'GPU-dddd'; there are GPU-aaaa1111, GPU-bbbb2222, GPU-cccc3333"),
        ("GPU-", "'GPU-' begins the names of several devices"),
        ("0,0", "'0' names a device twice"),
    ],
)
def test_a_variable_that_names_nothing_is_refused_and_the_cpu_must_be_asked_for(driver, monkeypatch, variable, said):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    with pytest.raises(Unavailable, match="--device cpu trains on the CPU all the same") as refused:
        resolve_slots((), None, None)
    assert said in str(refused.value)
    with pytest.raises(Unavailable, match=r"--device cuda:0: .* or use --device cpu"):
        resolve_slots(["cuda:0"], None, None)
    assert {slot.device for slot in resolve_slots(["cpu"], None, None)} == {"cpu"}


@pytest.mark.parametrize("variable", ["", "-1", "none", "NoDevFiles"])
def test_gpus_hidden_on_purpose_leave_the_cpu_without_a_word(driver, monkeypatch, variable):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert {slot.device for slot in resolve_slots((), None, None)} <= {"cpu", "mps"}
    assert remarks(()) == []
    with pytest.raises(Unavailable, match="which hides them"):
        resolve_slots(["cuda"], None, None)


def test_the_first_unknown_name_after_good_ones_is_told(driver, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,8,GPU-eeee")
    assert [slot.device for slot in resolve_slots((), None, None)] == ["cuda:0"]
    (remark,) = remarks(())
    assert "there is no GPU 8" in remark
    assert "ignores that and all after it, and shows cuda:0" in remark
    assert remarks(["cpu", "mps"]) == []
    assert remarks(["cpu", "cuda:0"]) == [remark]


# --- MIG ---


@pytest.fixture
def divided(driver, monkeypatch):
    """The first device whole, the second in two instances, the third in one."""
    driver.divide(UUIDS[1], *SLICES[:2])
    driver.parts[UUIDS[2]] = {(3, 1): SLICES[2]}
    driver.free[SLICES[2]] = GIB
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigMode", lambda handle: [int(handle in driver.parts), 1])
    return driver


@pytest.mark.parametrize(
    ("variable", "shown", "left_out"),
    [
        (None, SLICES[:1], 3),
        ("0", UUIDS[:1], 0),
        ("1", SLICES[:1], 0),
        ("GPU-cccc", SLICES[2:], 0),
        ("MIG-1111bbbb", SLICES[1:2], 0),
        ("MIG-2", SLICES[2:], 0),
        ("MIG-1111", [], 0),
        ("MIG-2222cccc,MIG-1111aaaa", SLICES[2:], 1),
        ("0,MIG-1111bbbb", SLICES[1:2], 1),
        ("MIG-GPU-bbbb2222/8/0", SLICES[1:2], 0),
        ("MIG-GPU-cccc3333/3/1", SLICES[2:], 0),
        ("MIG-GPU-cccc3333/3/0", [], 0),
        ("MIG-GPU-aaaa1111/7/0", [], 0),
    ],
)
def test_a_process_sees_one_mig_instance_and_nothing_beside_it(divided, variable, shown, left_out):
    seen = under(variable)
    assert [gpu.uuid for gpu in seen.gpus] == shown
    assert [gpu.name for gpu in seen.gpus] == ["cuda:0"][: len(shown)]
    assert seen.left_out == left_out
    assert (seen.stopped is None) == bool(shown)


def test_a_mig_instance_is_a_slot_with_its_own_memory(divided, monkeypatch, home):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1111bbbb,MIG-1111aaaa")
    assert resolve_slots((), None, None) == [Slot("cuda:0", 1)]
    (gpu,) = visible_gpus()
    assert (gpu.model, gpu.free, gpu.utilisation) == ("Imaginary 8000 MIG 1g.1gb", GIB, None)
    (remark,) = remarks(())
    assert "cuda:0 is MIG-1111bbbb, 1 more stays idle; CUDA_VISIBLE_DEVICES=MIG-… chooses another" in remark
    divided.held[SLICES[1]] = {11: GIB}
    assert memory_of_processes([SLICES[1]]) == {11: GIB}
    divided.free[SLICES[1]] = GIB // 2
    assert (
        "cuda:0 has 0.5 GiB free" in conditions.crowded(database.connect(home.database), [Slot("cuda:0", 1)])["cuda:0"]
    )


def test_mig_mode_without_an_instance_is_no_gpu_and_told(driver, monkeypatch):
    for uuid in UUIDS:
        driver.divide(uuid)
    monkeypatch.setattr(pynvml, "nvmlDeviceGetMigMode", lambda handle: [1, 1])
    with pytest.raises(Unavailable, match="every GPU is in MIG mode and has no instance"):
        resolve_slots((), None, None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(Unavailable, match="'0' is in MIG mode and has no instance"):
        resolve_slots((), None, None)


# --- torch and the driver ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "__version__ = '2.9.0+cu130'\ncuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n",
            ("2.9.0+cu130", (13, 0)),
        ),
        ('__version__ = "2.5.1"\ndebug = False\ncuda = "12.4"\n', ("2.5.1", (12, 4))),
        ("__version__ = '2.9.0+cpu'\ncuda: Optional[str] = None\n", ("2.9.0+cpu", None)),
        ("__version__ = '2.9.0'\n", None),
        ("cuda = 'unheard of'\n", None),
        ("", None),
    ],
)
def test_what_torch_was_built_for_is_read_and_not_imported(text, expected):
    assert parsed(text) == (None if expected is None else TorchBuild(*expected))


def test_the_torch_of_this_installation_is_understood():
    import torch

    installed_torch.cache_clear()
    built = installed_torch()
    assert built.version == torch.__version__
    assert built.cuda == (torch.version.cuda and tuple(map(int, torch.version.cuda.split("."))))


@pytest.mark.parametrize(
    ("runs", "built", "refused"),
    [
        (12040, (13, 0), True),
        (11080, (12, 1), True),
        (12000, (12, 9), False),
        (13020, (12, 4), False),
        (13000, (13, 0), False),
    ],
)
def test_a_driver_of_an_older_major_version_is_refused(driver, monkeypatch, runs, built, refused):
    driver.cuda = runs
    monkeypatch.setattr(visible, "installed_torch", lambda: TorchBuild("2.9.0", built))
    if not refused:
        assert len(resolve_slots((), None, None)) == 3
        assert remarks(()) == []
        return
    for device in ((), ["cuda"], ["cuda:1"]):
        with pytest.raises(Unavailable, match="--device cpu") as error:
            resolve_slots(device, None, None)
        assert f"runs CUDA {runs // 1000}.{runs % 1000 // 10} at most" in str(error.value)
        assert f"built for CUDA {built[0]}.{built[1]}" in str(error.value)


def test_the_older_question_is_asked_where_the_newer_one_has_no_answer(driver, monkeypatch):
    def absent():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlSystemGetCudaDriverVersion_v2", absent)
    monkeypatch.setattr(pynvml, "nvmlSystemGetCudaDriverVersion", lambda: 11080)
    assert ask_driver().cuda == (11, 8)
    monkeypatch.setattr(pynvml, "nvmlSystemGetCudaDriverVersion", absent)
    assert ask_driver().cuda is None
    assert len(resolve_slots((), None, None)) == 3, "what is not known is not held against it"


def test_a_torch_without_cuda_beside_gpus_trains_on_the_cpu_and_says_so(driver, monkeypatch):
    monkeypatch.setattr(visible, "installed_torch", lambda: TorchBuild("2.9.0+cpu", None))
    assert {slot.device for slot in resolve_slots((), None, None)} <= {"cpu", "mps"}
    (remark,) = remarks(())
    assert remark.startswith("torch 2.9.0+cpu is built without CUDA: the 3 GPUs here are not used")
    with pytest.raises(Unavailable, match=r"torch 2\.9\.0\+cpu is built without CUDA; use --device cpu"):
        resolve_slots(["cuda"], None, None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert remarks(()) == []


# --- a device that is lost ---


@pytest.mark.parametrize(
    ("code", "loaded"),
    [
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, True),
        (pynvml.NVML_ERROR_UNKNOWN, True),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, False),
    ],
)
def test_a_driver_that_does_not_answer_is_told_and_without_its_module_there_is_none(driver, code, loaded):
    driver.fault = code
    words = str(pynvml.NVMLError(code)).rstrip(".")
    if loaded:
        with pytest.raises(Unavailable) as refused:
            resolve_slots((), None, None)
        assert f"(NVML: {words})" in str(refused.value)
        assert remarks(()) == []
    else:
        assert {slot.device for slot in resolve_slots((), None, None)} <= {"cpu", "mps"}
        (remark,) = remarks(())
        assert f"not loaded (NVML: {words})" in remark


def test_a_lost_gpu_keeps_its_place_and_the_others_are_used(driver):
    driver.lost[UUIDS[1]] = pynvml.NVML_ERROR_GPU_IS_LOST
    assert [gpu.name for gpu in visible_gpus({})] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [slot.device for slot in resolve_slots((), None, None)] == ["cuda:0", "cuda:2"]
    assert remarks(()) == ["cuda:1 is lost (NVML: GPU is lost); the machine may need a reset"]
    with pytest.raises(Unavailable, match="cuda:1 is lost"):
        resolve_slots(["cuda:1"], None, None)
    driver.lost.update(dict.fromkeys(UUIDS, pynvml.NVML_ERROR_GPU_IS_LOST))
    with pytest.raises(Unavailable, match=r"cuda:0 is lost .*cuda:2 is lost"):
        resolve_slots((), None, None)


def test_a_gpu_that_tells_nothing_of_its_memory_is_used(driver, monkeypatch, home):
    """One that shares the machine's has none of its own."""

    def unsupported(handle):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", unsupported)
    slots = resolve_slots((), None, None)
    assert len(slots) == 3
    assert conditions.crowded(database.connect(home.database), slots) == {}


@pytest.mark.parametrize(
    ("variable", "fault"),
    [
        (None, {"lost": pynvml.NVML_ERROR_GPU_IS_LOST}),
        ("GPU-aaaa1111", {"lost": pynvml.NVML_ERROR_UNKNOWN}),
        (None, {"driver": pynvml.NVML_ERROR_DRIVER_NOT_LOADED}),
        ("0", {"driver": pynvml.NVML_ERROR_UNKNOWN}),
    ],
)
def test_trials_wait_for_a_lost_device_with_nvmls_words(driver, home, monkeypatch, variable, fault):
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    driver.fault = fault.get("driver")
    if "lost" in fault:
        driver.lost[UUIDS[0]] = fault["lost"]
    (reason,) = conditions.crowded(database.connect(home.database), [Slot("cuda:0", 1)]).values()
    (code,) = fault.values()
    assert reason == f"cuda:0 is lost (NVML: {pynvml.NVMLError(code)}); the machine may need a reset"


def test_the_worker_screen_tells_of_a_lost_gpu_and_shows_the_others(driver):
    from app.tui.worker.machine import Machine
    from app.tui.worker.screen import _gpus

    driver.lost[UUIDS[1]] = pynvml.NVML_ERROR_GPU_IS_LOST
    lines = _gpus(Machine(None, 0, 1, 1, visible_gpus({})), 10)
    assert [name for (name, *_), _ in lines if isinstance(name, str)] == [
        "cuda:0 Imaginary 8000",
        "cuda:2 Imaginary 8000",
    ]
    assert lines[1] == ([("cuda:1 is lost (NVML: GPU is lost); the machine may need a reset", "$error")], [])


class OnGpu(InlineExecutor):
    def __init__(self, run, slots):
        super().__init__(run)
        self._slots = (Slot("cuda:0", 1),) * slots


@pytest.fixture
def at_work(driver, home, cache):
    """`at_work(run)`: works for some turns on as many trials as slots, all on cuda:0; returns what became of them and what
    was told."""
    from app.worker import owner

    db = database.connect(home.database)
    ownership = owner.acquire(home, owner.DETACHED)

    def work(run, turns=40, slots=1):
        submitting.submit(db, plan_of(tiny(seeds=slots, optimizers=["adam"], activations=["relu"]), cache))
        watcher, left = Silent(), iter([Stop.NO] * turns)
        worker = Worker(home, db, OnGpu(run, slots), watcher, ownership, role=owner.DETACHED, stay=True)
        worker.work(None, lambda: next(left, Stop.CLEANLY))
        crashes = db.execute("SELECT crashes FROM trial").fetchone()[0]
        ended = [row[0] for row in db.execute("SELECT exit_kind FROM attempt")]
        return queue.remaining(db, "tiny"), crashes, ended, watcher

    yield work
    ownership.release()


def failing(driver, *events, lose=True):
    """A job that begins, loses its device, and says this of it, one event or several from each function."""

    def run(job, stop):
        yield Started({"device": "cuda:0"}, os.getpid(), "0" * 64)
        if lose:
            driver.lost[UUIDS[0]] = pynvml.NVML_ERROR_GPU_IS_LOST
        for event in events:
            made = event(job)
            yield from made if isinstance(made, Iterator) else [made]

    return run


def broken(job):
    return TrialFailed("CUDA error: unspecified launch failure")


def unattacked(job):
    wanted = job.evaluations[0]
    return EvaluationFailed(wanted.attack, "s" * 64, wanted.test_samples, "CUDA error: unspecified launch failure", "")


@pytest.mark.parametrize(
    "last",
    [
        (broken,),
        (lambda job: Crashed("the training process was ended by SIGABRT", -6),),
        (unattacked, unattacked, lambda job: Finished()),
    ],
)
def test_a_lost_device_is_not_the_trials_fault(at_work, driver, last):
    remaining, crashes, ended, watcher = at_work(failing(driver, *last))
    assert remaining == {"queued": 1}
    assert (crashes, ended) == (0, ["crashed"])
    assert watcher.notes == ["waiting: cuda:0 is lost (NVML: GPU is lost); the machine may need a reset"]
    (last,) = (event for event in watcher.events if isinstance(event, Crashed))
    assert last.reason.startswith("cuda:0 is lost")
    assert not last.trial_at_fault
    assert not any(isinstance(event, EvaluationFailed) for event in watcher.events)


def test_what_goes_on_upon_a_lost_device_is_killed(at_work, driver):
    said = []

    def endless(job):
        for _ in range(1000):
            said.append(job)
            yield unattacked(job)
        yield Finished()

    remaining, crashes, ended, _ = at_work(failing(driver, endless))
    assert (remaining, crashes, ended) == ({"queued": 1}, 0, ["crashed"])
    assert len(said) < 5


def test_many_trials_that_lose_one_device_do_not_end_the_worker(at_work, driver):
    remaining, _, ended, watcher = at_work(failing(driver, broken), slots=6)
    assert (remaining, ended) == ({"queued": 6}, ["crashed"] * 6)
    assert len(watcher.notes) == 1


def test_a_failure_on_a_sound_device_is_the_trials_own(at_work, driver):
    remaining, _, _, _ = at_work(failing(driver, broken, lose=False))
    assert remaining == {"failed": 1}


# --- the commands ---


@pytest.fixture
def command(driver, home, monkeypatch, capsys, tmp_path):
    """`command(*arguments)` in this process, beside the imaginary driver: (exit code, stdout, stderr)."""
    from app.main import main

    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(TINY))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INNATE_DATA", str(tmp_path / "data"))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["innate", "--home", str(home.root), *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def doctor_rows(command, code):
    done, out, _ = command("doctor", "--json")
    assert done == code, out
    return [(row["check"], row["status"], row["detail"]) for row in json.loads(out)["doctor"]]


@pytest.mark.parametrize("arguments", [("run", "tiny.toml"), ("run", "tiny.toml", "--detach"), ("worker", "start")])
def test_a_run_is_refused_in_one_line_with_exit_code_4(command, driver, monkeypatch, home, arguments):
    driver.cuda = 12040
    code, out, err = command(*arguments)
    assert (code, out) == (4, "")
    assert err == (
        "innate: the NVIDIA driver runs CUDA 12.4 at most, torch 2.9.0+cu130 is built for CUDA 13.0; install a newer driver, "
        "or a torch built for CUDA 12; --device cpu trains on the CPU all the same\n"
    )
    driver.cuda = 13000
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-77")
    code, _, err = command(*arguments)
    assert code == 4
    assert err.count("\n") == 1
    assert "no device here is 'MIG-77'" in err
    assert not list(Path(home.checkpoints).rglob("*.pt"))


def test_a_run_that_goes_on_says_it_first(command, monkeypatch):
    from app.worker import foreground

    def enough(*_):
        raise Unavailable("enough")

    monkeypatch.setattr(foreground, "work_on", enough)
    monkeypatch.setattr(visible, "installed_torch", lambda: TorchBuild("2.9.0+cpu", None))
    code, _, err = command("run", "tiny.toml")
    assert (code, err.splitlines()[-1]) == (4, "innate: enough")
    assert err.splitlines()[0].startswith("torch 2.9.0+cpu is built without CUDA: the 3 GPUs here are not used")
    assert err.count("without CUDA") == 1


def test_without_a_driver_nothing_is_said_whatever_the_variable_names(command, driver, monkeypatch):
    driver.fault = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    monkeypatch.setattr(visible, "installed_torch", lambda: TorchBuild("2.9.0+cpu", None))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert {slot.device for slot in resolve_slots((), None, None)} <= {"cpu", "mps"}
    assert remarks(()) == []
    rows = doctor_rows(command, 0)
    assert not [row for row in rows if row[0] in ("CUDA", "GPU")]
    with pytest.raises(Unavailable, match="no NVIDIA GPU is visible here; use --device cpu"):
        resolve_slots(["cuda"], None, None)


def test_doctor_tells_what_is_wrong_with_gpus_and_what_to_do(command, driver, monkeypatch):
    rows = doctor_rows(command, 0)
    assert ("CUDA", "ok", "the driver runs up to 13.0, torch 2.9.0+cu130 is built for 13.0") in rows
    assert not [row for row in rows if row[0] == "GPU"]
    driver.cuda = 12040
    (row,) = (row for row in doctor_rows(command, 2) if row[0] == "GPU")
    assert row[1] == "bad"
    assert "install a newer driver, or a torch built for CUDA 12" in row[2]
    driver.cuda = 13000
    driver.lost[UUIDS[2]] = pynvml.NVML_ERROR_GPU_IS_LOST
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,1,9")
    told = [row for row in doctor_rows(command, 0) if row[0] == "GPU"]
    assert [status for _, status, _ in told] == ["note", "note"]
    assert "there is no GPU 9" in told[0][2]
    assert "cuda:0 is lost (NVML: GPU is lost)" in told[1][2]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    (devices,) = (detail for check, _, detail in doctor_rows(command, 0) if check == "devices")
    assert "CUDA_VISIBLE_DEVICES is '-1', which hides every GPU" in devices
