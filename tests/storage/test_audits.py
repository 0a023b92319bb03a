"""What audits and other evidence make of a trial's numbers: stored, counted, waited for."""

import json

import numpy as np
import pytest

from core.attacks import resolve
from core.audit import AuditedRadius, AuditRun, AuditSpec
from core.events import Audited, AuditFailed, CleanEvaluated, EvaluationFinished
from core.records.attack import AttackSpec
from core.records.outcome import Ledger, TransferCell
from storage import audits, database, queries, queue, recording, states, studies, submitting, transfers
from storage.transfers import Crafted
from tests.conftest import plan_of, tiny
from tests.storage import stored

N = stored.SAMPLES
PGD = {"name": "pgd", "eps": [0.1, 0.2], "steps": 4}
LABELS = np.arange(N) % 10
RIGHT = np.arange(N) < 54


@pytest.fixture
def db(home):
    return database.connect(home.database)


def study_of(name="tiny", attacks=(PGD,), seeds=2, samples=8):
    return tiny(
        name=name,
        seeds=seeds,
        optimizers=["adam"],
        activations=["relu"],
        attacks=list(attacks),
        audit={"samples": samples},
    )


def survivors(count):
    return np.arange(N) < count


def worked(db, home, claim, standing=(40, 30)):
    """All that a claim asks for but its audits: the first so many stand at each ε."""
    if queue.weights_path(db, claim.trial_id) is None:
        stored.train(db, home, claim)
    digests = stored.samples_of(db)
    for asked in claim.clean:
        predictions = np.where(RIGHT, LABELS, (LABELS + 1) % 10)
        recording.record_clean(
            db, claim.trial_id, CleanEvaluated(digests[asked], asked, RIGHT, predictions, LABELS, 10)
        )
    for one in claim.evaluations:
        evaluated(db, claim, one.attack, standing)


def evaluated(db, claim, attack, standing):
    ledgers = tuple(Ledger(eps, survivors(count)) for eps, count in zip(attack.eps, standing, strict=True))
    samples = stored.samples_of(db)[60]
    recording.record_evaluation(
        db, claim.attempt_id, EvaluationFinished(attack, samples, 60, ledgers, (), 100, 50, 0.5, 256, "fp32")
    )


def audited(db, claim, fell=(0, 0), places=()):
    """The audit that the claim asks for; `places` fell at 0.1."""
    (order,) = claim.audits
    fell_at = np.full(N, np.inf, np.float32)
    fell_at[list(places)] = 0.1
    radii = tuple(
        AuditedRadius(eps, 30, 8, count, count, 1, ("apgd-targeted",), ("apgd-targeted",) if count else ())
        for eps, count in zip(order.spec.eps, fell, strict=True)
    )
    aimed = resolve("apgd", {"eps": list(order.spec.eps), "loss": "targeted", "steps": 12}, "x")
    recording.record_audit(
        db,
        claim.attempt_id,
        Audited(
            order.spec,
            stored.samples_of(db)[60],
            60,
            fell_at,
            radii,
            (AuditRun(aimed, 16, len(places)),),
            10,
            5,
            0.2,
            128,
        ),
    )


def finished(db, home, **found):
    claim = queue.claim(db)
    worked(db, home, claim)
    if claim.audits:
        audited(db, claim, **found)
    queue.settle(db, claim.attempt_id)
    return claim


def worst_cases(db, trial_id, study="tiny"):
    return {row.eps: row for row in queries.robustness(db, study, trial_id)}


def test_a_trial_is_done_when_it_is_audited_and_killed_in_between_has_only_that_to_make_up_for(db, home, cache):
    submitting.submit(db, plan_of(study_of(seeds=1), cache))
    claim = queue.claim(db)
    (order,) = claim.audits
    assert order.spec == AuditSpec("linf", (0.1, 0.2), 8, 0.25, "budget")
    assert order.standing is None
    worked(db, home, claim)
    assert states.where_it_is(db, "tiny", claim.trial_id) == ("queued", None)
    assert queries.leaderboard(db, "tiny") == []
    queue.release(db, claim.attempt_id, "lost")
    again = queue.claim(db)
    assert (again.evaluations, again.clean) == ((), ())
    (order,) = again.audits
    assert [int(alive.sum()) for alive in order.standing] == [40, 30]
    assert order.passes == 150
    audited(db, again)
    assert queue.remaining(db, "tiny") == {"done": 1}
    rows = worst_cases(db, claim.trial_id)
    assert {eps: (row.audited, row.fell, row.samples) for eps, row in rows.items()} == {
        0.1: (8, 0, 60),
        0.2: (8, 0, 60),
    }
    assert rows[0.1].robust_accuracy == rows[0.1].compared_accuracy == 40 / 60
    assert 0 < rows[0.1].overstated_at_most < 22 / 60
    assert rows[0.1].trust == "ok"


