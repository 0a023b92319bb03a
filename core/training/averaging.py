"""Weight averaging: what of the weights on the way is stored, tested and attacked. Torch-free; `average` does it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from core.records.choice import Choice
from core.registry import Parameter, Registry


@dataclass(frozen=True)
class Averaging:
    """One way to average, whatever the optimizer and the defense."""

    name: str
    summary: str
    source: str
    parameters: tuple[Parameter, ...] = ()


AVERAGINGS: Registry[Averaging] = Registry(
    "averaging",
    (
        Averaging("none", "the weights of the last step", "-"),
        Averaging(
            "ema",
            "exponential average over all steps, of batch norm's running statistics too",
            "Polyak, Juditsky 1992; under attack Gowal et al. 2020, Rebuffi et al. 2021",
            (
                Parameter(
                    "decay",
                    "float",
                    0.999,
                    "what a step leaves of the average; (1 + t) / (10 + t) after t steps if that is less",
                    low=0.0,
                    high=1.0,
                    open_low=True,
                    open_high=True,
                ),
            ),
        ),
        Averaging(
            "swa",
            "mean of the weights after each of the last epochs; batch norm's statistics are estimated anew",
            "Izmailov et al. 2018",
            (
                Parameter(
                    "start",
                    "float",
                    0.75,
                    "share of the training that is over before the first",
                    low=0.0,
                    high=1.0,
                    open_high=True,
                ),
            ),
        ),
    ),
)


def first_averaged(swa: Choice, epochs: int) -> int:
    """The first of `epochs`, counted from 1, after which weights enter the mean; there always is one."""
    return math.floor(float(swa.options["start"]) * epochs) + 1
