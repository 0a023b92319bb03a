"""A tuned study from its file to its ledger: chosen cell by cell, killed and resumed, and never among the results."""

import itertools
import json

import pytest

from app.report import tuning as pages
from app.report.aggregate import by_factors
from app.report.findings import findings
from app.report.leaderboard import leaderboard_table
from app.report.settle import outlook
from app.tui.run.data import Run
from app.tui.run.words import overview
from app.tui.shell.own import Own
from app.worker import owner
from app.worker.loop import Stop, Worker
from core.errors import BadInput
from core.events import EpochFinished, EpochRecord, Finished, Started, Trained, TrialFailed
from core.executors.inline import InlineExecutor
from core.jobs.trial import run_trial
from core.records.study import TUNING_SEED
from storage import database, deletion, listing, queries, queue, settling, studies, submitting, tuning
from storage.destinations import in_use
from storage.export import export_sqlite
from storage.reading import as_json
from storage.settling import MoreSeeds
from storage.trial import trial_detail
from tests.app.test_worker import Silent
from tests.conftest import plan_of, tiny

DOCUMENT = tiny(
    optimizers=["adam", "sgd", {"name": "rmsprop", "lr": 1e-3}],
    training={"epochs": 1, "batch_size": 32, "hyperparameters": "tuned"},
    tuning={"trials": 3, "validation": 0.2, "ranges": {"adam": {"lr": [1e-4, 1e-2]}}},
    attacks=[{"name": "fgsm", "eps": [0.1]}],
    train_samples=200,
    seeds=1,
)


class Killed(BaseException):
    """As if the process were gone."""


@pytest.fixture
def db(home):
    return database.connect(home.database)


def work(home, db, run=run_trial, die_after=None):
    """Until nothing is left; with `die_after`, until so many events have been seen, when all stays as it is."""
    ownership = owner.acquire(home, owner.DETACHED)
    watcher = Silent()
    worker = Worker(home, db, InlineExecutor(run, 1), watcher, ownership, role=owner.DETACHED, gpus=list)
    if die_after is not None:
        seen = itertools.count(1)

        def happened(trial, event):
            if next(seen) >= die_after:
                raise Killed

        watcher.happened, worker._hand_back = happened, lambda: None
    try:
        assert worker.work(None, lambda: Stop.NO)
    except Killed:
        return None
    finally:
        ownership.release()
    return watcher


def imagined(accuracy):
    """Trials that only tell what they would have come to: `accuracy` of (optimizer, lr), None where it fails; those that are
    compared fail, so that nothing is attacked."""

    def run(job, stop):
        name, rate = job.trial.optimizer.name, job.trial.optimizer.options["lr"]
        yield Started({"device": "cpu", "torch": "x"}, 1, "i" * 64)
        found = accuracy(name, rate) if job.trial.seed == TUNING_SEED else None
        if found is None:
            yield TrialFailed(f"no {rate:g}", "traceback")
            return
        record = EpochRecord(1, 1.0, 0.5, found, rate, 0.25)
        yield EpochFinished(record)
        path = job.folder / "weights.pt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        yield Trained(path, "i" * 64, "f" * 64, (record,), 1000)
        yield Finished()

    return run


