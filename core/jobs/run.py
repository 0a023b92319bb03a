"""What a child can be asked to do, by the kind of its job. Imports torch: for children only."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from core.events import Event
from core.jobs.importing.job import run_import
from core.jobs.orders import AnyJob, ImportJob, ReproduceJob, TimingJob, TransferJob
from core.jobs.reproduction import run_reproduction
from core.jobs.timing import run_timing
from core.jobs.transfer import run_transfer
from core.jobs.trial import run_trial
from core.lanes.lane import open_lane


def run_job(job: AnyJob, stop: Callable[[], bool]) -> Iterator[Event]:
    """The events of `job`, the last of which is one of `events.LAST_EVENTS`; `stop` is asked between two batches. The process
    is the job's own, with one lane."""
    if isinstance(job, ImportJob):
        yield from run_import(job, stop)
        return
    with open_lane(torch.device(job.device)).entered():
        match job:
            case TransferJob():
                yield from run_transfer(job, stop)
            case ReproduceJob():
                yield from run_reproduction(job, stop)
            case TimingJob():
                yield from run_timing(job, stop)
            case _:
                yield from run_trial(job, stop)
