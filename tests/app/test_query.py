"""`innate query`: anybody's SQL, which reads and does nothing else, and ends in time."""

import csv
import io
import json
import os
import shutil
import signal
import sqlite3
import sys
import threading

import pytest

from storage import question
from tests.conftest import ROOT, answered

DATABASE = ROOT / "tests" / "study" / "study.db"
ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT {} FROM c"


@pytest.fixture
def ask(innate):
    """`ask(*arguments, check=0)`: what the query command answers about the study of this folder."""
    return lambda *arguments, **options: innate("--db", str(DATABASE), "query", *arguments, **options)


def rows(done):
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    return document["rows"]


def test_views_answer_as_the_other_commands_do(ask, innate):
    told = json.loads(innate("--db", str(DATABASE), "results", "--study", "paper-keras", "--json").stdout)["results"]
    sql = "SELECT variant_id, innate, trust FROM v_leaderboard WHERE study = :study ORDER BY innate DESC, variant_id"
    found = rows(ask(sql, "--param", "study=paper-keras", "--json"))
    assert {row["variant_id"]: (row["innate"], row["trust"]) for row in found} == {
        row["variant_id"]: (row["innate"], row["trust"]) for row in told
    }
    assert len(found) == 35


def test_values_that_json_csv_and_tables_lack(ask):
    sql = (
        "SELECT 1 AS a, 'x' AS a, NULL AS n, 9e999 AS big, x'00ff' AS blob, char(27) || '[2J' AS esc, 0.1 + 0.2 AS sum"
    )
    (row,) = rows(ask(sql, "--json"))
    assert row == {
        "a": 1, "a_2": "x", "n": None, "big": None, "blob": "AP8=", "esc": "\x1b[2J", "sum": 0.1 + 0.2
    }  # fmt: skip
    heading, line = csv.reader(io.StringIO(ask(sql, "--csv").stdout))
    assert heading == ["a", "a_2", "n", "big", "blob", "esc", "sum"]
    assert line == ["1", "x", "", "inf", "00ff", "\x1b[2J", str(0.1 + 0.2)]
    table = ask(sql).stdout
    assert table.splitlines()[2].split() == ["1", "x", "NULL", "inf", "2", "bytes", "\\x1b[2J", "0.3"]


def test_a_table_fits_80_columns_and_says_what_it_leaves_out(ask):
    done = ask("SELECT * FROM v_leaderboard", "--limit", "5")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "no room for" in done.stderr
    assert "overstated_at_most" in done.stderr
    assert "more than these 5 rows" in done.stderr
    assert (
        ask("SELECT trial_id FROM v_results").stderr == "1549 more rows after the first 1000; --limit 2549 shows all\n"
    )
    assert ask("SELECT 1 WHERE 0").stderr == "no rows\n"
    assert rows(ask("SELECT 1 WHERE 0", "--json")) == []


def test_parameters_are_numbers_text_or_nothing(ask):
    sql = "SELECT typeof(:a) AS a, typeof(:b) AS b, typeof(:c) AS c, :d AS d"
    options = [f"--param={one}" for one in ("a=1", "b=0.5", "c=null", 'd="1"')]
    assert rows(ask(sql, *options, "--json")) == [{"a": "integer", "b": "real", "c": "null", "d": "1"}]


def test_the_question_can_come_from_a_file_or_stdin(ask, home, tmp_path, monkeypatch):
    place = tmp_path / "question.sql"
    place.write_bytes(b"\xef\xbb\xbf-- which?\nSELECT count(*) AS n FROM v_trials WHERE study NOTNULL;\n")
    assert rows(ask("--file", str(place), "--json")) == [{"n": 380}]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"SELECT 'NaN' = :x AS same")))
    done = answered("--db", str(DATABASE), "query", "-", "--param", "x=NaN", "--json", home=home.root)
    assert rows(done) == [{"same": 1}]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["SELECT robust_acc FROM v_results"], 2, "no such column: robust_acc; v_results has robust_accuracy"),
        (["SELECT accuracy FROM v_results"], 2, "v_results has clean_accuracy, robust_accuracy, adversarial_accuracy"),
        (["SELECT 1 FROM v_result"], 2, "no such table: v_result; did you mean v_results?"),
        (["SELECT zzz FROM v_traits"], 2, "columns: innate query --schema v_traits"),
        (["SELEC 1"], 2, 'near "SELEC": syntax error'),
        (["SELECT 1; SELECT 2"], 2, "more than one statement"),
        (["/* nothing */"], 2, "no statement"),
        ([], 2, "give the SQL"),
        (["SELECT 1", "--file", "x.sql"], 2, "not both"),
        (["--file", "x.sql"], 2, "x.sql: cannot be read"),
        (["SELECT 1", "--csv", "--json"], 2, "not both"),
        (["SELECT :a"], 2, ":a has no value; add --param a=VALUE"),
        (["SELECT ?", "--param", "a=1"], 2, "the query has no :a"),
        (["SELECT ?"], 2, "use :name"),
        (["SELECT :a", "--param", "a"], 2, "expected NAME=VALUE"),
        (["SELECT :a", "--param", f"a={10**30}"], 2, "beyond 64 bits"),
        (["SELECT 1", "--seconds", "0"], 2, "give a time above 0"),
        (["SELECT zeroblob(20000000)"], 2, "too big"),
        (["--schema", "v_result"], 2, "did you mean 'v_results'?"),
        ([ENDLESS.format("count(*)"), "--seconds", "0.2"], 4, "stopped after 0.2 s"),
    ],
)
def test_what_cannot_be_answered_is_one_line(arguments, code, words, ask):
    done = ask(*arguments, check=code)
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


