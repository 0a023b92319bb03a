"""What is said of the views is what they are: held against the migrations, and against the rows of a real study."""

import json
import sqlite3

import pytest

from storage.database import connect, empty
from storage.views import VIEWS
from tests.conftest import ROOT

DATABASE = ROOT / "tests" / "study" / "study.db"
KINDS = {"text": {str}, "integer": {int}, "real": {float, int}, "boolean": {int}, "json": {str}}


@pytest.fixture(scope="module")
def study():
    db = connect(DATABASE, read_only=True)
    yield db
    db.close()


def test_every_view_is_described_column_by_column_in_its_order():
    db = empty()
    found = db.execute(
        "SELECT name FROM sqlite_master WHERE type = 'view' AND name LIKE 'v\\_%' ESCAPE '\\'"
    ).fetchall()
    names = {str(name) for (name,) in found}  # the others are halves of them
    assert {view.name for view in VIEWS} == names
    for view in VIEWS:
        found = [str(row[1]) for row in db.execute(f"PRAGMA table_info({view.name})").fetchall()]
        assert [column.name for column in view.columns] == found, view.name


def misfits(column, values):
    """Values that what is said of a column does not allow."""
    for value in values:
        if value is None:
            if not column.null:
                yield value
        elif (
            type(value) not in KINDS[column.type]
            or (column.type == "boolean" and value not in (0, 1))
            or (column.choices and value not in column.choices)
            or (column.low is not None and value < column.low)
            or (column.high is not None and value > column.high)
        ):
            yield value
        elif column.type == "json":
            json.loads(value)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_real_rows_are_as_the_columns_are_said_to_be(view, study):
    rows = study.execute(f"SELECT * FROM {view.name} LIMIT 3000").fetchall()
    assert rows or view.name == "v_transfer"
    for column, values in zip(view.columns, zip(*rows, strict=True), strict=False):
        assert list(misfits(column, set(values))) == [], column.name


def test_a_misfit_would_be_seen():
    (trust,) = [column for column in VIEWS[0].columns if column.name == "trust"]
    (innate,) = [column for column in VIEWS[0].columns if column.name == "innate"]
    assert list(misfits(trust, ["ok", None, "fine"])) == [None, "fine"]
    assert list(misfits(innate, [0.0, None, 100.1, "50"])) == [100.1, "50"]


def test_views_need_no_function_of_ours():
    """Whoever opens the file has SQLite and nothing else."""
    plain = sqlite3.connect(f"file:{DATABASE}?mode=ro&immutable=1", uri=True)
    for view in VIEWS:
        plain.execute(f"SELECT * FROM {view.name} LIMIT 1").fetchall()
    plain.close()
