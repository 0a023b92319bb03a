"""Changes to the queue: made here by the owner of the home, asked for through the database by everyone else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.worker import equal_effort, escalation, retention
from app.worker.owner import acquire, refuse_stranger
from core.attacks import check_classes, check_eps
from core.attacks import resolve as resolve_attack
from core.datasets import parse_source
from core.errors import ExitCode, InnateError, Unavailable
from core.study.plan import make_plan
from core.study.resolve import parse_study
from core.study.share import Share
from storage import (
    commands,
    content,
    deletion,
    imports,
    notes,
    queries,
    queue,
    settling,
    studies,
    submitting,
    transfers,
    worker_state,
)
from storage.changes import (
    Admission,
    Attack,
    Attacked,
    Audit,
    Cancel,
    Cancelled,
    Change,
    Changed,
    Delete,
    Deleted,
    Drain,
    Draining,
    Escalate,
    Import,
    Level,
    Note,
    Pause,
    Prioritise,
    Prioritised,
    Requeued,
    Resume,
    Retry,
    SeedsAdded,
    Settle,
    Submit,
    Sweep,
    Swept,
    Transfer,
    Transferred,
)
from storage.home import Home
from storage.one_file import OpenedFile, checkpoint
from storage.submitting import Submission

if TYPE_CHECKING:
    from sqlite_utils import Database

Answer = TypeVar("Answer")

_ANSWER_SECONDS = 60.0
"""How long a living worker may take to answer; it looks several times a second unless it is stopped or stuck."""


def perform(db: Database, home: Home, change: Change[Answer]) -> Answer:
    """Carry out a change: at once if nobody owns the home, else by asking its owner and waiting for the answer.

    Raises whatever the change raises, and Unavailable if a living worker does not answer, if what owns the home is none of
    innate's, or if the database is taken away meanwhile.
    """
    request: int | None = None
    file = OpenedFile.at(home.database)
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        file.require()
        ownership = acquire(home, f"innate {change.KIND}")
        if ownership is not None:
            try:
                queue.reclaim(db)  # nobody works: what a killed worker left running runs no more
                if request is not None and not commands.withdraw(db, request):
                    outcome = commands.outcome(db, request, change)
                    assert outcome is not None, "what cannot be taken back has been answered"
                    return _answer(outcome)
                return execute(db, home, change)
            finally:
                checkpoint(db)
                ownership.release()
        if request is None:
            refuse_stranger(home)
            request = commands.leave(db, change)
        outcome = commands.outcome(db, request, change)
        if outcome is not None:
            return _answer(outcome)
        if time.monotonic() > deadline:
            commands.withdraw(db, request)
            raise Unavailable(f"the worker of {home.root} does not answer; nothing was changed")
        time.sleep(0.1)


def _answer(outcome: commands.Outcome[Answer]) -> Answer:
    if outcome.answer is not None:
        return outcome.answer
    error = InnateError(outcome.error or "the worker gave no answer")
    error.exit_code = ExitCode(outcome.exit_code or ExitCode.TRIAL_FAILED)
    raise error


def carry_out(db: Database, home: Home, command: commands.Command) -> None:
    """What the owner does with a client's command: do it, and answer."""
    try:
        outcome: commands.Outcome[Any] = commands.Outcome(execute(db, home, command.change()))
    except InnateError as error:
        outcome = commands.Outcome(None, str(error), int(error.exit_code))
    except Exception as error:  # a command that trips over a fault of ours must not take the worker with it
        outcome = commands.Outcome(None, f"{command.kind}: {type(error).__name__}: {error}", 1)
    commands.answer(db, command.id, outcome)


def execute(db: Database, home: Home, change: Change[Answer]) -> Answer:
    """Make one change. Only the owner of the home may call this."""
    answer: Answer = _MAKERS[type(change)](db, home, change)
    return answer


def _submit(db: Database, home: Home, asked: Submit) -> Submission:
    study = parse_study(asked.document, asked.where, Path("/"))
    plan = make_plan(study, asked.data_root, home.cache, large=True, met=content.met(db))
    return submitting.submit(db, plan, asked.data_root, None if asked.share is None else Share(*asked.share))


def _attack(db: Database, home: Home, asked: Attack) -> Attacked:
    attack = resolve_attack(asked.name, asked.options, "attack")
    study = asked.study
    info = studies.stored_dataset(db, study, home.data_root, home.cache)
    check_eps(attack, info.shape, "--eps")
    check_classes(attack, len(info.classes), "attack")
    return Attacked(study, attack.id, studies.add_attack(db, study, asked.trials, attack))


def _settle(db: Database, _: Home, asked: Settle) -> SeedsAdded:
    return SeedsAdded(settling.settle(db, asked.study, asked.seen, asked.now, asked.margin, asked.more))


def _import(db: Database, home: Home, asked: Import) -> Admission:
    source = parse_source(asked.dataset, Path("/"))
    joined = imports.study_to_join(db, home, source, asked.study, asked.data_root)
    return imports.admit(db, home, joined, asked.data_root, asked.arrival)


def _note(db: Database, _: Home, asked: Note) -> notes.NoteRow:
    return notes.change(db, asked.study, asked.variant_id, asked.text, asked.add, asked.drop)


def _delete(db: Database, home: Home, asked: Delete) -> Deleted:
    if asked.study is not None:
        removed = deletion.delete_study(db, asked.study)
    else:
        removed = deletion.delete_trials(db, [queries.find_trial(db, prefix) for prefix in asked.trials])
    for trial in removed:
        shutil.rmtree(home.checkpoints / trial, ignore_errors=True)
    return Deleted(tuple(removed))


def _retry(db: Database, _: Home, asked: Retry) -> Requeued:
    return Requeued(tuple(queue.retry(db, asked.trials)))


def _cancel(db: Database, _: Home, asked: Cancel) -> Cancelled:
    return Cancelled(tuple(queue.cancel(db, asked.trials, asked.study)))


def _prioritise(db: Database, _: Home, asked: Prioritise) -> Prioritised:
    return Prioritised(queue.prioritise(db, asked.trials, asked.priority))


def _pause(db: Database, _: Home, asked: Pause) -> Changed:
    return Changed(worker_state.pause(db, asked.reason))


def _resume(db: Database, _home: Home, _asked: Resume) -> Changed:
    return Changed(worker_state.resume(db))


def _drain(_db: Database, _home: Home, _asked: Drain) -> Draining:
    raise Unavailable("no worker is running, so there is nothing to drain")


def _transfer(db: Database, _: Home, asked: Transfer) -> Transferred:
    return Transferred(transfers.record(db, asked.crafted))


def _sweep(db: Database, home: Home, asked: Sweep) -> Swept:
    setting = asked.retention or worker_state.retention(db)
    if not asked.dry:
        worker_state.set_retention(db, setting)
    swept = retention.sweep(db, home, setting, dry=asked.dry)
    paths = tuple(path.relative_to(home.root).as_posix() for path in swept.paths)
    return Swept(setting, paths, swept.bytes, swept.weights)


_MAKERS: dict[type[Change[Any]], Callable[[Database, Home, Any], Any]] = {
    Submit: _submit,
    Attack: _attack,
    Escalate: escalation.add_next_rungs,
    Audit: equal_effort.add_audits,
    Level: equal_effort.add_what_some_lack,
    Settle: _settle,
    Import: _import,
    Note: _note,
    Delete: _delete,
    Retry: _retry,
    Cancel: _cancel,
    Prioritise: _prioritise,
    Pause: _pause,
    Resume: _resume,
    Drain: _drain,
    Transfer: _transfer,
    Sweep: _sweep,
}
