"""From a trial's choices to a torch module that takes pixels. Imports torch: for children only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.identity import stream_seed
from core.lanes.alone import ALONE
from core.models.activations import factory
from core.models.architectures import ARCHITECTURES
from core.records.trial import TrialSpec


class PixelModel(nn.Module):
    """Pixels [n, c, h, w] in [0, 1] to logits [n, classes]; normalisation is a layer, so attacks work in pixel space."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).view(1, -1, 1, 1))
        self._identity = all(value == 0.0 for value in mean) and all(value == 1.0 for value in deviation)

    def forward(self, pixels: Tensor) -> Tensor:
        if not self._identity:
            pixels = (pixels - self.mean) / self.deviation
        logits: Tensor = self.network(pixels)
        return logits


def build_model(
    trial: TrialSpec, images: Tensor, classes: int, normalisation: tuple[list[float], list[float]] | None = None
) -> PixelModel:
    """The model of `trial` with its initial weights, on the CPU.

    `images` are the training images, uint8 [n, c, h, w], whose mean and deviation per channel the option `normalise` uses,
    unless they are given as `normalisation`: then, and without the option, only the shape counts, and n may be 0. Weights
    come from the trial's initialisation stream alone, so that variants that share a seed and shapes start alike.
    """
    entry = ARCHITECTURES[trial.architecture.name]
    options = dict(trial.architecture.options)
    channels, height, width = images.shape[1:]
    mean, deviation = [0.0] * channels, [1.0] * channels
    if options.pop("normalise"):
        mean, deviation = channel_statistics(images) if normalisation is None else normalisation
    with ALONE:
        torch.manual_seed(stream_seed(trial.seed, "initialisation"))
        network = entry.build((channels, height, width), classes, factory(trial.activation), options)
        if trial.training is not None and trial.training.initialisation == "glorot":
            _glorot(network)
    return PixelModel(network, mean, deviation)


def channel_statistics(images: Tensor) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel of uint8 images [n, c, h, w], as pixels in [0, 1]."""
    pixels = images.to(torch.float32).div_(255.0)
    return pixels.mean(dim=(0, 2, 3)).tolist(), pixels.std(dim=(0, 2, 3)).clamp_min(1e-3).tolist()


def trained_model(
    trial: TrialSpec, state: Mapping[str, Tensor], shape: tuple[int, int, int], classes: int
) -> PixelModel:
    """The model of `trial` with its trained weights `state`, on the CPU; `shape` is (channels, height, width).

    The state holds the normalisation too, so no training image is needed. Raises BadInput for the weights of another
    architecture.
    """
    options = dict(trial.architecture.options)
    options.pop("normalise")
    with ALONE:  # it draws weights, to be replaced at once
        network = ARCHITECTURES[trial.architecture.name].build(shape, classes, factory(trial.activation), options)
    try:
        model = PixelModel(network, state["mean"].flatten().tolist(), state["deviation"].flatten().tolist())
        model.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise BadInput(f"the weights are of another architecture than {trial.architecture.name}: {error}") from None
    return model


def _glorot(network: nn.Module) -> None:
    """Keras's default: Glorot uniform weights (Glorot, Bengio 2010), zero biases."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
