"""How fast models like those of a study train and are attacked here: a few real steps and a few images, then they are dropped.

Imports torch: for children only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from core import datasets
from core.attacks import ATTACKS
from core.attacks.price import price
from core.datasets.arrays import Arrays
from core.datasets.subsets import evenly_spread
from core.engine.victim import EvaluationStopped
from core.errors import InnateError
from core.evaluation.batches import usual_batch
from core.evaluation.evaluate import TestSet, clean_outcome, evaluate
from core.events import AttackTimed, Event, Finished, NotTimed, Stopped, TrainingTimed, TrialFailed
from core.jobs.evaluations import reason_of, test_set_of
from core.jobs.orders import Job, TimingJob
from core.jobs.trial import prepare, settle_torch
from core.lanes.lane import current_lane
from core.models.pixel_model import PixelModel
from core.records.attack import AttackSpec
from core.records.trial import TrialSpec
from core.training.loop import batch_bounds
from core.training.step import fresh_epoch, learner
from core.training.steps import Batch, Steps

_WARM_STEPS = 3
"""Not counted: the first makes the optimizer's state, in a lane that records the second is captured."""
_STEPS = 4
"""Counted at least, unless they take too long."""
_FIRST_SHARE = 8
"""The part of a batch that is tried first: where whole batches would take too long, its like tell as much per image."""
_SECONDS = 0.25
"""Over which steps are counted at least: those of small nets take less than the clock is good for."""
_WARM_IMAGES = 4
"""Attacked first: they warm the model up, and say how many more there is time for."""
_CPU_IMAGES = 32
"""Per image that costs on a CPU what a whole batch does, within a few per cent."""
_SHORT, _SHORT_SEARCH = {"cpu": 10}, {"cpu": 50}
_LONG, _LONG_SEARCH = 40, 400
"""Steps, and asks of a search, that an attack is cut down to; more where a GPU has to capture them first."""
_TINY = 1e-6
"""An ε within which every image stands, so that an attack goes through all its steps."""
_STANDING = 0.75
"""Share of its passes that an iterative attack makes, since it drops what has fallen: 0.54 to 0.95 where PGD attacked the paper's
net and small ones with and without defense at the radii of the presets."""


def run_timing(job: TimingJob, stop: Callable[[], bool]) -> Iterator[Event]:
    """TrainingTimed, AttackTimed or NotTimed for each that is asked for; the last event is Finished, Stopped or TrialFailed.

    `stop` is asked before every step of training and under attack. Nothing is written but decoded data sets. OSError
    passes through.
    """
    began = time.monotonic()
    try:
        settle_torch(job.like)
        like = job.like
        arrays, _ = datasets.load_planned(like.source, like.data_root, like.cache, like.trial.dataset, like.met)
        for number, (trial, attack) in enumerate(job.asked):
            allowed = _Allowed.now(job, began, len(job.asked) - number, stop)
            yield _timed(replace(like, trial=trial), arrays, attack, allowed)
        yield Finished()
    except EvaluationStopped:
        yield Stopped()
    except InnateError as error:
        yield TrialFailed(str(error))


class _TooLong(Exception):
    """What may be taken was not enough for the least that is to be seen."""


@dataclass(frozen=True)
class _Allowed:
    """Seconds that one of them may take, and until when (monotonic)."""

    seconds: float
    until: float
    stop: Callable[[], bool]

    @classmethod
    def now(cls, job: TimingJob, began: float, left: int, stop: Callable[[], bool]) -> _Allowed:
        now = time.monotonic()
        seconds = max(0.0, min(job.each, (began + job.limit - now) / left))
        return cls(seconds, now + seconds, stop)

    @property
    def over(self) -> bool:
        """Raises EvaluationStopped where the worker asks to stop."""
        if self.stop():
            raise EvaluationStopped
        return time.monotonic() >= self.until


def _timed(job: Job, arrays: Arrays, attack: AttackSpec | None, allowed: _Allowed) -> Event:
    """What is found; what goes wrong in one costs no other."""
    trial = job.trial
    if allowed.over:
        return NotTimed(trial, attack, "there was no time left for it")
    try:
        return _training(job, arrays, allowed) if attack is None else _attack(job, arrays, attack, allowed)
    except _TooLong:
        return NotTimed(trial, attack, f"took more than {allowed.seconds:.0f} s for the least that tells anything")
    except (InnateError, RuntimeError, ValueError, ArithmeticError) as error:  # memory running out among them
        return NotTimed(trial, attack, reason_of(error))


