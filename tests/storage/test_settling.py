"""What settling findings keeps: looks with the error spent, verdicts for good, and seeds that no grid names."""

import json
import time

import pytest

from core.errors import BadInput
from core.records.trial import TrialSpec
from core.verdict.settling.looked import Looked
from core.verdict.settling.spending import Look
from core.verdict.settling.stage import Decided
from storage import database, queries, settling, submitting
from storage.settling import MoreSeeds
from tests.conftest import plan_of, tiny
from tests.storage import stored

FIRST = Looked("claims", (Look(3, 0.003, 60),), (Decided("claim-4", "supported", 1, 0.0015, (0.01, 0.09), 0.001),))


@pytest.fixture
def db(home):
    """Four variants, two seeds each, all done."""
    opened = database.connect(home.database)
    submitting.submit(opened, plan_of(tiny(), home.cache))
    while stored.run_one(opened, home):
        pass
    return opened


def variants(db):
    return sorted({row.variant_id for row in queries.trials(db, "tiny")})


def test_looks_and_verdicts_come_back_as_they_were(db):
    assert settling.settling(db, "tiny") == settling.Settling(None, ())
    settling.settle(db, "tiny", [Looked("claims")], [FIRST], 0.5, [])
    assert settling.settling(db, "tiny") == settling.Settling(0.5, (FIRST,))
    more = Looked("claims", (*FIRST.looks, Look(5, 0.004, 60)), FIRST.decided)
    settling.settle(db, "tiny", [FIRST], [more], 0.5, [])
    assert settling.settling(db, "tiny").of("claims") == more
    assert settling.settling(db, "tiny").of("effect:optimizer") == Looked("effect:optimizer")


def test_the_same_error_is_not_spent_twice(db):
    settling.settle(db, "tiny", [Looked("claims")], [FIRST], 0.5, [])
    with pytest.raises(BadInput, match="settled by another command meanwhile"):
        settling.settle(db, "tiny", [Looked("claims")], [FIRST], 0.5, [MoreSeeds(variants(db)[0], (2,))])
    assert len(queries.trials(db, "tiny")) == 8


def test_exactly_the_seeds_asked_for_are_queued(db):
    first, second, *_ = variants(db)
    more = [MoreSeeds(first, (2, 3)), MoreSeeds(second, (2,))]
    assert settling.settle(db, "tiny", [], [], 0.5, more) == 3
    new = [row for row in queries.trials(db, "tiny") if row.state == "queued"]
    assert sorted((row.variant_id, row.seed) for row in new) == [(first, 2), (first, 3), (second, 2)]
    for row in new:
        (spec,) = db.execute("SELECT spec FROM trial WHERE id = ?", (row.trial_id,)).fetchone()
        assert TrialSpec.from_json(json.loads(spec)).id == row.trial_id
    assert settling.settle(db, "tiny", [], [], 0.5, more) == 0
    held = settling.seeds_of(db, "tiny")
    assert held[first].held == (0, 1, 2, 3)


def test_how_far_settling_is_counts_what_was_added_last(db, home):
    first, second, *_ = variants(db)
    assert settling.under_way(db, "tiny") == {}
    settling.settle(db, "tiny", [], [], 0.5, [MoreSeeds(first, (2, 3)), MoreSeeds(second, (2,))])
    assert settling.under_way(db, "tiny") == {first: (0, 2), second: (0, 1)}
    for trial_id in [row.trial_id for row in queries.trials(db, "tiny") if row.state == "queued" and row.seed == 2]:
        end(db, trial_id)
    assert settling.under_way(db, "tiny") == {first: (1, 2), second: (1, 1)}
    (last,) = [row.trial_id for row in queries.trials(db, "tiny") if row.state == "queued" and row.seed == 3]
    end(db, last)
    settling.settle(db, "tiny", [Looked("claims")], [FIRST], 0.5, [MoreSeeds(first, (4,))])
    assert settling.under_way(db, "tiny") == {first: (0, 1)}, "what ended before this look is not counted again"


def end(db, trial_id):
    db.execute("UPDATE study_trial SET state = 'done' WHERE trial_id = ?", (trial_id,))
    db.execute(
        "INSERT INTO attempt (trial_id, number, started_at, ended_at) VALUES (?, 1, 1.0, ?)", (trial_id, time.time())
    )


def test_submitting_the_study_again_keeps_them_as_long_as_their_variant(db, home):
    first, *_ = variants(db)
    settling.settle(db, "tiny", [], [], 0.5, [MoreSeeds(first, (2,))])
    submitting.submit(db, plan_of(tiny(), home.cache))
    assert settling.seeds_of(db, "tiny")[first].held == (0, 1, 2)
    (optimizer,) = {row.optimizer for row in queries.trials(db, "tiny") if row.variant_id == first}
    other = [one for one in tiny()["optimizers"] if one["name"] != optimizer]
    submitting.submit(db, plan_of(tiny(optimizers=other), home.cache))
    assert first not in settling.seeds_of(db, "tiny")
    assert db.execute("SELECT count(*) FROM settling_trial").fetchone()[0] == 0


def test_a_grid_that_names_the_seed_takes_it_over(db, home):
    first, *_ = variants(db)
    settling.settle(db, "tiny", [], [], 0.5, [MoreSeeds(first, (2,))])
    submitting.submit(db, plan_of(tiny(seeds=3), home.cache))
    assert len(queries.trials(db, "tiny")) == 12
    assert all(one.held == (0, 1, 2) for one in settling.seeds_of(db, "tiny").values())


def test_failed_seeds_are_told_apart(db):
    first, *_ = variants(db)
    (trial,) = [row.trial_id for row in queries.trials(db, "tiny") if (row.variant_id, row.seed) == (first, 1)]
    db.execute("UPDATE study_trial SET state = 'failed' WHERE trial_id = ?", (trial,))
    assert settling.seeds_of(db, "tiny")[first] == settling.Seeds((0,), (1,))


def test_other_attacks_make_other_questions_but_give_no_error_back(db, home):
    settling.settle(db, "tiny", [], [FIRST], 0.5, [])
    submitting.submit(db, plan_of(tiny(test_samples=80), home.cache))
    assert settling.settling(db, "tiny").families == (FIRST,)  # more images are more data on the same question
    submitting.submit(db, plan_of(tiny(attacks=[{"name": "fgsm", "eps": [0.1]}]), home.cache))
    assert settling.settling(db, "tiny").families == (Looked("claims", FIRST.looks),)


def test_a_variant_that_left_meanwhile_is_told(db):
    with pytest.raises(BadInput, match="a variant has left the study"):
        settling.settle(db, "tiny", [], [FIRST], 0.5, [MoreSeeds("f" * 64, (2,))])
    assert settling.settling(db, "tiny").families == ()


def test_a_trial_costs_what_it_took(db):
    seconds = settling.seconds_of(db, "tiny")
    assert set(seconds) == set(variants(db))
    assert all(value == pytest.approx(0.5 + 2 * 0.5, abs=0.6) for value in seconds.values())
