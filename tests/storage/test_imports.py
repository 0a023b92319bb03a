"""Imported trials in the database: identity, the studies they join, and that nothing here ever loses their weights."""

import functools

import pytest

from core.errors import BadInput, NotFound
from storage import database, queries, queue, studies, submitting
from storage.changes import Admission
from storage.trial import trial_detail
from tests.conftest import plan_of, tiny
from tests.storage import stored


@pytest.fixture
def db(home):
    return database.connect(home.database)


@pytest.fixture
def bring(home, db):
    """`bring(content, study)`: the admission of a file with this content, of a model for digits."""
    return functools.partial(stored.bring, db, home)


def row_of(db, study, trial_id):
    (row,) = (row for row in queries.trials(db, study) if row.trial_id == trial_id)
    return row


def test_an_import_makes_a_study_of_its_own_and_waits_for_its_evaluation(db, home, bring):
    admitted = bring()
    assert admitted == Admission("imported-digits", admitted.trial_id, known=False)
    row = row_of(db, "imported-digits", admitted.trial_id)
    assert (row.state, row.architecture, row.activation) == ("queued", "mlp", "relu")
    unknown = ("optimizer", "defense", "training", "seed", "train_samples", "train_seconds", "initial_digest")
    assert {key: getattr(row, key) for key in unknown} == dict.fromkeys(unknown)
    claim = queue.claim(db)
    assert claim.trial.imported is not None
    assert claim.trial.optimizer is None
    assert (claim.number, claim.earlier_attempts, claim.clean) == (2, (1,), (None,))
    assert (home.checkpoints / claim.trial_id / "1" / "weights.pt").read_bytes() == b"weights"
    detail = trial_detail(db, admitted.trial_id)
    assert detail.imported == "net.pt"
    assert detail.attempts[0].exit_kind == "imported"
    assert detail.attempts[0].environment == {"device": "cpu", "torch": "x"}


def test_the_same_weights_twice_are_one_trial_whose_label_and_seed_can_be_told_later(db, home, bring):
    first = bring()
    again = bring(label="madry", seed=3)
    assert (again.trial_id, again.known) == (first.trial_id, True)
    assert trial_detail(db, first.trial_id).imported == "madry"
    assert row_of(db, "imported-digits", first.trial_id).seed == 3
    assert row_of(db, "imported-digits", first.trial_id).attempts == 1
    third = bring()
    assert trial_detail(db, third.trial_id).imported == "madry"
    assert bring(b"other weights").trial_id != first.trial_id


def test_weights_that_were_lost_or_cut_short_are_taken_in_again(db, home, bring):
    trial_id = bring().trial_id
    (home.checkpoints / trial_id / "1" / "weights.pt").write_bytes(b"weig")
    assert not bring().known
    assert queue.weights_path(db, trial_id) == f"{trial_id}/2/weights.pt"
    claim = queue.claim(db)
    queue.fail(db, claim.attempt_id, "the imported weights are gone or damaged", "")
    assert row_of(db, "imported-digits", trial_id).state == "failed"
    assert not bring().known
    assert row_of(db, "imported-digits", trial_id).state == "queued"


def test_it_joins_a_study_on_the_same_data_and_stays_when_that_is_submitted_again(db, home, cache, bring):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    trial_id = bring(study="tiny").trial_id
    assert queries.trials(db, "tiny")[-1].trial_id == trial_id
    submitting.submit(db, plan_of(tiny(seeds=1, activations=["relu"]), cache))
    assert len(queries.trials(db, "tiny")) == 3
    assert row_of(db, "tiny", trial_id).state == "queued"
    while (claim := queue.claim(db)).trial_id != trial_id:
        queue.release(db, claim.attempt_id, "stopped")
        queue.cancel(db, [claim.trial_id], None)
    assert [wanted.attack.name for wanted in claim.evaluations] == ["fgsm", "pgd"]
    assert claim.clean == (60,)


def test_another_data_set_under_the_same_name_makes_it_leave(db, home, cache, bring):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    trial_id = bring(study="tiny").trial_id
    submitting.submit(db, plan_of(tiny(seeds=1, dataset="mnist5k"), cache))
    assert trial_id not in [row.trial_id for row in queries.trials(db, "tiny")]
    assert db.execute("SELECT count(*) FROM trial WHERE id = ?", (trial_id,)).fetchone()[0] == 1


def test_a_study_that_is_not_there_or_on_other_data(db, cache, bring):
    with pytest.raises(NotFound, match="there is no study 'tin'"):
        bring(study="tin")
    submitting.submit(db, plan_of(tiny(seeds=1, dataset="mnist5k"), cache))
    with pytest.raises(BadInput, match="--study tiny: it is on mnist5k, not on digits"):
        bring(study="tiny")
    assert queries.trials(db) == queries.trials(db, "tiny")


def test_a_study_without_a_grid_is_a_study(db, home, bring):
    bring()
    study = studies.stored_study(db, "imported-digits")
    assert (study.architectures, study.optimizers, study.attacks, len(study.seeds)) == ((), (), (), 0)
    assert [row.study for row in studies.studies(db)] == ["imported-digits"]
    assert studies.studies_with_grid(db) == []
