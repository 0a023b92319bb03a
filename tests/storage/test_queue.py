import itertools
import json
import multiprocessing
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from core.attacks import resolve
from core.errors import BadInput, NotFound, Unavailable
from core.events import EvaluationFailed
from storage import (
    commands,
    database,
    deletion,
    export,
    outcomes,
    queries,
    queue,
    recording,
    states,
    studies,
    submitting,
)
from storage.changes import Delete
from storage.destinations import in_use
from storage.reading import as_json
from storage.trial import trial_detail
from tests.conftest import plan_of, tiny
from tests.storage import stored


@pytest.fixture
def db(home):
    return database.connect(home.database)


def counts(db, study="tiny"):
    return queue.remaining(db, study)


def test_submitting_queues_everything_once(db, home, cache):
    plan = plan_of(tiny(), cache)
    before = submitting.preview(db, plan)
    submission = submitting.submit(db, plan)
    assert (before.new, before.trials, before.evaluations_missing) == (8, 8, 16)
    assert submission == submitting.preview(db, plan)
    assert counts(db) == {"queued": 8}
    submitting.submit(db, plan)
    assert counts(db) == {"queued": 8}


def test_a_trial_goes_from_queued_over_running_to_done_with_scores(db, home, cache):
    submitting.submit(db, plan_of(tiny(), cache))
    claim = queue.claim(db)
    assert counts(db) == {"queued": 7, "running": 1}
    assert (claim.number, claim.earlier_attempts, claim.clean) == (1, (), (60,))
    assert [e.attack.name for e in claim.evaluations] == ["fgsm", "pgd"]
    assert claim.trial.id == claim.trial_id
    stored.train(db, home, claim)
    stored.evaluate(db, claim)
    assert counts(db) == {"queued": 7, "done": 1}, "done in the very transaction of the last ledger"
    queue.settle(db, claim.attempt_id)
    (row,) = queries.trials(db, state="done")
    assert row.attempts == 1
    assert row.train_seconds == 0.5
    (best,) = queries.leaderboard(db, "tiny")
    assert best.seeds == 1
    assert 0 < best.innate < 100
    assert best.retention == pytest.approx(best.worst_case / best.clean_accuracy)
    assert len(queries.results(db, "tiny")) == 4


