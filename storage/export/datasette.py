"""The database with what Datasette needs to show it as tidy tables: titles, what each column means, what to sort and facet by."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from storage.destinations import InUse
from storage.export.place import folder_beside
from storage.export.sqlite import export_sqlite
from storage.reading import Options
from storage.schema_left import HALVES
from storage.views import VIEWS, Column, View

if TYPE_CHECKING:
    from sqlite_utils import Database

DATABASE = "innate.db"
METADATA = "metadata.json"

_DECLARED = {"integer": "INTEGER", "boolean": "INTEGER", "real": "REAL"}


@dataclass(frozen=True)
class _Shown:
    """How a view is shown: its title, the column that it is sorted by, the largest first, and those to choose rows by."""

    title: str
    facets: tuple[str, ...] = ()
    descending: str | None = None


_SHOWN = {
    "v_leaderboard": _Shown("Leaderboard", ("study", "optimizer", "activation", "defense", "trust"), "innate"),
    "v_results": _Shown("Results of each attack", ("study", "attack", "eps", "trust")),
    "v_robustness": _Shown("Worst cases and audits", ("study", "norm", "eps", "trust")),
    "v_trials": _Shown("Trials", ("study", "optimizer", "activation", "state", "trust")),
    "v_training": _Shown("Training, epoch by epoch"),
    "v_traits": _Shown("Traits of models", ("study", "optimizer", "activation", "trust")),
    "v_tuning": _Shown("Learning rates that were tried", ("study", "optimizer", "activation", "chosen")),
    "v_trust": _Shown("Trust checks", ("study", "check", "trust", "counted")),
    "v_transfer": _Shown("Images of one model on another", ("study", "attack")),
}


def export_datasette(
    db: Database, dest: Path, study: str | None, own: InUse, *, examples: bool = True, force: bool = False
) -> int:
    """A folder `dest` with the database, as `export_sqlite` makes it, and metadata.json. Returns the number of trials."""
    with folder_beside(dest, (DATABASE, METADATA), own, force=force) as partial:
        count = export_sqlite(db, partial / DATABASE, study, own, examples=examples)
        _declare_types(partial / DATABASE)
        tables = [str(name) for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()]
        document = _metadata(study, [name for name in tables if name != "study"])
        (partial / METADATA).write_text(json.dumps(document, indent=1, ensure_ascii=False), encoding="utf-8")
    return count


def _declare_types(path: Path) -> None:
    """Make every number of a view one by declaration. Datasette sends what is typed into its filters as text, and SQLite turns
    that into a number only for a column with a declared type, which a mean, say, has none of: nothing would be found."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for view in VIEWS:
            select = _select(db, view.name)
            for half in HALVES.get(view.name, ()):  # or it would stand beside the views
                select = select.replace(f"FROM {half}", f"FROM ({_select(db, half)})")
                db.execute(f"DROP VIEW {half}")
            columns = ", ".join(_declared(column) for column in view.columns)
            db.execute(f"DROP VIEW {view.name}")
            db.execute(f"CREATE VIEW {view.name} AS SELECT {columns} FROM ({select})")


def _select(db: sqlite3.Connection, view: str) -> str:
    (made,) = db.execute("SELECT sql FROM sqlite_master WHERE name = ?", (view,)).fetchone()
    _, _, select = str(made).partition(" AS")
    return select


def _declared(column: Column) -> str:
    kind = _DECLARED.get(column.type)
    return f'CAST("{column.name}" AS {kind}) AS "{column.name}"' if kind else f'"{column.name}"'


def _metadata(study: str | None, hidden: list[str]) -> Options:
    tables: dict[str, Options] = {name: {"hidden": True} for name in hidden}
    tables["study"] = {"title": "Studies", "description": "Each study as it was submitted; document is its study file."}
    tables |= {view.name: _of_view(view) for view in VIEWS}
    return {
        "title": "Robustness to adversarial attack" + (f": {study}" if study else ""),
        "description": "What optimizer, activation and architecture do to the robustness of image classifiers. Never rank "
        "what is invalid; suspect numbers say why in v_trust.",
        "source": f"innate {version('innate')}",
        "databases": {Path(DATABASE).stem: {"tables": tables}},
    }


def _of_view(view: View) -> Options:
    shown = _SHOWN[view.name]
    return {
        "title": shown.title,
        "description": f"One row per {view.row}. {view.about}",
        "columns": {column.name: column.told for column in view.columns},
        "facets": shown.facets,
        **({"sort_desc": shown.descending} if shown.descending else {}),
    }
