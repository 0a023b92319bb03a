"""`innate findings --settle`: which seeds it asks for, what it refuses, and that it queues exactly what it said."""

import json
import re

import pytest

from app.report.findings import findings
from app.report.settle import _more, outlook
from app.report.settle_words import as_rows, cost_text, told
from core.errors import BadInput
from storage import database, queries, settling, submitting
from storage.settling import MoreSeeds, Seeds
from tests.conftest import copy_home, innate_command, plan_of, tiny
from tests.storage import stored


@pytest.fixture
def db(home):
    return database.connect(home.database)


def ran(db, home, **changes):
    """The tiny study with some keys changed, all done."""
    submitting.submit(db, plan_of(tiny(**changes), home.cache))
    seed = 0
    while stored.run_one(db, home, seed=seed):
        seed += 1


def test_further_seeds_are_those_of_other_variants_first_so_that_all_stay_paired():
    held = {"a": Seeds((0, 1, 2), ()), "b": Seeds((0,), (1,)), "c": Seeds((0, 1, 2, 7), ())}
    assert _more({"a": 5, "b": 3, "c": 4}, held) == (MoreSeeds("a", (7, 8)), MoreSeeds("b", (2, 7)))


def test_one_seed_asks_for_the_first_look_s_and_spends_nothing(db, home):
    ran(db, home, seeds=1)
    found = outlook(db, "tiny", None, None)
    assert found.trials == 8  # four variants, seeds 1 and 2
    assert {seeds.seeds for seeds in found.more} == {(1, 2)}
    assert all(one.looks == () for one in found.now)
    assert "no look yet, for one seed says nothing of others" in told(found, 200)
    assert "open: Activation relu differs" in told(found, 200)
    assert all(row["chance"] is None for row in as_rows(found))
    assert re.search(r"8 more trials of 4 variants, about ", cost_text(found))


def test_a_look_may_be_about_claims_or_a_factor_only(db, home):
    ran(db, home, seeds=1)
    assert list(outlook(db, "tiny", None, None).stages) == ["effect:optimizer", "effect:activation"]
    assert list(outlook(db, "tiny", None, None, ["activation"]).stages) == ["effect:activation"]
    with pytest.raises(BadInput, match=r"--about activations: not one of claims, optimizer, activation.*'activation'"):
        outlook(db, "tiny", None, None, ["activations"])


def test_what_more_seeds_cannot_change_asks_for_none(db, home):
    """The tiny study is not audited: its numbers are upper bounds, which no seed turns into findings."""
    ran(db, home, seeds=2)
    found = outlook(db, "tiny", None, None)
    assert found.more == ()
    assert "limited by attacks and audits" in told(found, 200)
    assert cost_text(found) == "tiny: nothing to train"


def test_a_look_while_trials_run_would_see_half_of_them(db, home):
    submitting.submit(db, plan_of(tiny(), home.cache))
    stored.run_one(db, home)
    with pytest.raises(BadInput, match=r"7 trials of tiny are still to come; .* innate wait --study tiny"):
        outlook(db, "tiny", None, None)


def test_a_study_without_models_has_nothing_to_look_at(db, home):
    submitting.submit(db, plan_of(tiny(), home.cache))
    db.execute("UPDATE study_trial SET state = 'failed'")
    with pytest.raises(BadInput, match="no scored model"):
        outlook(db, "tiny", None, None)


def test_a_budget_that_fits_nothing_is_told_and_one_that_fits_is_kept(db, home):
    ran(db, home, seeds=1)
    whole = outlook(db, "tiny", None, None)
    assert outlook(db, "tiny", None, 1.01 * whole.seconds / 3600).more == whole.more
    # Each comparison is over all four variants, so that nothing less than all would serve one.
    with pytest.raises(
        BadInput, match=r"--budget [0-9.e-]+: no open comparison fits into that; the cheapest takes about"
    ):
        outlook(db, "tiny", None, 0.99 * whole.seconds / 3600)


def test_a_study_is_settled_against_one_margin(db, home):
    ran(db, home, seeds=2)
    found = outlook(db, "tiny", 1.0, None)
    settling.settle(db, "tiny", [], found.now, found.margin, found.more)
    assert outlook(db, "tiny", None, None).margin == 1.0
    with pytest.raises(BadInput, match="has been settled against 1 points"):
        outlook(db, "tiny", 0.5, None)
    assert findings(db, "tiny").margin == 1.0
    with pytest.raises(BadInput, match="has been settled against 1 points"):
        findings(db, "tiny", 0.5)


def test_looking_again_at_the_same_spends_nothing_more(db, home):
    ran(db, home, seeds=2)
    found = outlook(db, "tiny", None, None)
    settling.settle(db, "tiny", [], found.now, found.margin, found.more)
    again = outlook(db, "tiny", None, None)
    assert again.now == found.now
    assert "nothing new since the last look" in told(again, 200)


@pytest.mark.slow
def test_from_the_command_line_it_queues_exactly_what_it_says(filled, tmp_path):
    home = tmp_path / "home"
    copy_home(filled, home)
    said = innate_command("findings", "--settle", home=home)
    assert "tiny: nothing to train" in said.stderr
    assert "limited by attacks and audits" in " ".join(said.stdout.split())
    innate_command("run", str(filled.parent / "tiny.toml"), "--set", "name=one", "--set", "seeds=1", home=home)
    said = innate_command("findings", "--study", "one", "--settle", "--json", home=home)
    assert json.loads(said.stdout)["settle"]
    assert "one: 8 more trials of 4 variants" in said.stderr
    assert "added 8 trials" in said.stderr
    db = database.connect(home / "innate.db")
    new = [row for row in queries.trials(db, "one") if row.seed in (1, 2)]
    assert len(new) == 8
    # Seed 1 was trained for the other study, so only seed 2 is left to do.
    assert sorted((row.seed, row.state) for row in new) == [(1, "done")] * 4 + [(2, "queued")] * 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--budget", "2"], "--budget: goes with --settle"),
        (["--about", "claims"], "--about: goes with --settle"),
        (["--settle", "--budget", "0"], "--budget 0: give hours, above 0"),
        (["--settle", "--budget", "nan"], "--budget nan: give hours, above 0"),
    ],
)
def test_bad_budgets_are_one_line(arguments, said, filled):
    done = innate_command("findings", *arguments, home=filled, check=2)
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
