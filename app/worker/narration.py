"""What happens to a trial, in a line: for the log of a detached worker and the narration of a foreground one."""

from __future__ import annotations

import math

import numpy as np

from core.events import (
    CleanEvaluated,
    Crashed,
    Diagnosed,
    EpochFinished,
    EpochRecord,
    EvaluationFailed,
    EvaluationFinished,
    Event,
    Finished,
    Started,
    Stopped,
    Trained,
    TrialFailed,
)
from core.records import NORM_SIGNS
from core.verdict.trust import trust_of_diagnosis


def in_words(seconds: float) -> str:
    """A duration as a person says it: "0.3 s", "48 s", "3 min", "2 h 05 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def accuracies(event: EvaluationFinished) -> str:
    """Robust accuracy at each ε: "pgd ℓ∞ 0.05→81.0% 0.1→35.2%"; of a minimum-norm attack "cw ℓ2 median distance 1.23"."""
    parts = [f"{ledger.eps:g}→{ledger.survived.mean():.1%}" for ledger in event.ledgers if ledger.eps is not None]
    for ledger in event.ledgers:
        if ledger.distances is not None:
            found = ledger.distances[ledger.survived]
            middle = float(np.median(found)) if len(found) else 0.0
            parts.append(
                f"median distance {middle:.3g}" if math.isfinite(middle) else "no distance for half of the samples"
            )
    return f"{event.attack.name} {NORM_SIGNS[event.attack.norm]} {' '.join(parts)}"


def _epoch(record: EpochRecord) -> str:
    probe = "" if record.probe_accuracy is None else f", {record.probe_accuracy:.1%} under the probe's PGD"
    return (
        f"epoch {record.epoch}, loss {record.loss:.4f}, accuracy {record.accuracy:.1%}{probe} "
        f"in {in_words(record.seconds)}"
    )


def told(event: Event, *, clean: float | None = None, epochs: bool = False) -> list[str]:
    """The lines that an event is worth, none for most. `clean` is the trial's clean accuracy so far as it is known;
    `epochs` tells every epoch too, not only what is wrong with one."""
    match event:
        case Started(resumed=resumed, notes=notes, to_train=to_train):
            return [*notes, *([f"resumed after epoch {resumed[-1].epoch}"] if resumed and to_train else [])]
        case EpochFinished(record, warning):
            return [*([_epoch(record)] if epochs else []), *([f"warning: {warning}"] if warning else [])]
        case Trained(history=history, earlier=False) if history:
            return [f"trained in {in_words(sum(record.seconds for record in history))}"]
        case EvaluationFinished():
            known = "" if clean is None else f"clean {clean:.1%}, "
            return [f"{known}{accuracies(event)} in {in_words(event.seconds)}", *event.notes]
        case Diagnosed(diagnosis=diagnosis, first=first):
            return [f"suspect: {reason.text}" for reason in trust_of_diagnosis(diagnosis, at_radius=not first)[1]]
        case EvaluationFailed():
            return [f"{event.attack.name} failed: {event.reason}"]
        case TrialFailed(reason=reason) | Crashed(reason=reason):
            return [reason]
        case Stopped():
            return ["stopped, checkpoint written"]
        case CleanEvaluated() | Finished():
            return []
    return []
