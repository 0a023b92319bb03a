"""What trials are looked for by, apart from their wide rows: kept in temporary tables of a connection, in step with the trials.

A trial's row holds its whole specification, so that to pass a hundred thousand of them takes half a second. All but the seed is
the same in every trial of a variant, and nothing of it ever changes: here it stands once for each variant (`brief_variant`), and
a trial is its id, its variant's number and its seed (`brief`), in the order of the ids, which is that of studies and scores too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.names import FACTORS

if TYPE_CHECKING:
    from sqlite_utils import Database

_SHARED = ("variant_id", "dataset", *FACTORS, *(f"{factor}_options" for factor in FACTORS), "training")
_TABLES = (
    "CREATE TEMP TABLE IF NOT EXISTS brief "
    "(id TEXT PRIMARY KEY, number INTEGER NOT NULL, seed INTEGER) STRICT, WITHOUT ROWID",
    "CREATE TEMP TABLE IF NOT EXISTS brief_variant "
    f"(number INTEGER PRIMARY KEY, {', '.join(f'{name} TEXT' for name in _SHARED)}, UNIQUE (variant_id)) STRICT",
    "CREATE TEMP TABLE IF NOT EXISTS brief_end (place INTEGER PRIMARY KEY, id TEXT) STRICT",
    "PRAGMA temp.cache_size = -65536",
)


def keep_up(db: Database) -> None:
    """Take in the trials that have come since the last time; what was deleted stays, and is joined to nothing."""
    for sql in _TABLES:
        db.execute(sql)
    newest = db.execute("SELECT rowid, id FROM trial ORDER BY rowid DESC LIMIT 1").fetchone()
    place, trial_id = db.execute("SELECT place, id FROM brief_end").fetchone() or (0, None)
    if newest is None or newest == (place, trial_id):
        return
    if db.execute("SELECT id FROM trial WHERE rowid = ?", (place,)).fetchone() != (trial_id,):
        place = 0  # the last ones were deleted, and others may stand in their places
    shared = ", ".join(_SHARED)
    db.execute(
        f"INSERT OR IGNORE INTO brief_variant ({shared}) SELECT {shared} FROM trial "
        "WHERE rowid IN (SELECT min(rowid) FROM trial WHERE rowid > ? GROUP BY variant_id)",
        (place,),
    )
    db.execute(
        "INSERT OR IGNORE INTO brief SELECT t.id, v.number, t.seed FROM trial t "
        "CROSS JOIN brief_variant v ON v.variant_id = t.variant_id WHERE t.rowid > ? ORDER BY t.id",
        (place,),
    )
    db.execute("DELETE FROM brief_end")
    db.execute("INSERT INTO brief_end VALUES (?, ?)", newest)
