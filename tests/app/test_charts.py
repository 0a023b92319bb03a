"""Charts as text, the numbers behind them, and pictures that fit their room."""

import numpy as np
import pytest

from app.report import charts, images, study_charts
from app.report.charts import Canvas
from app.report.study_numbers import Scope, heat_table, pareto_front, points, ranking, robustness
from storage.database import connect
from storage.trial import ExampleRow


@pytest.fixture
def db(filled):
    db = connect(filled / "innate.db", read_only=True)
    yield db
    db.conn.close()


CANVAS = Canvas(80, 20)


def scope(db, **changes):
    return Scope(db, "tiny", **changes)


@pytest.mark.parametrize(
    ("pairs", "front"),
    [
        ([], []),
        ([(1, 1)], [0]),
        ([(1, 3), (2, 2), (3, 1), (1, 1), (2, 1)], [0, 1, 2]),
        ([(1, 1), (1, 2), (2, 2), (2, 1)], [2]),
        ([(1, 1), (1, 1)], [0, 1]),
    ],
)
def test_the_pareto_front_is_what_no_other_beats(pairs, front):
    assert sorted(pareto_front(pairs)) == front


def test_the_front_goes_from_left_to_right():
    assert pareto_front([(3, 1), (1, 3), (2, 2)]) == [1, 2, 0]


def test_a_front_is_the_set_that_nothing_dominates():
    pairs = [tuple(pair) for pair in np.random.default_rng(0).integers(0, 6, (40, 2)).tolist()]

    def beaten(pair):
        return any(other[0] >= pair[0] and other[1] >= pair[1] and other != pair for other in pairs)

    assert sorted(pareto_front(pairs)) == [index for index, pair in enumerate(pairs) if not beaten(pair)]


def test_a_few_variants_keep_the_names_they_have_among_all(db):
    everything = ranking(scope(db), "innate")
    assert len(everything) == 4
    assert [one.estimate.value for one in everything] == sorted(
        (one.estimate.value for one in everything), reverse=True
    )
    only = ranking(scope(db, variants=frozenset({everything[1].variant_id})), "innate")
    assert only == [everything[1]]
    assert len(only[0].trial_ids) == 2
    (line,) = robustness(scope(db, variants=frozenset({everything[1].variant_id})), None).lines
    assert line.curve.label == everything[1].label
    assert line.curve.x == (0.0, 0.1, 0.2)


def test_the_tradeoff_shows_and_names_its_front(db):
    found = points(scope(db), "worst_case")
    best = [point.label for point in found if point.front]
    assert best
    text = study_charts.tradeoff(scope(db), CANVAS, "worst_case")
    assert f"* Pareto front, no other is better in both: {', '.join(best)}" in text
    assert text.count("* ") == len(best) + 1


def test_heat_tables_hold_every_pair_of_levels(db):
    found = heat_table(scope(db), "worst_case", None)
    assert found.factors == ("optimizer", "activation")
    assert len(found.values) == 4
    assert set(found.trust.values()) <= {"ok", "suspect", "invalid"}


def test_a_doubtful_number_carries_its_sign():
    text = charts.heatmap(
        "t", ["a"], ["x", "y"], {("a", "x"): 50.0, ("a", "y"): 40.0}, 60, full=100.0, signs={("a", "x"): "?"}
    )
    assert "50.0?" in text
    assert "40.0?" not in text


def test_charts_leave_the_terminals_background_alone(db):
    text = study_charts.robustness_curves(scope(db), Canvas(80, 20, colour=True), None)
    assert "\x1b[38;5;" in text
    assert "\x1b[48;5;" not in text


def example(size, channels=1):
    clean = np.random.default_rng(0).random((channels, size, size)).astype("<f4")
    changed = np.clip(clean + 0.1, 0, 1).astype("<f4")
    shape = (channels, size, size)
    return ExampleRow(0, 0.1, 0, 1, 0.9, 0.8, shape, clean.tobytes(), changed.tobytes(), "pgd", "linf", ())


@pytest.mark.parametrize("size", [8, 28, 32, 64, 224])
@pytest.mark.parametrize("colour", [True, False])
@pytest.mark.parametrize(("width", "height"), [(80, 16), (140, 37), (40, 8)])
def test_pictures_fit_the_room_there_is(size, colour, width, height):
    import re

    text = images.in_terminal(example(size), width, colour=colour, height=height, titled=True)
    lines = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in text.splitlines()]
    assert len(lines) <= height + 1
    assert max(map(len, lines)) <= width
    assert lines[0].split()[:2] == ["clean", "adversarial"] or width < 60
    assert max(map(len, lines[1:])) >= min(width, 2 * height * 3) * 0.5


def test_a_picture_in_its_own_size_is_left_as_it_is():
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert np.array_equal(images._resized(picture, 4, 4), picture)
    assert np.array_equal(images._resized(picture, 8, 8), np.kron(picture, np.ones((2, 2, 1), np.uint8)))
    assert images._resized(np.full((28, 28, 3), 77, np.uint8), 13, 25).tolist() == [[[77] * 3] * 25] * 13
