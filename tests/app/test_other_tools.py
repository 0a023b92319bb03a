"""sqlite3, pandas, DuckDB and Datasette read of an export what innate says, without any function of ours."""

import asyncio
import json
import math
import shutil
import sqlite3
import sys
from contextlib import closing

import pytest

from storage.database import connect
from storage.export.datasette import _SHOWN as SHOWN
from storage.views import VIEWS
from tests.conftest import ROOT, answered, innate_command

DATABASE = ROOT / "tests" / "study" / "study.db"
STUDY = "paper-tuned"


def asked(*arguments, home):
    home.mkdir(exist_ok=True)
    return innate_command("--db", str(DATABASE), *arguments, home=home)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with the study as parquet/, datasette/ and rows.csv, and what the datasette export said."""
    folder = tmp_path_factory.mktemp("exported")
    for kind, dest in (("parquet", "parquet"), ("csv", "rows.csv")):
        asked("export", kind, str(folder / dest), "--study", STUDY, home=folder / "home")
    said = asked(
        "export", "datasette", str(folder / "datasette"), "--study", STUDY, "--no-examples", home=folder / "home"
    )
    return folder, said.stderr


@pytest.fixture(scope="module")
def told(exported):
    """Variant → what `innate results --json` says of it."""
    done = asked("results", "--study", STUDY, "--json", home=exported[0] / "home")
    return {row["variant_id"]: row for row in json.loads(done.stdout)["results"]}


@pytest.fixture(scope="module")
def database(exported):
    return exported[0] / "datasette" / "innate.db"


NUMBERS = ("seeds", "clean_accuracy", "worst_case", "retention", "curve_area", "innate")


def same(rows, told):
    """Whether the rows of v_leaderboard have the numbers that innate tells, NULL (or NaN) where it has none."""
    assert {row["variant_id"] for row in rows} == set(told)
    assert len(told) == 35
    for row in rows:
        mine = told[row["variant_id"]]
        for name in NUMBERS:
            value = None if row[name] is None or math.isnan(row[name]) else row[name]
            assert value == pytest.approx(mine[name], abs=1e-12), name
        assert (row["trust"], row["optimizer"]) == (mine["trust"], mine["optimizer"])


def test_plain_sqlite(database, told):
    with closing(sqlite3.connect(database)) as db:
        db.row_factory = sqlite3.Row
        same(db.execute("SELECT * FROM v_leaderboard").fetchall(), told)
        assert db.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
        for view in VIEWS:
            db.execute(f"SELECT * FROM {view.name} LIMIT 1").fetchall()


def test_pandas_reads_the_database_and_the_parquet_files(exported, database, told):
    import pandas

    with closing(sqlite3.connect(database)) as db:
        same(pandas.read_sql("SELECT * FROM v_leaderboard", db).to_dict("records"), told)
    frame = pandas.read_parquet(exported[0] / "parquet" / "v_leaderboard.parquet")
    same(frame.to_dict("records"), told)
    tuning = pandas.read_parquet(exported[0] / "parquet" / "v_tuning.parquet")
    assert tuning["chosen"].dtype == bool
    assert tuning["chosen"].sum() == 35
    assert tuning["value"].dtype == "float64"
    assert tuning["epochs"].dtype == "int64"


def test_duckdb_reads_the_parquet_and_csv_files(exported, told):
    import duckdb

    folder, _ = exported
    with duckdb.connect() as db:
        cursor = db.execute(f"SELECT * FROM '{folder}/parquet/v_leaderboard.parquet'")
        names = [column[0] for column in cursor.description]
        same([dict(zip(names, row, strict=True)) for row in cursor.fetchall()], told)
        averages = [
            db.execute(
                f"SELECT count(*), avg(robust_accuracy) FROM '{folder}/{file}' WHERE study = ?", [STUDY]
            ).fetchone()
            for file in ("parquet/v_results.parquet", "rows.csv")
        ]
        assert averages[0] == pytest.approx(averages[1], abs=1e-12)
        assert averages[0][0] > 800


def test_duckdb_reads_the_database_where_its_extension_is(database, told):
    import duckdb

    with duckdb.connect(config={"autoinstall_known_extensions": "false"}) as db:
        try:
            db.execute("LOAD sqlite")
        except duckdb.Error:
            pytest.skip("DuckDB's sqlite extension is not installed here, and is downloaded by nobody")
        cursor = db.execute("SELECT * FROM sqlite_scan(?, 'v_leaderboard')", [str(database)])
        names = [column[0] for column in cursor.description]
        same([dict(zip(names, row, strict=True)) for row in cursor.fetchall()], told)


def test_parquet_files_carry_types_meanings_and_the_version(exported):
    from importlib.metadata import version

    import pyarrow.parquet

    folder = exported[0] / "parquet"
    assert sorted(path.stem for path in folder.iterdir()) == sorted(view.name for view in VIEWS)
    types = {"text": "string", "json": "string", "integer": "int64", "real": "double", "boolean": "bool"}
    for view in VIEWS:
        schema = pyarrow.parquet.read_schema(folder / f"{view.name}.parquet")
        assert [(field.name, str(field.type)) for field in schema] == [
            (column.name, types[column.type]) for column in view.columns
        ]
        assert schema.metadata[b"innate.version"].decode() == version("innate")
        assert schema.field(view.columns[-1].name).metadata[b"description"].decode() == view.columns[-1].told


def test_an_export_of_a_study_is_of_that_study(exported):
    import pyarrow.parquet

    folder = exported[0] / "parquet"
    trials = pyarrow.parquet.read_table(folder / "v_trials.parquet").to_pydict()
    assert set(trials["study"]) == {STUDY, f"{STUDY}~tuning"}
    epochs = pyarrow.parquet.read_table(folder / "v_training.parquet").to_pydict()
    assert 0 < len(set(epochs["trial_id"])) <= len(trials["trial_id"])
    assert set(epochs["trial_id"]) <= set(trials["trial_id"])


def test_datasette_shows_tidy_tables(exported, database, told):
    from datasette.app import Datasette

    metadata = json.loads((database.parent / "metadata.json").read_text(encoding="utf-8"))
    assert exported[1].splitlines()[-1] == f"show it: datasette {database} -m {database.parent}/metadata.json"

    async def answers():
        site = Datasette([str(database)], metadata=metadata)
        await site.invoke_startup()

        async def get(path):
            answer = await site.client.get(path)
            assert answer.status_code == 200, path
            return answer

        board = (await get("/innate/v_leaderboard.json?_shape=array&_size=100")).json()
        results = (await get("/innate/v_results.json?attack=fgsm&_size=1")).json()
        for name, facet in results["facet_results"].items():  # following one finds the rows that it promises
            for one in [value for value in facet["results"] if not value["selected"]][:1]:
                followed = (await get(one["toggle_url"].partition("localhost")[2])).json()
                assert followed["filtered_table_rows_count"] == one["count"] > 0, name
        results = (await get("/innate/v_results.json?attack=fgsm&eps=0.1&robust_accuracy__gt=0.25&_size=100")).json()
        index = (await get("/innate.json")).json()
        page = (await get("/innate/v_leaderboard")).text
        return board, results, index, page

    board, results, index, page = asyncio.run(answers())
    same(board, told)
    assert [row["innate"] for row in board] == sorted((row["innate"] for row in board), reverse=True)
    with closing(sqlite3.connect(database)) as db:
        sql = "SELECT count(*) FROM v_results WHERE attack = 'fgsm' AND eps = 0.1 AND robust_accuracy > 0.25"
        assert results["filtered_table_rows_count"] == db.execute(sql).fetchone()[0] > 20
    assert set(results["facet_results"]) == {"study", "attack", "eps", "trust"}
    assert {table["name"] for table in index["tables"] if not table["hidden"]} == {"study"}
    assert {view["name"] for view in index["views"]} == {view.name for view in VIEWS}
    assert "survives every attack at the study" in page


def test_what_datasette_sorts_and_facets_by_is_there():
    assert set(SHOWN) == {view.name for view in VIEWS}
    for view in VIEWS:
        shown = SHOWN[view.name]
        assert {*shown.facets, *filter(None, [shown.descending])} <= {column.name for column in view.columns}


@pytest.mark.parametrize("kind", ["parquet", "datasette"])
def test_a_folder_is_whole_or_not_there_and_replaces_nothing_else(kind, home, innate, tmp_path, monkeypatch):
    dest = tmp_path / "dest"
    export = ["--db", str(DATABASE), "export", kind, str(dest), "--study", "defended"]
    dest.mkdir()
    innate(*export)  # into an empty folder
    before = {path.name: path.stat().st_mtime_ns for path in dest.iterdir()}
    assert "exists already" in innate(*export, check=2).stderr
    assert {path.name: path.stat().st_mtime_ns for path in dest.iterdir()} == before
    innate(*export, "--force")
    assert {path.name: path.stat().st_mtime_ns for path in dest.iterdir()} != before
    (dest / "thesis.tex").touch()
    done = innate(*export, "--force", check=2)
    assert "thesis.tex, which is no part of such an export" in done.stderr
    assert (dest / "thesis.tex").exists()
    (dest / "thesis.tex").unlink()
    after = {path.name: path.read_bytes() for path in dest.iterdir()}
    (tmp_path / "file").touch()
    assert "is no folder" in innate(*export[:4], str(tmp_path / "file"), "--force", check=2).stderr
    (tmp_path / "file").unlink()
    monkeypatch.setattr(f"storage.export.{kind}.VIEWS", (*VIEWS, "no view"))
    with pytest.raises(AttributeError):
        answered(*export, "--force", home=home.root)
    assert {path.name: path.read_bytes() for path in dest.iterdir()} == after
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("dest", "home")] == []


@pytest.mark.parametrize("kind", ["parquet", "datasette"])
def test_no_folder_of_a_home_is_taken_for_an_export(kind, home, innate):
    shutil.copy(DATABASE, home.database)
    connect(home.database).conn.close()
    before = home.database.read_bytes()
    for dest in (home.root, home.checkpoints, home.checkpoints / "new", home.database):
        done = innate("export", kind, str(dest), "--force", check=2)
        assert done.stderr.startswith(f"innate: {dest}")
        assert done.stderr.count("\n") == 1
    assert home.database.read_bytes() == before
    assert list(home.checkpoints.iterdir()) == []


def test_without_pyarrow_it_is_said_how_to_get_it(home, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = answered("--db", str(DATABASE), "export", "parquet", str(tmp_path / "p"), home=home.root)
    assert done.returncode == 2
    assert done.stderr.strip().endswith("pip install 'innate[parquet]'")
    assert not (tmp_path / "p").exists()
