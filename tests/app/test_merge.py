"""`innate merge` and shares as a user meets them: what is told, what is refused, and that shares come to one undisturbed run."""

import json
import shutil
import sqlite3

import pytest
import tomli_w

from app.worker import foreground, owner
from app.worker.loop import Stop, Worker
from core.errors import BadInput
from core.executors.inline import InlineExecutor
from core.jobs.trial import run_trial
from core.study.resolve import parse_study
from core.study.share import Share, only, parse_share
from storage import database, submitting
from storage.home import Home, prepare
from tests.app.test_worker import Silent
from tests.conftest import innate_command, plan_of, tiny


@pytest.fixture
def other(filled, tmp_path):
    """A copy of the database of a home that really trained the tiny study."""
    return str(shutil.copy(filled / "innate.db", tmp_path / "other.db"))


def test_a_home_is_merged_and_what_came_is_told(filled, innate, home):
    shutil.rmtree(home.root)
    would = innate("merge", "--dry-run", str(filled))
    assert not home.root.exists()
    done = innate("merge", str(filled), "--checkpoints")
    assert done.stdout == ""
    assert would.stderr.replace("would be brought", "brought") in done.stderr
    assert done.stderr.splitlines()[0] == f"{filled}/innate.db: brought in: 8 trials, 16 evaluations"
    assert done.stderr.splitlines()[1] == "  study new here: tiny"
    assert "weights of 8 models copied" in done.stderr
    results = innate("results", "--json").stdout
    assert results == innate_command("results", "--json", home=filled).stdout
    again = json.loads(innate("merge", str(filled / "innate.db"), "--json").stdout)
    assert (again["schema_version"], again["conflicts"]) == (1, [])
    (row,) = again["merge"]
    assert (row["changed"], row["known"], row["trials"]) == (False, 8, 0)
    told = innate("merge", str(filled)).stderr
    assert told == f"{filled}/innate.db: nothing new; 8 trials are here already\n"


def test_conflicts_are_told_listed_and_shown(filled, other, innate):
    innate("merge", str(filled))
    with sqlite3.connect(other) as db:
        (trial,) = db.execute("SELECT min(id) FROM trial").fetchone()
        db.execute("UPDATE trial SET final_digest = ? WHERE id = ?", ("b" * 64, trial))
    done = innate("merge", other, "--json")
    assert "1 trial was trained to other weights there:" in done.stderr
    assert "This home's own count; theirs are kept beside" in done.stderr
    (conflict,) = json.loads(done.stdout)["conflicts"]
    assert (conflict["trial_id"], conflict["other_digest"], conflict["own_device"]) == (trial, "b" * 64, "cpu")
    listed = innate("merge", "--conflicts").stdout
    assert listed.splitlines()[0].startswith(f"trial {trial[:10]}: clean ")
    assert "  there  bbbbbbbbbb  cpu, torch" in listed
    shown = innate("show", trial[:10]).stdout
    assert "other weights bbbbbbbbbb, trained on cpu, torch" in shown
    assert "no score of this home counts them" in " ".join(shown.split())  # the path before it may fill the line
    assert "1 trial with other weights elsewhere" in " ".join(innate("doctor").stdout.split())
    assert "1 trial was trained to other weights there (1 known before):" in innate("merge", other).stderr


def test_what_merge_refuses_is_one_line(other, innate, home, tmp_path):
    (tmp_path / "notes.txt").write_text("not a database")
    for arguments, code, words in (
        ((), 2, "name a database to bring in"),
        (("--conflicts", other), 2, "give it alone"),
        ((str(tmp_path / "notes.txt"),), 2, "is not a database"),
        ((str(tmp_path / "none.db"),), 3, "there is no such database"),
        ((other, str(tmp_path / "none.db")), 3, "there is no such database"),
        ((str(home.root),), 3, "there is no such database"),
    ):
        refused = innate("merge", *arguments, check=code)
        assert words in refused.stderr
        assert refused.stderr.count("\n") == 1
        assert refused.stdout == ""
        assert not home.database.exists()
    refused = innate_command("--db", other, "merge", other, home=home.root, check=2)
    assert "--db opens a database to read only" in refused.stderr


