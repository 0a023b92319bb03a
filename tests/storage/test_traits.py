"""Traits in the database: recorded, shown by their view, and made up for where an earlier version did not measure them."""

import pytest

from core.events import TraitsMeasured
from core.traits import TRAITS, Measured
from storage import database, queue, recording, submitting, traits
from storage.trial import trial_detail
from tests.conftest import plan_of, tiny
from tests.storage import stored
from tests.storage.test_trust import look

MEASURED = Measured(3.0, 3.5, 2.0, 1.5, 30.0, 5.0, 0.1, 0.0, 0.4, 0.05, 14.0, None)


@pytest.fixture
def db(home):
    return database.connect(home.database)


@pytest.fixture
def plan(cache):
    return plan_of(tiny(seeds=1, optimizers=["adam"], activations=["relu"]), cache)


def measure(db, claim):
    for test_samples in claim.traits:
        event = TraitsMeasured(stored.samples_of(db)[test_samples], test_samples, MEASURED)
        recording.record_traits(db, claim.attempt_id, event)


def looked_at(db, claim):
    """As a version does that knows looks."""
    from core.events import Diagnosed

    recording.record_diagnosis(db, claim.attempt_id, Diagnosed(stored.samples_of(db)[60], 60, look()))


def test_what_was_measured_is_in_the_view_and_in_the_trial(db, home, plan):
    submitting.submit(db, plan)
    claim = stored.run_one(db, home)
    assert claim.traits == (60,)
    measure(db, claim)
    (row,) = db.query("SELECT * FROM v_traits")
    assert set(TRAITS) < set(row)
    assert (row["study"], row["optimizer"], row["activation"], row["seed"]) == ("tiny", "adam", "relu", 0)
    assert (row["margin"], row["dead"], row["spectral_norm"], row["training_loss"]) == (3.0, 0.05, None, 0.5)
    known = trial_detail(db, claim.trial_id).traits["tiny"]
    assert known == traits.known(db, "tiny")[claim.trial_id]
    assert "spectral_norm" not in known
    assert known["clean_accuracy"] == row["clean_accuracy"]


def test_a_complete_trial_of_an_earlier_version_is_looked_at_when_its_study_is_run_again_and_not_trained(
    db, home, plan
):
    submitting.submit(db, plan)
    looked_at(db, stored.run_one(db, home))
    assert submitting.preview(db, plan).traits_missing == 1
    told = submitting.submit(db, plan)
    assert (told.done, told.traits_missing) == (1, 1)
    claim = queue.claim(db)
    assert (claim.evaluations, claim.clean, claim.audits, claim.traits) == ((), (), (), (60,))
    measure(db, claim)
    queue.settle(db, claim.attempt_id)
    assert db.execute("SELECT state FROM study_trial").fetchall() == [("done",)]
    assert submitting.submit(db, plan).traits_missing == 0
    assert queue.claim(db) is None


def test_it_stays_complete_if_the_look_fails_or_its_weights_are_gone(db, home, plan):
    submitting.submit(db, plan)
    first = stored.run_one(db, home)
    looked_at(db, first)
    submitting.submit(db, plan)
    queue.settle(db, queue.claim(db).attempt_id)
    assert db.execute("SELECT state FROM study_trial").fetchall() == [("done",)]
    queue.remove_weights(db, first.trial_id)
    assert submitting.submit(db, plan).traits_missing == 0
    assert queue.claim(db) is None


def test_traits_go_with_their_trial(db, home, plan):
    submitting.submit(db, plan)
    claim = stored.run_one(db, home)
    measure(db, claim)
    db.execute("DELETE FROM trial")
    assert db.execute("SELECT count(*) FROM traits").fetchone() == (0,)
