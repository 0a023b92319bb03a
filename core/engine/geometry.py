"""Balls, projections, steepest ascent and sample-bound noise: the geometry that every gradient attack shares.

`eps` is a float or a tensor [n] of one radius per sample, in pixel units of [0, 1]. Norms are "linf" and "l2".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, overload

from core.identity import stream_seed

if TYPE_CHECKING:
    from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15 as a signed 64-bit integer: the increment of splitmix64
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


@overload
def per_sample(value: Tensor, like: Tensor) -> Tensor: ...
@overload
def per_sample(value: float | Tensor, like: Tensor) -> float | Tensor: ...
def per_sample(value: float | Tensor, like: Tensor) -> float | Tensor:
    """`value` [n] shaped to broadcast over `like` [n, …]; one number stays one, be it a float or a tensor []."""
    if isinstance(value, float | int):
        return float(value)
    if value.dim() == 0:
        return value
    return value.view(-1, *([1] * (like.dim() - 1)))


def flat_norm(delta: Tensor) -> Tensor:
    """Euclidean length of each sample, shaped [n, 1, 1, 1] to divide by."""
    lengths: Tensor = delta.flatten(1).norm(dim=1)
    return lengths.view(-1, *([1] * (delta.dim() - 1)))


def lengths(delta: Tensor, norm: str) -> Tensor:
    """[n]: the norm of each sample."""
    flat = delta.flatten(1)
    found: Tensor = flat.abs().amax(dim=1) if norm == "linf" else flat.norm(dim=1)
    return found


def project(adversarial: Tensor, x: Tensor, eps: float | Tensor, norm: str) -> Tensor:
    """The point of the ε-ball around `x` intersected with [0, 1] that PGD steps to (Madry et al. 2018, section 2.1).

    For l2 the ball comes first, then the box: clipping to [0, 1] never moves a point away from an `x` that lies in
    [0, 1], so both hold after it.
    """
    import torch

    eps = per_sample(eps, x)
    if norm == "linf":
        return torch.maximum(torch.minimum(adversarial, x + eps), x - eps).clamp_(0.0, 1.0)
    delta = adversarial - x
    length = flat_norm(delta).clamp_min(1e-12)
    # Python's number over a tensor is this, to the last bit; so is one that lies on the device.
    one = not isinstance(eps, torch.Tensor) or eps.dim() == 0
    factor = (length.reciprocal() * eps if one else eps / length).clamp_max(1.0)
    return (x + delta * factor).clamp_(0.0, 1.0)


def ascent_direction(gradient: Tensor, norm: str) -> Tensor:
    """Unit step of steepest ascent: the sign for linf, the normalised gradient for l2; 0 where the gradient is 0 or none.

    The length of the gradient does not matter, however small or large.
    """
    gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
    if norm == "linf":
        return gradient.sign()
    scaled = by_largest(gradient)
    return scaled / flat_norm(scaled).clamp_min(1.0)


def by_largest(gradient: Tensor) -> Tensor:
    """Each sample divided by its largest absolute value, so that squares and sums neither vanish nor overflow; 0 stays 0."""
    import torch

    largest = gradient.flatten(1).abs().amax(dim=1).clamp_min(torch.finfo(gradient.dtype).tiny)
    return gradient / largest.view(-1, *([1] * (gradient.dim() - 1)))


def noise(seed: int, samples: Tensor, restart: int, x: Tensor, norm: str) -> Tensor:
    """A point of the unit ball for each sample, shaped like `x` [n, c, h, w]; multiply by ε to use it.

    A pure function of (seed, sample's index in the data set, restart): independent of batch size, order, neighbours
    and device. linf: uniform in [-1, 1]; l2: uniform in the ball (Gaussian direction, radius u^(1/d)).
    """
    import torch

    numel = x[0].numel()
    if norm == "linf":
        return (2.0 * uniform(seed, samples, restart, numel) - 1.0).view_as(x).to(x.dtype)
    pairs = uniform(seed, samples, restart, 2 * numel + 1)
    radius = (-2.0 * torch.log(1.0 - pairs[:, :numel])).sqrt()
    gaussian = radius * torch.cos(2.0 * math.pi * pairs[:, numel : 2 * numel])
    direction = gaussian / gaussian.norm(dim=1, keepdim=True).clamp_min(1e-12)
    points: Tensor = direction * pairs[:, -1:].pow(1.0 / numel)
    return points.view_as(x).to(x.dtype)


def uniform(seed: int, samples: Tensor, restart: int, numel: int, stream: str = "attack-noise") -> Tensor:
    """[n, numel] floats in [0, 1) that belong to (seed, sample, restart, stream): splitmix64 used as a counter-based
    generator (Steele, Lea, Flood 2014)."""
    return uniform_of(stream_seed(seed, stream, restart), samples, numel)


def uniform_of(key: int | Tensor, samples: Tensor, numel: int) -> Tensor:
    """The same of a stream's `key`, which `core.identity.stream_seed` gives; an int, or a tensor []."""
    import torch

    start = _mix(samples.to(torch.int64) * _GOLDEN + key)
    counter = torch.arange(1, numel + 1, dtype=torch.int64, device=samples.device) * _GOLDEN
    bits = _mix(start[:, None] + counter[None, :])
    return ((bits >> 40) & 0xFFFFFF).to(torch.float32) / float(1 << 24)


def _mix(z: Tensor) -> Tensor:
    """The finaliser of splitmix64 on int64 tensors; multiplication wraps, shifts are made logical by a mask."""
    z = (z ^ ((z >> 30) & ((1 << 34) - 1))) * _MIX_1
    z = (z ^ ((z >> 27) & ((1 << 37) - 1))) * _MIX_2
    return z ^ ((z >> 31) & ((1 << 33) - 1))
