"""How far trained weights are from those of before."""

import math

import torch

from core.jobs.reproduction import compared
from core.training.checkpoints import weights_digest

BEFORE = {"w": torch.tensor([3.0, 0.0]), "b": torch.tensor([[4.0]]), "count": torch.tensor(7)}


def test_the_same_weights_are_no_distance_apart():
    found = compared(BEFORE, {name: tensor.clone() for name, tensor in BEFORE.items()})
    assert (found.distance, found.largest) == (0.0, 0.0)
    assert found.stored_digest == weights_digest(BEFORE)


def test_the_distance_is_relative_over_all_tensors_of_numbers():
    found = compared(
        BEFORE, {**BEFORE, "w": torch.tensor([3.0, 0.3]), "b": torch.tensor([[4.4]]), "count": torch.tensor(9)}
    )
    assert math.isclose(found.distance, 0.1, rel_tol=1e-6)
    assert math.isclose(found.largest, 0.4, rel_tol=1e-6)


def test_what_is_no_number_is_infinitely_far():
    found = compared(BEFORE, {**BEFORE, "b": torch.tensor([[math.nan]])})
    assert found.distance == math.inf


def test_from_nothing_to_something_is_infinitely_far():
    zero = {"w": torch.zeros(2)}
    assert compared(zero, {"w": torch.ones(2)}).distance == math.inf
    assert compared(zero, {"w": torch.zeros(2)}).distance == 0.0
