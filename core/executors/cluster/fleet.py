"""The stations of a cluster, one actor each: made where there is a device for one, gone with their machines."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from core.errors import Unavailable
from core.executors.cluster.actor import actor_class
from core.executors.cluster.connection import Connection, Node
from core.executors.cluster.messages import Arrived, Leftover, Order, Setup, ToStation
from core.executors.cluster.spool import version
from core.executors.protocol import Slot

_LOOK_SECONDS = 2.0
_PATIENCE_SECONDS = 20.0
"""A station has something to say at least so often."""
_STILLBORN = 3
"""Stations in a row that do not come to life before a machine is left aside."""
_DECIDING = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS",
    "OMP_DYNAMIC", "MKL_DYNAMIC", "MKL_CBWR", "KMP_AFFINITY", "ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA",
    "CUBLAS_WORKSPACE_CONFIG", "CUDA_DEVICE_ORDER",
)  # fmt: skip
"""Variables of the environment on which the bits of a result may hang; Ray sets some of them by itself."""


@dataclass(frozen=True)
class Wanted:
    """Which stations a machine gets: one for each `gpu_share` of a GPU where `device` is "cuda"; where it is "cpu" one for each
    `threads` CPUs, `slots` at most."""

    device: str
    threads: int = 1
    slots: int | None = None
    memory_fraction: float | None = None
    lanes: int | None = None
    gpu_share: float = 1.0

    def on(self, node: Node) -> int:
        """How many a machine gets."""
        if self.device == "cuda":
            return math.floor(node.gpus / self.gpu_share + 1e-6)
        return min(node.cpus // self.threads, math.inf if self.slots is None else self.slots)  # type: ignore[return-value]

    @property
    def slot(self) -> Slot:
        """The device as its station's process sees it, which is shown no other."""
        if self.device == "cpu":
            return Slot("cpu", self.threads)
        share = None if self.gpu_share == 1.0 else self.gpu_share
        fraction = self.memory_fraction if share is None else share * (self.memory_fraction or 1.0)
        return Slot("cuda:0", self.threads, fraction, self.lanes)

    @property
    def resources(self) -> dict[str, float]:
        """What Ray sets aside for one."""
        if self.device == "cuda":
            return {"num_gpus": self.gpu_share, "num_cpus": 0}
        return {"num_cpus": self.threads}


@dataclass(eq=False)
class Station:
    """One, as the driver knows it."""

    node: Node
    slot: Slot
    handle: Any
    ready: bool = False
    rooms: int = 1
    keys: set[str] = field(default_factory=set)
    """Of the trials that it has, or is to get."""
    waiting: frozenset[str] = frozenset()
    """Those of them that it has not begun, as it said last."""
    unsent: list[ToStation] = field(default_factory=list)
    leftovers: dict[str, Leftover] = field(default_factory=dict)
    """By trial."""
    sending: Any = None
    """What tells that the last messages have arrived."""

    @property
    def free(self) -> int:
        """How many trials more it wants."""
        return self.rooms - len(self.keys)

    def has_begun(self, key: str) -> bool:
        """Whether work on the trial is lost with the station."""
        return key not in self.waiting and not any(isinstance(one, Order) and one.key == key for one in self.unsent)


@dataclass(frozen=True)
class Answer:
    """What came of a call to a station: an object of `messages` (None for one without), or why there is none."""

    station: Station
    content: Any = None
    error: Exception | None = None


