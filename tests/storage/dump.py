"""Writes `schemas/vN.sql` for the schema at hand: a database with a finished study, as SQL text."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

from storage import database, submitting
from storage.home import Home, prepare
from storage.schema import SCHEMA_VERSION
from tests.conftest import plan_of, tiny
from tests.storage import stored


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        prepare(home)
        db = database.connect(home.database)
        submitting.submit(db, plan_of(tiny(seeds=1), home.cache))
        while stored.run_one(db, home):
            pass
        db.conn.close()
        lines = [
            line
            for line in sqlite3.connect(home.database).iterdump()
            if not line.startswith(("BEGIN TRANSACTION", "COMMIT"))
        ]
    target = Path(__file__).parent / "schemas" / f"v{SCHEMA_VERSION}.sql"
    target.write_text("\n".join([*lines, f"PRAGMA user_version = {SCHEMA_VERSION};"]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
