"""Taking in weights that were trained elsewhere: a child checks the file on the data set's own images before the home
changes."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.worker import changes
from app.worker.conditions import refuse_full_disk
from app.worker.scratch import log_folder
from core import datasets
from core.datasets import parse_source
from core.errors import BadInput, InnateError, Unavailable
from core.events import Crashed, Finished, Imported, TrialFailed
from core.executors.process import ProcessExecutor
from core.executors.protocol import Executor, Slot
from core.jobs.orders import ImportJob, Stated
from core.models import architectures
from core.records.choice import Choice
from core.records.trial import TrialSpec
from storage import imports
from storage.changes import Admission, Arrival, Import
from storage.home import Home, file_system_of, refuse_network

if TYPE_CHECKING:
    from sqlite_utils import Database


@dataclass(frozen=True)
class Foreign:
    """A file of weights and what its owner says of it: architecture and activation with every option resolved, its data
    set (relative paths from `beside`), the study to join, what to call it, the seed it was trained with, how it is to be read."""

    weights: Path
    architecture: Choice
    activation: Choice
    dataset: str
    beside: Path
    study: str | None
    label: str | None
    seed: int | None
    stated: Stated


def take_in(
    known: Database, writing: Callable[[], Database], home: Home, foreign: Foreign, say: Callable[[str], None]
) -> Admission:
    """Check the file and make it a trial. `known` is read only; `writing` opens the database for the change, and is called
    once the file is known to be of use, since that may make the home.

    Raises BadInput for a file that does not fit, NotFound for a study that is not there, Unavailable if the child that checks
    it cannot do its work.
    """
    source, root = parse_source(foreign.dataset, foreign.beside), home.data_root
    known_shape = datasets.DATASETS[source.kind].shape
    if known_shape is not None:  # before anything is read, and with that kept in the home
        architectures.check(foreign.architecture, known_shape, "--architecture")
    datasets.fetch(source, root, say, home.cache)
    info = imports.study_to_join(known, home, source, foreign.study, root).info
    architectures.check(foreign.architecture, info.shape, "--architecture")
    refuse_network(home.root, file_system_of)
    unknown = TrialSpec(info.identity, None, foreign.architecture, foreign.activation, None, None, None, 0)
    staged = home.incoming / uuid.uuid4().hex
    job = ImportJob(foreign.weights.resolve(), unknown, source, root, home.cache, staged, foreign.stated, info.digest)
    try:
        found = _checked(job)
        for note in found.notes:
            say(f"{foreign.weights}: {note}")
        db = writing()
        refuse_full_disk(home)
        arrival = Arrival(
            trial=found.trial,
            weights=found.weights.relative_to(home.root),
            final_digest=found.final_digest,
            environment=found.environment,
            origin=job.weights,
            label=foreign.label,
            seed=foreign.seed,
            record=found.record,
            data=found.data,
        )
        named = foreign.dataset if source.path is None else f"{source.kind}:{source.path}"
        return changes.perform(db, home, Import(named, root, foreign.study, arrival))
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _checked(job: ImportJob) -> Imported:
    """What a child makes of the file; raises BadInput with its reason, Unavailable if the child cannot do its work."""
    with log_folder() as folder:
        executor = ProcessExecutor([Slot("cpu", 1)], folder / "children.log")
        try:
            executor.submit("import", job)
            return _answer(executor, job)
        finally:
            executor.close()


def _answer(executor: Executor, job: ImportJob) -> Imported:
    found: list[Imported] = []
    while True:
        for _, event in executor.poll(0.2):
            match event:
                case Imported():
                    found.append(event)
                case TrialFailed(reason, traceback):
                    raise InnateError(reason) if traceback else BadInput(reason)
                case Crashed(reason):
                    raise Unavailable(f"{job.weights}: {reason}; nothing was imported")
                case Finished():
                    return found[0]
