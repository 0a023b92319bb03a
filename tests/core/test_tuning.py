"""How many lanes a device gets: the search for them on curves that were measured or made up."""

import random

import pytest

from core.executors.messages import Look
from core.executors.tuning import MOST_LANES, Tuner

GIB = 1 << 30
H200 = {1: 253_000, 2: 400_000, 4: 502_000, 8: 676_000, 16: 745_000, 32: 730_000}
"""Images a second that so many lanes of the paper's net trained, measured."""


def found(rate, *, each=0, total=100 * GIB, looks=400, noise=0.0, tuner=None):
    """The numbers of lanes that a tuner tries in turn where L lanes do `rate(L)` in a second and take `each` bytes."""
    tuner, tried, draw = tuner or Tuner(), [], random.Random(7)
    for _ in range(looks):
        lanes = tuner.lanes
        tried += [lanes] if tried[-1:] != [lanes] else []
        if lanes * each > total:
            tuner.hold(total // each)
            continue
        work = int(0.5 * rate(lanes) * draw.gauss(1.0, noise))
        tuner.take(Look(lanes, True, 0.5, work, lanes * each, total - lanes * each))
    assert tuner.settled
    return tried


def test_the_curve_of_a_gpu_ends_at_its_best():
    assert found(H200.__getitem__) == [1, 2, 4, 8, 16, 32, 16]


def test_a_device_that_gains_nothing_stays_at_one():
    assert found(lambda lanes: 100_000) == [1, 2, 1]


def test_a_device_that_always_gains_ends_at_the_most():
    assert found(lambda lanes: 1000 * lanes)[-1] == MOST_LANES


@pytest.mark.parametrize("noise", [0.02, 0.05])
def test_noise_of_single_looks_does_not_mislead(noise):
    assert found(H200.__getitem__, noise=noise)[-1] in (16, 32)
    assert found(lambda lanes: 100_000, noise=noise / 2)[-1] == 1


def test_memory_that_ends_at_five_lanes_is_not_gone_beyond():
    assert found(lambda lanes: 1000 * lanes, each=19 * GIB) == [1, 2, 4, 5]


def test_memory_that_ended_all_the_same_is_remembered():
    tuner = Tuner()
    for _ in range(3):
        found(lambda lanes: 1000 * lanes, looks=100, tuner=tuner)
    assert tuner.lanes == MOST_LANES
    tuner.hold(6)
    assert (tuner.lanes, tuner.settled) == (6, True)
    tuner.hold(0)
    assert tuner.lanes == 1, "one trial alone is its own affair"


def test_only_looks_count_in_which_all_lanes_trained():
    tuner = Tuner()
    for _ in range(100):
        tuner.take(Look(1, False, 0.5, 1000, 0, GIB))
        tuner.take(Look(2, True, 0.5, 1000, 0, GIB))
    assert (tuner.lanes, tuner.settled) == (1, False)


def test_a_search_goes_on_where_a_host_that_ended_left_it():
    tuner = Tuner()
    while tuner.lanes < 4:
        tuner.take(Look(tuner.lanes, True, 0.5, 1000 * tuner.lanes, 0, GIB))
    assert found(H200.__getitem__, tuner=tuner)[0] == 4
