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
        count, what = _weights(db, context.database.parent / "checkpoints", dest, study, force=force), "models"
    elif kind == "sqlite":
        count, what = export_sqlite(db, dest, study, force=force), "trials"
    else:
        count, what = export_rows(db, dest, kind, study, force=force), "rows"
    context.say(f"wrote {count} {what} to {dest}")


def _weights(db: Database, checkpoints: Path, dest: Path, study: str | None, *, force: bool) -> int:
    """A folder of state dicts named by trial, and manifest.json that says what each is."""
    from storage import queries

    rows = {row["trial_id"]: row for row in queries.trials(db, study)}
    found = []
    for trial, row in rows.items():
        stored = db.execute("SELECT weights FROM trial WHERE id = ?", (trial,)).fetchone()[0]
        if stored is not None and (checkpoints / stored).is_file():
            found.append((trial, row, checkpoints / stored))
    if not found:
        raise NotFound(f"export weights: no trained model{f' in study {study}' if study else ''} has its weights here")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())) and not force:
        raise BadInput(f"{dest}: exists already and is not an empty folder; name another, or add --force")
    manifest = []
    try:
        dest.mkdir(parents=True, exist_ok=True)
        for trial, row, source in found:
            name = f"{trial[:10]}.pt"
            partial = dest / f".{name}.partial"
            shutil.copyfile(source, partial)
            partial.rename(dest / name)
            manifest.append({"file": name, **row})
        (dest / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{dest}: cannot be written: {error.strerror}") from None
    return len(found)