def test_what_an_audit_broke_lowers_the_models_own_worst_case_and_no_ranking(db, home, cache):
    submitting.submit(db, plan_of(study_of(), cache))
    whole = finished(db, home)
    broken = finished(db, home, fell=(3, 3), places=(0, 1, 2, 59))
    rows = worst_cases(db, broken.trial_id)
    assert rows[0.1].robust_accuracy == 37 / 60, "place 59 is wrong from the start"
    assert rows[0.2].robust_accuracy == 27 / 60, "what fell at 0.1 has fallen at 0.2"
    assert rows[0.1].compared_accuracy == 40 / 60
    assert worst_cases(db, whole.trial_id)[0.1].robust_accuracy == 40 / 60
    scores = {row.trial_id: row.value for row in queries.scores(db, "tiny", "worst_case")}
    assert scores == {whole.trial_id: 40 / 60, broken.trial_id: 40 / 60}
    trust = {row.trial_id: row.trust for row in queries.trials(db)}
    assert trust == {whole.trial_id: "ok", broken.trial_id: "suspect"}
    said = {name for (name,) in db.execute('SELECT "check" FROM v_trust WHERE counted').fetchall()}
    assert said == {"audit", "unequal_effort"}
    (row,) = queries.leaderboard(db, "tiny")
    assert row.worst_case == 40 / 60
    assert row.known_worst_case == pytest.approx((40 + 37) / 2 / 60)


def test_every_confirmed_image_counts_whoever_found_it(db, home, cache):
    """An attack of another study, and the images of another model."""
    submitting.submit(db, plan_of(study_of(seeds=1), cache))
    first = finished(db, home)
    square = {"name": "square", "eps": [0.1], "queries": 10}
    submitting.submit(db, plan_of(study_of("other", [square], seeds=2, samples=0), cache))
    for _ in range(2):
        claim = queue.claim(db, "other")
        worked(db, home, claim, standing=(33,))
        queue.settle(db, claim.attempt_id)
    submitting.submit(db, plan_of(study_of(seeds=1), cache))
    rows = worst_cases(db, first.trial_id)
    assert (rows[0.1].robust_accuracy, rows[0.1].compared_accuracy) == (33 / 60, 40 / 60)
    assert rows[0.2].robust_accuracy == 30 / 60
    (source,) = [one for (one,) in db.execute("SELECT id FROM trial WHERE id <> ?", (first.trial_id,))]
    bits = np.packbits(np.isin(np.arange(N), (4, 5))).tobytes().hex()
    attack = resolve("pgd", {"eps": [0.15]}, "x")
    cell = TransferCell(first.trial_id, 40, 2, 0.5, bits)
    samples = stored.samples_of(db)[60]
    digests = {first.trial_id: "f" * 64, source: "f" * 64}
    assert transfers.record(db, Crafted(attack, source, (cell,), digests, samples, 60, "fp32")) == 1
    rows = worst_cases(db, first.trial_id)
    assert rows[0.1].robust_accuracy == 33 / 60, "an image 0.15 away says nothing at 0.1"
    assert rows[0.2].robust_accuracy == 28 / 60


def test_an_attack_that_some_had_counts_in_rankings_once_all_have_had_it(db, home, cache):
    submitting.submit(db, plan_of(study_of(samples=0), cache))
    one, two = finished(db, home), finished(db, home)
    bim = resolve("bim", {"eps": [0.1, 0.2]}, "x")
    for number, claim in enumerate((one, two)):
        assert studies.add_attack(db, "tiny", [claim.trial_id], bim) == 1
        again = queue.claim(db)
        evaluated(db, again, bim, (20, 10 + number))
        queue.settle(db, again.attempt_id)
        scores = {row.trial_id: row.value for row in queries.scores(db, "tiny", "worst_case")}
        if number == 0:
            assert scores == {one.trial_id: 40 / 60, two.trial_id: 40 / 60}
            assert worst_cases(db, one.trial_id)[0.1].robust_accuracy == 20 / 60
            assert queries.trials(db)[0].trust == "suspect"
    assert scores == {one.trial_id: 20 / 60, two.trial_id: 20 / 60}
    assert worst_cases(db, one.trial_id)[0.1].compared_accuracy == 20 / 60


