"""Learning-rate schedules, as pure functions of the step: nothing to save, nothing to resume."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.errors import BadInput
from core.records.choice import Choice
from core.registry import Parameter, Registry


def _no_more_to_check(options: Mapping[str, Any], where: str) -> None:
    """Schedules whose parameters are right one by one."""


@dataclass(frozen=True)
class Schedule:
    """`rate(options, base, progress, epochs)` gives the learning rate at `progress` epochs since the start."""

    name: str
    summary: str
    source: str
    rate: Callable[[Mapping[str, Any], float, float, int], float]
    parameters: tuple[Parameter, ...] = ()
    check: Callable[[Mapping[str, Any], str], None] = _no_more_to_check


def _constant(options: Mapping[str, Any], base: float, progress: float, epochs: int) -> float:  # noqa: ARG001
    return base


def _cosine(options: Mapping[str, Any], base: float, progress: float, epochs: int) -> float:  # noqa: ARG001
    return base * 0.5 * (1.0 + math.cos(math.pi * progress / epochs))


def _step(options: Mapping[str, Any], base: float, progress: float, epochs: int) -> float:  # noqa: ARG001
    passed = bisect.bisect_right(options["at"], progress)
    return base if passed == 0 else float(options["lr"][passed - 1])


def _check_step(options: Mapping[str, Any], where: str) -> None:
    at, rates = options["at"], options["lr"]
    if not at or len(at) != len(rates):
        raise BadInput.at(
            where, "step needs `at` and `lr`, lists of equal length, such as at = [75, 100], lr = [5e-4, 3e-4]"
        )
    if sorted(set(at)) != list(at):
        raise BadInput.at(f"{where}.at", f"the epochs must ascend, got {at}")


SCHEDULES: Registry[Schedule] = Registry(
    "schedule",
    (
        Schedule("constant", "the optimizer's rate throughout", "-", _constant),
        Schedule("cosine", "from the optimizer's rate to 0 along half a cosine", "Loshchilov, Hutter 2016", _cosine),
        Schedule(
            "step",
            "lr[i] once at[i] epochs are over",
            "the CIFAR-10 script of the paper",
            _step,
            (
                Parameter("at", "ints", [], "finished epochs after which the rate changes", low=1),
                Parameter("lr", "floats", [], "the rate from then on", low=0.0, open_low=True),
            ),
            _check_step,
        ),
    ),
)


def learning_rate(schedule: Choice, base: float, step: int, steps_per_epoch: int, epochs: int) -> float:
    """The rate of optimizer step `step`, counted from 0 over the whole training."""
    return SCHEDULES[schedule.name].rate(schedule.options, base, step / steps_per_epoch, epochs)