def choices(db, study="tiny"):
    """(optimizer, activation) → chosen rate."""
    return {(row.optimizer, row.activation): row.value for row in tuning.ledger(db, study) if row.chosen}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A home in which the study was done without a disturbance. Tests only read it."""
    from storage.home import Home, prepare

    home = Home(tmp_path_factory.mktemp("tuned") / "home")
    prepare(home)
    db = database.connect(home.database)
    submitting.submit(db, plan_of(DOCUMENT, home.cache))
    watcher = work(home, db)
    db.conn.close()  # the file is then whole without a log beside it, to be copied
    return home, database.connect(home.database), watcher


def test_every_cell_chooses_what_its_candidates_say(done):
    _, db, watcher = done
    cells = pages.cells_of(tuning.ledger(db, "tiny"))
    assert len(cells) == 4
    for cell in cells:
        first = [one for one in cell.candidates if not one.widened]
        assert len(first) == 3
        best = max(cell.candidates, key=lambda one: (one.validation_accuracy, -one.value))
        assert cell.chosen == best
        outermost = {cell.candidates[0].value, cell.candidates[-1].value}
        assert cell.edge == (best.value in outermost)
        assert bool(cell.widened) == (
            max(first, key=lambda one: (one.validation_accuracy, -one.value)) in (first[0], first[-1])
        )
        assert cell.widened in (0, 1)
        assert {one.epochs for one in cell.candidates} == {1}
    assert len([note for note in watcher.notes if "of the validation images" in note]) == 4
    compared = queries.trials(db, "tiny")
    assert [row.state for row in compared] == ["done"] * 6
    rates = dict(db.execute("SELECT id, json_extract(optimizer_options, '$.lr') FROM trial").fetchall())
    for row in compared:
        assert rates[row.trial_id] == choices(db).get((row.optimizer, row.activation), 1e-3)
    assert [row.position for row in compared] == list(range(6))
    assert tuning.stages(db, "tiny").to_come == 0


def test_candidates_see_no_test_image_and_stay_out_of_results(done):
    _, db, _ = done
    candidates = {row.trial_id for row in tuning.ledger(db, "tiny")}
    assert candidates
    for table in ("clean", "evaluation", "diagnosis", "traits", "audit", "score", "outcome"):
        seen = {row[0] for row in db.execute(f"SELECT trial_id FROM {table}")}
        assert not seen & candidates, table
    assert candidates.isdisjoint(row.trial_id for row in queries.results(db))
    assert candidates.isdisjoint(row.trial_id for row in listing.page(db))
    assert [row.study for row in studies.studies(db)] == ["tiny"]
    assert studies.latest_study(db) == "tiny"
    assert {row[0] for row in db.execute("SELECT study FROM v_leaderboard UNION SELECT study FROM v_results")} == {
        "tiny"
    }
    shown = queries.trials(db, "tiny~tuning")
    assert candidates == {row.trial_id for row in shown}
    assert {row.seed for row in shown} == {TUNING_SEED}
    assert listing.count(db, listing.EVERYTHING.narrowed("study", "tiny~tuning")) == len(candidates)
    assert listing.count(db) == 6


def test_a_tuned_optimizer_is_one_level_and_its_rate_is_told_where_asked_for(done):
    _, db, _ = done
    found = findings(db, "tiny")
    assert {model.levels["optimizer"] for model in found.models} == {"adam", "sgd", "rmsprop"}
    rows = queries.scores(db, "tiny", "innate")
    assert {one.names for one in by_factors(db, "tiny", "innate", rows, ["optimizer"])} == {
        ("adam",), ("sgd",), ("rmsprop",),
    }  # fmt: skip
    edges = sum(cell.edge for cell in pages.cells_of(tuning.ledger(db, "tiny")))
    assert tuning.on_the_edge(db, "tiny") == (edges, 4)
    board = leaderboard_table(db, "tiny", queries.leaderboard(db, "tiny"), 100)
    assert (f"Tuned: {edges} of 4" in board) == bool(edges)
    for view in ("v_trials", "v_results", "v_leaderboard", "v_robustness", "v_traits"):
        rows = db.execute(
            f"SELECT DISTINCT optimizer, json_extract(optimizer_options, '$.lr') FROM {view} WHERE study = 'tiny'"
        )
        assert dict(rows.fetchall()) == {"adam": "tuned", "sgd": "tuned", "rmsprop": 1e-3}, view
    sgd = listing.page(db, listing.parse_filter("optimizer=sgd optimizer.lr>0"))
    assert len(sgd) == 2, "a filter sees the rate itself"


def test_the_same_study_again_has_nothing_to_do(done, tmp_path):
    home, _, _ = done
    from storage.home import Home
    from tests.conftest import copy_home

    copy_home(home.root, tmp_path / "again")
    db = database.connect(Home(tmp_path / "again").database)
    before = choices(db)
    plan = plan_of(DOCUMENT, home.cache)
    assert submitting.preview(db, plan) == (again := submitting.submit(db, plan))
    assert (again.done, again.trials, again.tuning_missing, again.undecided) == (6, 6, 0, 0)
    assert again.tuning == len(tuning.ledger(db, "tiny"))
    assert choices(db) == before
    assert not tuning.stages(db, "tiny").open
    # Another budget is another set of candidates; those of both are trained once.
    more = {**DOCUMENT, "tuning": {**DOCUMENT["tuning"], "trials": 5}}
    wider = submitting.submit(db, plan_of(more, home.cache))
    assert (wider.undecided, wider.tuning, wider.tuning_missing) == (4, 20, 20 - 3 * 4)
    assert queue.remaining(db, "tiny") == {"done": 2}, "until they have chosen, cells have no trials"
    untuned = {key: value for key, value in DOCUMENT.items() if key != "tuning"} | {
        "training": {"epochs": 1, "batch_size": 32}
    }
    submitting.submit(db, plan_of(untuned, home.cache))
    assert tuning.ledger(db, "tiny") == []
    assert db.execute("SELECT count(*) FROM study").fetchone() == (1,)
    assert db.execute("SELECT count(*) FROM study_trial WHERE tuned IS NOT NULL").fetchone() == (0,)


def test_the_ledger_goes_with_an_exported_study(done, tmp_path):
    home, db, _ = done
    export_sqlite(db, tmp_path / "taken.db", "tiny", in_use(home, home.database))
    taken = database.connect(tmp_path / "taken.db")
    assert tuning.ledger(taken, "tiny") == tuning.ledger(db, "tiny")
    assert {row.state for row in queries.trials(taken, "tiny~tuning")} == {"done"}


def test_a_run_s_detail_has_the_rate_that_was_chosen(done):
    _, db, _ = done
    for name, chosen in (("sgd", True), ("rmsprop", False)):
        row = next(row for row in queries.trials(db, "tiny") if row.optimizer == name)
        run = Run(listing.one(db, "tiny", row.trial_id), trial_detail(db, row.trial_id))
        rate = run.detail.optimizer_options["lr"]
        assert f"{name} lr={rate:g}{', tuned' if chosen else ''}\n" in overview(run, Own()).plain


def test_more_seeds_of_a_tuned_level_are_tuned_too(done, tmp_path):
    from storage.home import Home
    from tests.conftest import copy_home

    copy_home(done[0].root, tmp_path / "more")
    db = database.connect(Home(tmp_path / "more").database)
    variant = next(row.variant_id for row in queries.trials(db, "tiny") if row.optimizer == "sgd")
    assert settling.settle(db, "tiny", [], [], 0.5, [MoreSeeds(variant, (7,))]) == 1
    (row,) = [row for row in queries.trials(db, "tiny") if row.seed == 7]
    assert (row.variant_id, row.optimizer_options["lr"]) == (variant, "tuned")


@pytest.mark.parametrize("after", [1, 4, 17, 30, 49, 61, 70])
def test_killed_at_any_moment_and_resumed_it_chooses_the_same(home, db, after):
    accuracy = {"adam": lambda rate: 1 - rate, "sgd": lambda rate: min(rate, 0.9)}
    submitting.submit(db, plan_of(DOCUMENT, home.cache))
    run = imagined(lambda name, rate: accuracy[name](rate))
    assert work(home, db, run, die_after=after) is None
    queue.reclaim(db)
    work(home, db, run)
    # Adam's best is 1e-5, beyond the edge; of SGD's 1.0 and 10.0, which are alike, the smaller.
    assert set(choices(db).values()) == {1e-5, 1.0}
    assert len(tuning.ledger(db, "tiny")) == 16
    assert queue.remaining(db, "tiny") == {"failed": 6}, "what is compared fails here"
    assert queue.remaining(db, "tiny~tuning") == {"done": 16}


def test_a_worker_that_died_before_it_chose_leaves_it_to_the_next(home, db, monkeypatch):
    submitting.submit(db, plan_of(DOCUMENT, home.cache))
    with monkeypatch.context() as patched:
        patched.setattr(tuning, "advance", lambda db: [])
        work(home, db, imagined(lambda name, rate: 0.5))
    reached = tuning.stages(db, "tiny")
    assert (reached.open, reached.ready, reached.to_come) == (True, 4, 4), (
        "nothing is queued, and yet something is to do"
    )
    work(home, db, imagined(lambda name, rate: 0.5))
    assert set(choices(db)) == {("adam", "relu"), ("adam", "tanh"), ("sgd", "relu"), ("sgd", "tanh")}
    assert not tuning.stages(db, "tiny").open


def test_where_no_candidate_learned_chance_has_chosen_and_that_is_said(home, db):
    """With ten classes: 0.11 is guessing, 0.9 is not."""
    submitting.submit(db, plan_of(DOCUMENT, home.cache))
    work(home, db, imagined(lambda name, rate: 0.11 if name == "adam" else 0.9))
    cells = pages.cells_of(tuning.ledger(db, "tiny"))
    assert [cell.unlearned for cell in cells] == [cell.candidates[0].optimizer == "adam" for cell in cells]
    text = pages.tuning_table("tiny", tuning.ledger(db, "tiny"), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("NONE LEARNED") == 2
    assert "Under no lr that was tried 2 cells learned more than guessing" in " ".join(text.split())


def test_what_fails_is_out_and_a_cell_of_nothing_else_fails_with_its_reason(home, db):
    submitting.submit(db, plan_of(DOCUMENT, home.cache))
    watcher = work(home, db, imagined(lambda name, rate: None if name == "sgd" or rate > 5e-3 else rate))
    # Of adam 1e-2 diverged, so 1e-3 is best, and within the range.
    assert choices(db) == {("adam", "relu"): 1e-3, ("adam", "tanh"): 1e-3}
    reached = tuning.stages(db, "tiny")
    assert (reached.open, reached.hopeless, reached.to_come) == (False, 2, 0)
    assert reached.failed == 6, "two of rmsprop and of adam failed by themselves"
    hopeless = [row for row in tuning.ledger(db, "tiny") if row.optimizer == "sgd"]
    assert {row.cell_reason for row in hopeless} == {"tuning: none of 3 values of lr could be trained with"}
    assert {row.reason for row in hopeless if row.value == 1.0} == {"no 1"}
    assert sum("could be trained with" in note for note in watcher.notes) == 2
    text = pages.tuning_table("tiny", tuning.ledger(db, "tiny"), 100)
    assert text.count("FAILED") == 2
    assert text.count("1 failed") == 2
    # A retry of all takes the candidates of those cells, but not the one that did not matter.
    failed = {row.trial_id for row in hopeless} | {row.trial_id for row in queries.trials(db, "tiny", state="failed")}
    assert set(queries.failed_trials(db)) == failed
    queue.retry(db, [row.trial_id for row in hopeless])
    work(home, db, imagined(lambda name, rate: rate / 10))
    assert choices(db)["sgd", "relu"] == 10.0
    assert {cell.edge for cell in pages.cells_of(tuning.ledger(db, "tiny"))} == {False, True}
    assert "of 2 cells lies on the edge" in " ".join(pages.tuning_table("tiny", tuning.ledger(db, "tiny"), 80).split())


def test_a_cancelled_study_chooses_nothing_and_goes_on_when_it_is_submitted_again(home, db):
    plan = plan_of(DOCUMENT, home.cache)
    submitting.submit(db, plan)
    assert len(queue.cancel(db, None, "tiny")) == 2 + 12
    assert work(home, db, imagined(lambda name, rate: 0.5)) is not None
    assert (tuning.stages(db, "tiny").open, tuning.stages(db, "tiny").to_come) == (False, 4)
    with pytest.raises(BadInput, match="4 trials of tiny are still to come"):
        outlook(db, "tiny", None, None)
    assert submitting.submit(db, plan).tuning_missing == 12
    work(home, db, imagined(lambda name, rate: 0.5))
    assert len(choices(db)) == 4


def test_a_run_of_one_study_does_its_tuning_and_no_other(home, db):
    submitting.submit(db, plan_of(DOCUMENT, home.cache))
    submitting.submit(db, plan_of({**DOCUMENT, "name": "other", "train_samples": 210}, home.cache))
    ownership = owner.acquire(home, owner.DETACHED)
    worker = Worker(
        home, db, InlineExecutor(imagined(lambda *_: 0.5), 1), Silent(), ownership, role=owner.DETACHED, gpus=list
    )
    assert worker.work("tiny", lambda: Stop.NO)
    ownership.release()
    assert len(choices(db)) == 4
    assert choices(db, "other") == {}
    assert queue.unfinished_by_study(db, "other")["other~tuning"].queued == 12


def test_two_studies_share_candidates_and_deleting_one_leaves_them_to_the_other(home, db):
    submitting.submit(db, plan_of(DOCUMENT, home.cache))
    work(home, db, imagined(lambda name, rate: 0.5))
    second = submitting.submit(db, plan_of({**DOCUMENT, "name": "other", "seeds": [5]}, home.cache))
    assert (second.tuning_missing, second.undecided) == (0, 0), "it begins with the choices that are known"
    assert choices(db, "other") == choices(db)
    with pytest.raises(BadInput, match="goes with its study"):
        deletion.delete_study(db, "tiny~tuning")
    removed = deletion.delete_study(db, "tiny")
    assert len(removed) == 6
    assert len(choices(db, "other")) == 4
    assert db.execute("SELECT name FROM study ORDER BY name").fetchall() == [("other",), ("other~tuning",)]
    deletion.delete_study(db, "other")
    for table in ("trial", "study", "tuning_cell", "tuning_candidate"):
        assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table


def test_the_commands_tell_of_both_stages(done, innate, home, tmp_path):
    import tomli_w

    from tests.conftest import copy_home

    home.root.rename(tmp_path / "empty")
    copy_home(done[0].root, home.root)
    path = tmp_path / "tiny.toml"
    path.write_text(tomli_w.dumps(DOCUMENT))
    rows = json.loads(innate("tuning", "--json").stdout)["tuning"]
    assert rows == [as_json(row) for row in tuning.ledger(done[1], "tiny")]
    page = pages.tuning_table("tiny", tuning.ledger(done[1], "tiny"), 80)
    assert "Budget: 4 cells × 3 candidates" in page
    assert f"{len(rows)} trainings" in " ".join(page.split())
    told = " ".join(innate("plan", str(path)).stdout.split())
    assert f"tuning: {len(rows)} candidates" in told
    assert "0 new (4 cells × 3, and 1 more where the best is on the edge), then 6 trials" in told
    assert f"tuning: {len(rows)} done; then: 6 done" in innate("wait").stderr
    assert "no results" in innate("results", "--study", "tiny~tuning", check=2).stderr


def test_the_rate_itself_is_told_where_one_trial_is_shown(done):
    _, db, _ = done
    row = next(row for row in queries.trials(db, "tiny") if row.optimizer == "sgd")
    assert row.optimizer_options["lr"] == "tuned"
    assert trial_detail(db, row.trial_id).optimizer_options["lr"] == choices(db)["sgd", row.activation]