def test_scores_stay_while_an_attack_waits_and_say_so(db, home, cache):
    """Until now bars and heat maps were empty then."""
    submitting.submit(db, plan_of(study_of(samples=0), cache))
    one, _ = finished(db, home), finished(db, home)
    before = queries.scores(db, "tiny", "innate")
    studies.add_attack(db, "tiny", [one.trial_id], resolve("bim", {"eps": [0.1]}, "x"))
    assert queries.scores(db, "tiny", "innate") == before
    (row,) = queries.leaderboard(db, "tiny")
    assert (row.seeds, row.pending) == (2, 1)
    assert queries.waiting_attacks(db, "tiny") == ["bim"]
    more = study_of(attacks=[PGD, {"name": "fgsm", "eps": [0.1]}], samples=8)
    submitting.submit(db, plan_of(more, cache))
    assert queries.scores(db, "tiny", "innate") == before
    assert sorted(queries.waiting_attacks(db, "tiny")) == ["audit", "bim", "fgsm"]


def test_scores_of_what_a_study_no_longer_asks_go_at_once(db, home, cache):
    """At another ε they would be another number under the same heading."""
    submitting.submit(db, plan_of(study_of(samples=0), cache))
    finished(db, home)
    submitting.submit(db, plan_of(study_of(attacks=[{**PGD, "eps": [0.1, 0.2, 0.3]}], samples=0), cache))
    assert queries.scores(db, "tiny", "innate") == []
    assert queries.leaderboard(db, "tiny") == []
    assert queries.robustness(db, "tiny") == []


def test_an_audit_that_failed_fails_the_trial_with_its_reason_until_it_is_tried_again(db, home, cache):
    submitting.submit(db, plan_of(study_of(seeds=1), cache))
    claim = queue.claim(db)
    worked(db, home, claim)
    failed = AuditFailed(claim.audits[0].spec, stored.samples_of(db)[60], 60, "out of luck", "Traceback …")
    recording.record_failed_audit(db, claim.attempt_id, failed)
    queue.settle(db, claim.attempt_id)
    (row,) = queries.trials(db)
    assert (row.state, row.reason) == ("failed", "audit: out of luck")
    assert queue.retry(db, [claim.trial_id]) == [claim.trial_id]
    again = queue.claim(db)
    assert again.evaluations == ()
    audited(db, again)
    assert queue.remaining(db, "tiny") == {"done": 1}


def test_a_study_submitted_before_there_were_audits_stays_done_and_unaudited(db, home, cache):
    submitting.submit(db, plan_of(study_of(seeds=1), cache))
    db.execute("DELETE FROM study_audit")
    claim = queue.claim(db)
    assert claim.audits == ()
    worked(db, home, claim)
    queue.settle(db, claim.attempt_id)
    assert queue.remaining(db, "tiny") == {"done": 1}
    row = worst_cases(db, claim.trial_id)[0.1]
    assert (row.audited, row.fell, row.overstated_at_most, row.trust) == (None, None, None, "ok")
    (variant,) = queries.leaderboard(db, "tiny")
    assert variant.overstated_at_most is None
    spec = AuditSpec("linf", (0.1, 0.2), 8, 0.25, "budget")
    assert studies.add_audits(db, "tiny", [spec]) == 1
    audited(db, queue.claim(db))
    assert worst_cases(db, claim.trial_id)[0.1].audited == 8


def test_a_plan_counts_the_audits_that_are_missing(db, home, cache):
    plan = plan_of(study_of(), cache)
    before = submitting.preview(db, plan)
    assert (before.audits, before.audits_missing, before.new) == (2, 2, 2)
    submitting.submit(db, plan)
    finished(db, home)
    after = submitting.preview(db, plan)
    assert (after.audits_missing, after.done, after.new) == (1, 1, 1)
    assert submitting.preview(db, plan_of(study_of(samples=0), cache)).audits == 0


def test_what_broke_a_model_in_an_audit_is_known_by_its_specification(db, home, cache):
    submitting.submit(db, plan_of(study_of(seeds=1), cache))
    finished(db, home, fell=(1, 1), places=(3,))
    (attack,) = audits.breaking_attacks(db, "tiny")
    assert isinstance(attack, AttackSpec)
    assert (attack.name, attack.params["loss"], attack.eps) == ("apgd", "targeted", (0.1, 0.2))
    runs = json.loads(db.execute("SELECT runs FROM audit").fetchone()[0])
    assert [run["broke"] for run in runs] == [1]


def test_deleting_a_trial_takes_its_audits_along(db, home, cache):
    from storage import deletion

    submitting.submit(db, plan_of(study_of(seeds=1), cache))
    claim = finished(db, home)
    deletion.delete_trials(db, [claim.trial_id])
    for table in ("audit", "audit_radius", "audit_content", "robustness"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 0
