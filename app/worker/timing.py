"""Carrying a TimingJob out: in a child of this process's own, which leaves nothing behind but what it found."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.worker.loop import Stop
from core import datasets
from core.errors import BadInput, InnateError
from core.events import AttackTimed, Crashed, Finished, NotTimed, Stopped, TrainingTimed, TrialFailed
from core.executors.process import ProcessExecutor
from core.executors.protocol import Slot
from core.jobs.orders import Job, TimingJob
from core.records.attack import AttackSpec
from core.records.choice import Choice
from core.records.study import Plan
from core.records.trial import TrialSpec
from storage.home import Home

EACH, LIMIT = 10.0, 60.0
"""Seconds at most for one training or attack, and for all of them."""
_START = 60.0
"""Seconds that a child may take beyond that: importing torch on a busy machine, and the step that it is in."""
_POLL_SECONDS = 0.2
_KEY = "timing"


@dataclass(frozen=True)
class Wanted:
    """What nothing is known of, by an example of each: how long such trials train, and attacks on such models take."""

    asked: tuple[tuple[TrialSpec, AttackSpec | None], ...] = ()
    """What matters most first: the training of such trials, or the attack on such models."""

    @property
    def trainings(self) -> list[TrialSpec]:
        return [trial for trial, attack in self.asked if attack is None]

    @property
    def attacks(self) -> list[tuple[TrialSpec, AttackSpec]]:
        return [(trial, attack) for trial, attack in self.asked if attack is not None]

    def __len__(self) -> int:
        return len(self.asked)


@dataclass(frozen=True)
class Timings:
    """What was found on `rooms` devices or cores alike, and what could not be. Each is of one model with a device to itself."""

    trainings: tuple[TrainingTimed, ...] = ()
    attacks: tuple[AttackTimed, ...] = ()
    failed: tuple[NotTimed, ...] = ()
    rooms: int = 0
    """0: nothing was timed."""

    def training(self, like: TrialSpec) -> TrainingTimed | None:
        """Of the same data set, architecture, defense, and size of batch."""
        return next((one for one in self.trainings if _training_kind(one.trial) == _training_kind(like)), None)

    def trainings_like(self, like: TrialSpec) -> list[TrainingTimed]:
        """As `training`, with whatever defense."""
        wanted = _training_kind(replace(like, defense=None))
        return [one for one in self.trainings if _training_kind(replace(one.trial, defense=None)) == wanted]

    def attack(self, like: TrialSpec, attack: AttackSpec) -> AttackTimed | None:
        """Of the same attack on the same architecture and data set."""
        wanted = _model_kind(like)
        return next((one for one in self.attacks if one.attack == attack and _model_kind(one.trial) == wanted), None)

    def tells(self, wanted: Wanted) -> bool:
        """Whether it has all that is wanted."""
        return all(
            (self.training(trial) if attack is None else self.attack(trial, attack)) is not None
            for trial, attack in wanted.asked
        )

    def failure(self, like: TrialSpec, attack: AttackSpec | None) -> NotTimed | None:
        """Why the one or, with `attack`, the other of these could not be timed; None where it was, or nobody tried."""
        if (self.training(like) if attack is None else self.attack(like, attack)) is not None:
            return None
        kind = _training_kind if attack is None else _model_kind
        return next((one for one in self.failed if one.attack == attack and kind(one.trial) == kind(like)), None)

    def beside(self, later: Timings) -> Timings:
        """Both; where they are of the same, the later counts."""
        return Timings(
            later.trainings + self.trainings, later.attacks + self.attacks, later.failed + self.failed, later.rooms
        )


def _model_kind(trial: TrialSpec) -> tuple[str, Choice]:
    return trial.dataset, trial.architecture


def _training_kind(trial: TrialSpec) -> tuple[object, ...]:
    assert trial.training is not None
    return *_model_kind(trial), trial.defense, trial.training.batch_size, trial.training.precision


def refuse_absent(plan: Plan, home: Home) -> None:
    """Raises BadInput where the data set that is to be measured on is not at hand."""
    absent = datasets.problem(plan.study.source, home.data_root, home.cache)
    if absent is not None:
        raise BadInput(f"nothing can be measured: {absent}")


def measure(
    home: Home,
    plan: Plan,
    wanted: Wanted,
    slots: Sequence[Slot],
    stop: Callable[[], Stop],
    shown: Callable[[int], None] = lambda _: None,
) -> Timings | None:
    """Time what is `wanted` on the first of the slots; `shown` hears how many are done. None where `stop` asked for an end.

    Raises InnateError where the data set cannot be read. The child ends with this process.
    """
    with tempfile.TemporaryDirectory(prefix="innate-timing-") as place:
        folder, slot = Path(place), slots[0]
        like = Job(
            trial=wanted.asked[0][0], source=plan.study.source, evaluations=(), clean=(), attempt=0, folder=folder, earlier=(),
            data_root=home.data_root, cache=home.cache, device=slot.device, threads=slot.threads,
            memory_fraction=slot.memory_fraction, met=plan.info.digest,
        )  # fmt: skip
        executor = ProcessExecutor([slot], folder / "children.log")
        try:
            executor.submit(_KEY, TimingJob(like, wanted.asked, EACH, LIMIT))
            return _until_the_end(executor, wanted, Timings(rooms=len(slots)), stop, shown)
        finally:
            executor.close()


def _until_the_end(
    executor: ProcessExecutor, wanted: Wanted, found: Timings, stop: Callable[[], Stop], shown: Callable[[int], None]
) -> Timings | None:
    deadline = time.monotonic() + LIMIT + _START
    while True:
        for _, event in executor.poll(_POLL_SECONDS):
            match event:
                case TrainingTimed():
                    found = replace(found, trainings=(*found.trainings, event))
                case AttackTimed():
                    found = replace(found, attacks=(*found.attacks, event))
                case NotTimed():
                    found = replace(found, failed=(*found.failed, event))
                case TrialFailed(reason):
                    raise InnateError(f"measuring: {reason}")
                case Crashed(reason):
                    return _given_up(wanted, found, reason)
                case Stopped():
                    return None
                case Finished():
                    return found
            shown(len(found.trainings) + len(found.attacks) + len(found.failed))
        if stop() is not Stop.NO:
            return None
        if time.monotonic() > deadline:
            return _given_up(wanted, found, f"did not end within {LIMIT + _START:.0f} s")


def _given_up(wanted: Wanted, found: Timings, reason: str) -> Timings:
    """Without what the child was at, and had still to do."""
    told = len(found.trainings) + len(found.attacks) + len(found.failed)
    failed = (NotTimed(trial, attack, reason) for trial, attack in wanted.asked[told:])
    return replace(found, failed=(*found.failed, *failed))
