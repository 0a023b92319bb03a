"""Training a stored trial again, in a child and in a folder of its own: neither the queue nor the database knows of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from app.worker.loop import Stop
from app.worker.scratch import log_folder
from core import datasets
from core.errors import BadInput, Unavailable
from core.events import (
    CleanEvaluated,
    Crashed,
    EpochFinished,
    EpochRecord,
    Event,
    Finished,
    Started,
    Stopped,
    Trained,
    TrialFailed,
    WeightsCompared,
)
from core.executors.process import ProcessExecutor
from core.executors.protocol import Executor, Slot
from core.jobs.orders import Job, ReproduceJob
from core.names import short_id
from core.records.data import DatasetSource
from core.records.trial import TrialSpec
from core.training.defenses import DEFENSES
from storage.content import met
from storage.home import Home
from storage.studies import data_root, stored_study, study_with
from storage.trial import AttemptRow, TrialDetail, trial_detail

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.reading import Options

_POLL_SECONDS = 0.2
_KEY = "reproduce"


@dataclass(frozen=True)
class Original:
    """What is stored of a trial that was trained here or elsewhere, and what it takes to train it again."""

    trial: TrialSpec
    study: str
    source: DatasetSource
    data_root: Path | None
    met: str | None
    test_samples: int | None
    clean_accuracy: float | None
    """On the test samples of that study; None where it was not measured."""
    environment: Options
    """Of the attempt that trained it; empty where it recorded none."""
    other_environments: bool
    """Whether attempts before it, which it may have gone on from, ran on something else."""
    data: str | None
    initial_digest: str | None
    final_digest: str
    losses: Mapping[int, float]
    """By epoch."""
    weights: Path | None
    """None where they are gone."""

    @property
    def device(self) -> str:
        """The kind of device that it was trained on, whose number may mean another card today."""
        return str(self.environment.get("device") or "cpu").partition(":")[0]

    @property
    def threads(self) -> int:
        threads = self.environment.get("threads")
        return threads if isinstance(threads, int) else 1


@dataclass
class Rerun:
    """What came of training it again."""

    environment: Mapping[str, object] = field(default_factory=dict)
    data: str | None = None
    initial_digest: str | None = None
    final_digest: str | None = None
    """None where training failed."""
    history: tuple[EpochRecord, ...] = ()
    clean: CleanEvaluated | None = None
    weights: WeightsCompared | None = None
    failure: str | None = None
    notes: tuple[str, ...] = ()
    finished: bool = False
    """False where it was stopped."""


def original(db: Database, checkpoints: Path, trial_id: str) -> Original:
    """Raises BadInput for a trial that was never trained, was trained elsewhere, or that this version trains otherwise."""
    detail = trial_detail(db, trial_id)
    name = short_id(trial_id)
    if detail.imported is not None:
        raise BadInput(f"reproduce {name}: its weights were trained elsewhere, and nothing here knows how")
    if detail.final_digest is None:
        why = f"its training failed: {detail.failure}" if detail.failure else "it has not been trained yet"
        raise BadInput(f"reproduce {name}: {why}, so there is nothing to compare with")
    trial = TrialSpec.from_json(detail.spec)
    assert trial.defense is not None
    engine = DEFENSES[trial.defense.name].engine(trial.defense.options)
    if trial.id != trial_id or trial.defense.engine != engine:
        raise BadInput(
            f"reproduce {name}: this version of innate trains such a model to other weights on purpose; take the version that "
            f"trained it{_version(_trained_by(detail))}"
        )
    measured = {one.study: one.clean_accuracy for one in detail.studies if one.clean_accuracy is not None}
    study = study_with(db, [trial_id])
    study = study if study in measured or not measured else next(iter(measured), study)
    if study is None:
        raise BadInput(f"reproduce {name}: no study has it, so where its data lies is not known")
    asked, by = stored_study(db, study), _trained_by(detail)
    before = [
        one.environment for one in detail.attempts if by is not None and one.number < by.number and one.environment
    ]
    weights = None if detail.weights is None or detail.weights_removed else checkpoints / detail.weights
    return Original(
        trial,
        study,
        asked.source,
        data_root(db, study),
        met(db).get(asked.source.kind),
        asked.test_samples,
        measured.get(study),
        (by.environment if by is not None else None) or {},
        any(by is not None and one != by.environment for one in before),
        None if by is None else by.data,
        detail.initial_digest,
        detail.final_digest,
        {row.epoch: row.loss for row in detail.epochs},
        weights if weights is not None and weights.is_file() else None,
    )


def _trained_by(detail: TrialDetail) -> AttemptRow | None:
    """The attempt that ended with the weights, which lie in a folder that has its number."""
    if detail.weights is not None:
        number = Path(detail.weights).parent.name
        for attempt in detail.attempts:
            if str(attempt.number) == number:
                return attempt
    return next((one for one in detail.attempts if one.environment), None)


def _version(attempt: AttemptRow | None) -> str:
    known = {} if attempt is None else attempt.environment or {}
    parts = [str(known[key]) for key in ("innate", "git_revision") if known.get(key)]
    return f": {', '.join(parts)}" if parts else ""


def train_again(
    before: Original,
    home: Home,
    slot: Slot,
    stop: Callable[[], Stop],
    told: Callable[[Event], None],
    say: Callable[[str], None],
) -> Rerun:
    """Train on `slot`; `told` hears every event, `say` of a download. What is written is removed afterwards, but for decoded data
    sets where the home is there to keep them.

    Raises BadInput or Unavailable where it cannot begin, Unavailable also where the process died.
    """
    root = before.data_root if before.data_root is not None and before.data_root.is_dir() else home.data_root
    with log_folder() as logs, tempfile.TemporaryDirectory(prefix="innate-", ignore_cleanup_errors=True) as scratch:
        cache = home.cache if home.root.is_dir() else Path(scratch) / "cache"
        datasets.fetch(before.source, root, say, cache)
        again = Job(
            trial=before.trial,
            source=before.source,
            evaluations=(),
            clean=() if before.clean_accuracy is None else (before.test_samples,),
            attempt=1,
            folder=Path(scratch) / "1",
            earlier=(),
            data_root=root,
            cache=cache,
            device=slot.device,
            threads=slot.threads,
            memory_fraction=slot.memory_fraction,
            met=before.met,
        )
        executor = ProcessExecutor([slot], logs / "children.log")
        try:
            executor.submit(_KEY, ReproduceJob(again, before.weights))
            return _followed(executor, stop, told)
        finally:
            executor.close()


def _followed(executor: Executor, stop: Callable[[], Stop], told: Callable[[Event], None]) -> Rerun:
    """What the child told, up to its last event."""
    found, asked, begun = Rerun(), Stop.NO, False
    while True:
        for _, event in executor.poll(_POLL_SECONDS):
            told(event)
            match event:
                case Started():
                    begun = True
                    found.environment, found.data = event.environment, event.data
                    found.initial_digest = event.initial_digest
                case EpochFinished():
                    found.history = (*found.history, event.record)
                case Trained():
                    found.final_digest, found.notes = event.final_digest, event.notes
                case WeightsCompared():
                    found.weights = event
                case CleanEvaluated():
                    found.clean = event
                case TrialFailed(reason):
                    if not begun:
                        raise BadInput(f"reproduce: {reason}")
                    found.failure, found.finished = reason, True
                    return found
                case Crashed(reason):
                    if asked is Stop.NO:
                        raise Unavailable(f"reproduce: {reason}")
                    return found
                case Stopped():
                    return found
                case Finished():
                    found.finished = True
                    return found
        if stop() > asked:
            asked = stop()
            executor.cancel(_KEY, now=asked is Stop.NOW)
