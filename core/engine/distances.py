"""What minimum-norm attacks share: the nearest adversarial image seen so far of each row.

Imports torch: for children only.
"""

from __future__ import annotations

import torch
from torch import Tensor

from core.engine.geometry import lengths, per_sample
from core.engine.victim import Victim

_NUDGES = (0.0, 1e-4, 1e-3, 1e-2)
"""How far beyond the image found one goes, as a share of its perturbation, where a fresh pass no longer sees a mistake:
images on the very boundary fall to either side with the rounding of another batch shape."""

_NEARER, _HALVINGS = 0.9, 10
"""Radii that shrink by shares and Adam's steps end beyond the boundary, mostly by less than a tenth; halving what lies
between finds it to 0.01 %, for eleven forward passes after hundreds."""


class Nearest:
    """`distance` [n] is inf where nothing was found; `images` are x there."""

    def __init__(self, x: Tensor, norm: str) -> None:
        self._x, self._norm = x, norm
        self.distance, self.images = x.new_full((len(x),), float("inf")), x

    def see(self, adversarial: Tensor, fooled: Tensor, at: Tensor | None = None) -> Tensor:
        """Keep the rows of `adversarial` that fool and lie nearer than before; `at` are their positions, all if None.

        Returns which of the rows were kept.
        """
        if at is None:
            found = nearer(self._x, self.distance, self.images, adversarial, fooled, self._norm)
            kept, self.distance, self.images = found
        else:
            before = self._x[at], self.distance[at], self.images[at]
            kept, distance, images = nearer(*before, adversarial, fooled, self._norm)
            self.keep(at, distance, images)
        return kept

    def keep(self, at: Tensor, distance: Tensor, images: Tensor) -> None:
        """Take over what `nearer` says of the rows at the positions `at`."""
        self.distance = self.distance.index_copy(0, at, distance)
        self.images = self.images.index_copy(0, at, images)


def nearer(
    x: Tensor, distance: Tensor, images: Tensor, adversarial: Tensor, fooled: Tensor, norm: str
) -> tuple[Tensor, Tensor, Tensor]:
    """(which rows of `adversarial` fool and lie nearer to x than `distance`, the distance after, the `images` after)."""
    length = lengths(adversarial - x, norm)
    kept = fooled & (length < distance)
    return (
        kept,
        torch.where(kept, length, distance),
        torch.where(per_sample(kept, adversarial), adversarial, images),
    )


def firm(victim: Victim, images: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """(fooled [n], images like x): drawn in along the line to x while they still fool, and confirmed by fresh fp32 passes,
    nudged outwards where they must be; x where nothing helps or nothing was found."""
    delta = images - x
    outer, inner = x.new_ones(len(x)), x.new_zeros(len(x))
    for turn in range(_HALVINGS + 1):
        share = torch.full_like(outer, _NEARER) if turn == 0 else (outer + inner) / 2
        wrong = victim.logits((x + per_sample(share, x) * delta).clamp(0.0, 1.0)).argmax(dim=1) != y
        outer = torch.where(wrong, torch.minimum(outer, share), outer)
        inner = torch.where(wrong, inner, torch.maximum(inner, share))
    fooled = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    out = x.clone()
    for nudge in _NUDGES:
        left = torch.nonzero(~fooled & (delta != 0).flatten(1).any(dim=1)).flatten()
        if len(left) == 0:
            break
        tried = (x[left] + per_sample(outer[left] + nudge, x) * delta[left]).clamp(0.0, 1.0)
        wrong = victim.logits(tried).argmax(dim=1) != y[left]
        out[left[wrong]] = tried[wrong]
        fooled[left[wrong]] = True
    return fooled, out
