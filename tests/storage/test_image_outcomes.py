"""What became of each image, stored and read again; scores of variants that follow from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.verdict.scoring import SCORES
from core.verdict.scoring.outcomes import Outcomes, UnderAttack
from storage import database, deletion, image_outcomes, queries, submitting, verdicts
from tests.conftest import plan_of, tiny
from tests.storage import stored


@pytest.fixture
def db(home):
    """Two variants, three seeds each, all done."""
    opened = database.connect(home.database)
    submitting.submit(opened, plan_of(tiny(seeds=3, optimizers=["adam"]), home.cache))
    for seed in range(20):
        if stored.run_one(opened, home, seed=seed) is None:
            break
    return opened


def members(db):
    found = {}
    for row in queries.scores(db, "tiny", "worst_case"):
        found.setdefault(row.variant_id, []).append(row.trial_id)
    return found


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 70), st.integers(0, 3), st.booleans())
def test_outcomes_come_back_as_they_were(tmp_path_factory, seed, images, radii, worst):
    rng = np.random.default_rng(seed)
    home_db = database.empty()
    home_db.execute("PRAGMA foreign_keys = OFF")
    home_db.execute(
        "INSERT INTO trial (id, variant_id, spec, dataset, seed, created_at) VALUES ('t', 'v', '{}', 'd', 3, 0)"
    )
    home_db.execute("INSERT INTO study_trial (study, trial_id, position, state) VALUES ('s', 't', 0, 'done')")
    bits = rng.random((radii + 3, images)) < 0.5
    made = Outcomes(
        10, bool(seed % 2), tuple(0.1 * (place + 1) for place in range(radii)), bits[0], bits[1 : 1 + radii],
        bits[-1] if worst else None, (UnderAttack("a", "pgd", "linf", 0.1, bits[-2]),),
    )  # fmt: skip
    image_outcomes.store(home_db, "s", "t", made, bound=True)
    (found,) = image_outcomes.stored(home_db, "s")
    assert (found.trial_id, found.seed, found.bound) == ("t", 3, True)
    assert (found.found.classes, found.found.worthless, found.found.eps) == (made.classes, made.worthless, made.eps)
    assert (found.found.rows == made.rows).all()
    assert (found.found.attacks[0].standing == bits[-2]).all()


def test_a_variant_s_score_is_the_mean_of_its_trials_and_covers_more_than_one_of_them(db):
    for name in SCORES:
        trials = {row.trial_id: row for row in queries.scores(db, "tiny", name)}
        for variant, found in image_outcomes.of_variants(db, "tiny", name, members(db)).items():
            values = [trials[trial].value for trial in members(db)[variant]]
            assert found.trials == 3
            assert found.score.value == pytest.approx(np.mean(values))
            assert 0.0 <= found.score.low <= found.score.value <= found.score.high <= SCORES[name].full


def test_what_is_stored_is_what_would_be_worked_out(db):
    for name in SCORES:
        kept = image_outcomes.of_variants(db, "tiny", name, members(db))
        db.execute("DELETE FROM variant_score")
        assert image_outcomes.of_variants(db, "tiny", name, members(db)) == kept
        image_outcomes.refresh(db, "tiny", list(members(db)))
        assert db.execute("SELECT count(*) FROM variant_score").fetchone()[0] == len(SCORES) * 2


def test_scoring_all_anew_counts_trials_that_wait_for_more_and_works_each_variant_out_once(db, monkeypatch):
    """As after a migration: a trial that another attack is wanted of keeps its scores, so its images count, too."""
    kept = image_outcomes.of_variants(db, "tiny", "worst_case", members(db))
    db.execute("DELETE FROM outcome")
    db.execute("DELETE FROM variant_score")
    waiting = members(db)[next(iter(kept))][0]
    db.execute("UPDATE study_trial SET state = 'queued' WHERE trial_id = ?", (waiting,))
    asked = []
    refresh = image_outcomes.refresh
    monkeypatch.setattr(image_outcomes, "refresh", lambda db, study, ids: (asked.extend(ids), refresh(db, study, ids)))
    verdicts.rescore_all(db)
    assert sorted(asked) == sorted(kept)
    assert image_outcomes.of_variants(db, "tiny", "worst_case", members(db)) == kept


def test_other_trials_than_the_stored_ones_are_worked_out_anew(db):
    before = image_outcomes.of_variants(db, "tiny", "worst_case", members(db))
    variant, trials = next(iter(members(db).items()))
    some = image_outcomes.of_variants(db, "tiny", "worst_case", {variant: trials[:2]})
    assert some[variant].trials == 2
    assert some[variant] != before[variant]
    deletion.delete_trials(db, trials[:1])
    after = image_outcomes.of_variants(db, "tiny", "worst_case", members(db))
    assert after[variant].trials == 2
    assert db.execute("SELECT count(*) FROM outcome").fetchone()[0] == 5


def test_models_that_nobody_audited_are_upper_bounds(db):
    rows = queries.scores(db, "tiny", "innate")
    assert all(row.upper_bound and row.low == 0.0 for row in rows)
    assert not any(row.upper_bound for row in queries.scores(db, "tiny", "clean_accuracy"))


def test_a_study_that_asks_for_something_else_forgets_what_became_of_the_images(db, home):
    submitting.submit(db, plan_of(tiny(seeds=3, optimizers=["adam"], test_samples=80), home.cache))
    assert db.execute("SELECT count(*) FROM outcome").fetchone()[0] == 0
    assert image_outcomes.of_variants(db, "tiny", "innate", members(db)) == {}
