"""Carrying out a TransferJob: in a child of this process's own, beside the worker if one lives, row by row into storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.worker import changes
from app.worker.loop import Stop
from core.errors import InnateError
from core.events import Crashed, Finished, Stopped, TransferLeftOut, TransferProgress, TransferRow, TrialFailed
from core.executors.process import ProcessExecutor
from core.executors.protocol import Slot
from core.jobs.orders import TransferJob
from storage.changes import Transfer
from storage.home import Home
from storage.transfers import Crafted

if TYPE_CHECKING:
    from sqlite_utils import Database

_POLL_SECONDS = 0.2
_KEY = "transfer"


@dataclass
class Outcome:
    """Whether it came to its end, how many rows were stored, and which models could not be used, with the reason."""

    finished: bool = False
    rows: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def carry_out(
    db: Database,
    home: Home,
    job: TransferJob,
    digests: Mapping[str, str],
    stop: Callable[[], Stop],
    shown: Callable[[TransferProgress], None],
) -> Outcome:
    """Craft and try; `digests` are those of the models' weights. Rows are stored as they come, so what is finished when
    this is stopped is kept.

    Raises InnateError where the child failed, Unavailable where a living worker does not take the rows.
    """
    outcome = Outcome()
    slot = Slot(job.device, job.threads, job.memory_fraction)
    executor = ProcessExecutor([slot], home.logs / "children.log")
    try:
        executor.submit(_KEY, job)
        told = Stop.NO
        while True:
            for _, event in executor.poll(_POLL_SECONDS):
                match event:
                    case TransferProgress():
                        shown(event)
                    case TransferRow():
                        crafted = Crafted(
                            job.attack, event.source_id, event.cells,
                            {one: digests[one] for one in (event.source_id, *(cell.target_id for cell in event.cells))},
                            event.samples, event.count, event.crafting,
                        )  # fmt: skip
                        changes.perform(db, home, Transfer(crafted))
                        outcome.rows += 1
                        outcome.notes = event.notes
                    case TransferLeftOut(trial_id, reason):
                        outcome.left_out[trial_id] = reason
                    case TrialFailed(reason):
                        raise InnateError(f"transfer: {reason}")
                    case Crashed(reason):
                        if told is Stop.NO:
                            raise InnateError(f"transfer: {reason}; finished rows are kept, the same command goes on")
                        return outcome
                    case Stopped():
                        return outcome
                    case Finished():
                        outcome.finished = True
                        return outcome
            if stop() > told:
                told = stop()
                executor.cancel(_KEY, now=told is Stop.NOW)
    finally:
        executor.close()
