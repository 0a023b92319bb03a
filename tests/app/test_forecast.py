"""How long a plan may take, from trials whose times are made up."""

import json
import subprocess
import sys

import pytest
import tomli_w

from app.report import forecast as forecasting
from app.report.forecast import forecast, measured_on, wanted, why_not_timed
from app.worker import timing
from app.worker.loop import Stop
from app.worker.timing import Timings
from core.events import AttackTimed, Crashed, NotTimed, TrainingTimed
from core.executors.protocol import Slot
from storage import database, submitting
from storage.home import prepare
from tests.conftest import ROOT, plan_of, tiny
from tests.storage import stored

IMAGES = {"train_samples": 100, "test_samples": 60}


@pytest.fixture
def db(home, monkeypatch):
    monkeypatch.setattr(forecasting, "cores", lambda: 2)
    prepare(home)
    db = database.connect(home.database)
    yield db
    db.conn.close()


def seconds_for(db, home, **changes):
    plan = plan_of(tiny(**IMAGES, **changes), home.cache)
    return forecast(db, plan, submitting.preview(db, plan))


def train_all(db, home, seconds, **changes):
    """Every trial of a study, each epoch of 100 images in `seconds`, attacks in a tenth of a second per image."""
    submitting.submit(db, plan_of(tiny(**IMAGES, **changes), home.cache))
    while (claim := stored.run_one(db, home)) is not None:
        db.execute("UPDATE trial SET train_seconds = 2 * ? WHERE id = ?", (seconds, claim.trial_id))
    db.execute("UPDATE evaluation SET seconds = 0.1 * count")


ONE = {"optimizers": ["adam"], "activations": ["relu"], "seeds": 1, "training": {"epochs": 2}, "audit": {"samples": 0}}


def test_without_a_measurement_there_is_no_forecast(db, home):
    assert seconds_for(db, home, **ONE) is None


def test_what_was_measured_is_multiplied_by_what_is_missing(db, home):
    train_all(db, home, 5.0, **ONE)
    assert seconds_for(db, home, **ONE) == 0.0, "nothing is missing"
    four = {**ONE, "activations": ["relu", "tanh", "elu", "silu", "sigmoid"]}
    trained, attacked = 4 * 2 * 5.0, 4 * 2 * 60 * 0.1
    assert seconds_for(db, home, **four) == pytest.approx((trained + attacked) / 2)
    assert seconds_for(db, home, **{**four, "training": {"epochs": 4}}) == pytest.approx(
        (5 * 4 * 5.0 + 5 * 2 * 60 * 0.1) / 2
    ), "of another number of epochs all are new"


def test_a_defense_that_was_not_trained_before_costs_the_slopes_that_it_needs(db, home):
    train_all(db, home, 5.0, **ONE)
    at = {**ONE, "defenses": ["none", {"name": "pgd-at", "eps": 0.1, "steps": 3}]}
    # Of the two trials the undefended one is done; each is taken to be the mean of both: 1 and 1 + 3 slopes.
    assert seconds_for(db, home, **at) == pytest.approx((2 * 5.0 * (1 + 4) / 2 + 2 * 60 * 0.1) / 2)


def test_the_same_options_count_before_the_same_name(db, home):
    train_all(db, home, 5.0, **ONE, architectures=[{"name": "mlp", "hidden": [8]}])
    wide = {**ONE, "architectures": [{"name": "mlp", "hidden": [64]}]}
    known = seconds_for(db, home, **wide)
    assert known == pytest.approx((2 * 5.0 + 2 * 60 * 0.1) / 2), "another width of the net is better than nothing"
    train_all(db, home, 50.0, **wide)
    more = {**wide, "activations": ["tanh"]}
    assert seconds_for(db, home, **more) == pytest.approx((2 * 50.0 + 2 * 60 * 0.1) / 2)


# --- measured just now instead ---


