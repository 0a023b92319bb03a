"""Climbing the ladder: what is queued, on whom it runs, when it ends, what becomes of the verdict; and once for real."""

import json

import numpy as np
import pytest
import tomli_w

from app.worker import escalation
from app.worker.recorder import Recorder
from core.errors import BadInput
from core.events import CleanEvaluated, EvaluationFailed, EvaluationFinished, Finished
from core.records.attack import Threat
from core.records.outcome import Ledger
from core.verdict.trust import judge
from core.verdict.trust.entry import Evaluated, Evidence
from core.verdict.trust.ladder import climbed, next_rung, rung_of, rungs
from storage import database, deletion, queries, queue, recording, states, studies, submitting
from storage.changes import Escalate
from storage.trial import trial_detail
from tests.conftest import innate_command, plan_of, tiny
from tests.storage import stored

N = stored.SAMPLES
THREAT = Threat("linf", 0.1)
STUDY = tiny(
    seeds=1,
    optimizers=["adam"],
    activations=["relu"],
    attacks=[{"name": "fgsm", "eps": [0.1]}, {"name": "pgd", "eps": [0.1, 0.2], "steps": 4}],
)


@pytest.fixture
def db(home):
    return database.connect(home.database)


@pytest.fixture
def trial(db, home, cache):
    """Trained; 54 of 60 right, 40 stand against FGSM, 30 against PGD."""
    submitting.submit(db, plan_of(STUDY, cache))
    claim = queue.claim(db)
    stored.train(db, home, claim)
    labels, correct = np.arange(N) % 10, np.arange(N) < 54
    predictions = np.where(correct, labels, (labels + 1) % 10)
    samples = stored.samples_of(db)[60]
    recording.record_clean(db, claim.trial_id, CleanEvaluated(samples, 60, correct, predictions, labels, 10))
    for wanted in claim.evaluations:
        evaluated(db, claim, wanted.attack, 40 if wanted.attack.name == "fgsm" else 30)
    queue.settle(db, claim.attempt_id)
    return claim.trial_id


def evaluated(db, claim, attack, standing, distances=None):
    recording.record_evaluation(db, claim.attempt_id, outcome_of(db, attack, standing, distances))


def outcome_of(db, attack, standing, distances=None):
    bits = np.arange(N) < standing
    ledgers = [Ledger(eps, bits) for eps in attack.eps] or [Ledger(None, bits, distances)]
    return EvaluationFinished(attack, stored.samples_of(db)[60], 60, tuple(ledgers), (), 9, 9, 0.1, 256, "fp32")


def climb(db, home, trial, standing):
    """One rung, after which so many stand; returns whom it ran on, None at the end of the climb."""
    added = escalation.add_next_rungs(db, home, Escalate("tiny", (trial,), THREAT)).rungs
    if not added:
        return None
    claim = queue.claim(db)
    (wanted,) = claim.evaluations
    assert wanted.attack.id == added[0].attack_id
    distances = np.where(np.arange(N) < standing, np.inf, 0.0).astype(np.float32)
    evaluated(db, claim, wanted.attack, standing, distances)
    queue.settle(db, claim.attempt_id)
    return wanted


def verdict(db):
    (row,) = queries.trials(db)
    (detail,) = trial_detail(db, row.trial_id).studies
    return detail.trust, detail.trust_reasons


def test_each_rung_runs_on_what_all_before_it_left_standing_and_says_so(db, home, trial):
    first = climb(db, home, trial, 30)
    assert first.attack.name == "pgd"
    assert first.attack.params["steps"] == 100
    assert first.standing.sum() == 30
    assert len(first.attack.params["after"]["attacks"]) == 2
    second = climb(db, home, trial, 25)
    assert (second.attack.name, second.attack.params["loss"], second.standing.sum()) == ("apgd", "ce", 30)
    assert first.attack.id in second.attack.params["after"]["attacks"]
    third = climb(db, home, trial, 25)
    assert (third.attack.params["loss"], third.standing.sum()) == ("targeted", 25)
    rows = [row for row in queries.results(db, "tiny", trial) if row.added]
    assert [row.robust_accuracy for row in rows] == pytest.approx([25 / N, 25 / N, 30 / N])
    assert all(row.attack_spec.params["after"]["eps"] == 0.1 for row in rows)
    assert {row.attack for row in queries.results(db, "tiny", trial) if not row.added} == {"fgsm", "pgd"}
    (best,) = queries.leaderboard(db, "tiny")
    assert best.worst_case == pytest.approx(25 / N), "what a rung broke is broken"
    own = {row.attack: row.robust_accuracy for row in queries.results(db, "tiny", trial) if not row.added}
    assert own["pgd"] == pytest.approx(30 / N), "what the study's own attack left standing stays what it was"


