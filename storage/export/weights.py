"""The weights of trained models, with a manifest of what each is."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import BadInput, NotFound
from core.names import short_id
from storage import listing
from storage.destinations import InUse, refuse_in_use
from storage.export.place import beside
from storage.queries import trials
from storage.reading import as_json

if TYPE_CHECKING:
    from sqlite_utils import Database


def export_weights(
    db: Database, checkpoints: Path, dest: Path, study: str | None, own: InUse, *, force: bool = False
) -> int:
    """A folder of state dicts named by trial, and manifest.json that says what each is; returns the number of models, without
    `study` those that are in no study too.

    `checkpoints` is the folder that stored paths are relative to. Raises NotFound where no weights are there.
    """
    refuse_in_use(dest, own)
    rows = {row.trial_id: row for row in (listing.anywhere(db) if study is None else trials(db, study))}
    stored = dict(db.execute("SELECT id, weights FROM trial WHERE weights IS NOT NULL").fetchall())
    found = [
        (f"{short_id(trial)}.pt", row, checkpoints / stored[trial])
        for trial, row in rows.items()
        if trial in stored and (checkpoints / stored[trial]).is_file()
    ]
    if not found:
        raise NotFound(f"export weights: no trained model{f' in study {study}' if study else ''} has its weights here")
    try:
        if dest.exists() and (not dest.is_dir() or any(dest.iterdir())) and not force:
            raise BadInput(f"{dest}: exists already and is not an empty folder; name another, or add --force")
        for name in (*(name for name, _, _ in found), "manifest.json"):
            refuse_in_use(dest / name, own)  # before the first is written, so that it is all of them or none
        dest.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"{dest}: cannot be written: {error.strerror}") from None
    for name, _, source in found:
        with beside(dest / name, own, force=force) as partial:
            shutil.copyfile(source, partial)
    manifest = [{"file": name, **as_json(row)} for name, row, _ in found]
    with beside(dest / "manifest.json", own, force=force) as partial:
        partial.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
    return len(found)
