"""Changes to the queue: made here by the owner of the home, asked for through the database by everyone else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.worker import escalation, retention
from app.worker.owner import acquire, refuse_stranger
from core.attacks import check_classes, check_eps
from core.attacks import resolve as resolve_attack
from core.datasets import parse_source
from core.errors import BadInput, InnateError, Unavailable
from core.study.plan import make_plan
from core.study.resolve import parse_study
from storage import commands, deletion, imports, queries, queue, studies, transfers, worker_state
from storage.home import Home

if TYPE_CHECKING:
    from sqlite_utils import Database

_ANSWER_SECONDS = 60.0
"""How long a living worker may take to answer; it looks several times a second unless it is stopped or hangs."""


def perform(db: Database, home: Home, kind: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Carry out a change: at once if nobody owns the home, else by asking its owner and waiting for the answer.

    Raises whatever the change raises, and Unavailable if a living worker does not answer, or if what owns the home is
    none of innate's.
    """
    request: int | None = None
    deadline = time.monotonic() + _ANSWER_SECONDS
    while True:
        ownership = acquire(home, f"innate {kind}")
        if ownership is not None:
            try:
                queue.reclaim(db)  # nobody works: what a killed worker left running runs no more
                if request is not None and not commands.withdraw(db, request):
                    return _answer(db, request)
                return execute(db, home, kind, payload)
            finally:
                ownership.release()
        if request is None:
            refuse_stranger(home)
            request = commands.leave(db, kind, dict(payload))
        if commands.outcome(db, request) is not None:
            return _answer(db, request)
        if time.monotonic() > deadline:
            commands.withdraw(db, request)
            raise Unavailable(f"the worker of {home.root} does not answer; nothing was changed")
        time.sleep(0.1)


def _answer(db: Database, request: int) -> dict[str, Any]:
    outcome = commands.outcome(db, request)
    assert outcome is not None, "asked for only once the owner has answered"
    if outcome["error"] is not None:
        error = InnateError(outcome["error"])
        error.exit_code = outcome["exit_code"]
        raise error
    return dict(outcome["result"])


def carry_out(db: Database, home: Home, command: commands.Command) -> None:
    """What the owner does with a client's command: do it, and answer."""
    try:
        result = execute(db, home, command.kind, command.payload)
    except InnateError as error:
        commands.answer(db, command.id, error=str(error), exit_code=int(error.exit_code))
    except Exception as error:  # a command that trips over a fault of ours must not take the worker with it
        commands.answer(db, command.id, error=f"{command.kind}: {type(error).__name__}: {error}", exit_code=1)
    else:
        commands.answer(db, command.id, result=result)


def execute(db: Database, home: Home, kind: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """Make one change. Only the owner of the home may call this."""
    match kind:
        case "submit":
            return _submit(db, home, payload)
        case "attack":
            return _attack(db, home, payload)
        case "escalate":
            return escalation.add_next_rungs(db, home, payload)
        case "import":
            return _import(db, home, payload)
        case "delete":
            return _delete(db, home, payload)
        case "retry":
            return {"queued": queue.retry(db, payload["trials"])}
        case "cancel":
            return {"cancelled": queue.cancel(db, payload["trials"], payload["study"])}
        case "priority":
            return {"queued": queue.prioritise(db, payload["trials"], payload["priority"])}
        case "pause":
            return {"changed": worker_state.pause(db, payload["reason"])}
        case "resume":
            return {"changed": worker_state.resume(db)}
        case "drain":
            raise Unavailable("no worker is running, so there is nothing to drain")
        case "transfer":
            return {"stored": transfers.record(db, transfers.Crafted.from_json(payload))}
        case "gc":
            return _sweep(db, home, payload)
    raise BadInput(f"the worker does not know the command {kind!r}; it may be older than this program")


def _submit(db: Database, home: Home, payload: Mapping[str, Any]) -> dict[str, Any]:
    study = parse_study(payload["document"], payload["where"], Path("/"))
    root = Path(payload["data_root"])
    return studies.submit(db, make_plan(study, root, home.cache, large=True), root).as_json()


def _attack(db: Database, home: Home, payload: Mapping[str, Any]) -> dict[str, Any]:
    attack = resolve_attack(payload["name"], payload["options"], "attack")
    study = payload["study"]
    info = studies.stored_dataset(db, study, home.data_root, home.cache)
    check_eps(attack, info.shape, "--eps")
    check_classes(attack, len(info.classes), "attack")
    missing = studies.add_attack(db, study, payload["trials"], attack)
    return {"study": study, "attack_id": attack.id, "missing": missing}


def _import(db: Database, home: Home, payload: Mapping[str, Any]) -> dict[str, Any]:
    source, root = parse_source(payload["dataset"], Path("/")), Path(payload["data_root"])
    joined = imports.study_to_join(db, home, source, payload["study"], root)
    return asdict(imports.admit(db, home, joined, root, imports.Arrival.from_json(payload["arrival"], home)))


def _sweep(db: Database, home: Home, payload: Mapping[str, Any]) -> dict[str, Any]:
    setting = payload["retention"] or worker_state.retention(db)
    if not payload["dry"]:
        worker_state.set_retention(db, setting)
    swept = retention.sweep(db, home, setting, dry=payload["dry"])
    paths = [path.relative_to(home.root).as_posix() for path in swept.paths]
    return {"retention": setting, "removed": paths, "bytes": swept.bytes, "weights": swept.weights}


def _delete(db: Database, home: Home, payload: Mapping[str, Any]) -> dict[str, Any]:
    if payload.get("study"):
        removed = deletion.delete_study(db, payload["study"])
    else:
        removed = deletion.delete_trials(db, [queries.find_trial(db, prefix) for prefix in payload["trials"]])
    for trial in removed:
        shutil.rmtree(home.checkpoints / trial, ignore_errors=True)
    return {"deleted": removed}
