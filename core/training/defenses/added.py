"""Defenses of plugins. Torch-free until a step is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from core.errors import BadInput
from core.plugged import Installed, PluginFailed, contained
from core.training.defenses.entry import BatchLoss, Defense

if TYPE_CHECKING:
    from core.training.defenses.entry import Objective


def adopt(entry: Defense, plugin: Installed) -> Defense:
    """The defense with its objective contained. Raises ValueError."""
    if not all(
        callable(one) for one in (entry.objective, entry.gradients, entry.replays, entry.remembered, entry.engine)
    ):
        raise ValueError("has an objective, gradients, replays, remembered or engine that is no function")
    names = [one.name for one in entry.parameters]
    if ("eps" in names) != ("norm" in names):
        raise ValueError("has one of the parameters eps and norm alone; a defense that attacks has both")
    return replace(entry, objective=_held(f"defense {entry.name} of {plugin.title}", entry.objective))


def absent(name: str, why: str) -> Defense:
    """What stands for a defense whose plugin is not at hand."""

    def refused(*_: Any) -> NoReturn:
        raise BadInput(why)

    return Defense(name, why, "-", refused, engine=refused)


def _held(what: str, objective: Objective) -> Objective:
    def step(*given: Any) -> BatchLoss:
        with contained(what):
            found = objective(*given)
        if not isinstance(found, BatchLoss):
            raise PluginFailed(f"{what}: a step gave {type(found).__name__}, not a BatchLoss")
        return found

    return step
