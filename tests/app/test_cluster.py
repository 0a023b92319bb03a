"""What the commands and the worker make of a cluster, without one."""

import pytest

from app.worker.cluster import Asked, _home_id, _in_words, _wanted
from app.worker.crashes import BlamelessCrashes
from app.worker.pulse import Pulse, rows
from app.worker.rooms import Rooms
from core.errors import Unavailable
from core.events import Crashed, Started
from core.executors.cluster.connection import Node
from core.executors.protocol import Slot

CPU, GPU, HEAD = Node("a", "cpu-box", 4, 0.0), Node("b", "gpu-box", 16, 2.0), Node("c", "head", 0, 0.0)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--executor", "slurm"), 2, "--executor slurm: not one of process, ray"),
        (("--address", "a:1"), 2, "--address is for a cluster; add --executor ray"),
        (("--executor", "ray", "--device", "cuda:1"), 2, "a cluster hands its devices out itself"),
        (("--executor", "ray", "--gpu-share", "2"), 2, "--gpu-share 2: expected more than 0 and at most 1"),
    ],
)
def test_what_does_not_go_together_is_one_line(innate, options, code, words):
    for command in (("run", "quick"), ("worker", "start")):
        done = innate(*command, *options, check=code, works=False)
        assert words in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("address", "code", "words"),
    [
        ("127.0.0.1:1", 4, "no Ray cluster answers at 127.0.0.1:1"),
        ("somewhere", 2, "--address somewhere: expected HOST:PORT, auto or local"),
        ("ray://a:1", 2, "a Ray client is not enough"),
    ],
)
def test_a_cluster_that_does_not_answer_is_one_line_and_soon(innate, address, code, words):
    pytest.importorskip("ray", reason="Ray is not installed")
    done = innate("run", "quick", "--executor", "ray", "--address", address, check=code, works=False)
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_gpus_are_used_where_there_are_any():
    assert _wanted(Asked(), [HEAD, CPU]).device == "cpu"
    assert _wanted(Asked(), [HEAD, CPU, GPU]).device == "cuda"
    assert _wanted(Asked(devices=("cpu",)), [HEAD, CPU, GPU]).device == "cpu"
    with pytest.raises(Unavailable, match="no machine of the cluster has a GPU"):
        _wanted(Asked(devices=("cuda",)), [HEAD, CPU])


def test_a_cluster_in_words():
    assert _in_words(_wanted(Asked(), [HEAD, CPU]), [HEAD, CPU]) == "cluster of 2 machines: 4 slots on cpu (cpu-box)"
    half = Asked(gpu_share=0.5)
    assert _in_words(_wanted(half, [GPU]), [GPU]) == "cluster of 1 machine: 4 0.5-GPU shares on cuda (gpu-box)"
    assert _in_words(_wanted(Asked(), [HEAD]), [HEAD]) == "cluster of 1 machine, none of which has room yet"


def test_a_home_keeps_its_id(home):
    assert _home_id(home) == _home_id(home)
    (home.root / "cluster-id").write_text("../../etc")
    assert _home_id(home).isalnum()


def test_slots_of_two_machines_have_their_own_numbers():
    rooms = Rooms()
    one, other = (Slot("cpu", 1, node=name) for name in ("one", "other"))
    assert rooms.free([one, other], ()) == [(0, one), (1, other)]
    assert rooms.free([one, one, other], {0}) == [(1, other), (2, one)]
    assert rooms.free([other], {0}) == [(1, other)], "the machine is gone, its trial is about to be"


def test_processes_elsewhere_are_not_looked_up_here():
    pulse = Pulse("trial", 0, Slot("cpu", 1, node="box"))
    pulse.take(Started({}, 1, None))  # this machine has a process 1, too
    (row,) = rows([pulse], {})
    assert row.memory is None


def test_machines_that_leave_say_nothing_of_this_one():
    crashes = BlamelessCrashes()
    gone = Crashed("box has left the cluster", None, trial_at_fault=False, node="box")
    assert not any(crashes.too_many(gone) for _ in range(20))