def test_a_quiet_climb_ends_after_a_loss_that_is_not_the_cross_entropy_and_confirms(db, home, trial):
    for _ in range(3):
        assert climb(db, home, trial, 30) is not None
    assert climb(db, home, trial, 30) is None
    trust, reasons = verdict(db)
    assert (trust, reasons) == ("ok", [])
    found = escalation.summary(db, "tiny", trial, THREAT)
    assert (found.settled, found.top, found.worst_case) == (True, False, 0.5)
    assert [rung.attack for rung in found.rungs] == ["pgd-100", "apgd-ce", "apgd-targeted"]
    assert any("worst case at ε = 0.1 stays at 50.0%" in line for line in [check_of(db, trial).reason])


def check_of(db, trial):
    return next(row for row in trial_detail(db, trial).checks if row.check == "escalation")


def test_a_climb_that_breaks_more_lowers_the_scores_and_is_doubted_until_its_end(db, home, trial):
    before = queries.leaderboard(db, "tiny")[0]
    climb(db, home, trial, 30)
    climb(db, home, trial, 10)
    trust, reasons = verdict(db)
    assert trust == "suspect"
    assert (
        "escalation: worst case at ε = 0.1 falls from 50.0% to 16.7% under pgd, apgd, most of it under apgd"
        in reasons[0]
    )
    assert climb(db, home, trial, 10) is not None, "two quiet rungs have yet to come"
    assert climb(db, home, trial, 10) is not None
    assert climb(db, home, trial, 10) is None
    assert verdict(db) == ("ok", [])
    after = queries.leaderboard(db, "tiny")[0]
    assert (before.worst_case, after.worst_case) == pytest.approx((30 / N, 10 / N))
    assert after.innate < before.innate
    assert after.clean_accuracy == before.clean_accuracy


def test_one_image_more_is_a_proof(db, home, trial):
    climb(db, home, trial, 29)
    trust, reasons = verdict(db)
    assert trust == "suspect"
    assert "falls from 50.0% to 48.3%" in reasons[0]
    assert queries.leaderboard(db, "tiny")[0].worst_case == pytest.approx(29 / N)


def test_a_rung_that_breaks_everything_ends_the_climb(db, home, trial):
    climb(db, home, trial, 0)
    assert climb(db, home, trial, 0) is None


def test_the_top_of_the_ladder_is_read_by_distance_and_needs_no_gradient(db, home, trial):
    ran = []
    for standing in (26, 22, 18, 14, 10, 10):
        wanted = climb(db, home, trial, standing)
        ran.append(None if wanted is None else wanted.attack.name)
    assert ran == ["pgd", "apgd", "apgd", "fmn", "square", None]
    row = next(row for row in queries.results(db, "tiny", trial) if row.attack == "fmn")
    assert (row.eps, row.median_distance) == (0.1, None)
    assert row.robust_accuracy == pytest.approx(14 / N)


def test_an_interrupted_climb_goes_on_where_it_was(db, home, trial):
    asked = Escalate("tiny", (trial,), THREAT)
    once = escalation.add_next_rungs(db, home, asked)
    assert queue.remaining(db, "tiny") == {"queued": 1}
    assert escalation.add_next_rungs(db, home, asked) == once
    assert len(states.missing_attacks(db, "tiny", trial)) == 1


def finish(db, home, standing):
    """The rung that is queued is tried, as the worker records it; the trial is never seen done before the next is queued."""
    claim = queue.claim(db)
    (wanted,) = claim.evaluations
    recorder = Recorder(db, home, give_up=lambda: True)
    recorder.take(claim, outcome_of(db, wanted.attack, standing), False)
    assert queue.claim(db) is None, "what is under way is not claimed once more"
    between = queue.remaining(db, "tiny")
    recorder.take(claim, Finished(), False)
    assert queue.remaining(db, "tiny") == between
    return wanted.attack.params.get("loss", wanted.attack.name)


