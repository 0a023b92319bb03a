"""What no file is written over, whoever asks for it and however it is named."""

import os
import sqlite3
import subprocess
import sys

import pytest

from core.errors import BadInput
from storage import database, export
from storage.destinations import SIDE_FILES, in_use, refuse_in_use
from storage.export import place
from storage.home import Home

OPEN = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE IF NOT EXISTS note (text)")
db.execute("INSERT INTO note VALUES ('only in the log yet')")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def foreign(tmp_path):
    """A database that another process has open, with something in its log."""
    path = tmp_path / "elsewhere" / "notes.db"
    path.parent.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", OPEN, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "open\n"
    yield path
    process.stdin.close()
    process.wait(timeout=30)
    process.stdout.close()


def refused(dest, own, words):
    with pytest.raises(BadInput) as found:
        refuse_in_use(dest, own)
    assert words in str(found.value)
    assert "\n" not in str(found.value)
    assert "--force" not in str(found.value), "it would not help"


def names_of(path, folder):
    """The ways to name a file."""
    (folder / "symlink").symlink_to(path)
    (folder / "chain").symlink_to(folder / "symlink")
    os.link(path, folder / "hardlink")
    (folder / "alias").symlink_to(path.parent, target_is_directory=True)
    relative = type(path)(os.path.relpath(path))
    through = folder / "alias" / path.name
    return [
        path,
        folder / "symlink",
        folder / "chain",
        folder / "hardlink",
        through,
        relative,
        path.parent / "." / path.name,
    ]


def test_the_home_s_database_by_any_name_idle_or_open(home, tmp_path):
    own = in_use(home, home.database)
    refused(home.database, own, "innate itself uses")  # that of a fresh home is not there yet
    db = database.connect(home.database)
    names = names_of(home.database, tmp_path)
    for name in names:
        refused(name, own, "innate itself uses")
    db.conn.close()
    assert not home.database.with_name("innate.db-wal").exists()
    for name in names:
        refused(name, own, "innate itself uses")
    with home.database.open("rb") as file:
        refused(type(tmp_path)(f"/dev/fd/{file.fileno()}"), own, "innate itself uses")


def test_what_lies_beside_the_database_and_the_locks(home):
    own = in_use(home, home.database)
    for ending in SIDE_FILES:
        refused(home.root / f"innate.db{ending}", own, "innate itself uses")
    db = database.connect(home.database)
    for ending in SIDE_FILES:
        refused(home.root / f"innate.db{ending}", own, "innate itself uses")
    db.conn.close()
    refused(home.lock, own, "innate itself uses")
    refused(home.successor_lock, own, "innate itself uses")
    refused(home.checkpoints, own, "keeps its weights")
    refused(home.checkpoints / ("f" * 64) / "1" / "weights.pt", own, "keeps its weights")
    refuse_in_use(home.root / "results.csv", own)


def test_the_database_named_by_db_and_the_home_beside_it(home, tmp_path):
    other = Home(tmp_path / "other")
    other.root.mkdir()
    for path in (other.database, tmp_path / "copy.db"):
        database.connect(path).conn.close()
        own = in_use(home, path)
        refused(path, own, "innate itself uses")
        refused(home.database, own, "innate itself uses")
    refused(other.lock, in_use(home, other.database), "innate itself uses")
    refuse_in_use(tmp_path / "checkpoints" / "x.csv", in_use(home, tmp_path / "copy.db"))


def test_a_database_that_somebody_has_open(home, foreign, tmp_path):
    own = in_use(home, home.database)
    (tmp_path / "symlink.db").symlink_to(foreign)
    for name in (foreign, tmp_path / "symlink.db"):
        refused(name, own, "notes.db-wal beside it")
    for ending in ("-wal", "-shm"):
        refused(foreign.with_name(f"notes.db{ending}"), own, f"belongs to {foreign}")
    (tmp_path / "dangling").symlink_to(foreign.with_name("notes.db-journal"))
    refused(tmp_path / "dangling", own, f"belongs to {foreign}")


def test_the_name_of_a_log_is_refused_only_beside_a_database(home, tmp_path):
    own = in_use(home, home.database)
    refuse_in_use(tmp_path / "lab-journal", own)
    (tmp_path / "lab").write_text("notes")
    refuse_in_use(tmp_path / "lab-journal", own)
    sqlite3.connect(tmp_path / "idle.db").execute("CREATE TABLE t (x)").connection.close()
    refused(tmp_path / "idle.db-journal", own, "belongs to")
    refuse_in_use(tmp_path / "idle.db", own)
    (tmp_path / "gone.db-wal").write_bytes(b"")
    refused(tmp_path / "gone.db", own, "gone.db-wal beside it")


def test_a_database_opened_while_an_export_is_under_way_is_left_alone(home, tmp_path):
    own, dest = in_use(home, home.database), tmp_path / "out.db"
    dest.write_bytes(b"before")

    def write(path, meanwhile, *, force):
        with export.beside(path, own, force=force) as partial:
            partial.write_bytes(b"after")
            meanwhile.write_bytes(b"somebody else's")

    with pytest.raises(BadInput, match="beside it"):
        write(dest, tmp_path / "out.db-wal", force=True)
    with pytest.raises(BadInput, match="exists already"):
        write(tmp_path / "new", tmp_path / "new", force=False)
    assert dest.read_bytes() == b"before"
    assert (tmp_path / "new").read_bytes() == b"somebody else's"
    assert not list(tmp_path.glob(".*partial*"))


def test_a_link_turned_to_the_database_at_the_last_moment_is_not_written_through(home, tmp_path, monkeypatch):
    database.connect(home.database).conn.close()
    before = home.database.read_bytes()
    own, link = in_use(home, home.database), tmp_path / "link"
    link.symlink_to(home.database)
    (tmp_path / "file").write_text("text")
    with pytest.raises(BadInput, match="innate itself uses"):
        place._pour(tmp_path / "file", link, own)
    assert home.database.read_bytes() == before


def test_an_idle_copy_is_replaced_when_told_to_and_a_folder_never(home, tmp_path):
    own, db = in_use(home, home.database), database.connect(home.database)
    export.export_sqlite(db, tmp_path / "copy.db", None, own)
    with pytest.raises(BadInput, match="exists already"):
        export.export_sqlite(db, tmp_path / "copy.db", None, own)
    export.export_sqlite(db, tmp_path / "copy.db", None, own, force=True)
    with pytest.raises(BadInput, match="is a folder"):
        export.export_sqlite(db, tmp_path, None, own, force=True)
    assert not list(tmp_path.glob(".*partial*"))


@pytest.mark.parametrize("dest", ["loop", "n" * 300])
def test_odd_destinations_are_one_line(dest, home, tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(BadInput, match=f"^destination: '{tmp_path}/{dest[:5]}.*(in a circle|too long)$"):
        export.export_rows(
            database.connect(home.database), tmp_path / dest, "csv", None, in_use(home, home.database), force=True
        )
