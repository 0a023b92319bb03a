"""What is stored beside ledgers, and what follows from it: readings of distances, looks at the model, checks, verdicts."""

import json

import numpy as np
import pytest

from core.events import CleanEvaluated, Diagnosed, EvaluationFinished
from core.records.outcome import Diagnosis, DiagnosisSpec, Ledger, Trace
from storage import database, export, queries, queue, recording, states, studies, submitting
from storage.destinations import in_use
from storage.evidence import evidence
from storage.trial import trial_detail
from storage.verdicts import reasons
from tests.conftest import plan_of, tiny
from tests.storage import stored

N = stored.SAMPLES
LEAST = {"name": "fmn", "norm": "linf", "steps": 10}
PGD = {"name": "pgd", "eps": [0.1, 0.2], "steps": 4}


@pytest.fixture
def db(home):
    return database.connect(home.database)


def study_of(*attacks, **changes):
    return tiny(seeds=1, optimizers=["adam"], activations=["relu"], attacks=list(attacks), **changes)


def look(**changes):
    sane = dict.fromkeys(
        ("unsteady", "zero_gradients", "bad_gradients", "flat_softmax", "distant", "standing_at_one", "only_by_search",
         "only_by_noise"), 0,
    )  # fmt: skip
    sane |= {"norm": "linf", "eps": 0.1, "images": 50, "saturated_units": 0.0, "saturated_layer": "", "seconds": 0.1}
    return Diagnosis(**{**sane, "broken_by_gradient": tuple(range(35, 60)), **changes})


def clean(db, claim, right=54):
    labels = np.arange(N) % 10
    correct = np.arange(N) < right
    for test_samples in claim.clean:
        samples = stored.samples_of(db)[test_samples]
        predictions = np.where(correct, labels, (labels + 1) % 10)
        recording.record_clean(
            db, claim.trial_id, CleanEvaluated(samples, test_samples, correct, predictions, labels, 10)
        )


def attacked(db, claim, spec, distances=None, standing=30, trace=None):
    """One evaluation of `claim`, told as a child would."""
    if distances is not None:
        ledgers = (Ledger(None, np.arange(N) < 54, np.asarray(distances, np.float32)),)
    else:
        ledgers = tuple(Ledger(eps, np.arange(N) < standing - index) for index, eps in enumerate(spec.eps))
    traces = tuple(Trace(ledger.eps, 54, 10, **(trace or {})) for ledger in ledgers)
    samples = stored.samples_of(db)[60]
    recording.record_evaluation(
        db,
        claim.attempt_id,
        EvaluationFinished(spec, samples, 60, ledgers, (), 9, 9, 0.1, 256, "fp32", (), traces),
    )


def begun(db, home, cache, *attacks, **changes):
    """A trained trial of such a study, its clean outcome recorded, its attacks to come."""
    submitting.submit(db, plan_of(study_of(*attacks, **changes), cache))
    claim = queue.claim(db)
    stored.train(db, home, claim)
    clean(db, claim)
    return claim


DISTANCES = np.where(np.arange(N) < 20, np.inf, np.where(np.arange(N) < 40, 0.15, np.where(np.arange(N) < 54, 0.05, 0)))


def readings(db, study="tiny"):
    rows = db.query(
        "SELECT eps, robust_accuracy, median_distance FROM v_results WHERE study = ? AND attack IN ('fmn', 'cw') "
        "ORDER BY eps",
        (study,),
    )
    return [(row["eps"], pytest.approx(row["robust_accuracy"]), row["median_distance"]) for row in rows]


def test_distances_are_read_at_the_radii_of_the_norms_other_attacks(db, home, cache):
    claim = begun(db, home, cache, PGD, LEAST)
    pgd, least = (wanted.attack for wanted in claim.evaluations)
    assert least.eps == ()
    attacked(db, claim, least, DISTANCES)
    middle = pytest.approx(0.15)
    assert readings(db) == [(0.1, 40 / N, middle), (0.2, 20 / N, middle)], "while the trial is under way"
    attacked(db, claim, pgd)
    submitting.submit(db, plan_of(study_of({**PGD, "eps": [0.16]}, LEAST), cache))
    assert readings(db) == [(0.16, 20 / N, middle)], "a changed study reads them anew"
    submitting.submit(db, plan_of(study_of(LEAST, name="least", score={"eps": 0.02}), cache))
    assert readings(db, "least") == [(0.02, 54 / N, middle)], "else at its score ε"
    assert studies.study_row(db, "tiny").threat_eps == 0.16


