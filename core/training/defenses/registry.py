"""Defenses: what a model is trained on instead of clean images. To add one: a file with its function and entry, and a
line here. Torch-free until a step is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.registry import Additions, Registry
from core.training.defenses import added, adversarial, free, trades
from core.training.defenses.entry import BatchLoss, Defense
from core.training.defenses.inner import plain

if TYPE_CHECKING:
    from torch import Tensor, nn

    from core.training.defenses.entry import Memory, Options


def _as_they_are(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    smoothing: float,
    options: Options,  # noqa: ARG001
    memory: Memory,  # noqa: ARG001
) -> BatchLoss:
    return plain(model, x, y, smoothing)


DEFENSES: Registry[Defense] = Registry(
    "defense",
    (
        Defense("none", "train on clean images", "-", _as_they_are),
        adversarial.FGSM_AT,
        adversarial.FGSM_RS,
        adversarial.N_FGSM,
        adversarial.PGD_AT,
        trades.TRADES,
        free.FREE_AT,
    ),
    additions=Additions("defenses", Defense, added.adopt, added.absent),
)
