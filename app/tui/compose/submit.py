"""Submitting a draft as `innate run FILE --detach` does: the data set made sure of, the queue, then a worker that lives.

How that goes is told on the screen meanwhile, and what came of it on the one that is then in front.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from app.report.leaving import COMMAND
from app.tui.compose.download import Download
from app.tui.compose.outlook import Outlook, counts, remarks
from app.tui.shell.page import Page
from app.tui.widgets.dialogs import TextPage
from core.errors import Unavailable
from core.study.resolve import LARGE_GRID, grid_size

if TYPE_CHECKING:
    from sqlite_utils import Database

    from app.report.status import WorkerView
    from app.worker.control import Started
    from core.records.study import Study
    from storage.home import Home
    from storage.submitting import Submission

Fetch = Callable[[str, Path], None]
"""(data set, data root): download it; raises InnateError."""


@dataclass(frozen=True)
class Submitted:
    """What happened, in a sentence; `warning` if logging out would end the worker."""

    told: str
    warning: str | None


def submit(
    home: Home,
    writing: Callable[[], AbstractContextManager[Database]],
    study: Study,
    fetch: Fetch,
    report: Callable[[str], None],
) -> Submitted:
    """Queue `study`, whose size has been agreed to, and see to a worker if anything is left to do; `report` hears how far its
    pictures are decoded. Raises InnateError, then nothing is queued unless it says so."""
    from app.worker import control, foreground, login
    from app.worker.conditions import refuse_full_disk, refuse_precision
    from app.worker.devices import resolve_slots
    from core import datasets
    from core.study.plan import examine
    from storage import tuning

    slots = resolve_slots((), None, None, None)
    refuse_precision(study, slots)
    if datasets.problem(study.source, home.data_root, home.cache) is not None:
        fetch(study.source.kind, home.data_root)
    examine(study, home.data_root, home.cache, large=True, report=report)
    with writing() as db:
        refuse_full_disk(home)
        submission = foreground.submit(db, home, study)
        left = tuning.stages(db, study.name).open
    try:
        started = control.start(home, slots, "auto", succeed=True) if left else None
    except Unavailable as error:
        raise Unavailable(f"{study.name} is queued, but {error}") from None
    warning = None if started is None or started.already else login.logout_warning()
    return Submitted(_told(submission, started), warning)


def _told(submission: Submission, started: Started | None) -> str:
    """`started` is None where nothing was left to do."""
    left = submission.new + submission.trained
    trials = "nothing to do" if left == 0 else f"{left:,} trial{'' if left == 1 else 's'} queued"
    if submission.tuning_missing:
        trials = f"{submission.tuning_missing:,} trials queued to tune by, for {left:,} to come"
    if submission.failed:
        trials += f", {submission.failed:,} failed before (retry them in the queue)"
    if submission.leaving:
        trials += f", {len(submission.leaving):,} left it ({COMMAND})"
    if started is None:
        return f"{submission.study}: {trials}"
    if started.waits_for is not None:
        worker = f"the worker takes over when innate run (pid {started.waits_for}) ends"
    else:
        worker = "the worker is at it" if started.already else "worker started"
    return f"{submission.study}: {trials}; {worker}"


def question(study: Study, outlook: Outlook | None, worker: WorkerView | None) -> str:
    """What one says yes to. The size does not wait for the outlook."""
    size = grid_size(study)
    lines = [f"Submit {study.name}?", ""]
    if size > LARGE_GRID:
        lines.append(f"The grid has {size:,} trials. Are that many meant?")
    elif outlook is not None:
        lines += counts(outlook)
    if outlook is not None:
        lines += [*remarks(outlook), *(f"data set: {note}" for note in outlook.notes)]
    if outlook is not None and outlook.submission is not None and outlook.submission.nothing_left:
        return "\n".join(lines)
    if worker is None or not worker.alive:
        lines += ["", "No worker is running: one is started, and goes on when you leave."]
    elif worker.state == "paused":
        lines += ["", "The queue is paused; nothing starts before it is resumed."]
    return "\n".join(lines)


class Submitter:
    """Submits from `page`, on the thread that makes changes, one study at a time."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._download = Download()
        self.busy = False

    def submit(self, study: Study, command: str) -> None:
        """Submit `study`, whose size has been agreed to; `command` does the same."""
        page, session = self._page, self._page.session
        report = page.reporter()
        fetch = partial(self._download.run, report=report)
        self.busy = True
        page.say(f"submitting {study.name} …")

        def work() -> Submitted:
            try:
                return submit(session.context.home, session.writing, study, fetch, report)
            finally:
                self.busy = False

        def done(answer: Submitted) -> None:
            page.say(answer.told)  # instead of what was told there meanwhile
            if page.app.screen is page:
                page.go_to("queue")
            page.did(answer.told, command)
            if answer.warning is not None:
                page.app.push_screen(TextPage("When you log out", answer.warning))

        page.do(work, done)

    def end(self) -> None:
        """Stop a download that is under way."""
        self._download.end()