def test_a_study_of_minimum_norm_attacks_alone_scores_at_the_usual_radius(db, home, cache):
    claim = begun(db, home, cache, LEAST)
    assert studies.study_row(db, "tiny").threat_eps == 0.1
    attacked(db, claim, claim.evaluations[0].attack, DISTANCES)
    (row,) = queries.leaderboard(db, "tiny")
    assert row.worst_case == pytest.approx(40 / N)
    assert readings(db) == [(0.1, 40 / N, pytest.approx(0.15))]
    row = next(iter(db.query("SELECT robust_accuracy, median_distance FROM reading")))
    assert row["median_distance"] == pytest.approx(0.15)


def test_a_median_that_is_infinite_is_none(db, home, cache):
    claim = begun(db, home, cache, LEAST)
    attacked(db, claim, claim.evaluations[0].attack, np.where(np.arange(N) < 54, np.inf, 0))
    assert readings(db) == [(0.1, 54 / N, None)]


def test_an_added_minimum_norm_attack_is_read_too(db, home, cache):
    claim = begun(db, home, cache, PGD)
    attacked(db, claim, claim.evaluations[0].attack)
    queue.settle(db, claim.attempt_id)
    least = plan_of(study_of(LEAST), cache).study.attacks[0]
    studies.add_attack(db, "tiny", [claim.trial_id], least)
    again = queue.claim(db)
    attacked(db, again, least, DISTANCES)
    assert [row[0] for row in readings(db)] == [0.1, 0.2]
    assert queue.remaining(db, "tiny") == {"done": 1}


def test_a_look_is_wanted_once_and_its_verdict_stands_beside_every_attack(db, home, cache):
    claim = begun(db, home, cache, PGD)
    assert claim.diagnoses == (DiagnosisSpec(60, "linf", (0.1, 0.2)),)
    samples = stored.samples_of(db)[60]
    recording.record_diagnosis(db, claim.attempt_id, Diagnosed(samples, 60, look(zero_gradients=40)))
    assert states.missing_looks(db, "tiny", claim.trial_id) == [DiagnosisSpec(60, "linf", (0.2,))]
    recording.record_diagnosis(db, claim.attempt_id, Diagnosed(samples, 60, look(eps=0.2)))
    assert states.missing_looks(db, "tiny", claim.trial_id) == []
    attacked(db, claim, claim.evaluations[0].attack)
    assert queue.remaining(db, "tiny") == {"done": 1}
    (trial,) = queries.trials(db, "tiny")
    assert trial.trust == "suspect"
    rows = queries.results(db, "tiny")
    assert [(row.trust, row.attack_trust, row.model_trust) for row in rows] == [("suspect", "ok", "suspect")] * 2
    detail = trial_detail(db, claim.trial_id)
    assert any("no slope in any pixel" in reason for reason in detail.studies[0].trust_reasons)
    told = reasons(db, "tiny")[claim.trial_id]
    assert [reason.text for reason in told] == detail.studies[0].trust_reasons
    assert told[0].check == "zero_gradients"
    found = {row.check: row for row in detail.checks}
    assert (found["zero_gradients"].trust, found["zero_gradients"].counted) == ("suspect", 1)
    assert found["zero_gradients"].value == pytest.approx(0.8)
    assert (found["flat_softmax"].trust, found["flat_softmax"].reason) == ("ok", None)
    assert len(found) > 12
    db.execute("DELETE FROM trust_check")
    assert [reason.check for reason in reasons(db, "tiny")[claim.trial_id]] == [reason.text for reason in told]


def test_what_a_look_broke_lowers_the_models_own_worst_case_and_marks_the_numbers_at_that_radius(db, home, cache):
    """4 of 20 images that stand at 0.1 fell to the look there, none at 0.2; pgd's own numbers stay what they are."""
    claim = begun(db, home, cache, PGD)
    samples = stored.samples_of(db)[60]
    attacked(db, claim, claim.evaluations[0].attack)
    (before,) = queries.leaderboard(db, "tiny")
    rows = {row.eps: row.robust_accuracy for row in queries.results(db, "tiny")}
    standing = round(rows[0.1] * 60)
    near = dict.fromkeys(range(standing - 2, standing), 0.09)
    broken = tuple(range(standing, 60))
    for eps in (0.1, 0.2):
        found = look(eps=eps, broken_by_gradient=broken, measured=50, nearest={**near, 59: 0.01})
        recording.record_diagnosis(db, claim.attempt_id, Diagnosed(samples, 60, found))
    (after,) = queries.leaderboard(db, "tiny")
    assert after.worst_case == before.worst_case, "other models were not looked at in full"
    assert after.known_worst_case == pytest.approx(before.worst_case - 2 / 60)
    assert after.trust == "suspect"
    assert {row.eps: row.robust_accuracy for row in queries.results(db, "tiny")} == rows
    marked = {row.eps: row.trust for row in queries.results(db, "tiny")}
    assert marked[0.1] == "suspect"
    checks = list(db.query("SELECT * FROM v_trust WHERE \"check\" = 'weaker_than_sample'"))
    assert [(row["norm"], row["eps"], row["counted"]) for row in checks] == [("linf", 0.1, 0), ("linf", 0.2, 0)]
    assert checks[0]["value"] == pytest.approx(2 / 50)


