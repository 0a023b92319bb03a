import multiprocessing
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import BadInput, NotFound, Unavailable
from storage import database, schema
from storage.home import Home, file_system_of, locate, prepare

SCHEMAS = Path(__file__).parent / "schemas"

VIEWS = {
    "v_trials": "study, trial_id, variant_id, dataset, architecture, optimizer, activation, defense, seed, state, reason, "
    "attempts, clean_accuracy, initial_digest, final_digest, train_seconds",
    "v_results": "study, trial_id, variant_id, dataset, architecture, optimizer, activation, defense, seed, attack, "
    "attack_id, norm, eps, samples, clean_accuracy, robust_accuracy, trust, forward_passes, backward_passes, seconds",
    "v_leaderboard": "study, variant_id, dataset, architecture, optimizer, activation, defense, seeds, clean_accuracy, "
    "worst_case, retention, curve_area, innate, trust",
    "v_traits": "study, trial_id, variant_id, dataset, architecture, optimizer, activation, defense, seed, clean_accuracy",
    "v_training": "trial_id, epoch, loss, accuracy, validation_accuracy, lr, seconds",
}


@pytest.mark.parametrize("view", VIEWS)
def test_the_views_begin_with_the_columns_of_the_contract(view):
    columns = [column[0] for column in database.empty().execute(f"SELECT * FROM {view}").description]
    wanted = VIEWS[view].split(", ")
    assert columns[: len(wanted)] == wanted


def test_a_fresh_database_has_the_promised_pragmas(tmp_path):
    db = database.connect(tmp_path / "innate.db")
    assert db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert db.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    assert db.execute("PRAGMA busy_timeout").fetchone()[0] == 30_000
    assert db.execute("PRAGMA user_version").fetchone()[0] == schema.SCHEMA_VERSION
    loose = db.execute(
        "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND strict = 0 "
        "AND name NOT LIKE 'sqlite%' AND name NOT LIKE '\\_sqlite%' ESCAPE '\\'"
    ).fetchall()
    assert loose == []


@pytest.mark.parametrize("dump", sorted(SCHEMAS.glob("v*.sql")), ids=lambda path: path.stem)
def test_every_earlier_schema_opens_with_its_data(dump, tmp_path):
    path = tmp_path / "innate.db"
    old = sqlite3.connect(path)
    old.executescript(dump.read_text())
    trials = old.execute("SELECT count(*) FROM trial").fetchone()[0]
    old.close()
    db = database.connect(path)
    assert trials > 0
    assert db.execute("SELECT count(*) FROM v_trials").fetchone()[0] == trials
    assert db.execute("SELECT count(*) FROM v_leaderboard WHERE innate > 0").fetchone()[0] > 0
    assert db.execute("SELECT count(*) FROM v_results").fetchone()[0] > 0
    assert db.execute("PRAGMA user_version").fetchone()[0] == schema.SCHEMA_VERSION


def test_there_is_a_dump_of_every_schema_that_was_released():
    assert {path.stem for path in SCHEMAS.glob("v*.sql")} == {f"v{n}" for n in range(1, schema.SCHEMA_VERSION + 1)}


@pytest.fixture
def next_schema(monkeypatch):
    """A program that knows one more migration than this one; it fails half way if told so."""
    known = schema.migrations

    def install(*, fails=False):
        def more():
            steps = known()

            @steps(name="another")
            def another(db):
                db.execute("ALTER TABLE study ADD COLUMN colour TEXT")
                if fails:
                    raise sqlite3.OperationalError("database or disk is full")

            return steps

        monkeypatch.setattr(database, "migrations", more)
        monkeypatch.setattr(database, "SCHEMA_VERSION", schema.SCHEMA_VERSION + 1)

    return install


def columns_of_study(path):
    return [row[1] for row in sqlite3.connect(path).execute("PRAGMA table_info(study)")]


def test_an_older_schema_is_migrated_after_a_copy(tmp_path, next_schema):
    path = tmp_path / "innate.db"
    database.connect(path)
    next_schema()
    database.connect(path)
    assert "colour" in columns_of_study(path)
    backup = tmp_path / f"innate.db.v{schema.SCHEMA_VERSION}-backup"
    assert "colour" not in columns_of_study(backup)


def test_a_migration_that_fails_leaves_the_old_file(tmp_path, next_schema):
    path = tmp_path / "innate.db"
    database.connect(path)
    next_schema(fails=True)
    with pytest.raises(BadInput, match="disk is full"):
        database.connect(path)
    assert "colour" not in columns_of_study(path)
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone()[0] == schema.SCHEMA_VERSION


