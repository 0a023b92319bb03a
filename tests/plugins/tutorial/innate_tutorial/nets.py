"""The architecture. Imported by the processes that train, which have torch."""

from torch import nn


def tiny_cnn(shape, classes, activation, options):
    """(channels, height, width) → a module from images [n, c, h, w] to logits [n, classes]."""
    channels, height, width = shape
    maps = options["channels"]
    return nn.Sequential(
        nn.Conv2d(channels, maps, 3, padding=1),
        activation(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(maps * (height // 2) * (width // 2), classes),
    )
