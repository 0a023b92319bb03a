"""A lane: what one trial has of a device to itself while others run beside it in the same process. Imports torch: for
children only.

On CUDA that is a stream, a random generator and captured graphs in a pool of memory. Because a lane runs its own kernels,
what it computes hangs neither on its neighbours nor on how many they are. Everywhere else a lane is one turn at the default
generator, and all its work runs eagerly.
"""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import torch

from core.lanes.alone import ALONE

Result = TypeVar("Result")
Replay = Callable[[], None]

_IN_FLIGHT = 32
"""Replays between two marks; the host is at most two marks ahead of the device. A queue that is full blocks in the driver,
where other lanes would wait as well."""


class Recorder(Protocol):
    """How work is recorded: CUDA's graphs, or what stands for them in a test."""

    def __call__(self, work: Callable[[], Result]) -> tuple[Replay, Result]:
        """What repeats `work` on the same memory, and its results, which each repetition renews; nothing is carried out yet.

        `work` draws from the default generator and has been carried out before. Raises RuntimeError for work that cannot be
        recorded, which then has changed nothing.
        """
        ...


class Lane:
    """With none of `stream`, `generator` and `recorder` it only takes turns, and all its work runs eagerly: `open_lane` makes
    one that has what its device offers."""

    def __init__(
        self,
        device: torch.device,
        stream: torch.cuda.Stream | None = None,
        generator: torch.Generator | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.device = device
        self._stream = stream
        self._generator = generator
        self._recorder = recorder
        self._launched = 0
        self._mark: torch.cuda.Event | None = None
        self.work = 0
        """Images that went through a model in training, each once for every slope taken; read by other threads."""
        self.share = 1.0
        """The part of the device's free memory that work in this lane may count with: whoever opens several says so."""

    @property
    def records(self) -> bool:
        """Whether work can be recorded and replayed."""
        return self._recorder is not None

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Within, this thread's work on the device goes through the lane, and `current_lane` gives it."""
        before = getattr(_thread, "lane", None)
        _thread.lane = self
        try:
            with contextlib.nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
                yield
        finally:
            _thread.lane = before

    @contextlib.contextmanager
    def drawing(self, seed: int) -> Iterator[None]:
        """For eager work: within, torch's default generators are the lane's, begun at `seed`, and no other lane's turn."""
        with ALONE, contextlib.ExitStack() as standing:
            if self._generator is not None:
                standing.enter_context(_standing_in(_default(self.device), self._generator))
            self.reseed(seed)
            yield

    def reseed(self, seed: int) -> None:
        """Begin the lane's generator anew: within `drawing`, or before a replay.

        As `torch.manual_seed`, which also notes the call for each kind of device that is not in use yet, stack trace and all:
        a quarter of the time of a small model's step on the CPU, and a list that grows with every step.
        """
        if self._generator is not None:
            self._generator.manual_seed(seed)
            return
        torch.default_generator.manual_seed(seed)
        if self.device.type == "cuda":
            _default(self.device).manual_seed(seed)
        elif self.device.type == "mps":
            torch.mps.manual_seed(seed)

    def record(self, work: Callable[[], Result]) -> tuple[Replay, Result]:
        """As `Recorder` says; one lane at a time."""
        assert self._recorder is not None, "asked of a lane that records"
        with ALONE:
            return self._recorder(work)

    def worked(self, images: int) -> None:
        """Count work that is done, or as good as."""
        self.work += images

    def wait(self) -> None:
        """Until the device has carried out all that the lane asked of it. Raises what went wrong there meanwhile."""
        if self._stream is not None:
            self._stream.synchronize()

    def pace(self) -> None:
        """To be called after each replay: waits until the device is no more than two marks behind."""
        if self._stream is None:
            return
        self._launched += 1
        if self._launched % _IN_FLIGHT == 0:
            if self._mark is not None:
                self._mark.synchronize()
            self._mark = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            self._mark.record(self._stream)


class _CudaGraphs:
    """CUDA graphs of `stream`, all in one pool of memory: in a lane one is replayed after another, and what has to outlast a
    replay lies outside of the pool.

    Not torch.cuda.graph: that waits for all streams of the device, and gives cached memory back, before every capture.
    """

    def __init__(self, stream: torch.cuda.Stream, default: torch.Generator, generator: torch.Generator) -> None:
        self._default = default
        self._generator = generator
        self._pool = torch.cuda.graph_pool_handle()
        # A pool whose last graph is destroyed takes no other: this one stays, so that a trial can follow another.
        with ALONE, torch.cuda.stream(stream):
            self._anchor = self(lambda: torch.zeros((), device=stream.device))

    def __call__(self, work: Callable[[], Result]) -> tuple[Replay, Result]:
        graph = torch.cuda.CUDAGraph()
        torch.cuda.current_stream().synchronize()
        # A graph that is destroyed by a collection in the middle of a capture would spoil it.
        collects = gc.isenabled()
        gc.disable()
        try:
            # The graph takes the default generator's state for its own: the lane's, which no other lane draws from.
            with _standing_in(self._default, self._generator):
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    result = work()
                except BaseException:
                    with contextlib.suppress(RuntimeError):  # the capture may be spoilt already; the cause is passed on
                        graph.capture_end()
                    raise
                graph.capture_end()
        finally:
            if collects:
                gc.enable()
        return graph.replay, result


@contextlib.contextmanager
def _standing_in(default: torch.Generator, generator: torch.Generator) -> Iterator[None]:
    """Within, `default` is `generator`: they share one state, which graphs that are captured meanwhile keep."""
    before = default.graphsafe_get_state()
    default.graphsafe_set_state(generator)
    try:
        yield
    finally:
        default.graphsafe_set_state(before)


def _default(device: torch.device) -> torch.Generator:
    generator: torch.Generator = torch.cuda.default_generators[device.index or 0]
    return generator


_thread = threading.local()


def open_lane(device: torch.device) -> Lane:
    """A new lane of `device`, with a stream, a generator and graphs of its own on CUDA.

    To be kept for one trial after another: memory that was cached for its stream, and the pool of its graphs, serve no other.
    A process can have `alone.MOST_LANES` of them on one device.
    """
    if device.type != "cuda":
        return Lane(device)
    torch.cuda.init()  # type: ignore[no-untyped-call]  # before that there are no default generators
    generator = torch.Generator(device)
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    return Lane(device, stream, generator, _CudaGraphs(stream, _default(device), generator))


def current_lane(device: torch.device) -> Lane:
    """The lane that this thread has entered, or one that only takes turns where it has entered none of that device."""
    lane: Lane | None = getattr(_thread, "lane", None)
    return lane if lane is not None and lane.device == device else Lane(device)
