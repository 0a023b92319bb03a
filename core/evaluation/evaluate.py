"""From a trained model and a set of test samples to outcomes: the clean one, and one attack's ledgers.

Imports torch: for children only. How the samples go through an attack is `core.evaluation.sweep`'s.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from core.attacks import ATTACKS
from core.engine.losses import margin
from core.engine.victim import Victim, under_attack
from core.evaluation.batches import usual_batch
from core.evaluation.sweep import (
    Sweep,
    TestSet,
    batches,
    sweep_by_radius,
    sweep_of_distances,
    sweep_of_single_steps,
    within_memory,
)
from core.events import AttackProgress, CleanEvaluated, EvaluationFinished
from core.records.attack import AttackSpec
from core.records.outcome import Bools, Example

__all__ = ["CleanPass", "TestSet", "clean_outcome", "clean_pass", "crafting_precision", "evaluate"]


@dataclass(frozen=True)
class CleanPass:
    """One pass over the clean images: the outcome, and of each image [n] its margin z_y − max_{j≠y} z_j, and its logits' standard
    deviation over the classes."""

    outcome: CleanEvaluated
    margins: NDArray[np.float64]
    deviations: NDArray[np.float64]


def clean_pass(model: nn.Module, test_set: TestSet, classes: int, batch_size: int | None = None) -> CleanPass:
    """Logits on the clean images, boiled down. Raises NonFiniteLogits. Memory running out halves the batch."""
    victim = Victim(model)
    sweep = Sweep(
        victim,
        test_set,
        None,
        torch.ones_like(test_set.labels, dtype=torch.bool),
        batch_size or usual_batch(model, test_set),
    )
    predictions = torch.empty_like(test_set.labels)
    margins, deviations = (torch.empty(len(test_set), device=test_set.labels.device) for _ in range(2))

    def predict(rows: torch.Tensor) -> None:
        logits = victim.logits(test_set.pixels(rows))
        predictions[rows] = logits.argmax(dim=1)
        margins[rows] = -margin(logits, test_set.labels[rows])
        deviations[rows] = logits.std(dim=1, correction=0)

    with under_attack(model):
        for rows in batches(sweep, torch.arange(len(test_set), device=test_set.labels.device)):
            within_memory(sweep, rows, predict)
        victim.check()
    outcome = CleanEvaluated(
        samples=test_set.digest,
        test_samples=test_set.asked,
        correct=(predictions == test_set.labels).cpu().numpy(),
        predictions=predictions.cpu().numpy(),
        labels=test_set.labels.cpu().numpy(),
        classes=classes,
    )
    return CleanPass(outcome, *(one.cpu().numpy().astype(np.float64) for one in (margins, deviations)))


def clean_outcome(model: nn.Module, test_set: TestSet, classes: int, batch_size: int | None = None) -> CleanEvaluated:
    """Predictions on the clean images; raises as `clean_pass` does."""
    return clean_pass(model, test_set, classes, batch_size).outcome


def evaluate(
    model: nn.Module,
    test_set: TestSet,
    attack: AttackSpec,
    correct: Bools,
    crafting: str = "auto",
    stop: Callable[[], bool] = lambda: False,
    batch_size: int | None = None,
    standing: Bools | None = None,
) -> Iterator[AttackProgress | EvaluationFinished]:
    """Attack `model` on every sample of `test_set`; `correct` [n] is its clean outcome.

    With `standing` [n], only on those: the others count as fallen, to attacks carried out before.

    Yields progress a few times a second and EvaluationFinished last. Raises EvaluationStopped when `stop()` is true
    between two batches or steps, NonFiniteLogits for a model that answers with NaN. Memory running out halves the batch.
    """
    begun = time.monotonic()
    device = test_set.labels.device
    entry = ATTACKS[attack.name]
    # A single step, a search by logits and a boundary are cheap or exact: only long ascents gain from short numbers.
    ascends = entry.iterate is not None and not entry.black_box
    precision = crafting_precision(crafting, device) if ascends or entry.ensemble is not None else "fp32"
    alive = correct if standing is None else correct & standing
    sweep = Sweep(
        Victim(model, precision, stop, evens=True),
        test_set,
        attack,
        torch.from_numpy(np.array(alive)).to(device),
        batch_size or usual_batch(model, test_set),
    )
    with under_attack(model):
        if entry.single_step:
            yield from sweep_of_single_steps(sweep)
        elif entry.minimum_norm:
            yield from sweep_of_distances(sweep)
        else:
            yield from sweep_by_radius(sweep)
        sweep.victim.check()
        examples = _described(sweep)
    yield EvaluationFinished(
        attack=attack,
        samples=test_set.digest,
        test_samples=test_set.asked,
        ledgers=tuple(sweep.ledgers),
        examples=examples,
        forward_passes=sweep.victim.forward_passes,
        backward_passes=sweep.victim.backward_passes,
        seconds=time.monotonic() - begun,
        batch_size=sweep.batch_size,
        crafting=precision,
        notes=(*sweep.notes, *sweep.victim.notes),
        traces=tuple(sweep.traces),
    )


def crafting_precision(wanted: str, device: torch.device) -> str:
    """The precision of gradient passes: true fp32, or TF32 where `wanted` on a GPU. There is no shorter one.

    On saturated nets bf16 left standing what fp32 breaks (PGD 29.0 against 24.5 %), and what it leaves must be attacked
    again in fp32 before it counts: most of an attack's passes go to those, so nothing is won.
    """
    return "tf32" if wanted == "tf32" and device.type == "cuda" else "fp32"


def _described(sweep: Sweep) -> tuple[Example, ...]:
    """The kept images with what the model thinks of them before and after."""
    if not sweep.examples:
        return ()
    rows = torch.tensor([row for row, _ in sweep.examples], device=sweep.test_set.labels.device)
    clean, adversarial = sweep.test_set.pixels(rows), torch.stack(list(sweep.examples.values()))
    before, after = (sweep.victim.logits(images).softmax(dim=1).max(dim=1) for images in (clean, adversarial))
    return tuple(
        Example(
            sample=int(sweep.test_set.indices[row]),
            eps=eps,
            label=int(sweep.test_set.labels[row]),
            clean_prediction=int(before.indices[position]),
            adversarial_prediction=int(after.indices[position]),
            clean_confidence=float(before.values[position]),
            adversarial_confidence=float(after.values[position]),
            clean=clean[position].cpu().numpy(),
            adversarial=adversarial[position].cpu().numpy(),
        )
        for position, (row, eps) in enumerate(sweep.examples)
    )
