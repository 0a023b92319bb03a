"""Where an activation has lost its slope. Imports torch: for children only."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SLOPE_LEFT = 0.01
BOUNDED = (nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Hardtanh, nn.Hardsigmoid)
"""Flat on both sides. Rectifiers are flat on one, where that is how they work; relu6 (a Hardtanh to torch) is one of them."""


def is_bounded(module: nn.Module) -> bool:
    return type(module) in BOUNDED


def flat(module: nn.Module, z: Tensor) -> Tensor:
    """Like z, bool: the slope of a bounded activation is below 1 % of its steepest there. Runs none of the module's hooks."""
    return _slope(module, z) < _SLOPE_LEFT * _steepest(module, z)


def _slope(module: nn.Module, z: Tensor) -> Tensor:
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        # Not called: a call would run the hook again.
        (slope,) = torch.autograd.grad(module.forward(z).sum(), z)
    return slope.abs()


def _steepest(module: nn.Module, like: Tensor) -> Tensor:
    """The largest slope it can have: each of these is steepest near 0."""
    return _slope(module, torch.linspace(-1.0, 1.0, 41, device=like.device, dtype=like.dtype)).max()