def test_whoever_works_goes_on_with_a_climb_rung_after_rung(db, home, trial):
    escalation.add_next_rungs(db, home, Escalate("tiny", (trial,), THREAT))
    ran = []
    while queue.remaining(db, "tiny") == {"queued": 1}:
        ran.append(finish(db, home, 30))
    assert ran == ["ce", "ce", "targeted"]
    assert verdict(db) == ("ok", [])
    assert db.execute("SELECT count(*) FROM escalation").fetchone() == (0,)


def test_a_climb_goes_on_after_a_kill_between_two_rungs_and_after_a_failed_rung_once_it_is_retried(db, home, trial):
    escalation.add_next_rungs(db, home, Escalate("tiny", (trial,), THREAT))
    claim = queue.claim(db)
    evaluated(db, claim, claim.evaluations[0].attack, 30)
    queue.reclaim(db)
    assert queue.remaining(db, "tiny") == {"done": 1}
    escalation.go_on(db)
    assert queue.remaining(db, "tiny") == {"queued": 1}
    claim = queue.claim(db)
    (wanted,) = claim.evaluations
    failed = EvaluationFailed(wanted.attack, stored.samples_of(db)[60], 60, "it broke", "")
    recording.record_failed_evaluation(db, claim.attempt_id, failed)
    Recorder(db, home, give_up=lambda: True).take(claim, Finished(), False)
    assert queue.remaining(db, "tiny") == {"failed": 1}
    assert queue.retry(db, [trial]) == [trial]
    assert [finish(db, home, 30), finish(db, home, 30)] == ["ce", "targeted"]
    assert queue.remaining(db, "tiny") == {"done": 1}


def test_a_climb_ends_with_its_trial(db, home, trial):
    escalation.add_next_rungs(db, home, Escalate("tiny", (trial,), THREAT))
    deletion.delete_trials(db, [trial])
    assert db.execute("SELECT count(*) FROM escalation").fetchone() == (0,)


def test_a_climb_at_another_radius_is_one_of_its_own(db, home, trial):
    climb(db, home, trial, 30)
    escalation.add_next_rungs(db, home, Escalate("tiny", (trial,), Threat("linf", 0.2)))
    (attack,) = states.missing_attacks(db, "tiny", trial)
    assert (attack.name, attack.eps, attack.params["after"]["eps"]) == ("pgd", (0.2,), 0.2)
    assert rung_of(attack, THREAT) is None
    assert rung_of(attack, Threat("linf", 0.2)) == 0


@pytest.mark.parametrize(
    ("eps", "words"),
    [("0.1,0.2", "one radius"), ("wide", "not a number"), ("2", "out of range"), ("-1", "out of range")],
)
def test_bad_radii_are_named(db, home, trial, eps, words):
    def ask():
        threat = escalation.threat_of(db, "tiny", eps)
        escalation.add_next_rungs(db, home, Escalate("tiny", (trial,), threat))

    with pytest.raises(BadInput, match=words):
        ask()
    assert states.missing_attacks(db, "tiny", trial) == []


def test_a_trial_that_is_not_yet_attacked_or_trained_is_refused(db, home, cache, trial):
    more = {**STUDY, "attacks": [*STUDY["attacks"], {"name": "bim", "eps": [0.1]}], "activations": ["relu", "tanh"]}
    submitting.submit(db, plan_of(more, cache))
    (other,) = [row.trial_id for row in queries.trials(db) if row.trial_id != trial]
    for one, words in ((trial, "yet to be attacked with bim"), (other, "no weights yet")):
        with pytest.raises(BadInput, match=words):
            escalation.add_next_rungs(db, home, Escalate("tiny", (one,), THREAT))