WRITES = [
    "ATTACH '{other}' AS o", "VACUUM INTO '{other}'", "DELETE FROM trial",
    "INSERT INTO trial SELECT * FROM trial RETURNING id", "UPDATE study SET name = 'x'", "CREATE TABLE t (x)",
    "CREATE TEMP TABLE t (x)", "DROP VIEW v_trials", "PRAGMA user_version = 3", "PRAGMA journal_mode = DELETE",
    "PRAGMA query_only = OFF", "PRAGMA hard_heap_limit = 0", "BEGIN IMMEDIATE", "SAVEPOINT s", "REINDEX", "ANALYZE",
    "VACUUM", "SELECT load_extension('x')", "EXPLAIN DELETE FROM trial", "WITH x AS (SELECT 1) DELETE FROM study",
    "CREATE VIRTUAL TABLE t USING fts5(x)", "ALTER TABLE trial ADD COLUMN x",
]  # fmt: skip


def test_nothing_but_reading_is_allowed(ask, home, innate, tmp_path):
    shutil.copy(DATABASE, home.database)
    innate("studies")  # opens it as an ordinary command does
    before = sqlite3.connect(home.database).execute("PRAGMA data_version").fetchone(), home.database.read_bytes()
    for sql in WRITES:
        done = innate("query", sql.format(other=tmp_path / "other.db"), check=2)
        assert "is refused: a query only reads" in done.stderr, sql
        assert done.stderr.count("\n") == 1
    assert not (tmp_path / "other.db").exists()
    assert (
        sqlite3.connect(home.database).execute("PRAGMA data_version").fetchone(),
        home.database.read_bytes(),
    ) == before


@pytest.mark.parametrize(
    "sql",
    [
        "PRAGMA table_info(v_trials)",
        "SELECT name FROM pragma_table_info('v_trials')",
        "SELECT value FROM json_each('[1, 2]')",
        "EXPLAIN QUERY PLAN SELECT * FROM v_trials",
        "VALUES (1), (2)",
        ENDLESS.format("x") + " LIMIT 3",
        "SELECT optimizer, rank() OVER (ORDER BY innate) FROM v_leaderboard",
        "SELECT count(*) FROM trial",
    ],
)
def test_whatever_reads_is_answered(sql, ask):
    assert rows(ask(sql, "--json"))


def test_a_fresh_home_has_the_views_and_stays_fresh(innate, tmp_path):
    done = innate("--home", str(tmp_path / "none"), "query", "SELECT count(*) AS n FROM v_results", "--json")
    assert rows(done) == [{"n": 0}]
    assert not (tmp_path / "none").exists()


def test_ctrl_c_ends_it_at_once(home, monkeypatch):
    sqlite3.enable_callback_tracebacks(False)  # as it is, unless Datasette was imported into this process
    bind, timer = question._bind, threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    monkeypatch.setattr(
        question, "_bind", lambda *given: (bind(*given), timer.start())
    )  # the last step before the query
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the suite itself may have been told to ignore it
    try:
        asked = ["query", ENDLESS.format("x") + " WHERE x < 0", "--seconds", "120"]
        done = answered("--db", str(DATABASE), *asked, home=home.root)
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert "stopped after" not in done.stderr


def test_the_schema_is_told_to_people_and_programs(ask):
    page = ask("--schema").stdout
    assert max(map(len, page.splitlines())) <= 80
    views = json.loads(ask("--schema", "--json").stdout)["views"]
    assert [view["view"] for view in views][:2] == ["v_leaderboard", "v_results"]
    for view in views:
        assert f"{view['view']}: one row per" in page
    (eps,) = [column for column in views[1]["columns"] if column["name"] == "eps"]
    assert eps["unit"] == "pixel units of [0, 1]"
    assert eps["low"] == 0
    assert "minimum-norm" in eps["null"]
    alone = ask("--schema", "v_training").stdout
    assert alone.count("one row per") == 1
    assert "validation_accuracy" in alone
