"""What has happened to a trial, as the table `event` keeps it: from the events of its attempts, and back as typed records.

Epochs stand in a table of their own, which says when each has ended; here they come back among the rest.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core import events
from core.audit import AuditedRadius
from core.verdict.trust import trust_of_diagnosis
from storage.codec import Misfit, decoded, encoded
from storage.database import transaction

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class Began:
    """An attempt was given a slot."""

    device: str
    slot: int
    """Its number, from 0."""


@dataclass(frozen=True)
class Started:
    """The child is at work. `resumed_after`: the last epoch taken over from an earlier attempt, if it goes on training."""

    notes: tuple[str, ...] = ()
    resumed_after: int | None = None


@dataclass(frozen=True)
class EpochEnded:
    """Mean training loss; accuracies as fractions; `probe_accuracy` under the probe's attack, where there is a probe."""

    epoch: int
    """Counted from 1."""
    loss: float
    accuracy: float
    probe_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class Warned:
    """Something first showed in an epoch."""

    warning: str


@dataclass(frozen=True)
class TrainingEnded:
    """In this attempt or over several: `seconds` of all epochs."""

    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AttackEnded:
    """An evaluation is in. `robust`: (ε, robust accuracy) for each ε; `medians`: the median distance of each ledger of
    distances, None where half of the samples have none."""

    attack: str
    norm: str
    robust: tuple[tuple[float, float], ...]
    medians: tuple[float | None, ...]
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditEnded:
    """An audit is in: what it came to at each ε."""

    norm: str
    radii: tuple[AuditedRadius, ...]
    samples: int
    """Test samples in all."""
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class AuditFailed:
    norm: str
    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class Suspected:
    """A look at the model itself found something."""

    reasons: tuple[str, ...]


@dataclass(frozen=True)
class AttackFailed:
    attack: str
    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class LookFailed:
    """A look at the model itself came to nothing, in a norm; without one, at its traits."""

    norm: str | None
    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class Failed:
    """The trial cannot be trained as specified."""

    reason: str
    traceback: str = ""


@dataclass(frozen=True)
class Crashed:
    reason: str


@dataclass(frozen=True)
class Stopped:
    """Stopped with a checkpoint, and handed back."""


@dataclass(frozen=True)
class Finished:
    """Nothing was left to do."""


Entry = (
    Began
    | Started
    | EpochEnded
    | Warned
    | TrainingEnded
    | AttackEnded
    | AuditEnded
    | AuditFailed
    | Suspected
    | AttackFailed
    | LookFailed
    | Failed
    | Crashed
    | Stopped
    | Finished
)

KINDS: dict[str, type[Entry]] = {
    "Began": Began,
    "Started": Started,
    "Warned": Warned,
    "Trained": TrainingEnded,
    "EvaluationFinished": AttackEnded,
    "Audited": AuditEnded,
    "AuditFailed": AuditFailed,
    "Diagnosed": Suspected,
    "EvaluationFailed": AttackFailed,
    "LookFailed": LookFailed,
    "TrialFailed": Failed,
    "Crashed": Crashed,
    "Stopped": Stopped,
    "Finished": Finished,
}
_KIND_OF = {kind: name for name, kind in KINDS.items()}


@dataclass(frozen=True)
class Line:
    """An entry of one trial, and when it was made (Unix seconds)."""

    at: float
    trial_id: str
    entry: Entry


def entries(event: events.Event) -> list[Entry]:
    """What is worth keeping of an event."""
    match event:
        case events.Started(resumed=resumed, notes=notes, to_train=to_train):
            return [Started(notes, resumed[-1].epoch if resumed and to_train else None)]
        case events.EpochFinished(record, warning):
            ended = EpochEnded(record.epoch, record.loss, record.accuracy, record.probe_accuracy, record.seconds)
            return [ended, *([Warned(warning)] if warning else [])]
        case events.Trained(history=history, earlier=False) if history:
            return [TrainingEnded(sum(record.seconds for record in history), event.notes)]
        case events.EvaluationFinished():
            return [_ended(event)]
        case events.Audited():
            return [AuditEnded(event.spec.norm, event.radii, len(event.fell_at), event.seconds, event.notes)]
        case events.AuditFailed():
            return [AuditFailed(event.spec.norm, event.reason, event.traceback)]
        case events.Diagnosed(diagnosis=diagnosis, first=first):
            reasons = trust_of_diagnosis(diagnosis, at_radius=not first)[1]
            return [Suspected(tuple(reason.text for reason in reasons))] if reasons else []
        case events.EvaluationFailed():
            return [AttackFailed(event.attack.name, event.reason, event.traceback)]
        case events.LookFailed(norm, reason, traceback):
            return [LookFailed(norm, reason, traceback)]
        case events.TrialFailed(reason, traceback):
            return [Failed(reason, traceback)]
        case events.Crashed(reason=reason):
            return [Crashed(reason)]
        case events.Stopped():
            return [Stopped()]
        case events.Finished():
            return [Finished()]
    return []


def _ended(event: events.EvaluationFinished) -> AttackEnded:
    medians = []
    for ledger in event.ledgers:
        if ledger.distances is not None:
            found = ledger.distances[ledger.survived]
            median = float(np.median(found)) if len(found) else 0.0
            medians.append(median if np.isfinite(median) else None)
    robust = tuple((ledger.eps, float(ledger.survived.mean())) for ledger in event.ledgers if ledger.eps is not None)
    return AttackEnded(event.attack.name, event.attack.norm, robust, tuple(medians), event.seconds, event.notes)


def append(db: Database, lines: Sequence[Line]) -> None:
    """Write down what has happened. Epochs are left out: `recording.record_epochs` has them."""
    with transaction(db):
        db.conn.executemany(
            "INSERT INTO event (at, kind, trial_id, content) VALUES (?, ?, ?, ?)",
            [
                (line.at, _KIND_OF[type(line.entry)], line.trial_id, json.dumps(encoded(line.entry)))
                for line in lines
                if not isinstance(line.entry, EpochEnded)
            ],
        )


def lines_of(db: Database, trial_id: str) -> list[Line]:
    """Everything that has happened to a trial, oldest first; epochs only as far as it is known when they ended.

    An entry that another version wrote in a way that is not understood is left out: it must not cost the others.
    """
    marks = ", ".join("?" * len(KINDS))
    found: list[tuple[float, int, int, Line]] = []
    for number, at, kind, content in db.execute(
        f"SELECT id, at, kind, content FROM event WHERE trial_id = ? AND kind IN ({marks})", (trial_id, *KINDS)
    ):
        with contextlib.suppress(Misfit):
            found.append((at, 1, number, Line(at, trial_id, decoded(KINDS[kind], json.loads(content or "{}")))))
    # An epoch that ended in the same moment came before what followed it.
    found += [
        (at, 0, numbers[0], Line(at, trial_id, EpochEnded(*numbers)))
        for at, *numbers in db.execute(
            "SELECT ended_at, epoch, loss, accuracy, probe_accuracy, seconds FROM epoch "
            "WHERE trial_id = ? AND ended_at IS NOT NULL",
            (trial_id,),
        )
    ]
    return [line for *_, line in sorted(found, key=lambda one: one[:3])]
