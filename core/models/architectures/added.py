"""Architectures of plugins: what they may be, and what is asked of the module that one builds. Torch-free until it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from core.errors import BadInput
from core.models.architectures.entry import Architecture, normalise
from core.plugged import Installed, PluginFailed, contained

if TYPE_CHECKING:
    from torch import nn

    from core.models.architectures.entry import Build


def adopt(entry: Architecture, plugin: Installed) -> Architecture:
    """The architecture with its functions contained, and the option `normalise` where it has none. Raises ValueError."""
    if not callable(entry.build) or not callable(entry.misfit):
        raise ValueError("has a build or a misfit that is no function")
    for name in ("smallest", "engine"):
        if not isinstance(getattr(entry, name), int) or getattr(entry, name) < 1:
            raise ValueError(f"has a {name} that is no whole number from 1 on")
    names = [one.name for one in entry.parameters]
    if "norm" in names and "batch_norm" not in names:
        raise ValueError("has the parameter norm, which says where batch norm stands, and no batch_norm")
    what = f"architecture {entry.name} of {plugin.title}"
    usual = () if "normalise" in names else (normalise(default=False),)
    return replace(
        entry,
        parameters=(*entry.parameters, *usual),
        build=_built(what, entry.build),
        misfit=_misfit(what, entry.misfit),
    )


def absent(name: str, why: str) -> Architecture:
    """What stands for an architecture whose plugin is not at hand."""

    def refused(*_: Any) -> NoReturn:
        raise BadInput(why)

    return Architecture(name, why, "-", refused, 1, (), engine=0)


def _misfit(
    what: str, misfit: Callable[[tuple[int, int, int]], str | None]
) -> Callable[[tuple[int, int, int]], str | None]:
    def words(shape: tuple[int, int, int]) -> str | None:
        with contained(what):
            return misfit(shape)

    return words


def _built(what: str, build: Build) -> Build:
    def network(
        shape: tuple[int, int, int], classes: int, activation: Callable[[], nn.Module], options: Mapping[str, Any]
    ) -> nn.Module:
        import torch
        from torch import nn

        with contained(what):
            built = build(shape, classes, activation, dict(options))
        if not isinstance(built, nn.Module):
            raise PluginFailed(f"{what}: build gave {type(built).__name__}, not a torch module")
        with contained(what), torch.no_grad():
            logits = built.eval()(torch.zeros(2, *shape))
        if not isinstance(logits, torch.Tensor) or logits.shape != (2, classes):
            told = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
            raise PluginFailed(f"{what}: 2 images of {shape} gave {told}, not logits of shape (2, {classes})")
        return built.train()

    return network
