"""What an attack's entry holds. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.records.attack import AttackSpec
from core.registry import Parameter

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.standing import Outcome
    from core.engine.victim import Victim

    Direction = Callable[[Victim, Tensor, Tensor, Tensor, int, AttackSpec], Tensor]
    """(victim, x, y, samples, draw, attack) → a direction d like x: the image at radius ε is the projection of x + ε·d."""
    Iterate = Callable[[Victim, Tensor, Tensor, Tensor, int, float | Tensor, AttackSpec], Outcome]
    """(victim, x, y, samples, round, ε, attack) → how it ended; ε is one radius or one per sample."""
    Minimise = Callable[[Victim, Tensor, Tensor, Tensor, AttackSpec], Tensor]
    """(victim, x, y, samples, attack) → images like x that fool the model as near to x as they could be brought; x where
    none was found."""
    Propose = Callable[[Victim, Tensor, Tensor, Tensor, int, float | Tensor, AttackSpec], Tensor]
    """As `Iterate`, but gives images like x alone, which nobody has judged yet."""


def restarts_of(params: Mapping[str, Any], classes: int) -> int:  # noqa: ARG001
    """As many rounds as the option `restarts` says, if there is one."""
    return int(params.get("restarts", 1))


@dataclass(frozen=True)
class Attack:
    """Exactly one of `direction` (single-step attacks and noise), `iterate`, `minimise` (minimum-norm attacks, which take
    no ε) and `ensemble` (attacks carried out one after another on what the ones before left standing) is given.

    In all, x [n, c, h, w] are pixels in [0, 1], y [n] the true labels and `samples` [n] the indices of the samples in the
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
    minimise: Minimise | None = None
    ensemble: Callable[[AttackSpec], tuple[AttackSpec, ...]] | None = None
    """attack → its members, whose ε are its own."""
    rounds: Callable[[Mapping[str, Any], int], int] = restarts_of
    """(params, classes) → how often `iterate` runs, each time on what still stands: restarts, or targets."""
    black_box: bool = False
    """Asks for logits only, never for a gradient."""
    propose: Propose | None = None
    """What a plugin gives in place of `iterate`, which is then made of it: every success is the engine's to confirm
    (`core.attacks.added`)."""

    @property
    def single_step(self) -> bool:
        return self.direction is not None

    @property
    def minimum_norm(self) -> bool:
        return self.minimise is not None


def kind_of(attack: AttackSpec) -> tuple[object, ...]:
    """What is the same in all steps of an attack, whatever the radius and the seed: recordings are told apart by it."""
    return attack.name, attack.norm, *sorted(attack.params.items())


def restarts(default: int, summary: str) -> Parameter:
    return Parameter("restarts", "int", default, summary, low=1)


def steps(default: int, summary: str = "gradient steps") -> Parameter:
    return Parameter("steps", "int", default, summary, low=1)


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


def loss(*choices: str) -> Parameter:
    """The first is the default."""
    meanings = {
        "ce": "cross-entropy",
        "usual": "cross-entropy as libraries compute it, whose slope vanishes where a model is sure",
        "margin": "difference of logits",
        "dlr": "difference of logits ratio",
        "targeted": "that ratio towards each of the likeliest wrong classes in turn",
    }
    told = ", ".join(f"{name}: {meanings[name]}" for name in choices)
    return Parameter("loss", "str", choices[0], f"what is ascended ({told})", choices=choices)
