"""Attacks of plugins: what they may be, and how the engine keeps them honest. Torch-free until one runs.

A plugin says which images to try, never which of them count: each is confirmed by a fresh fp32 pass within ball and box, as
those of built-in attacks are. So a mistaken attack can be weak, but it cannot make a model look less robust than it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from core.engine.attack import Attack
from core.errors import BadInput
from core.plugged import Installed, PluginFailed, contained
from core.records.attack import AttackSpec

if TYPE_CHECKING:
    from torch import Tensor

    from core.engine.attack import Direction, Iterate, Minimise, Propose
    from core.engine.standing import Outcome
    from core.engine.victim import Victim

_NORMS = ("linf", "l2")
_KINDS = ("direction", "propose", "minimise")
_OF_EVERY_ATTACK = ("eps", "norm", "seed")


class ModelTouched(PluginFailed):
    """The attack changed the model: nothing that is measured of it afterwards would be of the trained one."""


def adopt(entry: Attack, plugin: Installed) -> Attack:
    """The attack with its functions contained. Raises ValueError for one that could not be held to its results."""
    if entry.iterate is not None or entry.ensemble is not None:
        raise ValueError("gives iterate or ensemble, which say themselves what they broke; give propose")
    given = [kind for kind in _KINDS if getattr(entry, kind) is not None]
    if len(given) != 1 or not callable(getattr(entry, given[0])):
        raise ValueError(f"must give exactly one function of {', '.join(_KINDS)}")
    if not entry.norms or any(norm not in _NORMS for norm in entry.norms):
        raise ValueError(f"has norms {entry.norms!r}, which must be some of {', '.join(_NORMS)}")
    if not isinstance(entry.engine, int) or entry.engine < 1:
        raise ValueError("has an engine that is no whole number from 1 on")
    names = [one.name for one in entry.parameters]
    if any(name in names for name in _OF_EVERY_ATTACK):
        raise ValueError(f"has a parameter of its own called {', '.join(_OF_EVERY_ATTACK)}, which every attack has")
    what = f"attack {entry.name} of {plugin.title}"
    return replace(
        entry,
        norms=tuple(entry.norms),
        direction=None if entry.direction is None else _stepped(what, entry.direction),
        minimise=None if entry.minimise is None else _minimised(what, entry.minimise),
        iterate=None if entry.propose is None else _proposed(what, entry.propose),
    )


def absent(name: str, why: str) -> Attack:
    """What stands for an attack whose plugin is not at hand. It lists, and refuses to be carried out."""

    def refused(*_: Any) -> NoReturn:
        raise BadInput(why)

    return Attack(name, why, "-", (), engine=0, iterate=refused)


def _stepped(what: str, direction: Direction) -> Direction:
    def step(victim: Victim, x: Tensor, y: Tensor, samples: Tensor, draw: int, attack: AttackSpec) -> Tensor:
        return _asked(what, victim, x, lambda: direction(victim, x.clone(), y.clone(), samples.clone(), draw, attack))

    return step


def _minimised(what: str, minimise: Minimise) -> Minimise:
    def nearest(victim: Victim, x: Tensor, y: Tensor, samples: Tensor, attack: AttackSpec) -> Tensor:
        return _asked(what, victim, x, lambda: minimise(victim, x.clone(), y.clone(), samples.clone(), attack))

    return nearest


def _proposed(what: str, propose: Propose) -> Iterate:
    def iterate(
        victim: Victim, x: Tensor, y: Tensor, samples: Tensor, number: int, eps: float | Tensor, attack: AttackSpec
    ) -> Outcome:
        import torch

        from core.engine.geometry import per_sample
        from core.engine.standing import Outcome

        images = _asked(
            what, victim, x, lambda: propose(victim, x.clone(), y.clone(), samples.clone(), number, eps, attack)
        )
        broken, outside = victim.confirm(images, x, y, eps, attack.norm)
        none = torch.zeros_like(broken)
        found = torch.where(per_sample(broken, x), images, x)
        return Outcome(broken, found, images, none, none, none, outside, none, none)

    return iterate


def _asked(what: str, victim: Victim, x: Tensor, ask: Callable[[], Any]) -> Tensor:
    """What the plugin answers: finite, like x. Raises PluginFailed for anything else, ModelTouched for a changed model."""
    import torch

    with contained(what), _untouched(what, victim):
        answer = ask()
    if not isinstance(answer, torch.Tensor) or answer.shape != x.shape or not answer.is_floating_point():
        told = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise PluginFailed(f"{what}: gave {told} where floats of shape {tuple(x.shape)} were asked for")
    answer = answer.detach().to(x.device, x.dtype)
    if not bool(torch.isfinite(answer).all()):
        raise PluginFailed(f"{what}: gave NaN or infinity")
    return answer


@contextmanager
def _untouched(what: str, victim: Victim) -> Iterator[None]:
    """Raises ModelTouched if the model is another one afterwards, or in training mode."""

    def state() -> list[tuple[int, int]]:
        tensors = [*victim.model.parameters(), *victim.model.buffers()]
        return [(tensor.data_ptr(), tensor._version) for tensor in tensors]

    before = state()
    yield
    if state() != before:
        raise ModelTouched(f"{what}: it changed the weights of the model that it attacks")
    if any(module.training for module in victim.model.modules()):
        raise ModelTouched(f"{what}: it put the model that it attacks into training mode")
