"""What a file tells of where its batch norms stand, before or after the activation: the same tensors serve both, as two other
functions. Imports torch: for children only.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from core.jobs.importing.accuracy import batch_of
from core.jobs.importing.matching import Match, Shapes, kind_of, layer_of, layers_in

_MANY = 20
"""So many running means, none of them below zero: before the activation, where either sign is as likely, one file in a million
has that."""
_ROUNDING = 1e-3


def numbering(matched: Match, given: Shapes) -> str | None:
    """Either "before" or "after", where the norms' numbers in the file leave room for an activation on one side alone, as
    those of a Sequential do; None where they do not, or do not agree.
    """
    found = {_beside(layer, given) for layer in _norms(matched, given)}
    (said,) = found if len(found) == 1 else (None,)
    return said


def _norms(matched: Match, given: Shapes) -> list[str]:
    layers = dict.fromkeys(layer_of(name) for name in matched.names.values())
    return [layer for layer in layers if f"{layer}.running_mean" in given]


def _beside(layer: str, given: Shapes) -> str | None:
    container, _, last = layer.rpartition(".")
    if not last.isdecimal():
        return None
    numbers = {}
    for other in layers_in(given):
        inside, _, number = other.rpartition(".")
        if inside == container and number.isdecimal():
            tensors = {key.rpartition(".")[2]: shape for key, shape in given.items() if layer_of(key) == other}
            numbers[int(number)] = kind_of(tensors)
    place = int(last)
    earlier = [number for number, kind in numbers.items() if number < place and kind == "weights"]
    later = [number for number in numbers if number > place]
    if not earlier or not later:
        return None
    room_before, room_after = place - max(earlier) > 1, min(later) - place > 1
    if room_before == room_after:
        return None
    return "after" if room_before else "before"


def impossible(network: nn.Module, low: float, high: float, activation: str) -> str | None:
    """The running mean behind an activation that no output of it can have, in words; None if each is in [low, high].

    Norms begin at a mean of 0, so 0 is never out of range.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    for name, mean in _behind_activations(network):
        for bound, worst in ((low, float(mean.min())), (high, float(mean.max()))):
            beyond = bound - worst if bound == low else worst - bound
            if beyond > _ROUNDING:
                side = "below" if bound == low else "above"
                return f"the running mean of {name} goes to {worst:.3g}, {side} all that {activation} gives ({bound:g})"
    return None


def tells_after(network: nn.Module, low: float, high: float) -> bool:
    """Whether so many running means lie on the one side of zero that the activation has that it cannot be chance."""
    if low < 0.0 < high:
        return False
    means = [mean for _, mean in _behind_activations(network)]
    return sum(len(mean) for mean in means) >= _MANY and all(bool((mean.abs() > 0).any()) for mean in means)


def statistics_gap(model: nn.Module, pixels: Tensor) -> float | None:
    """How far the inputs that images [n, c, h, w] give to the batch norms are from the statistics in the file: the mean over the
    channels of the worst layer, of the shift in deviations or of the change of the deviation as a share; None without batch norm.

    For training images it is about 0.1 where weights are read as they were trained, and more where the order of layers, an
    activation or the normalisation before them is another.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return None
    sums: dict[nn.Module, Tensor] = {}

    def look(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        given = inputs[0].double()
        places = [place for place in range(given.dim()) if place != 1]
        moments = torch.stack([given.mean(places), given.square().mean(places)]) * len(given)
        sums[norm] = sums[norm] + moments if norm in sums else moments

    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    try:
        with torch.inference_mode():
            for batch in torch.split(pixels, batch_of(pixels.shape[1:].numel())):
                model.eval()(batch)
    finally:
        for hook in hooks:
            hook.remove()
    gaps = []
    for norm in norms:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        mean, square = sums[norm] / len(pixels)
        deviation, known = (
            (one.clamp_min(0.0) + norm.eps).sqrt() for one in (square - mean.square(), norm.running_var)
        )
        shift, change = (
            (mean - norm.running_mean).abs() / known,
            (deviation - known).abs() / torch.maximum(deviation, known),
        )
        gaps += [float(shift.mean()), float(change.mean())]
    return max(gaps)


def _behind_activations(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Name and running mean [units] of each batch norm whose input is an activation's output."""
    for path, module in network.named_modules():
        if not isinstance(module, nn.Sequential):
            continue
        children: Sequence[tuple[str, nn.Module]] = list(module.named_children())
        for (_, earlier), (name, norm) in itertools.pairwise(children):
            if isinstance(norm, nn.modules.batchnorm._BatchNorm) and _is_activation(earlier):
                assert norm.running_mean is not None
                yield ".".join(filter(None, (path, name))), torch.nan_to_num(norm.running_mean)


def _is_activation(module: nn.Module) -> bool:
    return type(module).__module__ == "torch.nn.modules.activation"
