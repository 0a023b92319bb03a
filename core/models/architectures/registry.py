"""The architectures, one per file, and torchvision's by name. To add one: a file with `build` and its ENTRY, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.errors import BadInput
from core.models.architectures import added, inception, keras_cnn, kumar_cnn, lenet5, mlp, resnet18, simplenet
from core.models.architectures.entry import Architecture
from core.models.architectures.torchvision_models import ENTRIES as TORCHVISION
from core.records.choice import Choice
from core.registry import Additions, Registry, resolve_options

ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture",
    tuple(module.ENTRY for module in (kumar_cnn, keras_cnn, simplenet, mlp, lenet5, resnet18, inception)),
    unlisted=TORCHVISION,
    additions=Additions("architectures", Architecture, added.adopt, added.absent),
)


def resolve(name: str, given: Mapping[str, Any], where: str) -> Choice:
    """An architecture with every option resolved; raises BadInput for a wrong name or option, `where` being the key."""
    entry = ARCHITECTURES.find(name, where)
    return Choice(entry.name, resolve_options(entry, given, where), entry.engine)


def check(choice: Choice, shape: tuple[int, int, int], where: str) -> None:
    """Raises BadInput if images of `shape` (channels, height, width) do not fit the architecture's layers, or an option
    speaks of a layer that there is not."""
    if "norm" in choice.options and not choice.options["batch_norm"]:
        raise BadInput.at(f"{where}.norm", f"{choice.name} has no batch norm to place; add batch_norm = true")
    entry, these = ARCHITECTURES[choice.name], f"these have {shape[1]}×{shape[2]}"
    if min(shape[1:]) < entry.smallest:
        least = f"{entry.smallest}×{entry.smallest}"
        raise BadInput.at(where, f"{choice.name} needs images of at least {least} pixels; {these}")
    misfit = entry.misfit(shape)
    if misfit is not None:
        raise BadInput.at(where, f"{choice.name} {misfit}; {these}")
