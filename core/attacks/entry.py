"""What an attack's entry holds. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.records import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.attacks.victim import Victim

    Direction = Callable[[Victim, Tensor, Tensor, Tensor, int, AttackSpec], Tensor]
    """(victim, x, y, samples, draw, attack) → a direction d like x: the image at radius ε is the projection of x + ε·d."""
    Iterate = Callable[[Victim, Tensor, Tensor, Tensor, int, float, AttackSpec], tuple[Tensor, Tensor]]
    """(victim, x, y, samples, restart, ε, attack) → (broken [n] bool, images like x that broke them, else x)."""


@dataclass(frozen=True)
class Attack:
    """Exactly one of `direction` (single-step attacks and noise) and `iterate` is given.

    In both, x [n, c, h, w] are pixels in [0, 1], y [n] the true labels and `samples` [n] the indices of the samples in the
    data set, to which all randomness is bound. `engine` is bumped by hand when the same parameters give other results.
    """

    name: str
    summary: str
    source: str
    parameters: tuple[Parameter, ...]
    engine: int = 1
    norms: tuple[str, ...] = ("linf", "l2")
    direction: Direction | None = None
    iterate: Iterate | None = None

    @property
    def single_step(self) -> bool:
        return self.direction is not None


def restarts(default: int, summary: str) -> Parameter:
    return Parameter("restarts", "int", default, summary, low=1)


def steps(default: int) -> Parameter:
    return Parameter("steps", "int", default, "gradient steps", low=1)


def alpha(default: str) -> Parameter:
    return Parameter(
        "alpha",
        "float",
        default,
        'step size, a number or "eps/K"',
        low=0.0,
        open_low=True,
        unit="pixels in [0, 1]",
        step_size=True,
    )


def loss() -> Parameter:
    return Parameter("loss", "str", "ce", "what is ascended: cross-entropy", choices=("ce",))
