"""The changes that a client can ask of the owner of a home, each with the answer to it. `storage.commands` carries both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from core.records.attack import Threat
from core.records.trial import ImportRecord, TrialSpec
from core.verdict.settling.looked import Looked
from storage.notes import NoteRow
from storage.settling import MoreSeeds
from storage.submitting import Submission
from storage.transfers import Crafted

Answer = TypeVar("Answer", covariant=True)


class Change(Generic[Answer]):
    """One change. `KIND` names it in the database; `Answer` is what its owner says once it is made."""

    KIND: ClassVar[str]


@dataclass(frozen=True)
class Submit(Change[Submission]):
    """Make a study what its file says and queue what is missing."""

    KIND: ClassVar[str] = "submit"
    document: Mapping[str, Any]
    """The study file's own."""
    where: str
    """What a mistake in it is told of."""
    data_root: Path
    share: tuple[int, int] | None = None
    """(number, of how many) where only that share of its trials is asked for."""


@dataclass(frozen=True)
class Attacked:
    study: str
    attack_id: str
    missing: int
    """Trials that are yet to be attacked with it."""


@dataclass(frozen=True)
class Attack(Change[Attacked]):
    """One more attack on trained trials of a study; `options` in a study file's own keys."""

    KIND: ClassVar[str] = "attack"
    study: str
    trials: tuple[str, ...]
    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class NextRung:
    """What was queued for a trial; `rung` counts from 1."""

    trial_id: str
    attack_id: str
    rung: int


@dataclass(frozen=True)
class Climb:
    """The trials that have a next rung, and how many rungs the ladder has."""

    rungs: tuple[NextRung, ...]
    of: int


@dataclass(frozen=True)
class Escalate(Change[Climb]):
    """The ladder of attacks on each of these trials, rung after rung until its verdict is settled: the next rung is queued now,
    every other by the owner once the one before it has been tried."""

    KIND: ClassVar[str] = "escalate"
    study: str
    trials: tuple[str, ...]
    threat: Threat


@dataclass(frozen=True)
class Queued:
    """Trials of a study that something more is now wanted of, and the names of the attacks, or "audit"."""

    trials: int
    wanted: tuple[str, ...]


@dataclass(frozen=True)
class Audit(Change[Queued]):
    """Have the models of a study audited; `options` are those of `[audit]` that are to differ from the study's own."""

    KIND: ClassVar[str] = "audit"
    study: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Level(Change[Queued]):
    """Have every model of a study attacked with all that any of them was attacked with, and with what broke one in an audit."""

    KIND: ClassVar[str] = "level"
    study: str


@dataclass(frozen=True)
class SeedsAdded:
    """Trials that a study got to settle its findings."""

    added: int


@dataclass(frozen=True)
class Settle(Change[SeedsAdded]):
    """Keep what looks at a study's findings came to, and train the variants that are open with more seeds. `seen` is what the
    looks began from, `margin` in points."""

    KIND: ClassVar[str] = "settle"
    study: str
    seen: tuple[Looked, ...]
    now: tuple[Looked, ...]
    margin: float
    more: tuple[MoreSeeds, ...]


@dataclass(frozen=True)
class Arrival:
    """What an import brings, once a child has found that it fits.

    `weights` is our own file of them, in a folder of its own under the home and named from its root; `origin` the file
    that was given, `label` what to call it (None: the origin's name), `seed` what it was trained with, if the user knows,
    `data` the digest of the content of the data set that it was tried on.
    """

    trial: TrialSpec
    weights: Path
    final_digest: str
    environment: Mapping[str, Any]
    origin: Path
    label: str | None
    seed: int | None
    record: ImportRecord | None = None
    """How the weights were read; an older client does not say."""
    data: str | None = None


@dataclass(frozen=True)
class Admission:
    """The trial that an import made or found; `known`: it was there before, with its weights."""

    study: str
    trial_id: str
    known: bool


@dataclass(frozen=True)
class Import(Change[Admission]):
    """Take in weights that were trained elsewhere, in `study` or in the one of its data set."""

    KIND: ClassVar[str] = "import"
    dataset: str
    data_root: Path
    study: str | None
    arrival: Arrival


@dataclass(frozen=True)
class Note(Change[NoteRow]):
    """Note something on a study (`variant_id` None) or on a variant of it: a text (None: the one that is there stays), tags to
    add and to take off."""

    KIND: ClassVar[str] = "note"
    study: str
    variant_id: str | None
    text: str | None
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deleted:
    deleted: tuple[str, ...]
    """Ids of the trials that are gone."""


@dataclass(frozen=True)
class Delete(Change[Deleted]):
    """Forget these trials, or a study and the trials that no other study has; one of both is given."""

    KIND: ClassVar[str] = "delete"
    trials: tuple[str, ...] = ()
    study: str | None = None


@dataclass(frozen=True)
class Requeued:
    queued: tuple[str, ...]
    """Ids of the trials that were failed or cancelled."""


@dataclass(frozen=True)
class Retry(Change[Requeued]):
    """Queue failed and cancelled trials again."""

    KIND: ClassVar[str] = "retry"
    trials: tuple[str, ...]


@dataclass(frozen=True)
class Cancelled:
    cancelled: tuple[str, ...]
    """Ids of the trials that were queued or running."""


@dataclass(frozen=True)
class Cancel(Change[Cancelled]):
    """Take trials out of the queue: these (None: all), in `study` only if it is named."""

    KIND: ClassVar[str] = "cancel"
    trials: tuple[str, ...] | None
    study: str | None


@dataclass(frozen=True)
class Prioritised:
    queued: int
    """How many of the trials are queued."""


@dataclass(frozen=True)
class Prioritise(Change[Prioritised]):
    """Claim these trials before those of lower priority."""

    KIND: ClassVar[str] = "priority"
    trials: tuple[str, ...]
    priority: int


@dataclass(frozen=True)
class Changed:
    changed: bool
    """False if it was so already."""


@dataclass(frozen=True)
class Pause(Change[Changed]):
    """Hand back what runs and claim nothing."""

    KIND: ClassVar[str] = "pause"
    reason: str


@dataclass(frozen=True)
class Resume(Change[Changed]):
    """Undo a pause, and a drain."""

    KIND: ClassVar[str] = "resume"


@dataclass(frozen=True)
class Draining:
    running: int
    """Trials that are still to finish."""


@dataclass(frozen=True)
class Drain(Change[Draining]):
    """Finish what runs, claim nothing more, then end the worker."""

    KIND: ClassVar[str] = "drain"


@dataclass(frozen=True)
class Transferred:
    stored: int
    """Cells; those of trials that are gone or were trained anew are dropped."""


@dataclass(frozen=True)
class Transfer(Change[Transferred]):
    """Store how the adversarial images of one model fared on others."""

    KIND: ClassVar[str] = "transfer"
    crafted: Crafted


@dataclass(frozen=True)
class Swept:
    """What was removed, or would be: paths from the home's root, bytes, how many models lost their weights."""

    retention: str
    removed: tuple[str, ...]
    bytes: int
    weights: int


@dataclass(frozen=True)
class Sweep(Change[Swept]):
    """Remove what the retention setting lets go; `retention` becomes the setting, if given and unless `dry`."""

    KIND: ClassVar[str] = "gc"
    retention: str | None
    dry: bool


CHANGES: tuple[type[Change[Any]], ...] = (
    Submit, Attack, Escalate, Audit, Level, Settle, Import, Note, Delete, Retry, Cancel, Prioritise, Pause, Resume, Drain,
    Transfer, Sweep,
)  # fmt: skip
