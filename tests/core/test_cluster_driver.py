"""The driver's side on stations that play their part: who gets a trial, what a death costs, what is told to be recorded."""

from types import SimpleNamespace

import pytest

from core.events import Crashed, EpochFinished, EpochRecord, Finished, Started, Stopped, TrialFailed, Waiting
from core.executors.cluster import executor as driver
from core.executors.cluster.connection import Node
from core.executors.cluster.fleet import Answer, Station, Wanted, in_a_line
from core.executors.cluster.messages import Cancel, Forget, Leftover, Order, Recorded, Report, Told
from core.executors.protocol import Slot
from tests.core.test_executors import make_job

STARTED = Started({"device": "cpu"}, 7, "initial")
EPOCH = EpochFinished(EpochRecord(1, 0.5, 0.5, None, 0.1, 1.0))


class Fleet:
    """Stations whose answers the test hands in; what they are sent is kept."""

    def __init__(self, *_):
        self.stations, self.given, self.sent, self.living = [], [], {}, set()
        self.settled, self.gone = True, []

    def add(self, name, rooms=1):
        node = Node(name, name, rooms, 0.0)
        made = Station(node, Slot("cpu", 1, node=name), None, ready=True, rooms=rooms)
        self.stations.append(made)
        self.sent[made] = []
        self.living.add(name)
        return made

    def look(self):
        gone, self.gone = self.gone, []
        return gone

    def send(self, station, refs):
        self.sent[station] += station.unsent
        station.unsent = []

    def answers(self, timeout):
        given, self.given = self.given, []
        return given

    def drop(self, station, error):
        self.stations.remove(station)
        return station.node.name in self.living

    def close(self, refs):
        pass


@pytest.fixture
def fleet(monkeypatch):
    made = Fleet()
    monkeypatch.setattr(driver, "Fleet", lambda *_: made)
    return made


@pytest.fixture
def ray(fleet):
    """The executor on no cluster."""
    connection = SimpleNamespace(ray=None, close=lambda: None)
    done = set()
    made = driver.RayExecutor(connection, Wanted("cpu"), "home", print, done.__contains__)
    made.done = done
    return made


@pytest.fixture
def jobs(tmp_path, cache):
    """`jobs(number, **options)`: a trial of a home."""
    (tmp_path / "checkpoints").mkdir()
    return lambda number, **options: make_job(tmp_path / "checkpoints" / f"trial {number}", cache, number, **options)


def tell(fleet, station, *told, waiting=(), rooms=None, leftovers=()):
    report = Report(told, station.rooms if rooms is None else rooms, waiting, leftovers)
    fleet.given.append(Answer(station, report))


def test_a_trial_goes_where_there_is_room_in_one_message_with_all_else(ray, fleet, jobs):
    one, other = fleet.add("one", 2), fleet.add("other")
    assert [slot.node for slot in ray.capacity()] == ["one", "one", "other"]
    for number, node in enumerate(("one", "one", "one")):
        ray.submit(f"key {number}", replaced(jobs(number), node=node))
    assert fleet.sent == {one: [], other: []}
    ray.poll(0)
    assert [order.key for order in fleet.sent[one]] == ["key 0", "key 1"]
    assert [order.key for order in fleet.sent[other]] == ["key 2"], "the machine that was meant is full"


def test_of_two_stations_the_idle_one_gets_a_trial(ray, fleet, jobs):
    quick, idle = fleet.add("quick", 9), fleet.add("idle")
    for number in (0, 1):
        ray.submit(f"key {number}", jobs(number))
    ray.poll(0)
    assert [len(fleet.sent[station]) for station in (quick, idle)] == [1, 1]


def replaced(job, **changes):
    from dataclasses import replace

    return replace(job, **changes)


