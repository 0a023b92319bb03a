"""How long a plan may take, from trials whose times are made up."""

import pytest

from app.report import forecast as forecasting
from app.report.forecast import forecast
from storage import database, studies
from storage.home import prepare
from tests.conftest import plan_of, tiny
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
    return forecast(db, plan, studies.preview(db, plan))


def train_all(db, home, seconds, **changes):
    """Every trial of a study, each epoch of 100 images in `seconds`, attacks in a tenth of a second per image."""
    studies.submit(db, plan_of(tiny(**IMAGES, **changes), home.cache))
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