def test_while_a_worker_lives_a_merge_is_refused(other, innate, home):
    database.connect(home.database).conn.close()
    working = owner.acquire(home, owner.DETACHED)
    refused = innate("merge", other, check=4)
    assert "works on it, and a merge wants it alone: innate worker stop" in refused.stderr
    assert refused.stderr.count("\n") == 1
    working.release()
    assert "8 trials" in innate("merge", other).stderr


# --- shares ---


def run_share(home, db, share):
    """As `innate run --share` does, in this process."""
    foreground.submit(db, home, parse_study(tiny(), "test", home.root), share)
    ownership = owner.acquire(home, owner.FOREGROUND)
    worker = Worker(home, db, InlineExecutor(run_trial, 1), Silent(), ownership, role=owner.FOREGROUND, gpus=list)
    try:
        assert worker.work("tiny", lambda: Stop.NO)
    finally:
        ownership.release()


def test_shares_merged_come_to_one_undisturbed_run(filled, innate, tmp_path):
    """Really trained, in homes of their own, as the jobs of an array are."""
    homes = []
    for number in (1, 2):
        home = Home(tmp_path / str(number))
        prepare(home)
        db = database.connect(home.database)
        run_share(home, db, Share(number, 2))
        assert db.execute("SELECT state, count(*) FROM study_trial").fetchall() == [("done", 4)]
        db.conn.close()
        homes.append(home)
    innate("merge", *(str(home.root) for home in homes))

    def rows(view, path):
        db = database.connect(path, read_only=True)
        return sorted(
            [{**row, "seconds": 0, "train_seconds": 0} for row in db.query(f"SELECT * FROM {view}")], key=repr
        )

    merged = tmp_path / "home" / "innate.db"
    for view in ("v_results", "v_leaderboard", "v_robustness", "v_trust", "v_traits", "v_trials", "v_training"):
        assert rows(view, merged) == rows(view, filled / "innate.db"), view


def test_shares_are_balanced_and_come_to_the_whole(cache):
    plan = plan_of(tiny(seeds=5, defenses=["none", {"name": "pgd-at", "eps": 0.1, "alpha": 0.05, "steps": 2}]), cache)
    for of in (1, 3, 7, 50):
        shares = [only(plan, Share(number, of)) for number in range(1, of + 1)]
        assert sorted(placed for share in shares for placed in share.placed) == sorted(
            plan.placed, key=lambda one: one[0]
        )
        for defense in ("none", "pgd-at"):
            counts = [sum(trial.defense.name == defense for trial in share.trials) for share in shares]
            assert max(counts) - min(counts) <= 1
        assert max(share.size for share in shares) - min(share.size for share in shares) <= 1


def test_a_tuned_cell_is_dealt_out_whole(cache):
    document = tiny(
        optimizers=["adam", "sgd"], training={"epochs": 1, "batch_size": 32, "hyperparameters": "tuned"},
        tuning={"trials": 2, "validation": 0.2},
    )  # fmt: skip
    plan = plan_of(document, cache)
    shares = [only(plan, Share(number, 3)) for number in (1, 2, 3)]
    assert sorted(cell.position for share in shares for cell in share.cells) == [0, 1, 2, 3]
    assert sorted(share.size for share in shares) == [2, 2, 4]


def test_shares_run_in_one_home_add_up(home, cache):
    db = database.connect(home.database)
    study = parse_study(tiny(), "test", home.root)
    for number, trials in ((1, 3), (2, 6), (3, 8)):
        assert foreground.submit(db, home, study, Share(number, 3)).trials == trials
    assert (
        submitting.preview(db, plan_of(tiny(), cache), Share(1, 3)).leaving == ()
    )  # the other shares are no trials that leave


@pytest.mark.parametrize("text", ["0/2", "3/2", "1/0", "1", "1/2/3", "-1/2", "a/b", "1/99999999"])
def test_a_share_that_is_none_is_one_line(text, innate):
    with pytest.raises(BadInput, match="--share"):
        parse_share(text)
    assert innate("plan", "quick", "--share", text, check=2).stderr.startswith(f"innate: --share {text}: ")


def test_a_plan_shows_a_share(innate, tmp_path):
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(tiny()))
    (row,) = json.loads(innate("plan", str(tmp_path / "tiny.toml"), "--share", "1/3", "--json").stdout)["plan"]
    assert (row["trials"], row["evaluations_missing"]) == (3, 6)
