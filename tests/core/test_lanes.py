"""What a lane has to itself, and what lanes take turns at. CUDA's part is held against fakes of its streams and graphs."""

import contextlib
import gc
import threading
from types import SimpleNamespace

import pytest
import torch

from core.lanes import lane as lanes
from core.lanes.lane import Lane, current_lane, open_lane
from core.precision import multiplying_in

CPU = torch.device("cpu")


def together(*works):
    """Run each in a thread of its own; what one raises is raised here."""
    errors = []

    def run(work):
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_a_thread_is_in_the_lane_that_it_entered_and_in_no_other():
    lane, other, seen = open_lane(CPU), open_lane(CPU), []
    assert current_lane(CPU) is not lane
    with lane.entered():
        together(lambda: seen.append(current_lane(CPU)))
        assert current_lane(CPU) is lane
        assert current_lane(torch.device("meta")) is not lane
        with other.entered():
            assert current_lane(CPU) is other
        assert current_lane(CPU) is lane
    assert seen[0] is not lane
    assert current_lane(CPU) is not lane
    assert not lane.records


def test_draws_of_lanes_side_by_side_are_those_of_each_alone():
    def draws(seed):
        found = []
        for turn in range(40):
            with current_lane(CPU).drawing(seed + turn):
                found.append(torch.rand(3))
                found.append(torch.nn.functional.dropout(torch.ones(50)))
        return torch.cat(found)

    alone = {seed: draws(seed) for seed in (1, 1000, 2000, 3000)}
    side_by_side = {}

    def lane(seed):
        with open_lane(CPU).entered():
            side_by_side[seed] = draws(seed)

    together(*(lambda seed=seed: lane(seed) for seed in alone))
    for seed, found in alone.items():
        assert torch.equal(found, side_by_side[seed])


def test_no_lane_multiplies_in_the_precision_of_another():
    def check(precision):
        for _ in range(300):
            with multiplying_in(precision):
                for _ in range(5):
                    assert torch.backends.cudnn.allow_tf32 is (precision == "tf32")
                    assert torch.backends.cuda.matmul.allow_tf32 is (precision == "tf32")

    together(*(lambda precision=precision: check(precision) for precision in ("fp32", "tf32", "bf16", "tf32")))


class Generator:
    """CUDA's, as far as lanes use it: a name for a state that others can share."""

    def __init__(self, state):
        self.state = {"seed": state}

    def manual_seed(self, seed):
        self.state["seed"] = seed

    def graphsafe_get_state(self):
        kept = Generator(None)
        kept.state = self.state
        return kept

    def graphsafe_set_state(self, other):
        self.state = other.state


class Stream:
    def __init__(self, events):
        self.device, self.events = torch.device("cuda:0"), events

    def synchronize(self):
        self.events.append("stream waited for")


@pytest.fixture
def cuda(monkeypatch):
    """A device on which nothing runs, and what it was asked, in order."""
    events, default = [], Generator(7)

    class Graph:
        def capture_begin(self, pool, capture_error_mode):
            events.append(("begin", pool, capture_error_mode, default.state["seed"], gc.isenabled()))

        def capture_end(self):
            events.append("end")

        def replay(self):
            events.append("replay")

    class Event:
        def __init__(self, blocking):
            assert blocking  # a host that spins takes a core from the others
            self.number = sum(isinstance(one, tuple) and one[0] == "mark" for one in events)

        def record(self, stream):
            events.append(("mark", self.number))

        def synchronize(self):
            events.append(("waited for mark", self.number))

    stream = Stream(events)
    fakes = {
        "init": lambda: None,
        "CUDAGraph": Graph, "Event": Event, "Stream": lambda device: stream, "graph_pool_handle": lambda: "pool",
        "stream": lambda stream: contextlib.nullcontext(), "current_stream": lambda *_: stream,
    }  # fmt: skip
    for name, fake in fakes.items():
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.cuda, "default_generators", (default,))
    monkeypatch.setattr(lanes.torch, "Generator", lambda device: Generator(0))
    monkeypatch.setattr(lanes.torch, "zeros", lambda *_, **__: None)
    return SimpleNamespace(events=events, default=default, device=torch.device("cuda:0"))


def test_a_capture_has_the_lanes_generator_its_pool_and_no_collection_in_its_midst(cuda):
    lane = open_lane(cuda.device)
    assert lane.records
    cuda.events.clear()
    lane.reseed(11)
    replay, result = lane.record(lambda: cuda.events.append("work") or "result")
    assert result == "result"
    assert cuda.events == ["stream waited for", ("begin", "pool", "thread_local", 11, False), "work", "end"]
    assert gc.isenabled()
    assert cuda.default.state["seed"] == 7
    replay()
    assert cuda.events[-1] == "replay"


def test_a_pool_keeps_a_graph_so_that_a_second_trial_can_use_it(cuda):
    lane = open_lane(cuda.device)
    assert next(one for one in cuda.events if one != "stream waited for")[:2] == ("begin", "pool")
    assert lane._recorder._anchor is not None


@pytest.mark.parametrize("ending", ["ends", "is spoilt too"])
def test_work_that_cannot_be_captured_ends_its_capture_and_says_why(cuda, monkeypatch, ending):
    lane = open_lane(cuda.device)
    if ending == "is spoilt too":

        def spoilt(self):
            cuda.events.append("end")
            raise RuntimeError("capture invalidated")

        monkeypatch.setattr(torch.cuda.CUDAGraph, "capture_end", spoilt)
    cuda.events.clear()

    def work():
        raise RuntimeError("a look at the device")

    with pytest.raises(RuntimeError, match="a look at the device"):
        lane.record(work)
    assert cuda.events[-1] == "end"
    assert gc.isenabled()
    assert cuda.default.state["seed"] == 7


def test_eager_work_draws_from_the_lanes_generator_and_leaves_the_default_one_alone(cuda):
    lane = open_lane(cuda.device)

    def work():
        with lane.drawing(5):
            assert cuda.default.state["seed"] == 5
            lane.reseed(6)
            assert cuda.default.state["seed"] == 6
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert cuda.default.state["seed"] == 7


def test_outside_of_a_lane_the_default_generator_itself_is_seeded(cuda):
    with current_lane(cuda.device).drawing(5):
        assert cuda.default.state["seed"] == 5


def test_the_host_is_at_most_two_marks_ahead_of_the_device(cuda):
    lane = open_lane(cuda.device)
    cuda.events.clear()
    for _ in range(3 * lanes._IN_FLIGHT):
        lane.pace()
    assert cuda.events == [("mark", 0), ("waited for mark", 0), ("mark", 1), ("waited for mark", 1), ("mark", 2)]
    lane.wait()
    assert cuda.events[-1] == "stream waited for"


def test_a_lane_without_a_stream_waits_for_nothing():
    lane = Lane(CPU)
    for _ in range(100):
        lane.pace()
    lane.wait()
    lane.worked(3)
    lane.worked(4)
    assert lane.work == 7
