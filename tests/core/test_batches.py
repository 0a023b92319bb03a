"""How many images go through a model at a time, by what they take."""

import torch
from torch import nn

from core.engine.buckets import sized
from core.evaluation import batches
from core.evaluation.batches import batch_within, bytes_per_image, usual_batch
from core.lanes.lane import Lane, current_lane
from tests.core.linear import samples_of, small_net

CPU = torch.device("cpu")


def test_a_batch_takes_no_more_than_its_room_and_needs_no_padding():
    for room in range(300, 20_000, 137):
        batch = batch_within(1000.0 * room, 1000)
        assert batch <= min(room, 16_384)
        assert batch >= 0.8 * min(room, 16_384)
        assert sized(batch) == batch
    assert batch_within(1e12, 1) == 16_384
    assert batch_within(10.0, 1000) == 256


def test_bytes_of_an_image_add_up_what_modules_put_out_whatever_they_are_in():
    wide, narrow = (nn.Sequential(nn.Conv2d(1, c, 3, padding=1), nn.Sequential(nn.ReLU())) for c in (64, 2))
    one = torch.rand(1, 1, 10, 10)
    found = [bytes_per_image(net, one) for net in (wide, narrow)]
    assert found[0] - found[1] == 4 * 4 * 2 * (64 - 2) * 100  # four times the bytes of two outputs


def test_looking_at_what_an_image_takes_leaves_the_model_as_it_was():
    net = small_net().train()
    mean = net[1].running_mean.clone()
    bytes_per_image(net, torch.rand(1, 1, 4, 4))
    assert net.training
    assert torch.equal(net[1].running_mean, mean)
    assert not any(module._forward_hooks for module in net.modules())
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_on_the_cpu_a_batch_is_what_it_always_was_and_nothing_is_asked(monkeypatch):
    def never(*_):
        raise AssertionError

    monkeypatch.setattr(batches, "bytes_per_image", never)
    tests = samples_of(torch.zeros(5, 1, 4, 4, dtype=torch.uint8), torch.zeros(5, dtype=torch.long))
    assert usual_batch(small_net(), tests) == 128


def test_a_lane_counts_with_all_memory_unless_told_otherwise():
    lane = Lane(CPU)
    assert lane.share == 1.0
    lane.share = 0.25
    with lane.entered():
        assert current_lane(CPU).share == 0.25