def test_files_are_there_before_their_event_and_what_was_given_is_recorded_at_the_next_poll(ray, fleet, jobs):
    station, job = fleet.add("one"), jobs(0)
    ray.submit("key", job)
    ray.poll(0)
    tell(fleet, station, Told("key", STARTED, 1), Told("key", EPOCH, 1, (("last.pt", b"state"),)))
    assert ray.poll(0) == [("key", STARTED), ("key", EPOCH)]
    assert (job.folder / "last.pt").read_bytes() == b"state"
    tell(fleet, station, Told("key", Finished(), 2))
    assert ray.poll(0) == [("key", Finished())]
    assert fleet.sent[station][1:] == [Recorded("key", 1, False)]
    assert ray.poll(0) == []
    assert fleet.sent[station][2:] == [Recorded("key", 2, True)]


def test_a_home_that_is_gone_is_not_raised_again(ray, fleet, jobs):
    station, job = fleet.add("one"), jobs(0)
    ray.submit("key", job)
    ray.poll(0)
    job.folder.parent.parent.rmdir()
    tell(fleet, station, Told("key", EPOCH, 1, (("last.pt", b"state"),)))
    ((_, crash),) = ray.poll(0)
    assert isinstance(crash, Crashed)
    assert not crash.trial_at_fault
    assert not job.folder.parent.parent.exists()
    ray.poll(0)
    assert fleet.sent[station][-1] == Cancel("key", now=True)


def test_a_machine_that_leaves_costs_what_it_had_begun_and_no_more(ray, fleet, jobs):
    lost, left = fleet.add("lost", 2), fleet.add("left", 2)
    for number in (0, 1):
        ray.submit(f"key {number}", replaced(jobs(number), node="lost"))
    ray.poll(0)
    tell(fleet, lost, Told("key 0", STARTED, 1), waiting=("key 1",))
    ray.poll(0)
    fleet.living.discard("lost")
    fleet.given.append(Answer(lost, error=ConnectionError("gone")))
    ((key, crash),) = ray.poll(0)
    assert (key, crash.reason, crash.trial_at_fault, crash.node) == (
        "key 0",
        "lost has left the cluster",
        False,
        "lost",
    )
    ray.poll(0)
    assert [order.key for order in fleet.sent[left]] == ["key 1"], "it had not begun"
    tell(fleet, left, Told("key 1", Finished(), 1))
    assert ray.poll(0) == [("key 1", Finished())]


def test_a_trial_that_takes_its_station_along_three_times_is_to_blame(ray, fleet, jobs):
    blamed = []
    for attempt in (1, 2, 3):
        station = fleet.add(f"station {attempt}")
        ray.submit(f"key/{attempt}", jobs(0, attempt=attempt))
        ray.poll(0)
        fleet.given.append(Answer(station, error=ActorDiedError("killed due to the node running low on memory")))
        ((_, crash),) = ray.poll(0)
        assert "short of memory" in crash.reason
        blamed.append(crash.trial_at_fault)
    assert blamed == [False, False, True]


def test_what_a_machine_has_kept_goes_to_the_trial_that_it_is_of(ray, fleet, jobs):
    near, holder = fleet.add("near"), fleet.add("holder")
    job = replaced(jobs(0), node="near")
    ray.done.add("done already")
    left = Leftover("place", job.trial.id, 3)
    tell(fleet, holder, leftovers=(left, Leftover("old", "done already", 5)))
    ray.poll(0)
    ray.submit("key", job)
    ray.poll(0)
    assert fleet.sent[near] == []
    forgotten, order = fleet.sent[holder]
    assert forgotten == Forget("old")
    assert (order.key, order.leftover) == ("key", "place")
    tell(fleet, holder, Told("key", Stopped(), 0))
    assert ray.poll(0) == [("key", Stopped())]
    ray.submit("again", replaced(jobs(0, attempt=2), node="near"))
    ray.poll(0)
    (order,) = fleet.sent[near]
    assert order.leftover is None, "told once"


