"""`export`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.context import complete_study, context_of
from core.errors import BadInput, NotFound
from core.registry import nearest

if TYPE_CHECKING:
    from sqlite_utils import Database

    from storage.destinations import InUse

KINDS = ("sqlite", "csv", "jsonl", "weights")


def register(app: typer.Typer) -> None:
    app.command(
        "export", epilog="Examples: innate export sqlite results.db; innate export csv quick.csv --study quick"
    )(export)


def export(
    ctx: typer.Context,
    kind: Annotated[str, typer.Argument(help=", ".join(KINDS) + ".", autocompletion=lambda: list(KINDS))],
    dest: Annotated[Path, typer.Argument(help="A file; for weights a folder.")],
    study: Annotated[str | None, typer.Option("--study", help="Only this one.", autocompletion=complete_study)] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
) -> None:
    """Take results elsewhere: the database, v_results as csv or jsonl, or the trained weights."""
    from storage.export import export_rows, export_sqlite

    if kind not in KINDS:
        raise BadInput(f"export {kind}: not one of {', '.join(KINDS)}{nearest(kind, KINDS)}")
    context = context_of(ctx)
    db = context.reading()
    if kind == "weights":
        checkpoints = context.database.parent / "checkpoints"
        count, what = _weights(db, checkpoints, dest, study, context.in_use, force=force), "models"
    elif kind == "sqlite":
        count, what = export_sqlite(db, dest, study, context.in_use, force=force), "trials"
    else:
        count, what = export_rows(db, dest, kind, study, context.in_use, force=force), "rows"
    context.say(f"wrote {count} {what} to {dest}")


def _weights(db: Database, checkpoints: Path, dest: Path, study: str | None, own: InUse, *, force: bool) -> int:
    """A folder of state dicts named by trial, and manifest.json that says what each is."""
    from storage import queries
    from storage.destinations import refuse_in_use
    from storage.export import beside

    refuse_in_use(dest, own)
    rows = {row["trial_id"]: row for row in queries.trials(db, study)}
    found = []
    for trial, row in rows.items():
        stored = db.execute("SELECT weights FROM trial WHERE id = ?", (trial,)).fetchone()[0]
        if stored is not None and (checkpoints / stored).is_file():
            found.append((f"{trial[:10]}.pt", row, checkpoints / stored))
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
    manifest = [{"file": name, **row} for name, row, _ in found]
    with beside(dest / "manifest.json", own, force=force) as partial:
        partial.write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
    return len(found)
