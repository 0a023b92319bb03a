"""The `[training]` table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.errors import Mistakes
from core.records.choice import Choice
from core.records.trial import Training
from core.registry import resolve_options
from core.study.file import TrainingTable
from core.study.keys.axes import from_registry, name_and_options, one_of
from core.training.averaging import AVERAGINGS
from core.training.schedules import SCHEDULES

PROFILES: Mapping[str, str] = {"torch": "torch", "keras": "keras", "tuned": "torch", "tuned-keras": "keras"}
"""What `hyperparameters` may say, and whose update rules and defaults that means."""
INITIALISATIONS = ("torch", "glorot")
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


def training_of(table: TrainingTable, found: Mistakes) -> Training | None:
    """None, and what is wrong in `found`, where anything is."""
    schedule = found.attempt(_schedule, table.schedule)
    initialisation = found.attempt(one_of, table.initialisation, INITIALISATIONS, "training.initialisation")
    precision = found.attempt(one_of, table.precision, PRECISIONS, "training.precision")
    averaging = found.attempt(_averaging, table.averaging)
    if schedule is None or initialisation is None or precision is None or averaging is None:
        return None
    return Training(
        epochs=table.epochs,
        batch_size=table.batch_size,
        initialisation=initialisation,
        precision=precision,
        schedule=schedule,
        weight_decay=table.weight_decay,
        label_smoothing=table.label_smoothing,
        augment=table.augment,
        validation=table.validation,
        averaging=averaging,
    )


def _schedule(item: Any) -> Choice:
    name, given = name_and_options(item, "training.schedule")
    entry = SCHEDULES.find(name, "training.schedule")
    options = resolve_options(entry, given, "training.schedule")
    entry.check(options, "training.schedule")
    return Choice(name, options)


def _averaging(item: Any) -> Choice:
    name, given = name_and_options(item, "training.averaging")
    return from_registry(AVERAGINGS)(name, given, "training.averaging")


def profile_of(name: str) -> str:
    """Whose update rules `hyperparameters` means: "torch" or "keras"; raises BadInput for neither."""
    return PROFILES[one_of(name, tuple(PROFILES), "training.hyperparameters")]