def test_masked_gradients_need_the_whole_ladder():
    """Three quiet rungs settle how strong the attacks are; that gradients are blinded only the rungs without any settle."""
    from tests.core.test_trust import attacked, clean_of, looked

    results = [attacked("fgsm", 200), attacked("pgd", 400, trace={"late": 30})]
    known = Evidence(clean_of(), results, THREAT, [looked(zero_gradients=60)])
    reasons = set(judge(known).reasons)
    assert len(reasons) == 3
    seen = []
    while (rung := next_rung(known, THREAT, masked=True)) is not None:
        seen.append(rung.name)
        ledger = Ledger(rung.eps[0] if rung.eps else None, np.arange(400) < 200, np.full(400, np.inf, np.float32))
        if rung.eps:
            ledger = Ledger(rung.eps[0], ledger.survived)
        known = Evidence(known.clean, results, THREAT, known.looks, added=[*known.added, Evaluated(rung, [ledger])])
        left = judge(known)
        if len(climbed(known, THREAT)) == 3:
            assert left.trust == "suspect"
            assert not any("last steps" in reason.text for reason in left.reasons)
            assert any("no slope in any pixel" in reason.text for reason in left.reasons)
    assert seen == [spec.name for spec in rungs(THREAT)]
    assert judge(known).trust == "ok"
    unsteady = Evidence(known.clean, results, THREAT, [looked(unsteady=9)], added=known.added)
    assert judge(unsteady).trust == "suspect", "randomness is not settled by it"


def test_added_attacks_that_break_more_than_the_study_are_told(db, home, trial, cache):
    strong = plan_of({**STUDY, "attacks": [{"name": "apgd", "eps": [0.1]}]}, cache).study.attacks[0]
    studies.add_attack(db, "tiny", [trial], strong)
    claim = queue.claim(db)
    evaluated(db, claim, strong, 5)
    trust, reasons = verdict(db)
    assert trust == "suspect"
    assert "from 50.0% to 8.3% under apgd" in reasons[0]
    assert "innate attack --escalate" in reasons[0]


def test_escalating_for_real(tmp_path):
    """A study that asks for one short step claims too much; the ladder says by how much and lowers the score, resumes as
    done, and prints one document."""
    document = {
        **STUDY, "name": "weak", "test_samples": 30, "training": {"epochs": 6, "batch_size": 32},
        "attacks": [{"name": "bim", "eps": [0.15], "steps": 1, "alpha": "eps/3"}],
    }  # fmt: skip
    (tmp_path / "weak.toml").write_text(tomli_w.dumps(document))
    home = tmp_path / "home"
    innate_command("run", str(tmp_path / "weak.toml"), home=home)
    (row,) = json.loads(innate_command("trials", "--json", home=home).stdout)["trials"]
    assert row["trust"] == "suspect", "short of the surface"
    done = innate_command("attack", row["trial_id"][:10], "--escalate", "--json", home=home)
    (found,) = json.loads(done.stdout)["escalation"]
    assert found["settled"]
    assert found["escalated"] < found["worst_case"] - 0.1
    assert found["trust"] == "ok"
    assert "rung 1 of 5" in done.stderr
    (best,) = json.loads(innate_command("results", "--json", home=home).stdout)["results"]
    assert best["worst_case"] <= found["escalated"]
    (own,) = [
        one
        for one in json.loads(innate_command("show", row["trial_id"], "--json", home=home).stdout)["trial"][0][
            "results"
        ]
        if not one["added"]
    ]
    assert own["robust_accuracy"] == found["worst_case"]
    again = innate_command("attack", row["trial_id"][:10], "--escalate", home=home)
    assert "rung" not in again.stderr, "nothing is left to climb"
    assert "settled" in again.stdout or "until nothing more fell" in again.stdout or "top of the ladder" in again.stdout
    shown = innate_command("show", row["trial_id"][:10], home=home).stdout
    assert "pgd*" in shown
    assert "checks passed" in shown
    for arguments, words in (
        ((), "--escalate"),
        (("--escalate", "--attack", "pgd"), "not both"),
        (("--escalate", "--set", "steps=3"), "no --set"),
        (("--escalate", "--eps", "0.1,0.2"), "one radius"),
    ):
        refused = innate_command("attack", row["trial_id"][:10], *arguments, home=home, check=2)
        assert words in refused.stderr
        assert refused.stderr.count("\n") == 1
