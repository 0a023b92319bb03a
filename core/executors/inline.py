"""Runs each job in this process, one event per poll: for tests and for stepping through a trial in a debugger."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from core.events import LAST_EVENTS, Crashed, Event
from core.executors.protocol import Lanes, Slot
from core.jobs.orders import AnyJob

RunTrial = Callable[[AnyJob, Callable[[], bool]], Iterator[Event]]


class InlineExecutor:
    """The jobs' generators, stepped in turn."""

    def __init__(self, run_trial: RunTrial, slots: int = 1) -> None:
        self._run_trial = run_trial
        self._slots = tuple(Slot("cpu", 1) for _ in range(slots))
        self._running: dict[str, Iterator[Event]] = {}
        self._stopping: set[str] = set()
        self._killed: list[str] = []

    def capacity(self) -> Sequence[Slot]:
        return self._slots

    def lanes(self) -> Mapping[str, Lanes]:
        return {}

    def submit(self, key: str, job: AnyJob) -> None:
        self._running[key] = self._run_trial(job, lambda: key in self._stopping)

    def poll(self, timeout: float) -> Sequence[tuple[str, Event]]:  # noqa: ARG002 - nothing here ever waits
        events: list[tuple[str, Event]] = [(key, Crashed("killed", None)) for key in self._killed]
        self._killed.clear()
        for key, generator in list(self._running.items()):
            try:
                event = next(generator)
            except Exception as error:  # what would have killed a child
                event = Crashed(f"{type(error).__name__}: {error}", None)
            events.append((key, event))
            if isinstance(event, LAST_EVENTS):
                del self._running[key]
                self._stopping.discard(key)
        return events

    def cancel(self, key: str, *, now: bool = False) -> None:
        if key not in self._running:
            return
        if now:
            del self._running[key]
            self._killed.append(key)
        else:
            self._stopping.add(key)

    def close(self) -> None:
        self._running.clear()
