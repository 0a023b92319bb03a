"""Rates and gaps out of what jobs tell, which carries no clock but the listener's. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.events import LAST_EVENTS, EpochFinished, TrainingProgress
from tests.gpu.trials import Told


@dataclass(frozen=True)
class Span:
    """One epoch of one trial: when it ended and how many seconds it took, as recorded, and how many images it saw."""

    trial: str
    ended: float
    seconds: float
    images: int

    @property
    def begun(self) -> float:
        return self.ended - self.seconds


def spans(trial: str, story: Iterable[Told], images: int) -> list[Span]:
    """A trial's epochs."""
    return [
        Span(trial, told.at, told.event.record.seconds, images)
        for told in story
        if isinstance(told.event, EpochFinished)
    ]


def together(found: Sequence[Span]) -> float:
    """Images per second of all trials together while all of them were at it: from when the last has its first epoch, with
    what only happens once, behind it, until the first comes to its end. Where there is no such time, over all of it."""
    trials = {span.trial for span in found}
    ends = {trial: sorted(span.ended for span in found if span.trial == trial) for trial in trials}
    first, last = max(times[0] for times in ends.values()), min(times[-1] for times in ends.values())
    if last <= first:
        first, last = min(span.begun for span in found), max(span.ended for span in found)
    return sum(_within(span, first, last) for span in found) / (last - first)


def _within(span: Span, first: float, last: float) -> float:
    """How many of an epoch's images fall between two moments, if they came evenly."""
    shared = min(span.ended, last) - max(span.begun, first)
    return span.images * max(0.0, shared) / span.seconds


def gap(before: Sequence[Told], after: Sequence[Told], batch_size: int) -> float:
    """Seconds from the last event of a trial to the first training step of the one that came next."""
    return _first_step(after, batch_size) - before[-1].at


def _first_step(story: Sequence[Told], batch_size: int) -> float:
    """Progress is told at once, an epoch's end only when its checkpoint is written: the sooner is the truer."""
    for told in story:
        match told.event:
            case TrainingProgress(batch=batch, samples_per_second=rate):
                return told.at - batch * batch_size / rate
            case EpochFinished(record=record):
                return told.at - record.seconds
    raise AssertionError(f"never trained: {[type(told.event).__name__ for told in story]}")


def finished(story: Sequence[Told]) -> bool:
    return bool(story) and isinstance(story[-1].event, LAST_EVENTS)