class Fleet:
    """All stations. `say` hears what there is to know of machines that come, go or are of no use."""

    def __init__(self, connection: Connection, wanted: Wanted, home: str, say: Callable[[str], None]) -> None:
        self._connection = connection
        self._ray = connection.ray
        self._wanted = wanted
        self._say = say
        self._class = self._ray.remote(actor_class())
        self._setup = Setup(
            home,
            uuid.uuid4().hex[:12],
            wanted.slot,
            "",
            {name: os.environ.get(name) for name in _DECIDING},
        )
        self.stations: list[Station] = []
        self._calls: dict[Any, Station] = {}
        """Calls under way, by what tells of their end."""
        self._looked_at = -1e9
        self._stillborn: Counter[str] = Counter()
        self._useless: set[str] = set()
        """Machines on which no station comes to life."""
        self._began = time.monotonic()

    def look(self) -> list[Station]:
        """Make stations where some are missing, now and then; returns those whose machine is gone."""
        if time.monotonic() - self._looked_at < _LOOK_SECONDS:
            return []
        self._looked_at = time.monotonic()
        nodes = {node.id: node for node in self._connection.nodes()}
        there = Counter(station.node.id for station in self.stations)
        for node in nodes.values():
            if node.id not in self._useless:
                for _ in range(self._wanted.on(node) - there[node.id]):
                    self._make(node)
        return [station for station in self.stations if station.node.id not in nodes]

    @property
    def settled(self) -> bool:
        """Whether all stations that could be made have looked through their machines' spools, or had time to."""
        if not self.stations:
            return False
        late = time.monotonic() - self._began > _PATIENCE_SECONDS
        return all(station.ready for station in self.stations) or (late and any(one.ready for one in self.stations))

    def _make(self, node: Node) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        handle = self._class.options(
            **self._wanted.resources,
            max_restarts=0,
            max_task_retries=0,
            max_concurrency=4,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        ).remote(pickle.dumps(replace(self._setup, node=node.name)))
        station = Station(node, replace(self._wanted.slot, lanes=None, node=node.name), handle)
        self.stations.append(station)
        self._calls[handle.arrived.remote()] = station

    def send(self, station: Station, refs: Mapping[str, Any]) -> None:
        """Send a station all that it is to get in one call, unless the last one is under way; `refs` are what its orders name."""
        if not station.ready or not station.unsent or station.sending is not None:
            return
        named = {name: refs[name] for order in station.unsent if isinstance(order, Order) for name in _named(order)}
        station.sending = station.handle.take.remote(pickle.dumps(station.unsent), named)
        station.unsent = []
        self._calls[station.sending] = station

    def answers(self, timeout: float) -> Iterator[Answer]:
        """What the stations have said, waiting up to `timeout` seconds for the first."""
        if not self._calls:
            time.sleep(timeout)
            return
        calls = list(self._calls)
        for call in self._ended(calls, timeout):
            station = self._calls.pop(call, None)
            if station is not None:
                yield self._answer(call, station)

    def _ended(self, calls: list[Any], timeout: float) -> list[Any]:
        """Those of the calls that have ended, waiting for the first. Raises Unavailable where the cluster is gone."""
        try:
            ended, _ = self._ray.wait(calls, num_returns=1, timeout=timeout)
            if ended:
                ended, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        except Exception as error:
            raise Unavailable(f"the Ray cluster no longer answers ({type(error).__name__})") from None
        return list(ended)

    def _answer(self, call: Any, station: Station) -> Answer:
        sent = call == station.sending
        if sent:
            station.sending = None
        try:
            content = self._ray.get(call)
            told = None if content is None else pickle.loads(content)
        except Exception as error:  # of many kinds: a dead actor, a dead machine, a package that is missing there
            return Answer(station, error=error)
        if isinstance(told, Arrived) and told.version != version():
            return Answer(station, error=ImportError(f"it has innate {told.version}, here is {version()}"))
        if isinstance(told, Arrived):
            station.ready = True
            self._stillborn[station.node.id] = 0
        if not sent:
            self._calls[station.handle.report.remote(_PATIENCE_SECONDS)] = station
        return Answer(station, told)

    def drop(self, station: Station, error: Exception | None) -> bool:
        """A station is of no use any more. Whether its machine lives on."""
        self.stations.remove(station)
        self._calls = {call: one for call, one in self._calls.items() if one is not station}
        with contextlib.suppress(Exception):
            self._ray.kill(station.handle)
        alive = self._connection.lives(station.node.id)
        if error is not None:
            self._connection.note(f"station on {station.node.name}: {error}")
        if alive and not station.ready:
            self._stillborn[station.node.id] += 1
            if self._stillborn[station.node.id] >= _STILLBORN or _missing(error) is not None:
                if station.node.id not in self._useless:
                    self._say(f"{station.node.name} is left aside: {in_a_line(error)}")
                self._useless.add(station.node.id)
        self._looked_at = -1e9
        return alive

    def close(self, refs: Mapping[str, Any]) -> None:
        """Tell the stations what was recorded, end them, and wait until they are gone."""
        for _ in range(2):  # what is under way, then what is left
            self._wait([one.sending for one in self.stations if one.sending is not None])
            for station in self.stations:
                station.sending = None
                self.send(station, refs)
        self._wait([station.handle.close.remote() for station in self.stations if station.ready])
        ends = [call for call, station in self._calls.items() if call is not station.sending]
        for station in self.stations:
            with contextlib.suppress(Exception):
                self._ray.kill(station.handle)
        self._wait(ends)
        self.stations.clear()
        self._calls.clear()

    def _wait(self, calls: Collection[Any]) -> None:
        if calls:
            with contextlib.suppress(Exception):
                self._ray.wait(list(calls), num_returns=len(calls), timeout=5.0)


def _named(order: Order) -> Iterator[str]:
    contents: Sequence[Any] = [
        *(one.content for one in order.carried),
        *(piece.content for piece in (order.parcel.pieces if order.parcel is not None else ())),
    ]
    yield from (content for content in contents if isinstance(content, str))


def _missing(error: Exception | None) -> str | None:
    """What cannot be imported at the other end, or is of another version there; None where it is something else."""
    if isinstance(error, ImportError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines()]
    told = next((line for line in reversed(lines) if line.startswith(("ModuleNotFoundError:", "ImportError:"))), None)
    return None if told is None else told.partition(": ")[2]


def in_a_line(error: Exception | None) -> str:
    """What went wrong, without Ray's pages about it."""
    missing = _missing(error)
    if missing is not None:
        return f"{missing}; the same version of innate must be installed there: pip install 'innate[ray]'"
    if type(error).__name__ == "OutOfMemoryError" or "running low on memory" in str(error):
        return "its machine was short of memory"
    if error is None or type(error).__name__ in ("ActorDiedError", "ActorUnavailableError"):
        return "its process has ended or cannot be reached"
    cause = getattr(error, "cause", None) or error  # as it was raised at the other end
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0] if lines else type(cause).__name__