def timings_of(lacking, seconds=0.01, *, attacked=0.1, batches=4, images=32, rooms=2):
    """As if each training image took `seconds` and each test image `attacked`."""
    return Timings(
        tuple(TrainingTimed(trial, seconds, batches) for trial in lacking.trainings),
        tuple(AttackTimed(trial, attack, attacked, images) for trial, attack in lacking.attacks),
        rooms=rooms,
    )


def looked_at(db, home, **changes):
    plan = plan_of(tiny(**IMAGES, **changes), home.cache)
    submission = submitting.preview(db, plan)
    return plan, submission, wanted(db, plan, submission)


def test_what_was_never_run_is_wanted_and_what_was_is_not(db, home):
    both = {
        **ONE,
        "architectures": ["mlp", {"name": "simplenet"}],
        "defenses": ["none", {"name": "pgd-at", "eps": 0.1}],
    }
    _, _, lacking = looked_at(db, home, **both)
    kinds = [(trial.architecture.name, trial.defense.name) for trial in lacking.trainings]
    assert kinds == [("mlp", "none"), ("simplenet", "none"), ("mlp", "pgd-at"), ("simplenet", "pgd-at")]
    assert [attack is None for _, attack in lacking.asked] == [True] * 2 + [False] * 4 + [True] * 2, (
        "what must be known"
    )
    assert [(trial.architecture.name, attack.name) for trial, attack in lacking.attacks] == [
        ("mlp", "fgsm"), ("mlp", "pgd"), ("simplenet", "fgsm"), ("simplenet", "pgd"),
    ]  # fmt: skip
    train_all(db, home, 5.0, **ONE)
    _, _, lacking = looked_at(db, home, **both)
    assert {trial.architecture.name for trial in lacking.trainings} == {"simplenet"}, "an mlp's slopes are known"
    assert [trial.architecture.name for trial, _ in lacking.attacks] == ["simplenet", "simplenet"]
    assert len(looked_at(db, home, **ONE)[2]) == 0


def test_what_was_measured_feeds_the_same_forecast(db, home):
    plan, submission, lacking = looked_at(db, home, **ONE)
    timed = timings_of(lacking)
    trained, attacked = 2 * 100 * 0.01, 2 * 60 * 0.1
    assert forecast(db, plan, submission, timed) == pytest.approx((trained + attacked) / 2)
    assert forecast(db, plan, submission, timings_of(lacking, rooms=1)) == pytest.approx(trained + attacked)
    assert measured_on(lacking, timed) == ["4 batches", "32 images"]
    train_all(db, home, 5.0, **{**ONE, "activations": ["tanh"]})
    assert forecast(db, plan, submission, timed) == pytest.approx((2 * 5.0 + attacked) / 2), "a run tells more"


def test_another_batch_size_data_set_or_architecture_is_not_what_was_measured(db, home):
    _, _, lacking = looked_at(db, home, **ONE)
    timed = timings_of(lacking)
    for change in (
        {"training": {"epochs": 2, "batch_size": 64}},
        {"architectures": [{"name": "mlp", "hidden": [99]}]},
        {"dataset": "mnist5k"},
    ):
        plan, submission, _ = looked_at(db, home, **{**ONE, **change})
        assert forecast(db, plan, submission, timed) is None, change
    plan, submission, _ = looked_at(db, home, **{**ONE, "optimizers": ["sgd"], "seeds": 4})
    assert forecast(db, plan, submission, timed) is not None


def test_a_part_that_could_not_be_measured_is_named_and_leaves_no_forecast(db, home):
    plan, submission, lacking = looked_at(db, home, **ONE)
    whole = timings_of(lacking)
    trial, pgd = lacking.attacks[1]
    timed = Timings(whole.trainings, whole.attacks[:1], (NotTimed(trial, pgd, "took more than 10 s"),), 2)
    assert forecast(db, plan, submission, timed) is None
    assert why_not_timed(lacking, timed) == "mlp, pgd: took more than 10 s"
    assert why_not_timed(lacking, whole) is None
    assert (whole.tells(lacking), timed.tells(lacking), Timings().tells(lacking)) == (True, False, False)
    again = timed.beside(whole)
    assert why_not_timed(lacking, again) is None, "it was found the second time"
    assert forecast(db, plan, submission, again) is not None


