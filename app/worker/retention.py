"""What stays on disk: the retention setting applied to one trial when it ends, and to everything by `innate gc`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from storage import commands, queue, worker_state
from storage.home import Home

if TYPE_CHECKING:
    from sqlite_utils import Database

_IMPORT_SECONDS = 86_400.0
_COMMAND_DAYS = 7
"""How long the answers to clients' commands are kept."""


@dataclass
class Removal:
    """What a sweep removed, or would remove: folders and files, bytes, models whose weights went."""

    paths: list[Path] = field(default_factory=list)
    bytes: int = 0
    weights: int = 0


def after_trial(db: Database, home: Home, trial_id: str) -> None:
    """Apply the retention setting to a trial that has just ended."""
    for path in _superfluous(db, home, trial_id, worker_state.retention(db), dry=False):
        _remove(path)


def sweep(db: Database, home: Home, setting: str, *, dry: bool) -> Removal:
    """Remove what the retention `setting` lets go and what nothing refers to: folders of unknown trials, halves of files,
    old answers. Only the owner of the home may call this; `dry` only counts."""
    swept = Removal()
    known = queue.known_trials(db)
    for folder in sorted(home.checkpoints.iterdir()) if home.checkpoints.is_dir() else ():
        gone = [folder] if folder.name not in known else []
        if not gone and folder.is_dir():
            running = queue.is_under_way(db, folder.name)
            gone = [*_superfluous(db, home, folder.name, setting, dry=dry)]
            gone += [] if running else [path for path in folder.rglob("*.partial") if path.parent not in gone]
            swept.weights += any((path / "weights.pt").exists() or path.name == "weights.pt" for path in gone)
        for path in gone:
            swept.paths.append(path)
            swept.bytes += _size(path)
            if not dry:
                _remove(path)
        if not dry and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    for path in (*home.root.glob(f"{home.database.name}.v*-backup.partial"), *_left_imports(home)):
        swept.paths.append(path)
        swept.bytes += _size(path)
        if not dry:
            _remove(path)
    if not dry:
        commands.forget_answered(db, _COMMAND_DAYS)
    return swept


def _left_imports(home: Home) -> list[Path]:
    """What imports that were killed have left; a living one takes minutes at most."""
    folders = home.incoming.iterdir() if home.incoming.is_dir() else ()
    return [folder for folder in folders if time.time() - folder.stat().st_mtime > _IMPORT_SECONDS]


def _superfluous(db: Database, home: Home, trial_id: str, setting: str, *, dry: bool) -> Iterator[Path]:
    """Folders of a trial that may go. What an unfinished trial would resume from always stays."""
    folder = home.checkpoints / trial_id
    weights = queue.weights_path(db, trial_id)
    if setting == "all" or not folder.is_dir() or queue.is_under_way(db, trial_id):
        return
    if weights is None:
        if queue.weights_removed(db, trial_id) and queue.is_complete(db, trial_id):
            yield from folder.iterdir()
        return
    removable = setting == "none" and not queue.is_imported(db, trial_id)
    if removable and (queue.is_complete(db, trial_id) if dry else queue.remove_weights(db, trial_id)):
        yield from folder.iterdir()
        return
    keep = (home.checkpoints / weights).parent
    yield from (path for path in folder.iterdir() if path != keep)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else iter([path])
    return sum(file.stat().st_size for file in files if file.is_file())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
