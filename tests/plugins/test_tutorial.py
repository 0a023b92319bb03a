"""The tutorial package: all that it adds, in a study of the program's own, and that study on a machine without it."""

import json
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
import tomli_w

from core import plugged
from storage import verdicts
from storage.database import connect
from storage.home import Home
from storage.queries import scores
from tests.conftest import ROOT, copy_home, innate_command, shared, tiny
from tests.plugins.installing import TUTORIAL, install

STUDY = tiny(
    name="tutorial",
    dataset="tutorial:shapes",
    architectures=["tutorial:tiny-cnn"],
    optimizers=[{"name": "adam", "lr": 0.02}],
    activations=["relu"],
    train_samples=120,
    attacks=[{"name": "tutorial:corners", "eps": [0.1, 0.3]}, {"name": "pgd", "eps": [0.1, 0.3], "steps": 4}],
)
SCORE = "tutorial:kept-squared"


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The study, run by a process that finds the package on its path, and what it said."""

    def run(folder):
        (folder / "study.toml").write_text(tomli_w.dumps(STUDY))
        site = install(folder / "site", "tutorial", TUTORIAL)
        done = innate_command("run", str(folder / "study.toml"), home=folder / "home", PYTHONPATH=str(site))
        (folder / "said").write_text(done.stderr)

    return shared(tmp_path_factory, "tutorial", run)


@pytest.fixture
def ask(ran, monkeypatch):
    """`ask(*arguments)` of that home, in this process, with the package installed, or without."""

    def call(*arguments, plugins=True, check=0):
        plugged.forget()
        monkeypatch.setattr(sys, "path", [str(ran / "site"), *sys.path] if plugins else sys.path)
        try:
            return innate_command(*arguments, home=ran / "home", check=check, works=False)
        finally:
            monkeypatch.undo()
            plugged.forget()

    return call


def rows(done, noun):
    return json.loads(done.stdout)[noun]


def test_the_study_has_the_plugins_choices_and_its_score(ask):
    (row,) = rows(ask("results", "--score", SCORE, "--json"), "results")
    assert (row["dataset"], row["architecture"], row["seeds"]) == ("tutorial:shapes", "tutorial:tiny-cnn", 2)
    assert row["clean_accuracy"] > 0.8, "bars are easily told apart"
    assert 0 < row[SCORE] < row["retention"] < 1, "a square of a share is less than the share"
    table = ask("results", "--score", SCORE).stdout
    assert f"{100 * row[SCORE]:.1f}" in table
    assert f"{SCORE} in %" in table


def test_the_score_is_what_its_formula_says_of_the_stored_outcomes(ran):
    with closing(sqlite3.connect(ran / "home" / "innate.db")) as db:
        found = db.execute(
            "SELECT s.trial_id, s.value, w.value, c.value FROM score s JOIN score w USING (study, trial_id) "
            "JOIN score c USING (study, trial_id) WHERE s.name = ? AND w.name = 'worst_case' AND c.name = 'clean_accuracy'",
            (SCORE,),
        ).fetchall()
    assert len(found) == 2
    for _, value, worst, clean in found:
        assert value == pytest.approx((worst / clean) ** 2)


def test_a_score_that_came_after_the_study_is_worked_out_and_kept_by_the_next_worker(ran, tmp_path, monkeypatch):
    copy_home(ran / "home", tmp_path / "home")
    monkeypatch.setattr(sys, "path", [str(ran / "site"), *sys.path])
    plugged.forget()
    try:
        db = connect(Home(tmp_path / "home").database)
        stored = [
            db.execute(f"SELECT * FROM {table} WHERE name = ?", (SCORE,)).fetchall()
            for table in ("score", "variant_score")
        ]
        read = scores(db, "tutorial", SCORE)
        for table in ("score", "variant_score"):
            db.execute(f"DELETE FROM {table} WHERE name = ?", (SCORE,))
        db.conn.commit()
        assert scores(db, "tutorial", SCORE) == read
        assert (verdicts.score_late(db), verdicts.score_late(db)) == (2, 0)
        again = [
            db.execute(f"SELECT * FROM {table} WHERE name = ?", (SCORE,)).fetchall()
            for table in ("score", "variant_score")
        ]
        assert [sorted(rows) for rows in again] == [sorted(rows) for rows in stored]
        assert [len(rows) for rows in again] == [2, 1]
    finally:
        plugged.forget()


def test_random_corners_are_weaker_than_gradients_and_broke_something(ran):
    with closing(sqlite3.connect(ran / "home" / "innate.db")) as db:
        found = dict(
            db.execute("SELECT attack, avg(robust_accuracy) FROM v_results WHERE eps = 0.3 GROUP BY attack").fetchall()
        )
        (clean,) = db.execute("SELECT avg(accuracy) FROM clean").fetchone()
    assert found["pgd"] < found["tutorial:corners"] < clean


def test_the_attempt_says_which_plugin_it_used(ran):
    with closing(sqlite3.connect(ran / "home" / "innate.db")) as db:
        (content,) = db.execute(
            "SELECT DISTINCT e.content FROM environment e JOIN attempt a ON a.environment_id = e.id"
        ).fetchone()
    assert json.loads(content)["plugins"] == {"tutorial": "1.0"}


def test_catalogues_name_the_plugin(ask):
    listed = {row["name"]: row for row in rows(ask("attacks", "--json"), "attacks")}
    owner = {"name": "tutorial", "version": "1.0", "package": "innate-tutorial"}
    assert listed["tutorial:corners"]["plugin"] == owner
    assert "plugin" not in listed["pgd"]
    assert "the tutorial; plugin tutorial 1.0" in ask("scores").stdout
    doctor = {row["detail"] for row in rows(ask("doctor", "--json", check=None), "doctor") if row["check"] == "plugin"}
    assert any("tutorial:tiny-cnn" in detail and "tutorial:shapes" in detail for detail in doctor)


@pytest.mark.parametrize(
    "command", [("results",), ("trials",), ("results", "--by", "seed"), ("findings",), ("chart", "curves"), ("status",)]
)
def test_without_the_plugin_what_is_stored_is_read_as_ever(ask, command):
    (with_it, without) = (ask(*command, plugins=plugins).stdout for plugins in (True, False))
    assert with_it == without


def test_without_the_plugin_a_trial_is_shown_without_its_score(ask, ran):
    (trial, *_) = rows(ask("trials", "--json", plugins=False), "trials")
    shown = ask("show", trial["trial_id"], plugins=False).stdout
    assert "tutorial:tiny-cnn" in shown
    assert SCORE not in shown
    assert SCORE in ask("show", trial["trial_id"]).stdout


@pytest.mark.parametrize("command", ["plan", "run"])
def test_without_the_plugin_its_study_is_refused_with_its_name(ask, ran, command):
    done = ask(command, str(ran / "study.toml"), plugins=False, check=2)
    assert len(done.stderr.splitlines()) == 1
    assert "dataset: unknown data set 'tutorial:shapes': the plugin tutorial is not installed here" in done.stderr


def test_a_name_without_its_plugin_is_offered_with_it(ask, ran):
    done = ask("plan", str(ran / "study.toml"), "--set", "attacks[0].name=corners", check=2)
    assert "did you mean 'tutorial:corners'?" in done.stderr


def test_names_are_listed_without_torch(ran):
    code = (
        "import sys; from core.attacks import ATTACKS; from core.datasets import DATASETS; "
        "from core.verdict.scoring import SCORES; from core.models.architectures import ARCHITECTURES; "
        "assert 'tutorial:corners' in list(ATTACKS) and 'tutorial:kept-squared' in list(SCORES); "
        "list(DATASETS), list(ARCHITECTURES); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{ran / 'site'}:{ROOT}"},
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_bars_are_the_same_each_time(ran, monkeypatch):
    monkeypatch.syspath_prepend(str(ran / "site"))
    from innate_tutorial.shapes import load

    one, two = load(None), load(None)
    assert all(np.array_equal(getattr(one, name), getattr(two, name)) for name in ("train_images", "test_labels"))