def test_a_look_that_comes_when_the_trial_is_done_changes_its_verdict_at_once(db, home, cache):
    claim = begun(db, home, cache, PGD)
    attacked(db, claim, claim.evaluations[0].attack)
    assert [row.trust for row in queries.trials(db)] == ["ok"]
    samples = stored.samples_of(db)[60]
    recording.record_diagnosis(db, claim.attempt_id, Diagnosed(samples, 60, look(standing_at_one=30)))
    assert [row.trust for row in queries.trials(db)] == ["suspect"]


def test_a_trial_that_is_done_is_not_queued_for_a_look_alone(db, home, cache):
    claim = begun(db, home, cache, PGD)
    attacked(db, claim, claim.evaluations[0].attack)
    queue.settle(db, claim.attempt_id)
    submitting.submit(db, plan_of(study_of(PGD), cache))
    assert queue.remaining(db, "tiny") == {"done": 1}
    more = study_of(PGD, {"name": "bim", "eps": [0.1]})
    submitting.submit(db, plan_of(more, cache))
    assert queue.claim(db).diagnoses == (DiagnosisSpec(60, "linf", (0.1, 0.2)),), (
        "but a job that runs anyway makes up for it"
    )


def test_a_study_without_attacks_looks_at_the_usual_threat(db, home, cache):
    claim = begun(db, home, cache)
    assert claim.diagnoses == (DiagnosisSpec(60, "linf", (0.1,)),)
    samples = stored.samples_of(db)[60]
    recording.record_diagnosis(db, claim.attempt_id, Diagnosed(samples, 60, look(unsteady=50)))
    queue.settle(db, claim.attempt_id)
    assert [row.trust for row in queries.trials(db)] == ["suspect"]
    # and that verdict stands beside what is added to it, as it is to imported weights
    added = plan_of(study_of(PGD), cache).study.attacks[0]
    studies.add_attack(db, "tiny", [claim.trial_id], added)
    attacked(db, queue.claim(db), added)
    assert {row.model_trust for row in queries.results(db, "tiny")} == {"suspect"}


def test_traces_are_kept_and_judged(db, home, cache):
    claim = begun(db, home, cache, PGD)
    attacked(db, claim, claim.evaluations[0].attack, trace={"late": 9, "reach": 1.0})
    text, trust, reasons = db.execute("SELECT traces, trust, trust_reasons FROM evaluation").fetchone()
    assert [Trace.from_json(trace).late for trace in json.loads(text)] == [9, 9]
    assert trust == "suspect"
    assert "only in its last steps" in json.loads(reasons)[0]
    assert evidence(db, "tiny", claim.trial_id).results[0].traces[0].late == 9
    row = next(iter(db.query('SELECT * FROM v_trust WHERE "check" = ?', ("steps_still_gaining",))))
    assert (row["attack"], row["trust"], row["counted"]) == ("pgd", "suspect", 1)


def test_checks_go_with_their_study_and_into_the_export(db, home, cache, tmp_path):
    claim = begun(db, home, cache, PGD)
    attacked(db, claim, claim.evaluations[0].attack)
    queue.settle(db, claim.attempt_id)
    export.export_sqlite(db, tmp_path / "out.db", None, in_use(home, home.database))
    copy = database.connect(tmp_path / "out.db", read_only=True)
    count = copy.execute("SELECT count(*) FROM v_trust").fetchone()[0]
    assert count == db.execute("SELECT count(*) FROM v_trust").fetchone()[0] > 3
    db.execute("DELETE FROM study WHERE name = 'tiny'")
    assert db.execute("SELECT count(*) FROM trust_check").fetchone()[0] == 0
