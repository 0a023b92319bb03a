"""Trials that leave a study because its grid changes: named, still found, and back with the old grid."""

import sqlite3

import pytest

from app.worker import retention
from storage import database, deletion, export, listing, queries, queue, submitting
from storage.destinations import in_use
from storage.home import Home, prepare
from storage.listing import parse_filter
from storage.schema_left import HALVES
from storage.trial import trial_detail
from tests.conftest import plan_of, tiny
from tests.storage import stored
from tests.storage.test_database import SCHEMAS

ADAM = [{"name": "adam", "lr": 0.02}]
LAST = "SELECT trial_id, study FROM left_trial"


@pytest.fixture
def db(home, cache):
    """The tiny study, four trials, three of them done; the two with sgd have left it since."""
    made = database.connect(home.database)
    submitting.submit(made, plan_of(tiny(seeds=1), cache))
    for seed in range(3):
        stored.run_one(made, home, seed=seed)
    return made


def left(db):
    return {str(trial_id) for (trial_id,) in db.execute("SELECT trial_id FROM left_trial")}


def of(db, optimizer):
    rows = db.execute("SELECT id FROM trial WHERE optimizer = ? ORDER BY id", (optimizer,))
    return [str(trial_id) for (trial_id,) in rows]


def test_trials_that_leave_are_named_before_and_when_they_do(db, cache):
    fewer = plan_of(tiny(seeds=1, optimizers=ADAM), cache)
    ahead = submitting.preview(db, fewer)
    assert sorted(ahead.leaving) == of(db, "sgd")
    assert left(db) == set(), "nothing is written to say so"
    assert submitting.submit(db, fewer).leaving == ahead.leaving
    assert left(db) == set(ahead.leaving)
    assert submitting.submit(db, fewer).leaving == ()
    assert ahead.as_json()["leaving"] == ahead.leaving


def test_what_is_in_no_study_is_listed_shown_and_exported(db, home, cache, tmp_path):
    before = {row.trial_id: row for row in queries.results(db)}
    leaving = set(submitting.submit(db, plan_of(tiny(seeds=1, optimizers=ADAM), cache)).leaving)
    found = {row.trial_id: row for row in listing.anywhere(db) if row.study is None}
    assert found.keys() == leaving
    assert {row.state for row in found.values()} == {"done", "cancelled"}, "nobody will train the one that was queued"
    assert {row.left_study for row in found.values()} == {"tiny"}
    trained = next(row for row in found.values() if row.state == "done")
    assert (trained.clean_accuracy, trained.trust) == (before[trained.trial_id].clean_accuracy, "ok")
    in_view = [dict(row) for row in db.query("SELECT * FROM v_trials WHERE study IS NULL")]
    assert {row["trial_id"] for row in in_view} == leaving

    for text, many in (
        ("optimizer=sgd", 2),
        ("optimizer=adam", 0),
        ("clean>0.1", 1),
        ("study=tiny", 0),
        ("sgd state=done", 1),
    ):
        assert len(listing.outside(db, parse_filter(text))) == many, text
    assert [row.study for row in listing.anywhere(db, limit=3)] == ["tiny", "tiny", None]
    assert [row.state for row in listing.outside(db, order="clean", limit=1)] == ["done"]
    assert queries.trials(db, "tiny") == [row for row in listing.anywhere(db) if row.study == "tiny"]

    rows = [row for row in queries.results(db) if row.study is None]
    assert len(rows) == 4, "two attacks at two ε each"
    assert rows == queries.results(db, trial_id=trained.trial_id)
    assert rows[-1].robust_accuracy == before[trained.trial_id].robust_accuracy
    detail = trial_detail(db, trained.trial_id)
    assert (detail.studies, detail.outside.left_study, len(detail.results)) == ((), "tiny", 4)

    own = in_use(home, home.database)
    assert export.export_rows(db, tmp_path / "r.csv", "csv", None, own) == 12
    assert export.export_rows(db, tmp_path / "t.csv", "csv", "tiny", own) == 8
    assert export.export_listing(db, tmp_path / "l.csv", listing.EVERYTHING, None, own, outside=True) == 4
    assert export.export_listing(db, tmp_path / "s.csv", listing.EVERYTHING, None, own) == 2
    assert export.export_sqlite(db, tmp_path / "all.db", None, own) == 4
    assert export.export_sqlite(db, tmp_path / "study.db", "tiny", own) == 2
    assert left(database.connect(tmp_path / "all.db")) == leaving