def test_a_defense_that_there_was_no_time_for_follows_from_the_slopes_that_it_needs(db, home):
    plan, submission, lacking = looked_at(
        db, home, **ONE, defenses=["none", {"name": "pgd-at", "eps": 0.1, "steps": 3}]
    )
    whole = timings_of(lacking)
    plain, defended = whole.trainings
    timed = Timings((plain,), whole.attacks, (NotTimed(defended.trial, None, "there was no time left for it"),), 2)
    trained, attacked = 2 * 100 * 0.01 * (1 + 4), 2 * 2 * 60 * 0.1
    assert forecast(db, plan, submission, timed) == pytest.approx((trained + attacked) / 2)


class Child:
    """Stands for a process that says these events, one at each look; notes what is done to it."""

    def __init__(self, events, ends):
        self.events, self.ends = list(events), ends

    def __call__(self, slots, log):
        self.log = log
        return self

    def submit(self, key, job):
        self.key, self.job = key, job

    def poll(self, timeout):
        return [(self.key, self.events.pop(0))] if self.events else []

    def close(self):
        self.ends.append("closed")


def measure(monkeypatch, db, home, events, stop=lambda: Stop.NO):
    plan, _, lacking = looked_at(db, home, **ONE)
    ends = []
    child = Child(events(lacking), ends)
    monkeypatch.setattr(timing, "ProcessExecutor", child)
    found = timing.measure(home, plan, lacking, [Slot("cpu", 1), Slot("cpu", 1)], stop)
    assert ends == ["closed"]
    assert not child.log.parent.exists()
    return child, lacking, found


def test_a_child_that_dies_costs_what_it_was_at_and_had_still_to_do(monkeypatch, db, home):
    def events(lacking):
        return [*timings_of(lacking).trainings, Crashed("the training process was ended by SIGKILL", -9)]

    child, lacking, found = measure(monkeypatch, db, home, events)
    assert (child.job.device, child.job.limit) == ("cpu", 60.0)
    assert (len(found.trainings), found.rooms) == (1, 2)
    assert [one.attack.name for one in found.failed] == ["fgsm", "pgd"]
    assert "SIGKILL" in why_not_timed(lacking, found)


def test_measuring_ends_at_once_when_asked_to_and_when_its_time_is_up(monkeypatch, db, home):
    assert measure(monkeypatch, db, home, lambda lacking: [], lambda: Stop.CLEANLY)[2] is None
    monkeypatch.setattr(timing, "LIMIT", -60.0)
    _, lacking, found = measure(monkeypatch, db, home, lambda lacking: timings_of(lacking).trainings)
    assert "did not end within" in why_not_timed(lacking, found)


def test_plan_says_how_to_measure_and_measures_without_torch_of_its_own(innate, tmp_path):
    file = tmp_path / "s.toml"
    file.write_text(tomli_w.dumps(tiny(**ONE)))
    text = innate("plan", str(file)).stdout
    assert "time: unknown, nothing like it was run here; --measure times" in text
    assert "add --measure" in innate("plan", str(file), "--device", "cpu", check=2).stderr
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print('LOADED', 'torch' in sys.modules, file=sys.stderr))\n"
        "from app.main import main\nmain()"
    )
    home = tmp_path / "fresh"
    done = subprocess.run(
        [sys.executable, "-c", code, "--home", str(home), "plan", str(file), "--measure", "--device", "cpu", "--json"],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert "LOADED False" in done.stderr, done.stderr
    (row,) = json.loads(done.stdout)["plan"]
    assert 0 < row["forecast_seconds"] < 600
    assert [part.split()[1] for part in row["forecast_measured_on"]] == ["batches", "images"]
    assert {entry.name for entry in home.iterdir()} == {"cache"}, "as after a plan without it"