def _training(job: Job, arrays: Arrays, allowed: _Allowed) -> TrainingTimed:
    """Steps as `train` takes them, over and over on as many images as a few batches need."""
    trial = job.trial
    assert trial.training is not None
    assert trial.optimizer is not None
    classes, size = _classes(arrays), trial.train_samples or len(arrays.train_labels)
    few = replace(_without_validation(trial), train_samples=min(size, max(_STEPS * trial.training.batch_size, classes)))
    data, model = prepare(replace(job, trial=few), arrays, classes)
    device = data.labels.device
    lane = current_lane(device)
    bounds = batch_bounds(len(data.labels), trial.training.batch_size)
    learned = learner(trial, model, data.images[: max(last - first for first, last in bounds)], recorded=lane.records)
    epoch, rows = fresh_epoch(1, device), torch.arange(len(data.labels), device=device)
    steps = Steps(learned, data.images, data.labels, epoch, lane)
    model.train()
    clock, took = _clock(job), list[tuple[float, int]]()
    small = max(2, trial.training.batch_size // _FIRST_SHARE)
    pieces = batch_bounds(len(data.labels), small)
    while not _enough([seconds for seconds, _ in took[_WARM_STEPS:]]) and not allowed.over:
        first, last = pieces[len(took) % len(pieces)]
        arrived, began = time.monotonic(), clock()
        steps.take(Batch(rows[first:last]), float(trial.optimizer.options["lr"]))
        float(epoch.loss)  # waits for the device
        took.append((clock() - began, last - first))
        whole = (time.monotonic() - arrived) * _FIRST_SHARE * (_WARM_STEPS + _STEPS)
        if len(took) == 1 and whole < allowed.until - time.monotonic():
            pieces, took = bounds, []
    if not took:
        raise _TooLong
    # Of steps so long that only the first ones fit, the last of those: nothing is cold any more but the processor.
    counted = took[_WARM_STEPS:] or took[-1:]
    return TrainingTimed(trial, sum(seconds for seconds, _ in counted) / sum(n for _, n in counted), len(counted))


def _enough(seconds: Sequence[float]) -> bool:
    return len(seconds) >= _STEPS and sum(seconds) >= _SECONDS


def _attack(job: Job, arrays: Arrays, attack: AttackSpec, allowed: _Allowed) -> AttackTimed:
    """The attack itself on a few images, with fewer steps, against the labels that the untrained model gives: so every image has
    to be attacked."""
    classes, size = _classes(arrays), job.trial.train_samples or len(arrays.train_labels)
    few = replace(_without_validation(job.trial), train_samples=min(size, 4 * classes))
    _, model = prepare(replace(job, trial=few), arrays, classes)
    rows = np.arange(len(arrays.test_labels))
    if job.device == "cpu":
        rows = evenly_spread(rows, _CPU_IMAGES)
    test_set = test_set_of(arrays, rows, None, job.device, job.memory_fraction)
    short = _shortened(attack, torch.device(job.device).type)
    warm = min(_WARM_IMAGES, len(rows))
    each = _seconds(job, model, test_set, classes, warm, short, allowed)
    if each is None:
        raise _TooLong
    most = len(rows) if job.device == "cpu" else min(len(rows), usual_batch(model, test_set))
    images = min(most, int((allowed.until - time.monotonic()) / max(1e-9, 2 * each)))
    if images > warm:
        again = _seconds(job, model, test_set, classes, images, short, allowed)
        each, images = (each, warm) if again is None else (again, images)
    else:
        images = warm
    return AttackTimed(job.trial, attack, each * _times(attack, short, classes), images)


def _shortened(attack: AttackSpec, kind: str) -> AttackSpec:
    """As much of the attack as tells what it costs, on a kind of device. A single step is whole; DeepFool too, since it ends when
    it has found."""
    entry = ATTACKS[attack.name]
    if entry.single_step or "classes" in attack.params:
        return attack
    if entry.ensemble is not None:
        return _shortened(entry.ensemble(attack)[0], kind)
    least = {
        "steps": _SHORT.get(kind, _LONG),
        "queries": _SHORT_SEARCH.get(kind, _LONG_SEARCH),
        "search_steps": 1,
        "restarts": 1,
        "targets": 1,
    }
    params = {key: min(value, least[key]) if key in least else value for key, value in attack.params.items()}
    return replace(attack, eps=attack.eps and (_TINY,), params=params)


def _times(attack: AttackSpec, short: AttackSpec, classes: int) -> float:
    """How often what `short` costs the whole attack costs, as images fall to it."""
    if attack is short:
        return 1.0
    radii = 1 if ATTACKS[attack.name].minimum_norm else len(attack.eps)
    falling = 1.0 if ATTACKS[attack.name].minimum_norm else _STANDING
    return falling * radii * price(attack, classes) / price(short, classes)


def _seconds(
    job: Job,
    model: PixelModel,
    test_set: TestSet,
    classes: int,
    count: int,
    attack: AttackSpec,
    allowed: _Allowed,
) -> float | None:
    """For each of the first `count` images; None where there is no time for that."""
    few = replace(
        test_set, images=test_set.images[:count], labels=test_set.labels[:count], indices=test_set.indices[:count]
    )
    seen = clean_outcome(model, few, classes).predictions
    few = replace(few, labels=torch.from_numpy(seen).to(few.labels.device))
    everyone = np.ones(count, dtype=np.bool_)
    clock = _clock(job)
    began = clock()
    try:
        for _ in evaluate(model, few, attack, everyone, job.crafting, lambda: allowed.over):
            pass
    except EvaluationStopped:
        if allowed.stop():
            raise
        return None
    return (clock() - began) / count


def _clock(job: Job) -> Callable[[], float]:
    """Of one thread the seconds that it is at work: whoever else is on the machine now may be gone when the study runs."""
    return time.process_time if job.device == "cpu" and job.threads == 1 else time.monotonic


def _without_validation(trial: TrialSpec) -> TrialSpec:
    """So that few images are all for the steps."""
    assert trial.training is not None
    return replace(trial, training=replace(trial.training, validation=0.0))


def _classes(arrays: Arrays) -> int:
    return int(arrays.train_labels.max()) + 1