def test_scores_are_gone_while_a_study_waits_for_a_new_attack_and_come_back(db, home, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    while stored.run_one(db, home):
        pass
    assert counts(db) == {"done": 4}
    more = tiny(seeds=1, attacks=[*tiny()["attacks"], {"name": "bim", "eps": [0.1]}])
    submission = submitting.submit(db, plan_of(more, cache))
    assert (submission.trained, submission.new, submission.evaluations_missing) == (4, 0, 4)
    assert counts(db) == {"queued": 4}
    claim = queue.claim(db)
    assert [e.attack.name for e in claim.evaluations] == ["bim"]
    assert claim.clean == ()
    stored.evaluate(db, claim)
    queue.settle(db, claim.attempt_id)
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    assert counts(db) == {"done": 4}, "the smaller study needs nothing more"


def test_a_shrunk_grid_loses_cells_but_no_trials(db, home, cache):
    submitting.submit(db, plan_of(tiny(), cache))
    while stored.run_one(db, home):
        pass
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    assert counts(db) == {"done": 4}
    assert db.execute("SELECT count(*) FROM trial").fetchone()[0] == 8
    again = submitting.submit(db, plan_of(tiny(), cache))
    assert (again.done, again.new) == (8, 0)
    assert counts(db) == {"done": 8}


def test_two_studies_share_a_trial_and_train_it_once(db, home, cache):
    submitting.submit(db, plan_of(tiny(), cache))
    other = tiny(name="other", seeds=1, attacks=[{"name": "noise", "eps": [0.1]}, tiny()["attacks"][0]])
    submitting.submit(db, plan_of(other, cache))
    claim = queue.claim(db, "other")
    assert sorted(e.attack.name for e in claim.evaluations) == ["fgsm", "noise", "pgd"]
    assert counts(db, "tiny") == {"queued": 7, "running": 1}
    stored.train(db, home, claim)
    stored.evaluate(db, claim)
    queue.settle(db, claim.attempt_id)
    assert counts(db, "tiny")["done"] == counts(db, "other")["done"] == 1
    attacks = {(row.study, row.attack) for row in queries.results(db)}
    assert attacks == {("tiny", "fgsm"), ("tiny", "pgd"), ("other", "fgsm"), ("other", "noise")}


def test_a_running_trial_is_not_claimed_for_another_study(db, home, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    claims = [queue.claim(db) for _ in range(4)]
    submitting.submit(db, plan_of(tiny(name="other", seeds=1), cache))
    assert counts(db, "other") == {"queued": 4}
    assert queue.claim(db) is None
    stored.train(db, home, claims[0])
    stored.evaluate(db, claims[0])
    queue.settle(db, claims[0].attempt_id)
    (row,) = [row for row in queries.trials(db, "other") if row.trial_id == claims[0].trial_id]
    assert row.state == "queued"
    late = queue.claim(db)
    assert (late.trial_id, late.evaluations, late.clean) == (claims[0].trial_id, (), ())
    queue.settle(db, late.attempt_id)
    assert counts(db, "other") == {"queued": 3, "done": 1}


def test_a_failed_trial_stays_failed_until_it_is_retried(db, home, cache):
    submitting.submit(db, plan_of(tiny(), cache))
    claim = queue.claim(db)
    queue.fail(db, claim.attempt_id, "the loss became NaN", "Traceback …")
    submitting.submit(db, plan_of(tiny(), cache))
    (row,) = queries.trials(db, state="failed")
    assert row.reason == "the loss became NaN"
    assert trial_detail(db, row.trial_id).attempts[0].traceback == "Traceback …"
    assert queue.retry(db, [row.trial_id]) == [row.trial_id]
    assert counts(db) == {"queued": 8}


def test_a_failed_evaluation_fails_the_trial_and_keeps_the_weights(db, home, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    claim = queue.claim(db)
    stored.train(db, home, claim)
    fgsm = claim.evaluations[0]
    broken = EvaluationFailed(fgsm.attack, stored.samples_of(db)[60], 60, "NaN logits", "")
    stored.evaluate(db, claim)
    recording.record_failed_evaluation(db, claim.attempt_id, broken)
    queue.settle(db, claim.attempt_id)
    queue.reclaim(db)
    (row,) = queries.trials(db, where={"state": "done"})
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    (row,) = queries.trials(db, state="failed")
    assert row.reason == "fgsm: NaN logits"
    assert queue.weights_path(db, row.trial_id)
    assert queries.leaderboard(db, "tiny") == []
    queue.retry(db, [row.trial_id])
    again = queue.claim(db)
    assert [e.attack.name for e in again.evaluations] == ["fgsm"]


def test_crashes_are_retried_five_times_in_a_row_and_progress_starts_the_count_again(db, home, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    first = queue.claim(db)
    for number in range(1, 4):
        queue.crash(db, first.attempt_id if number == 1 else queue.claim(db).attempt_id, "SIGSEGV", -11, True)
    claim = queue.claim(db)
    assert claim.trial_id == first.trial_id
    assert claim.number == 4
    recording.record_epochs(db, claim.trial_id, [stored.epoch(1)])
    for number in range(5):
        assert counts(db).get("failed") is None
        queue.crash(db, claim.attempt_id if number == 0 else queue.claim(db).attempt_id, "SIGSEGV", -11, True)
    (row,) = queries.trials(db, state="failed")
    assert "5 times in a row" in row.reason


def test_what_is_not_the_trials_fault_is_never_counted(db, home, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    for _ in range(12):
        queue.crash(db, queue.claim(db).attempt_id, "its fork server died", None, False)
    assert counts(db) == {"queued": 4}


def test_a_new_owner_reclaims_what_the_last_one_left(db, home, cache):
    submitting.submit(db, plan_of(tiny(), cache))
    queue.claim(db)
    queue.claim(db)
    assert queue.reclaim(db) == 2
    assert counts(db) == {"queued": 8}
    kinds = db.execute("SELECT exit_kind FROM attempt").fetchall()
    assert kinds == [("lost",), ("lost",)]
    assert queue.claim(db).earlier_attempts == (1,)


def _claim_all(path):
    db = database.connect(Path(path))
    claimed = []
    while (claim := queue.claim(db)) is not None:
        claimed.append(claim.trial_id)
    return claimed


def test_claims_of_many_processes_never_overlap(db, home, cache):
    submitting.submit(db, plan_of(tiny(seeds=10), cache))
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        claimed = list(itertools.chain(*pool.map(_claim_all, [str(home.database)] * 4)))
    assert len(claimed) == len(set(claimed)) == 40


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.sampled_from(["run", "claim", "release", "fail", "crash", "reclaim", "submit", "retry"]), max_size=25
    )
)
def test_whatever_happens_every_trial_can_still_be_finished(steps, home, cache):
    for path in home.root.glob("innate.db*"):
        path.unlink()
    db = database.connect(home.database)
    plan = plan_of(tiny(seeds=1), cache)
    submitting.submit(db, plan)
    held = []
    for step in steps:
        if step == "run":
            stored.run_one(db, home)
        elif step == "claim":
            held += [claim for claim in [queue.claim(db)] if claim]
        elif step == "submit":
            submitting.submit(db, plan)
        elif step == "reclaim":
            queue.reclaim(db)
            held.clear()
        elif step == "retry":
            queue.retry(db, [row.trial_id for row in queries.trials(db, state="failed")])
        elif held:
            claim = held.pop()
            {
                "release": lambda c: queue.release(db, c.attempt_id, "stopped"),
                "fail": lambda c: queue.fail(db, c.attempt_id, "no", ""),
                "crash": lambda c: queue.crash(db, c.attempt_id, "no", 1, True),
            }[step](claim)
        assert sum(counts(db).values()) == 4
        assert counts(db).get("running", 0) == len(held)
    queue.reclaim(db)
    queue.retry(db, [row.trial_id for row in queries.trials(db, state="failed")])
    while stored.run_one(db, home):
        pass
    assert counts(db) == {"done": 4}
    assert len(queries.leaderboard(db, "tiny")) == 4


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_a_bitmap_comes_back_as_it_was(bits):
    array = np.array(bits)
    assert np.array_equal(outcomes.unpacked(outcomes.packed(array), len(bits)), array)


def test_added_attacks_stand_in_the_results_and_leave_the_scores_alone(db, home, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    claim = stored.run_one(db, home)
    before = queries.leaderboard(db, "tiny")
    strong = resolve("pgd", {"eps": [0.1], "steps": 50}, "attack")
    assert studies.add_attack(db, "tiny", [claim.trial_id], strong) == 1
    again = queue.claim(db)
    assert [e.attack for e in again.evaluations] == [strong]
    stored.evaluate(db, again)
    queue.settle(db, again.attempt_id)
    assert queries.leaderboard(db, "tiny") == before
    added = [row for row in queries.results(db, "tiny") if row.added]
    assert [row.attack_id for row in added] == [strong.id]
    untrained = next(row.trial_id for row in queries.trials(db, state="queued"))
    with pytest.raises(BadInput, match="no weights"):
        studies.add_attack(db, "tiny", [untrained], strong)


def test_cancelling_what_waits_for_an_added_attack_drops_that_attack_alone(db, home, cache):
    submitting.submit(db, plan_of(tiny(seeds=1), cache))
    claim = stored.run_one(db, home)
    scores = queries.leaderboard(db, "tiny")
    strong = resolve("pgd", {"eps": [0.1], "steps": 50}, "attack")
    studies.add_attack(db, "tiny", [claim.trial_id], strong)
    untrained = next(row.trial_id for row in queries.trials(db, state="queued") if row.trial_id != claim.trial_id)
    assert queue.cancel(db, [claim.trial_id, untrained], None) == [claim.trial_id, untrained]
    states = {row.trial_id: row.state for row in queries.trials(db)}
    assert (states[claim.trial_id], states[untrained]) == ("done", "cancelled")
    assert queries.leaderboard(db, "tiny") == scores
    assert studies.added_attacks(db, "tiny") == []


def test_trials_are_found_by_unique_prefix_and_filtered(db, home, cache):
    submitting.submit(db, plan_of(tiny(), cache))
    ids = [row.trial_id for row in queries.trials(db)]
    assert queries.find_trial(db, ids[0][:10].upper()) == ids[0]
    with pytest.raises(NotFound, match="no trial"):
        queries.find_trial(db, "0" * 40)
    with pytest.raises(BadInput, match="hex"):
        queries.find_trial(db, "quick")
    shared = next(a[:1] for a, b in itertools.combinations(ids + ids[:0], 2) if a[0] == b[0])
    with pytest.raises(BadInput, match="begins several"):
        queries.find_trial(db, shared)
    assert len(queries.trials(db, where={"optimizer": "adam", "seed": "1"})) == 2
    assert len(queries.trials(db, limit=3, offset=6)) == 2
    with pytest.raises(BadInput, match="'optimizer'"):
        queries.trials(db, where={"optimiser": "adam"})
    with pytest.raises(BadInput, match="done"):
        queries.trials(db, state="finished")
    with pytest.raises(NotFound, match="did you mean 'tiny'"):
        queries.leaderboard(db, "tinny")


def test_deleting_a_study_keeps_what_another_has(db, home, cache):
    submitting.submit(db, plan_of(tiny(), cache))
    while stored.run_one(db, home):
        pass
    submitting.submit(db, plan_of(tiny(name="other", seeds=1), cache))
    removed = deletion.delete_study(db, "tiny")
    assert len(removed) == 4
    assert counts(db, "other") == {"done": 4}
    deletion.delete_trials(db, [queries.trials(db)[0].trial_id])
    assert counts(db, "other") == {"done": 3}
    claim_of = submitting.submit(db, plan_of(tiny(), cache))
    assert claim_of.new == 5
    running = queue.claim(db)
    with pytest.raises(Unavailable, match="is running"):
        deletion.delete_trials(db, [running.trial_id])


def test_exports_are_whole_and_never_overwrite(db, home, cache, tmp_path):
    own = in_use(home, home.database)
    submitting.submit(db, plan_of(tiny(), cache))
    while stored.run_one(db, home):
        pass
    submitting.submit(db, plan_of(tiny(name="other", seeds=1), cache))
    assert export.export_rows(db, tmp_path / "r.jsonl", "jsonl", "tiny", own) == 32
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert rows[0] == as_json(queries.results(db, "tiny")[0])
    assert export.export_rows(db, tmp_path / "r.csv", "csv", None, own) == 48
    assert (tmp_path / "r.csv").read_text().count("\n") == 49
    assert export.export_sqlite(db, tmp_path / "c.db", "other", own) == 4
    copy = database.connect(tmp_path / "c.db", read_only=True)
    assert [row.study for row in studies.studies(copy)] == ["other"]
    assert len(queries.results(copy)) == 16
    assert export.export_sqlite(db, tmp_path / "all.db", None, own) == 8
    with pytest.raises(BadInput, match="exists already"):
        export.export_sqlite(db, tmp_path / "all.db", None, own)
    with pytest.raises(NotFound, match="no study"):
        export.export_rows(db, tmp_path / "x.csv", "csv", "none", own)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.db", "c.db", "home", "r.csv", "r.jsonl"]


def test_commands_are_answered_once_and_can_be_withdrawn(db):
    a, b = Delete(study="a"), Delete(("b",))
    first, second = commands.leave(db, a), commands.leave(db, b)
    assert [command.change() for command in commands.pending(db)] == [a, b]
    assert commands.outcome(db, first, a) is None
    refused = commands.Outcome(None, "no such study", 3)
    commands.answer(db, first, refused)
    assert commands.outcome(db, first, a) == refused
    assert commands.withdraw(db, second)
    assert not commands.withdraw(db, first)
    assert commands.pending(db) == []


def test_listings_use_indices_and_read_no_ledger(db):
    for sql in (
        "SELECT * FROM v_leaderboard WHERE study = 'tiny'",
        "SELECT * FROM trial_in_study WHERE study = 'tiny' ORDER BY study, position LIMIT 50",
        "SELECT * FROM v_trials WHERE study = 'tiny' ORDER BY study, position LIMIT 50",
        "SELECT * FROM v_trials WHERE trial_id = 'a'",
    ):
        plan = " | ".join(row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {sql}"))
        for own in (
            "SCAN v_leaderboard",
            "SCAN v_trials",
            "SCAN x",
        ):  # a view's own rows, and the few trials in no study
            plan = plan.replace(own, "")
        assert "SCAN" not in plan, plan
        assert "ledger" not in plan


def test_a_study_that_is_done_is_not_scored_again_unless_it_wants_something_else(home, cache, monkeypatch):
    db = database.connect(home.database)
    document = tiny(seeds=1, optimizers=["adam"])
    submitting.submit(db, plan_of(document, cache))
    while stored.run_one(db, home):
        pass
    scores = db.execute("SELECT * FROM score ORDER BY 1, 2, 3").fetchall()
    settled = []
    monkeypatch.setattr(submitting, "settle_in", lambda *given: settled.append(given) or states.settle_in(*given))
    assert submitting.submit(db, plan_of({**document, "description": "the same"}, cache)).done == 2
    assert settled == []
    assert db.execute("SELECT * FROM score ORDER BY 1, 2, 3").fetchall() == scores
    submitting.submit(db, plan_of({**document, "attacks": document["attacks"][:1]}, cache))
    assert len(settled) == 2, "fewer attacks: another worst case"
    submitting.submit(db, plan_of({**document, "attacks": document["attacks"][:1], "activations": ["relu"]}, cache))
    assert len(settled) == 3, "fewer trials: what all were attacked with may be another"


def test_a_kill_in_the_middle_of_writing_leaves_a_sound_database(home, cache):
    code = (
        "import sys, itertools; from pathlib import Path; from storage import database, studies; "
        "from tests.conftest import plan_of, tiny; db = database.connect(Path(sys.argv[1]))\n"
        "for n in itertools.count(): submitting.submit(db, plan_of(tiny(name=f's{n % 7}', seeds=20 + n % 5), Path(sys.argv[2])))"
    )
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", code, str(home.database), str(cache)])
        time.sleep(2.5)
        process.send_signal(signal.SIGKILL)
        process.wait()
        db = database.connect(home.database)
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert all(row.trials >= 80 for row in studies.studies(db))


def test_a_folder_s_options_reach_the_claim(db, home, cache, tmp_path):
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(10):
            pixels = rng.integers(0, 256, (12, 8 + number, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / label / f"{number}.png")
    dataset = {"folder": str(tmp_path / "pets"), "size": [8, 10], "fit": "pad", "split": 0.3, "background": "black"}
    plan = plan_of(tiny(dataset=dataset, train_samples=None, test_samples=None), cache)
    submitting.submit(db, plan)
    assert queue.claim(db).source == plan.study.source
    assert studies.stored_study(db, "tiny").source == plan.study.source
    assert studies.stored_dataset(db, "tiny", tmp_path, cache) == plan.info
    assert studies.study_row(db, "tiny").dataset == "folder:pets@8x10"
