"""What of a spooled attempt answers an order: pure, so that it can be tried on any story."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from core.events import (
    Audited,
    CleanEvaluated,
    Diagnosed,
    EvaluationFinished,
    Event,
    Finished,
    Started,
    Stopped,
    Trained,
    TraitsMeasured,
)
from core.executors.cluster.spool import Kept
from core.jobs.orders import EvaluationSpec, Job
from core.records.trial import TrialSpec

LASTING = (
    Started, Trained, CleanEvaluated, Diagnosed, TraitsMeasured, EvaluationFinished, Audited, Finished,
)  # fmt: skip
"""Events that are spooled: what must not be worked out twice. Failures are found again, epochs come with `Trained`."""


class Asked:
    """Of a job under way: what an event was the answer to, beyond what the event itself says.

    An attack that comes after others depends on whom they left standing, an audit on everything known before it, of which the
    passes of all attacks so far are the fingerprint.
    """

    def __init__(self, job: Job) -> None:
        self._job = job
        self._passes: dict[str, int] = {}

    def of(self, event: Event) -> str:
        """What to keep beside the event, "" for most. To be called once for each, in order."""
        match event:
            case EvaluationFinished():
                self._passes[event.samples] = (
                    self._passes.get(event.samples, 0) + event.forward_passes + event.backward_passes
                )
                return next((_standing(one) for one in self._job.evaluations if _answers(event, one)), "")
            case Audited():
                orders = [
                    one for one in self._job.audits if one.spec == event.spec and one.test_samples == event.test_samples
                ]
                return f"{orders[0].passes + self._passes.get(event.samples, 0)} of {orders[0].of}" if orders else ""
        return ""


def replayed(job: Job, trial: TrialSpec, kept: Sequence[Kept]) -> list[Event]:
    """The spooled events that are what `job` asks for, and the last one: Finished where they are all of it, else Stopped, so that
    what is missing goes out again. Empty where nothing answers."""
    if trial != job.trial:
        return []
    asked, told = Asked(job), [one for one in kept if not isinstance(one.event, Finished)]
    found = [one.event for one in told if _fits(job, one, asked)]
    if not any(not isinstance(event, Started) for event in found):
        return []
    whole = len(told) < len(kept) and _all_there(job, found)
    return [*found, Finished() if whole else Stopped()]


def _fits(job: Job, one: Kept, asked: Asked) -> bool:
    event = one.event
    match event:
        case Started() | Trained():
            return True
        case CleanEvaluated():
            return event.test_samples in job.clean
        case TraitsMeasured():
            return event.test_samples in job.traits
        case Diagnosed():
            return any(
                look.test_samples == event.test_samples
                and look.norm == event.diagnosis.norm
                and event.diagnosis.eps in look.eps
                for look in job.diagnoses
            )
        case EvaluationFinished():
            return any(_answers(event, wanted) for wanted in job.evaluations) and asked.of(event) == one.asked
        case Audited():
            return bool(one.asked) and asked.of(event) == one.asked
    return False


def _all_there(job: Job, found: Sequence[Event]) -> bool:
    clean = {event.test_samples for event in found if isinstance(event, CleanEvaluated)}
    traits = {event.test_samples for event in found if isinstance(event, TraitsMeasured)}
    looks = {
        (event.test_samples, event.diagnosis.norm, event.diagnosis.eps)
        for event in found
        if isinstance(event, Diagnosed)
    }
    attacks = [event for event in found if isinstance(event, EvaluationFinished)]
    audits = {(event.spec, event.test_samples) for event in found if isinstance(event, Audited)}
    return (
        any(isinstance(event, Trained) for event in found)
        and clean >= set(job.clean)
        and traits >= set(job.traits)
        and looks >= {(look.test_samples, look.norm, eps) for look in job.diagnoses for eps in look.eps}
        and all(any(_answers(event, wanted) for event in attacks) for wanted in job.evaluations)
        and audits >= {(order.spec, order.test_samples) for order in job.audits}
    )


def _answers(event: EvaluationFinished, wanted: EvaluationSpec) -> bool:
    return event.attack == wanted.attack and event.test_samples == wanted.test_samples


def _standing(wanted: EvaluationSpec) -> str:
    return "" if wanted.standing is None else hashlib.sha256(wanted.standing.tobytes()).hexdigest()
