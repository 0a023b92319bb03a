"""Jobs from study documents, and an executor driven as a worker drives it, with the moment of every event."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.events import LAST_EVENTS, Crashed, Event, Trained
from core.executors.lanes import LanesExecutor
from core.executors.protocol import Executor, Slot
from core.jobs.orders import EvaluationSpec, Job
from core.study.plan import make_plan
from core.study.resolve import parse_study
from tests.conftest import REAL_DATA

ATTEMPTS = 12
"""Of one job: whoever dies with a neighbour, and is then tried alone, needs a few."""

STUDY: dict[str, Any] = {
    "name": "gpu",
    "dataset": "mnist5k",
    "architectures": ["kumar-cnn"],
    "optimizers": ["adam"],
    "activations": ["relu"],
    "attacks": [{"name": "fgsm", "eps": [0.1]}],
    "audit": {"samples": 0},
}
"""What is not said otherwise: one trial of the paper's net."""


def lanes_of(device: str, lanes: int, log: Path) -> LanesExecutor:
    """The product's executor, so many lanes in one child of the device."""
    return LanesExecutor([Slot(device, 1, lanes=lanes)], log)


def jobs(document: Mapping[str, Any], folder: Path, cache: Path, device: str, *, attack: bool = False) -> list[Job]:
    """A first attempt of each trial of a study; its attacks are carried out only where asked for."""
    plan = make_plan(parse_study({**STUDY, **document}, "gpu", Path("/")), REAL_DATA, cache)
    tests = plan.study.test_samples
    wanted = tuple(EvaluationSpec(one, tests) for one in plan.study.attacks) if attack else ()
    return [
        Job(
            trial=trial, source=plan.study.source, evaluations=wanted, clean=(tests,) if attack else (), attempt=1,
            folder=folder / trial.id / "1", earlier=(), data_root=REAL_DATA, cache=cache, device=device,
        )
        for trial in plan.trials
    ]  # fmt: skip


def again(job: Job) -> Job:
    """The next attempt, which goes on from what the earlier ones left."""
    folder = job.folder.with_name(str(job.attempt + 1))
    return dataclasses.replace(job, attempt=job.attempt + 1, folder=folder, earlier=(job.folder, *job.earlier))


@dataclass(frozen=True)
class Told:
    """An event, and the machine's monotonic clock when it came."""

    at: float
    event: Event


@dataclass
class Carried:
    """What became of some jobs: all events of each, in order, and how often each was blamed for a crash."""

    stories: dict[str, list[Told]] = field(default_factory=dict)
    blamed: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    """Without blame."""

    def events(self, key: str, kind: type[Any]) -> list[Any]:
        return [told.event for told in self.stories.get(key, ()) if isinstance(told.event, kind)]

    def last(self, key: str) -> Event | None:
        story = self.stories.get(key)
        return story[-1].event if story else None

    def digest(self, key: str) -> str:
        """Of the trained weights."""
        found = self.events(key, Trained)
        assert found, f"{key} trained to no end: {self.last(key)}"
        return str(found[-1].final_digest)

    def digests(self) -> dict[str, str]:
        return {key: self.digest(key) for key in sorted(self.stories)}


def carry(
    executor: Executor,
    wanted: Mapping[str, Job],
    at_once: int,
    seconds: float,
    meanwhile: Callable[[Carried], None] = lambda _: None,
) -> Carried:
    """All jobs to their ends, `at_once` of them at a time. A crash without blame is followed by the next attempt; one that
    the job is blamed for ends it. `meanwhile` is called now and then."""
    waiting, running, done = list(wanted), dict[str, Job](), Carried()
    attempts = dict(wanted)
    deadline = time.monotonic() + seconds
    while waiting or running:
        assert time.monotonic() < deadline, (
            f"not at an end after {seconds:g} s: {_standing(done, [*running, *waiting])}"
        )
        while waiting and len(running) < at_once:
            key = waiting.pop(0)
            running[key] = attempts[key]
            executor.submit(key, running[key])
        for key, event in executor.poll(0.05):
            done.stories.setdefault(key, []).append(Told(time.monotonic(), event))
            if isinstance(event, LAST_EVENTS):
                ended = running.pop(key)
                if isinstance(event, Crashed) and event.trial_at_fault:
                    done.blamed[key] += 1
                elif isinstance(event, Crashed):
                    done.crashes += 1
                    attempts[key] = again(ended)
                    assert attempts[key].attempt <= ATTEMPTS, f"{key} was never finished: {event}"
                    waiting.append(key)
        meanwhile(done)
    return done


def _standing(done: Carried, keys: Sequence[str]) -> str:
    return "; ".join(f"{key}: {type(done.last(key)).__name__}" for key in keys)
