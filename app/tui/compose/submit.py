"""Submitting a draft as `innate run FILE --detach` does: the data set made sure of, a worker that lives, then the queue."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.worker.control import Started
    from core.records import Study
    from storage.home import Home
    from storage.studies import Submission

Fetch = Callable[[str, Path], None]
"""(data set, data root): download it; raises InnateError."""


@dataclass(frozen=True)
class Submitted:
    """What happened, in a sentence; `warning` if logging out would end the worker."""

    told: str
    warning: str | None


def submit(
    home: Home, writing: Callable[[], AbstractContextManager[Database]], study: Study, fetch: Fetch
) -> Submitted:
    """Queue `study`, whose size has been agreed to, and see to a worker. Raises InnateError, then nothing is queued."""
    from app.worker import control, foreground, login
    from app.worker.conditions import refuse_full_disk, refuse_precision
    from app.worker.devices import resolve_slots
    from core import datasets
    from core.study.plan import examine

    slots = resolve_slots((), None, None, None)
    refuse_precision(study, slots)
    if datasets.problem(study.source, home.data_root) is not None:
        fetch(study.source.kind, home.data_root)
    examine(study, home.data_root, home.cache, large=True)
    with writing() as db:
        refuse_full_disk(home)
        # Before the study is queued: the worker's children import torch meanwhile.
        started = control.start(home, slots, "auto", succeed=True)
        told = _told(foreground.submit(db, home, study), started)
    return Submitted(told, None if started.already else login.logout_warning())


def _told(submission: Submission, started: Started) -> str:
    left = submission.new + submission.trained
    trials = "nothing to do" if left == 0 else f"{left:,} trial{'' if left == 1 else 's'} queued"
    if submission.failed:
        trials += f", {submission.failed:,} failed before (retry them in the queue)"
    if started.waits_for is not None:
        worker = f"the worker takes over when innate run (pid {started.waits_for}) ends"
    else:
        worker = "the worker is at it" if started.already else "worker started"
    return f"{submission.study}: {trials}; {worker}"
