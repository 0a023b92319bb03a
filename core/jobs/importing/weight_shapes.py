"""Whether the tensors of one state dict fit another's places, and if not, in words why. Imports torch: for children only."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from core.jobs.importing.matching import Shapes, difference, match
from core.models.activations import factory
from core.models.architectures import ARCHITECTURES
from core.models.architectures.entry import Architecture
from core.plugged import owner
from core.records.choice import Choice
from core.records.trial import TrialSpec

_COUNTER = "num_batches_tracked"
"""How many batches a batch norm has seen: of no use in eval mode, and not in every file."""
_SIZES = (8, 28, 32, 48, 64, 96, 128, 224)


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    """Without batch norm's counters."""
    return {key: tuple(tensor.shape) for key, tensor in state.items() if not key.endswith(_COUNTER)}


def explained(
    trial: TrialSpec, dataset: str, shape: tuple[int, int, int], classes: int, expected: Shapes, given: Shapes
) -> str:
    """Why `given` is not a network of `trial`'s architecture for images of `shape` (channels, height, width) and `classes`.

    What it is instead is found by building others, without memory for their weights: other classes or images first,
    then other options and architectures.
    """
    name, options = trial.architecture.name, dict(trial.architecture.options)
    entry = ARCHITECTURES[name]

    def fits(entry: Architecture, options: Mapping[str, Any], shape: tuple[int, int, int], classes: int) -> bool:
        built = _built(entry, options, trial.activation, shape, classes)
        return built is not None and match(built, given) is not None

    outputs = list(given.values())[-1][:1]
    channels, height, breadth = shape
    if outputs and outputs != (classes,) and fits(entry, options, shape, outputs[0]):
        return f"tells {outputs[0]} classes apart, but {dataset} has {classes}"
    for other in (1, 3):
        if other != channels and fits(entry, options, (other, height, breadth), classes):
            return f"takes images of {other} channel{'s' if other > 1 else ''}, but those of {dataset} have {channels}"
    for size in _SIZES:
        if size != height and fits(entry, options, (channels, size, size), classes):
            return f"takes images of {size}×{size} pixels, but those of {dataset} have {height}×{breadth}"
    found = difference(expected, given)
    text = f"does not fit {name}: {found[0]}" + (f" (and {len(found) - 1} more such)" if len(found) > 1 else "")
    for other_entry, other_options in _guesses(trial.architecture, given, shape, classes):
        if fits(other_entry, other_options, shape, classes):
            return f"{text}; it fits {_in_words(other_entry, other_options, trial.architecture)}"
    return text


def _built(
    entry: Architecture, options: Mapping[str, Any], activation: Choice, shape: tuple[int, int, int], classes: int
) -> Shapes | None:
    """The shapes of a network that is not really made; None where the images are too small for it."""
    if min(shape[1:]) < entry.smallest:
        return None
    layers = {key: value for key, value in options.items() if key != "normalise"}
    try:
        with torch.device("meta"):
            return shapes_of(entry.build(shape, classes, factory(activation), layers).state_dict())
    except (RuntimeError, ValueError):
        return None


def _guesses(
    asked: Choice, given: Shapes, shape: tuple[int, int, int], classes: int
) -> Iterator[tuple[Architecture, dict[str, Any]]]:
    """Architectures and options that the shapes make likely, the one that was asked for first."""
    # A plugin's net is tried only where it is named: building it is running its code.
    others = (name for name in ARCHITECTURES if name != asked.name and owner(name) is None)
    names = [asked.name, *others]
    for name in names:
        entry = ARCHITECTURES[name]
        usual = {parameter.name: parameter.default for parameter in entry.parameters}
        options = dict(asked.options) if name == asked.name else usual
        choices: list[Sequence[tuple[str, Any]]] = []
        if "batch_norm" in options:
            choices.append([("batch_norm", options["batch_norm"]), ("batch_norm", not options["batch_norm"])])
        if "hidden" in options:
            hidden = [sizes[0] for sizes in given.values() if len(sizes) == 2][:-1]
            choices.append([("hidden", options["hidden"]), *([("hidden", hidden)] if hidden else [])])
        if "width" in options:
            built = _built(entry, {**usual, "width": 1.0}, Choice("relu"), shape, classes)
            outputs = next(iter(given.values()), ())[:1]
            factor = outputs[0] / next(iter(built.values()))[0] if built and outputs else 0.0
            choices.append([("width", options["width"]), *([("width", factor)] if 0 < factor <= 16 else [])])
        for changes in itertools.product(*choices):
            guess = {**options, **dict(changes)}
            if not guess.get("batch_norm"):
                guess.pop("norm", None)
            yield entry, guess


def _in_words(entry: Architecture, options: Mapping[str, Any], asked: Choice) -> str:
    """As the command line takes it: "--architecture mlp --set batch_norm=true"."""
    known = {parameter.name: parameter.default for parameter in entry.parameters}
    if entry.name == asked.name:
        known = dict(asked.options)
    sets = " ".join(
        f"--set {shlex.quote(f'{key}={_option(value)}')}" for key, value in options.items() if value != known[key]
    )
    return " ".join(part for part in (f"--architecture {entry.name}", sets) if part)


def _option(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value).replace(" ", "")
