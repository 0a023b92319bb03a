"""Round numbers along axes, and labels that have room."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.report.charts import Canvas, Curve, curves
from app.report.ticks import apart, around, label, rounded, ticks

PLACES = st.lists(st.floats(0.0, 1.0).map(lambda place: round(place, 3)), min_size=1, max_size=30, unique=True)
NUMBERS = st.floats(-1e4, 1e4, allow_nan=False).map(lambda value: round(value, 6))


@pytest.mark.parametrize(
    ("low", "high", "marked"),
    [
        (0.0, 100.0, [0, 20, 40, 60, 80, 100]),
        (0.0, 0.3, [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3]),
        (-3.0, 3.0, [-3, -2, -1, 0, 1, 2, 3]),
    ],
)
def test_ticks_are_round(low, high, marked):
    assert ticks(low, high) == marked


def test_few_ticks_are_quarters():
    assert ticks(0.0, 100.0, 4) == [0, 25, 50, 75, 100]


@given(st.lists(NUMBERS, min_size=1, max_size=20), st.integers(2, 10))
def test_every_value_lies_between_the_first_mark_and_the_last(values, most):
    marked = around(values, most)
    near = 1e-6 * (abs(marked[0]) + abs(marked[-1]))
    assert marked[0] <= min(values) + near
    assert marked[-1] >= max(values) - near
    assert 2 <= len(marked) <= most + 3


def test_what_is_no_number_marks_nothing():
    assert around([float("nan"), 1.0, float("inf"), 3.0]) == around([1.0, 3.0])
    assert len(around([float("nan")])) > 1
    lost = [Curve("loss", (1.0, 2.0), (2.3, float("nan"))), Curve("worse", (1.0, 2.0), (float("nan"),) * 2)]
    canvas = Canvas(60, 12)
    assert "loss" in curves("t", lost, x_label="epoch", y_label="loss", y_limits=None, x_ticks=(1, 2), canvas=canvas)


def test_of_many_epochs_the_first_and_round_ones_are_marked():
    assert rounded([1, 2, 3, 4, 5]) == [1, 2, 3, 4, 5]
    assert rounded(list(range(1, 101))) == [1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert rounded([7]) == [7]


@given(PLACES, st.integers(12, 150))
def test_labels_that_are_kept_do_not_run_into_each_other(places, room):
    places.sort()
    kept = apart(places, places[0], places[-1], room)
    assert kept[-1] == places[-1]
    assert set(kept) <= set(places)
    columns = [(place - places[0]) / ((places[-1] - places[0]) or 1.0) * room for place in kept]
    for (left, one), (right, other) in zip(
        zip(columns, kept, strict=True), zip(columns[1:], kept[1:], strict=False), strict=False
    ):
        assert right - left >= (len(label(one)) + len(label(other))) / 2 + 1
