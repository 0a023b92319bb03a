"""A linear two-class model, under which every attack's optimum is known in closed form."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from core.evaluation.evaluate import TestSet

SIDE = 4


class Linear(nn.Module):
    """Logits (0, w·x + b): class 1 where the margin is positive."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.w = nn.Parameter(torch.randn(SIDE * SIDE, generator=generator))
        # Centred so that mid-grey images stand near the boundary and no attack at small ε meets the box.
        self.b = nn.Parameter(-0.5 * self.w.detach().sum())

    def margin(self, x):
        return x.flatten(1) @ self.w + self.b

    def forward(self, x):
        margin = self.margin(x)
        return torch.stack([torch.zeros_like(margin), margin], dim=1)


def samples_of(images: torch.Tensor, labels: torch.Tensor, indices=None) -> TestSet:
    count = len(labels)
    return TestSet(images, labels, torch.arange(count) if indices is None else indices, "digest", None)


def grey_images(count: int, seed: int) -> torch.Tensor:
    """uint8 images around mid-grey, at least 0.3 away from black and white."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(90, 166, (count, 1, SIDE, SIDE)).astype(np.uint8))


def small_net(seed: int = 0) -> nn.Module:
    """A little convolutional net with batch norm and dropout, as untrained as can be: attacks do break it."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Tanh(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(24, 3)
    )  # fmt: skip
