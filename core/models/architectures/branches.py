"""Branches side by side; imports torch, so only builders import it."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Branches(nn.Module):
    """Every branch on the same input, their channels one behind the other."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)
