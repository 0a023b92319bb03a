"""How many images go through a model at a time. Imports torch: for children only."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from core.datasets.staging import free_memory
from core.engine.victim import under_attack
from core.evaluation.sweep import TestSet
from core.lanes.lane import current_lane
from core.precision import multiplying_in

_CPU_BATCH = 128
"""Measured on the paper's net: within 3 % of the best of 32 to 256, at half the memory of 256."""
_LEAST, MOST = 256, 16_384
"""On a GPU: below, kernels cost more to start than to run; above, nothing is gained, and a stop is heard late."""
_SHARE = 0.25
"""Of the memory that a lane may count with: estimates err, kernels have workspaces, and test images lie there, too."""
_COPIES = 4
"""Bytes that a pass takes, as a multiple of what its modules put out: those outputs, their gradients, and workspaces."""
_STATE = 32
"""Images that attacks keep of each image: of one attack seven at most, in two sizes of batch."""


def usual_batch(model: nn.Module, test_set: TestSet) -> int:
    """Images of `test_set` that go through `model` at a time: on a GPU as many as its memory takes, in any case between 256 and
    16,384."""
    device = test_set.labels.device
    if device.type != "cuda":
        return _CPU_BATCH
    one = test_set.pixels(torch.zeros_like(test_set.labels[:1]))
    reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    room = (free_memory(device) + reserved) * current_lane(device).share
    return batch_within(_SHARE * room, bytes_per_image(model, one))


def batch_within(room: float, each: int) -> int:
    """The largest batch of `each` bytes an image that takes no more than `room`, of a size that needs no padding
    (`core.engine.buckets.sized`)."""
    wanted = min(MOST, max(_LEAST, int(room // each)))
    quarter = 1 << (wanted.bit_length() - 3)
    return wanted // quarter * quarter


def bytes_per_image(model: nn.Module, one: Tensor) -> int:
    """What an attack on an image like `one` [1, c, h, w] takes on the device: what the modules of `model` put out in one
    forward pass, several times over, and the images that the attack keeps."""
    found = [_STATE * one.numel() * one.element_size()]

    def note(_: nn.Module, __: tuple[Tensor, ...], output: object) -> None:
        if isinstance(output, Tensor):
            found.append(_COPIES * output.numel() * output.element_size())

    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    with contextlib.ExitStack() as hooked, torch.no_grad(), multiplying_in("fp32"), under_attack(model):
        for module in leaves:
            hooked.callback(module.register_forward_hook(note).remove)
        model(one)
    return sum(found)