def test_the_old_grid_brings_them_back_without_training(db, home, cache):
    scores = db.execute("SELECT * FROM score ORDER BY 1, 2, 3").fetchall()
    submitting.submit(db, plan_of(tiny(seeds=1, optimizers=ADAM), cache))
    again = submitting.submit(db, plan_of(tiny(seeds=1), cache))
    assert (again.done, again.new, again.leaving) == (3, 1, ())
    assert left(db) == set()
    assert db.execute("SELECT * FROM score ORDER BY 1, 2, 3").fetchall() == scores
    claim = queue.claim(db)
    assert queue.weights_path(db, claim.trial_id) is None, "the one that was never trained"
    assert queue.claim(db) is None


def test_a_trial_has_left_once_no_study_has_it(db, cache):
    submitting.submit(db, plan_of(tiny(name="other", seeds=1), cache))
    leaving = submitting.submit(db, plan_of(tiny(seeds=1, optimizers=ADAM), cache)).leaving
    assert len(leaving) == 2
    assert left(db) == set(), "the other study has them"
    submitting.submit(db, plan_of(tiny(name="other", seeds=1, optimizers=ADAM), cache))
    assert dict(db.execute(LAST).fetchall()) == dict.fromkeys(leaving, "other")
    assert sorted(deletion.delete_study(db, "tiny")) == []
    assert len(deletion.delete_study(db, "other")) == 2
    assert left(db) == set(deletion.outside(db, "other")) == set(leaving), "not deleted with a study that they had left"
    assert deletion.outside(db, "tiny") == []
    assert sorted(deletion.delete_trials(db, deletion.outside(db))) == sorted(leaving)
    assert (
        db.execute("SELECT count(*) FROM trial").fetchone()
        == db.execute("SELECT count(*) FROM left_trial").fetchone()
        == (0,)
    )


@pytest.mark.parametrize("setting", ["last", "none"])
def test_the_weights_of_what_left_are_not_swept(setting, db, home, cache):
    for (path,) in db.execute("SELECT weights FROM trial WHERE weights IS NOT NULL"):
        (home.checkpoints / path).parent.mkdir(parents=True, exist_ok=True)
        (home.checkpoints / path).touch()
    submitting.submit(db, plan_of(tiny(seeds=1, optimizers=ADAM), cache))
    retention.sweep(db, home, setting, dry=False)
    (kept,) = db.execute("SELECT weights FROM trial WHERE optimizer = 'sgd' AND weights IS NOT NULL").fetchone()
    assert (home.checkpoints / kept).exists()


def test_candidates_that_no_tuning_tries_any_more_are_in_no_list_but_in_the_view(db, home, cache):
    tuned = tiny(
        name="tuned",
        seeds=1,
        optimizers=["adam"],
        activations=["relu"],
        training={"epochs": 3, "hyperparameters": "tuned"},
    )
    submitting.submit(db, plan_of(tuned, cache))
    submitting.submit(db, plan_of({**tuned, "optimizers": ADAM, "training": {"epochs": 3}}, cache))
    gone = dict(db.execute(LAST).fetchall())
    assert gone
    assert set(gone.values()) == {"tuned~tuning"}
    assert gone.keys().isdisjoint(row.trial_id for row in listing.anywhere(db))
    assert db.execute("SELECT count(*) FROM v_trials WHERE study IS NULL").fetchone() == (len(gone),)
    assert set(deletion.outside(db, "tuned")) == set(gone)


def test_what_an_earlier_version_took_out_of_a_study_is_found(tmp_path):
    old = sqlite3.connect(tmp_path / "innate.db")
    old.executescript((SCHEMAS / "v10.sql").read_text())
    (trial,) = old.execute("SELECT trial_id FROM study_trial LIMIT 1").fetchone()
    old.execute("DELETE FROM study_trial WHERE trial_id = ?", (trial,))
    old.commit()
    old.close()
    db = database.connect(tmp_path / "innate.db")
    (row,) = listing.outside(db)
    assert (row.trial_id, row.state, row.left_study, row.left_at) == (trial, "done", None, None)
    assert {row.trust for row in queries.results(db, trial_id=trial)} <= {None, "suspect", "invalid"}, (
        "nobody judged it"
    )


def test_sqlite_looks_through_both_halves_of_a_view(db):
    """It does where all columns have the same affinity; else it would make all rows of a study to show a few."""
    for view, halves in HALVES.items():
        kinds = []
        for half in halves:
            db.execute(f"CREATE TEMP TABLE kinds AS SELECT * FROM {half} LIMIT 0")
            kinds.append([tuple(row[1:3]) for row in db.execute("PRAGMA temp.table_info(kinds)")])
            db.execute("DROP TABLE temp.kinds")
        assert kinds[0] == kinds[1]
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN SELECT * FROM {view} WHERE study = 'tiny'")]
        assert f"SCAN {view}" not in plan


def test_an_empty_home_has_none(tmp_path):
    place = Home(tmp_path / "home")
    prepare(place)
    assert listing.anywhere(database.connect(place.database)) == []