def test_a_finished_trial_s_other_leftovers_go(ray, fleet, jobs):
    works, holder = fleet.add("works"), fleet.add("holder")
    job = jobs(0)
    ray.submit("key", replaced(job, node="works"))
    ray.poll(0)
    tell(fleet, holder, leftovers=(Leftover("place", job.trial.id, 1),))
    tell(fleet, works, Told("key", Finished(), 1))
    ray.poll(0)
    ray.poll(0)
    assert fleet.sent[holder] == [Forget("place")]


def test_nothing_is_offered_before_the_spools_are_read(ray, fleet):
    fleet.add("one")
    fleet.settled = False
    assert ray.capacity() == ()
    fleet.settled = True
    assert len(ray.capacity()) == 1


def test_one_that_waits_elsewhere_gives_a_sign_of_life(ray, fleet, jobs, monkeypatch):
    station = fleet.add("one", 2)
    for number in (0, 1):
        ray.submit(f"key {number}", jobs(number))
    ray.poll(0)
    tell(fleet, station, Told("key 0", STARTED, 1), waiting=("key 1",))
    ray.poll(0)
    monkeypatch.setattr(driver, "_WAITING_SECONDS", -1.0)
    assert ("key 1", Waiting()) in ray.poll(0)
    assert ("key 0", Waiting()) not in ray.poll(0), "its silence means something"


def test_one_that_was_not_sent_yet_is_withdrawn(ray, fleet, jobs):
    station = fleet.add("one")
    ray.submit("key", jobs(0))
    ray.cancel("key")
    assert ray.poll(0) == [("key", Stopped())]
    assert not any(isinstance(one, Order) for one in fleet.sent[station])


def test_data_that_cannot_be_read_fails_the_trial(ray, fleet, jobs, tmp_path):
    fleet.add("one")
    job = jobs(0)
    gone = replaced(job, source=replaced(job.source, kind="npz", path=tmp_path / "gone.npz"))
    ray.submit("key", gone)
    ((_, event),) = ray.poll(0)
    assert isinstance(event, TrialFailed | Crashed)
    assert "gone.npz" in event.reason


@pytest.mark.parametrize(
    ("wanted", "cpus", "gpus", "stations"),
    [
        (Wanted("cpu"), 0, 0.0, 0),
        (Wanted("cpu"), 8, 0.0, 8),
        (Wanted("cpu", slots=3), 8, 0.0, 3),
        (Wanted("cpu", threads=4), 10, 0.0, 2),
        (Wanted("cuda"), 8, 2.0, 2),
        (Wanted("cuda", gpu_share=0.5), 8, 2.0, 4),
        (Wanted("cuda", gpu_share=0.3), 8, 1.0, 3),
        (Wanted("cuda"), 8, 0.0, 0),
    ],
)
def test_a_machine_gets_a_station_for_each_device(wanted, cpus, gpus, stations):
    assert wanted.on(Node("id", "name", cpus, gpus)) == stations


def test_half_a_gpu_is_half_its_memory():
    assert Wanted("cuda", gpu_share=0.5).slot.memory_fraction == 0.5
    assert Wanted("cuda", gpu_share=0.5, memory_fraction=0.8).slot.memory_fraction == 0.4
    assert Wanted("cuda", memory_fraction=0.8).slot.memory_fraction == 0.8
    assert Wanted("cuda").slot.memory_fraction is None


class ActorDiedError(Exception):
    """As Ray's is called."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            ActorDiedError(
                "died in its creation task\n  File x\nModuleNotFoundError: No module named 'innate_launcher'\n"
            ),
            "No module named 'innate_launcher'; the same version of innate must be installed there: pip install 'innate[ray]'",
        ),
        (ActorDiedError("unexpectedly, perhaps by the OOM killer"), "its process has ended or cannot be reached"),
        (ActorDiedError("killed due to the node running low on memory"), "its machine was short of memory"),
        (ValueError("first\nsecond"), "first"),
        (None, "its process has ended or cannot be reached"),
    ],
)
def test_ray_s_pages_become_a_line(error, line):
    assert in_a_line(error) == line