def test_reading_an_older_schema_migrates_a_private_copy(tmp_path, next_schema):
    path = tmp_path / "innate.db"
    database.connect(path).conn.close()
    next_schema()
    db = database.connect(path, read_only=True)
    assert "colour" in [row[1] for row in db.execute("PRAGMA table_info(study)")]
    assert "colour" not in columns_of_study(path)


def test_what_cannot_be_opened_is_one_line(tmp_path):
    text = tmp_path / "notes.db"
    text.write_text("these are my notes, and they are longer than a page header of a database\n" * 20)
    for read_only in (False, True):
        with pytest.raises(BadInput, match="not a sound SQLite database"):
            database.connect(text, read_only=read_only)
    assert text.read_text().startswith("these are my notes")
    other = tmp_path / "other.db"
    sqlite3.connect(other).execute("CREATE TABLE recipes (name)").connection.commit()
    with pytest.raises(BadInput, match="not one of innate's"):
        database.connect(other)
    newer = tmp_path / "newer.db"
    database.connect(newer).execute("PRAGMA user_version = 99")
    with pytest.raises(BadInput, match=r"newer innate .schema 99"):
        database.connect(newer)
    with pytest.raises(NotFound, match="no such database"):
        database.connect(tmp_path / "none.db", read_only=True)
    with pytest.raises(BadInput, match="folder"):
        database.connect(tmp_path)


def test_a_locked_database_is_unavailable_not_a_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.2)
    path = tmp_path / "innate.db"
    database.connect(path).conn.close()
    holder = sqlite3.connect(path, isolation_level=None)
    db = database.connect(path)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="locked"), database.transaction(db):
        pass
    holder.execute("ROLLBACK")
    with database.transaction(db):
        db.execute("INSERT INTO event (at, kind) VALUES (1.0, 'x')")
    assert db.execute("SELECT count(*) FROM event").fetchone()[0] == 1


def test_a_transaction_that_raises_writes_nothing(tmp_path):
    db = database.connect(tmp_path / "innate.db")

    def interrupted():
        with database.transaction(db):
            db.execute("INSERT INTO event (at, kind) VALUES (1.0, 'x')")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert db.execute("SELECT count(*) FROM event").fetchone()[0] == 0


def _open_and_count(path):
    return database.connect(Path(path)).execute("SELECT count(*) FROM sqlite_master").fetchone()[0]


def test_many_processes_opening_a_fresh_database_at_once_all_succeed(tmp_path):
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        counts = pool.map(_open_and_count, [str(tmp_path / "innate.db")] * 8)
    assert len(set(counts)) == 1


def test_opening_loads_no_pandas_and_a_listing_no_torch(tmp_path):
    code = (
        "import sys; from pathlib import Path; from storage import database, queries, studies, export, queue; "
        "from storage.merge import merging, weights; "
        "db = database.connect(Path(sys.argv[1])); queries.trials(db); studies.studies(db); "
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'mlxtend', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.db")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# --- homes ---


def test_a_home_is_named_by_option_then_environment_then_system(monkeypatch, tmp_path):
    monkeypatch.setenv("INNATE_HOME", str(tmp_path / "env"))
    assert locate(tmp_path / "option").root == tmp_path / "option"
    assert locate(None).root == tmp_path / "env"
    monkeypatch.delenv("INNATE_HOME")
    assert locate(None).root.name == "innate"
    monkeypatch.setenv("INNATE_DATA", str(tmp_path / "d"))
    assert Home(tmp_path).data_root == tmp_path / "d"
    monkeypatch.delenv("INNATE_DATA")
    assert Home(tmp_path).data_root == tmp_path / "data"


def test_a_database_on_a_read_only_disk_can_be_read(tmp_path, monkeypatch):
    folder = tmp_path / "disk"
    folder.mkdir()
    database.connect(folder / "innate.db").conn.close()
    monkeypatch.setattr(database.os, "access", lambda *_: False)
    db = database.connect(folder / "innate.db", read_only=True)
    assert db.execute("SELECT count(*) FROM v_trials").fetchone()[0] == 0
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM trial")


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs", "cifs"])
def test_a_network_file_system_is_refused_with_the_remedy(kind, tmp_path):
    with pytest.raises(BadInput, match=f"network file system .{kind}.*--home on a local disk"):
        prepare(Home(tmp_path / "home"), lambda path: kind)
    assert not (tmp_path / "home").exists()
    assert isinstance(file_system_of(tmp_path / "not" / "there"), str)


def test_a_home_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be made"):
        prepare(Home(tmp_path / "file" / "home"), lambda path: "ext4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere: a read-only home was not tried")
def test_a_read_only_home_is_refused(tmp_path):
    (tmp_path / "home").mkdir(mode=0o555)
    with pytest.raises(BadInput, match="--home"):
        prepare(Home(tmp_path / "home"), lambda path: "ext4")
