"""The architectures, one per file. To add one: a file with `build` and its ENTRY, and a line here."""

from __future__ import annotations

from core.errors import BadInput
from core.models.architectures import keras_cnn, kumar_cnn, lenet5, mlp, resnet18, simplenet
from core.models.architectures.entry import Architecture
from core.records import Choice
from core.registry import Registry

ARCHITECTURES: Registry[Architecture] = Registry(
    "architecture",
    tuple(module.ENTRY for module in (kumar_cnn, keras_cnn, simplenet, mlp, lenet5, resnet18)),
)


def check(choice: Choice, shape: tuple[int, int, int], where: str) -> None:
    """Raises BadInput if images of `shape` (channels, height, width) are too small for the architecture's layers, or an option
    speaks of a layer that there is not."""
    if "norm" in choice.options and not choice.options["batch_norm"]:
        raise BadInput.at(f"{where}.norm", f"{choice.name} has no batch norm to place; add batch_norm = true")
    smallest = ARCHITECTURES[choice.name].smallest
    if min(shape[1:]) < smallest:
        raise BadInput.at(
            where,
            f"{choice.name} needs images of at least {smallest}×{smallest} pixels; these have {shape[1]}×{shape[2]}",
        )
